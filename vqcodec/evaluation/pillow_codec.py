"""What all formats that Pillow writes have in common as codecs to measure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from vqcodec.errors import OutputError, SettingsError

Pixels = npt.NDArray[np.uint8]
DEFAULT_QUALITIES = (10.0, 25.0, 40.0, 55.0, 70.0, 85.0, 95.0)


def whole(name: str, quality: float) -> int:
    """Return a quality of 1..100 as the whole number that it is; SettingsError where it is none."""
    if quality != int(quality):
        raise SettingsError(f"{name} takes whole numbers as quality, not {quality:g}")
    return int(quality)


class PillowCodec:
    """A format that Pillow writes; a subclass says which, with which options."""

    name: str
    label: str
    format: str
    library: str
    options: Mapping[str, Any] = MappingProxyType({})
    default_qualities: tuple[float, ...] = DEFAULT_QUALITIES

    def __init__(self) -> None:
        if not features.check(self.library):
            raise SettingsError(f"{self.name}: this Pillow lacks {self.library}; pip install --upgrade Pillow")

    @property
    def settings(self) -> dict[str, Any]:
        """Pillow's options, and the versions of Pillow and of the library that it calls."""
        versions = {"Pillow": PIL.__version__, self.library: self.version()}
        return {"format": self.format, **self.options, "versions": versions}

    def version(self) -> str | None:
        """Return the version of the library that does the work."""
        return features.version(self.library)

    def quality_options(self, quality: float) -> dict[str, Any]:
        """Return the options that depend on the quality."""
        return {"quality": whole(self.name, quality)}

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the file that Pillow writes; OutputError where the format cannot hold such a picture."""
        file, options = io.BytesIO(), self.quality_options(quality)
        try:
            Image.fromarray(pixels).save(file, self.format, **self.options, **options)
        except Exception as error:  # encoders raise OSError, ValueError, RuntimeError ... for what they cannot hold
            raise OutputError(f"{self.name} cannot encode the picture: {error}") from error
        return file.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels as they are in the file."""
        with Image.open(io.BytesIO(data), formats=(self.format,)) as image:
            return np.array(image.convert("RGB"))
