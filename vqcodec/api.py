"""The functions of the Python interface that are not methods of Codec, and `open_file`, which the commands share."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.choices import DEFAULT_EFFORT
from vqcodec.coder import Coder, quick_coder
from vqcodec.decoder import Box, Part
from vqcodec.device import CPU, chosen
from vqcodec.errors import VqcWarning
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.container import Container
from vqcodec.goals import Goal
from vqcodec.image import Picture, read_picture, stripped, to_pil
from vqcodec.rate_control import seek
from vqcodec.runtime.transform import can_run

if TYPE_CHECKING:
    from PIL import Image

    from vqcodec.codec import Codec


def load_model(model: str | Path | None = None, device: str | None = None) -> Codec:
    """Return a codec for a shipped model's name, a model file's path, or None for the default.

    device: where networks compute, "cpu", "cuda", "mps" or "auto", which is a GPU where there is one; without it what
    the environment's VQC_DEVICE says, or the processor. Indices of a file are the same on all, pixels within a gray
    level. Models are kept in memory, so that a second call costs nothing. Raises ModelError, SettingsError.
    """
    return _load(*_version(model), chosen(device))


def load_coder(model: str | Path | None = None, device: str | None = None) -> Coder:
    """Return what compresses and decompresses, as `load_model`: without torch where it can, or the codec if not."""
    return _load_coder(*_version(model), chosen(device))


def compress(
    image: Any,
    quality: float | None = None,
    model: str | Path | Coder | None = None,
    *,
    effort: int = DEFAULT_EFFORT,
    max_bytes: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ssimulacra2: float | None = None,
    background: str | None = None,
    strip: str = "none",
    lossy: bool = False,
    half: bool = False,
) -> bytes:
    """Return the .vqc file of an image.

    image: a path, the bytes of an image file, a PIL image, or a NumPy array uint8 [H, W],
    [H, W, 3] or [H, W, 4]. quality: 1..100 in steps of 0.5; 50 where nothing else says how large
    the file is to be. effort: 0..9, more takes longer; 1 makes a smaller file than 0, and from
    there on the same quality gives a better picture, so that a target costs fewer bytes.

    Instead of a quality: `target_bpp`, the bits per pixel that the file is to come nearest to;
    `target_psnr`, the dB that the smallest possible file is to have; `target_ssimulacra2`, the same for
    SSIMULACRA 2, where 90 is no loss that can be seen, with the extra `eval`; or `max_bytes` alone, for the
    highest quality of that size. With one of the others `max_bytes` is a limit that comes first. Scores are of what is
    seen: transparency that is kept is laid over white for them.
    See vqcodec.goals.

    A drawn picture (a flat color, a page of text, a screen, a diagram) is stored without loss where that takes at
    most 16 bytes more, or keeps the size that is asked for. Drawn parts around a photograph, as on a page of the web,
    are stored so over the indices of the rest where that takes fewer bytes. With `lossy` neither is done, so that a
    file has indices, and nothing else for pixels. Where a size is asked for that no quality keeps, half the width and
    height are coded, which are shown enlarged; with `half` always, and all pixels with loss.

    model: a name, a path, or what `load_coder` returned. Without it files are of the shipped `perceptual`, which is
    made for looks, and for `target_psnr` of `photo`, which is made for least squared error.

    Transparency is kept, or laid over a `background` color such as "white" or "#204060". `strip`: "all" leaves out EXIF
    and XMP, "gps" the places in them; "none" keeps all.

    What a .vqc file does not keep, such as comments, and a quality that `max_bytes` has
    lowered, is said in a VqcWarning. Raises InputError, ModelError, SettingsError, TargetError.
    """
    goal = Goal(quality, max_bytes, target_bpp, target_psnr, target_ssimulacra2)
    picture = stripped(read_picture(image, background=background), strip)
    wanted = goal.model if model is None else model
    coder = load_coder(wanted) if isinstance(wanted, str | Path) else wanted
    found = seek(coder, picture, goal, effort, lossy=lossy, half=half)
    for note in (*picture.notes, *found.notes):
        warnings.warn(note, VqcWarning, stacklevel=2)
    return found.data


def decompress(
    data: bytes | bytearray | memoryview,
    model: str | Path | Coder | None = None,
    *,
    crop: Box | None = None,
    thumbnail: int | None = None,
) -> Image.Image:
    """Return the picture in the bytes of a .vqc file as a PIL image, RGB, RGBA, L or LA.

    ICC profile, EXIF and XMP, where there are any, are in its `info`.

    `model` is needed only for files of a model that is not shipped. Raises FormatError, ModelError, and InputError for
    data that are no bytes.

    crop: a box (left, upper, right, lower) as for `PIL.Image.crop`, inside the picture; the pixels are those that
    cropping the whole picture would give, to a gray level, but only the tiles that they depend on are decoded and
    checked (of pixels that are stored without loss, all). thumbnail: at most so many pixels on the longest side, of
    the crop if there is one; nothing is enlarged. Of a shipped model a thumbnail a quarter as large or less is a sketch
    of a few channels, which takes a fraction of the time, and checks the file's checksum but not those of indices.
    SettingsError for a crop that is empty or not inside the picture, and for a thumbnail below 1.
    """
    if model is None or isinstance(model, str | Path):
        return to_pil(picture_of(data, model, crop=crop, thumbnail=thumbnail))
    return to_pil(model.picture_of(container.read(data), Part(crop, thumbnail)))


def picture_of(
    data: bytes | bytearray | memoryview,
    model: str | Path | None = None,
    *,
    crop: Box | None = None,
    thumbnail: int | None = None,
) -> Picture:
    """Return the picture in the bytes of a .vqc file; without torch where the model allows it. Errors as above."""
    coder, parsed = open_file(data, model)
    return coder.picture_of(parsed, Part(crop, thumbnail))


def open_file(data: bytes | bytearray | memoryview, model: str | Path | None = None) -> tuple[Coder, Container]:
    """Return the coder that the bytes of a .vqc file need, and the parsed file; errors as in `decompress`.

    A header names its model, so the file is parsed before there is a coder; it need not be parsed again after.
    """
    parsed = container.read(data)
    return load_coder(model_file.needed(parsed.header.fingerprint, model)), parsed


def _version(model: str | Path | None) -> tuple[Path, int, int]:
    """Return a model's path, time and size: one that was trained again must not come from memory."""
    path = model_file.resolve(model).resolve()
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=4)
def _load(path: Path, mtime_ns: int, size_bytes: int, device: str) -> Codec:
    from vqcodec.codec import Codec  # torch takes longer to import than a picture to decode

    return Codec.open(path, device)


@functools.lru_cache(maxsize=4)
def _load_coder(path: Path, mtime_ns: int, size_bytes: int, device: str) -> Coder:
    if device != CPU or not can_run(model_file.read_metadata(path)):
        return _load(path, mtime_ns, size_bytes, device)
    return quick_coder(*model_file.load(path))
