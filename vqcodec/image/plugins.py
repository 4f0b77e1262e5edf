"""HEIC and JPEG XL, which Pillow reads where its plug-ins for them are installed (extras `heic` and `jxl`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from vqcodec.errors import InputError


class Plugin(NamedTuple):
    """A plug-in of Pillow: its module, the extra that brings it, Pillow's name of the format, and suffixes."""

    module: str
    extra: str
    format: str
    suffixes: tuple[str, ...]


class Said(NamedTuple):
    """What a picture of a plug-in says that Pillow has no place for: None and 8 bits where it says nothing."""

    code_points: tuple[int, int] | None = None
    bits: int = 8
    xmp: bytes | None = None


PLUGINS = {
    "HEIC": Plugin("pillow_heif", "heic", "HEIF", (".heic", ".heif", ".hif")),
    "JPEG XL": Plugin("pillow_jxl", "jxl", "JXL", (".jxl",)),
}
"""By the name of the kind of file."""
_CONTAINER, _XMP_BOX, _TO_THE_END, _LONG = b"\0\0\0\x0cJXL ", b"xml ", 0, 1


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of what the plug-ins that are installed read."""
    return frozenset(suffix for plugin in PLUGINS.values() if _is_there(plugin) for suffix in plugin.suffixes)


def register(kind: str, name: str) -> tuple[str, ...]:
    """Let Pillow read a kind of file, and return Pillow's names of more formats; none for kinds without a plug-in.

    InputError, which names the extra, where the plug-in is not installed.
    """
    plugin = PLUGINS.get(kind)
    if plugin is None:
        return ()
    if not _is_there(plugin):
        raise InputError(f"{name} is {kind}, which needs {plugin.module}; {_advice(plugin)}")
    module = import_module(plugin.module)
    if plugin.format == "HEIF":
        module.register_heif_opener()
    return (plugin.format,)


def missing_note(paths: Iterable[Path]) -> str:
    """Return what would read some of these files, as the end of a sentence, or "" where nothing would."""
    suffixes = {path.suffix.lower() for path in paths}
    missing = [
        f"{kind} needs {plugin.module}; {_advice(plugin)}"
        for kind, plugin in PLUGINS.items()
        if suffixes.intersection(plugin.suffixes) and not _is_there(plugin)
    ]
    return "".join(f"; {text}" for text in missing)


def said_of(image: Image.Image, data: bytes) -> Said:
    """Return what an opened image says besides what Pillow knows; `data` is its file, or nothing."""
    if image.format == "HEIF":
        return Said(_code_points(image.info.get("nclx_profile")), int(image.info.get("bit_depth") or 8))
    if image.format == "JXL" and not is_jpeg(image):
        return Said(xmp=next(_boxes(data, _XMP_BOX), None))
    return Said()


def is_upright(image: Image.Image) -> bool:
    """Whether an image lies as it is meant to be seen, whatever its EXIF says of an orientation.

    The plug-in for HEIC says 1 in EXIF of what it has turned itself. In JPEG XL the codestream says how a picture lies,
    and EXIF does not count (ISO/IEC 18181-2), but for a JPEG that is packed in it, which comes out as it was.
    """
    return image.format == "JXL" and not is_jpeg(image)


def is_jpeg(image: Image.Image) -> bool:
    """Whether an image is a JPEG that is packed in JPEG XL."""
    return bool(getattr(image, "jpeg", False))


def _is_there(plugin: Plugin) -> bool:
    try:
        return find_spec(plugin.module) is not None
    except ValueError:  # of a module that somebody has set to None
        return False


def _advice(plugin: Plugin) -> str:
    return f"run: pip install 'vqcodec[{plugin.extra}]'"


def _code_points(nclx: Any) -> tuple[int, int] | None:
    """Return the numbers of primaries and curve of a HEIC file."""
    return (int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])) if nclx else None


def _boxes(data: bytes, kind: bytes) -> Iterator[bytes]:
    """Yield the contents of the boxes of a kind in a JPEG XL container."""
    at = 0 if data.startswith(_CONTAINER) else len(data)
    while at + 8 <= len(data):
        size, begin = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == _LONG:
            size, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = len(data) if size == _TO_THE_END else at + size
        if end < begin:
            return
        if data[at + 4 : at + 8] == kind:
            yield data[begin:end]
        at = end
