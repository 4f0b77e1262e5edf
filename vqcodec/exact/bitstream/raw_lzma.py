"""LZMA streams without a header, in which alpha and pixels are stored without loss; bitstream/FORMAT.md is the law."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from vqcodec.errors import FormatError, InputError

_DICTIONARY_BYTES: Final = 1 << 22


def is_there() -> bool:
    """Return whether this Python can read and write them."""
    try:
        _lzma()
    except InputError:
        return False
    return True


def pack(data: bytes, *, step: int = 1, extreme: bool = False) -> bytes:
    """Return the stream of bytes that repeat every `step` of 1 or 2; `extreme` takes three times as long for 5 %."""
    lzma = _lzma()
    preset = 9 | lzma.PRESET_EXTREME if extreme else 9
    packed: bytes = lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(lzma, preset, step))
    return packed


def unpack(stream: bytes, length: int, what: str, *, step: int = 1) -> bytes:
    """Return the bytes in a stream; FormatError where it is damaged or they are not `length`.

    Never more than one byte beyond these is unpacked.
    """
    lzma = _lzma()
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(lzma, 9, step))
    try:
        data: bytes = unpacker.decompress(stream, length + 1)
    except lzma.LZMAError as error:
        raise FormatError(f"the {what} section cannot be unpacked; the file is damaged") from error
    if not unpacker.eof or unpacker.unused_data or len(data) != length:
        raise FormatError(f"the {what} section is incomplete or not of the picture's size; the file is damaged")
    return data


def _filters(lzma: ModuleType, preset: int, step: int) -> list[dict[str, Any]]:
    settings = {"preset": preset, "dict_size": _DICTIONARY_BYTES, "lc": 3, "lp": step - 1, "pb": step - 1}
    return [{"id": lzma.FILTER_LZMA1, **settings}]


def _lzma() -> ModuleType:
    """Return the module lzma, which a Python that was built without its library lacks."""
    try:
        import lzma
    except ImportError as error:
        raise InputError(
            "this Python has no lzma, which transparency and pixels without loss need; install one that has it"
        ) from error
    return lzma
