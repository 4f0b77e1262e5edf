"""The three functions of the Python interface that are not methods of Codec."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec import model_file
from vqcodec.codec import DEFAULT_QUALITY, Codec
from vqcodec.errors import VqcWarning
from vqcodec.image import read_picture, to_pil

if TYPE_CHECKING:
    from PIL import Image


def load_model(model: str | Path | None = None) -> Codec:
    """Return a codec for a shipped model's name, a model file's path, or None for the default.

    Models are kept in memory, so that a second call costs nothing.
    """
    path = model_file.resolve(model).resolve()
    status = path.stat()
    return _load(path, status.st_mtime_ns, status.st_size)


def compress(image: Any, quality: float = DEFAULT_QUALITY, model: str | Path | Codec | None = None) -> bytes:
    """Return the .vqc file of an image.

    image: a path, the bytes of an image file, a PIL image, or a NumPy array uint8 [H, W],
    [H, W, 3] or [H, W, 4]. quality: 1..100 in steps of 0.5. What a .vqc file does not keep,
    such as transparency, is said in a VqcWarning. Raises InputError, ModelError, SettingsError.
    """
    picture = read_picture(image)
    for note in picture.notes:
        warnings.warn(note, VqcWarning, stacklevel=2)
    codec = model if isinstance(model, Codec) else load_model(model)
    return codec.compress(picture, quality)


def decompress(data: bytes, model: str | Path | Codec | None = None) -> Image.Image:
    """Return the picture in the bytes of a .vqc file as an RGB PIL image, with its ICC profile in `info`.

    `model` is needed only for files of a model that is not shipped. Raises FormatError, ModelError.
    """
    if not isinstance(model, Codec):
        model = load_model(Codec.path_for(data, model))
    return to_pil(model.decompress(data))


@functools.lru_cache(maxsize=4)
def _load(path: Path, mtime_ns: int, size_bytes: int) -> Codec:
    """Time and size are part of the key: a model that was trained again must not come from memory."""
    return Codec.open(path)
