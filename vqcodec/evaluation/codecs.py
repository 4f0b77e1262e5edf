"""The codecs that are measured: one small class each, which encodes and decodes and says its settings.

Every codec takes a quality of 1..100, more being better. To add one, write a class with the
attributes of `EvalCodec` and list it in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from PIL import features

from vqcodec.api import load_model
from vqcodec.choices import DEFAULT_EFFORT, check_quality
from vqcodec.errors import ModelError, SettingsError
from vqcodec.evaluation.peers import AvifSlow, Heic, Jpegli, Vvc
from vqcodec.evaluation.pillow_codec import DEFAULT_QUALITIES, PillowCodec, Pixels
from vqcodec.image import Picture


class EvalCodec(Protocol):
    """What the evaluation asks of a codec."""

    name: str
    label: str
    default_qualities: tuple[float, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the bytes besides the quality; printed with the results."""

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the whole file for pixels uint8 [H, W, 3]."""

    def decode(self, data: bytes) -> Pixels:
        """Return pixels uint8 [H, W, 3]."""


class Vqc:
    """A model of ours: a shipped one by its name, any other by its file; `effort` 0..9 is that of its encoder."""

    default_qualities: tuple[float, ...] = DEFAULT_QUALITIES
    effort = DEFAULT_EFFORT

    def __init__(self, model: str) -> None:
        self._codec = load_model(model)
        self.name = Path(model).stem if model.endswith(".safetensors") else model
        self.label = f"vqc {self.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """The model, by the fingerprint of all that decoding needs, and its quantizer."""
        metadata = self._codec.metadata
        return {"format": "VQC", "fingerprint": metadata.fingerprint, "quantizer": metadata.quantizer}

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the .vqc file."""
        return self._codec.compress(Picture(pixels), quality, self.effort)

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of a .vqc file."""
        return self._codec.decompress(data).pixels


class Jpeg(PillowCodec):
    """JPEG 4:2:0, optimized and progressive."""

    name, label, format, library = "jpeg", "JPEG 4:2:0", "JPEG", "jpg"
    options = MappingProxyType({"subsampling": "4:2:0", "optimize": True, "progressive": True})
    default_qualities: tuple[float, ...] = (5.0, 15.0, 30.0, 50.0, 70.0, 85.0, 95.0)

    def version(self) -> str | None:
        """Return the version of libjpeg-turbo, or of the libjpeg that stands in for it."""
        return features.version("libjpeg_turbo") or features.version("jpg")


class Jpeg444(Jpeg):
    """JPEG 4:4:4, optimized and progressive."""

    name, label = "jpeg-444", "JPEG 4:4:4"
    options = MappingProxyType({**Jpeg.options, "subsampling": "4:4:4"})


class WebP(PillowCodec):
    """Lossy WebP, which is always 4:2:0, at its slowest method."""

    name, label, format, library = "webp", "WebP", "WEBP", "webp"
    options = MappingProxyType({"method": 6})
    default_qualities: tuple[float, ...] = (2.0, 10.0, 30.0, 50.0, 70.0, 85.0, 95.0)


class Avif(PillowCodec):
    """AVIF 4:2:0 as it comes: libaom at speed 6, tuned for the eye."""

    name, label, format, library = "avif", "AVIF 4:2:0", "AVIF", "avif"
    options = MappingProxyType({"subsampling": "4:2:0", "speed": 6, "max_threads": 1})
    default_qualities: tuple[float, ...] = (10.0, 20.0, 35.0, 50.0, 65.0, 80.0, 90.0)


class Avif444(Avif):
    """AVIF 4:4:4 as it comes."""

    name, label = "avif-444", "AVIF 4:4:4"
    options = MappingProxyType({**Avif.options, "subsampling": "4:4:4"})


class AvifPsnr(Avif444):
    """AVIF 4:4:4 tuned for PSNR, the fairer peer where PSNR is compared."""

    name, label = "avif-psnr", "AVIF 4:4:4 for PSNR"
    options = MappingProxyType({**Avif444.options, "advanced": {"tune": "psnr"}})


class Jpeg2000(PillowCodec):
    """JPEG 2000 with its color transform and the 9/7 filter, at a target PSNR.

    At a fixed rate a mean over pictures would not be comparable with the others' fixed quality.
    """

    name, label, format, library = "jpeg2000", "JPEG 2000", "JPEG2000", "jpg_2000"
    options = MappingProxyType({"mct": 1, "irreversible": True, "quality_mode": "dB"})
    default_qualities: tuple[float, ...] = (24.0, 32.0, 40.0, 48.0, 60.0, 72.0, 84.0)

    @property
    def settings(self) -> dict[str, Any]:
        """Pillow's options, with the rule that turns a quality into a target."""
        return {**super().settings, "quality_layers": "[20 + quality / 4] dB"}

    def quality_options(self, quality: float) -> dict[str, Any]:
        """Return the target: quality 1..100 is 20.25..45 dB."""
        return {"quality_layers": [20 + quality / 4]}


class Jxl(PillowCodec):
    """JPEG XL through its Pillow plugin."""

    name, label, format, library = "jxl", "JPEG XL", "JXL", "pillow-jxl-plugin"
    options = MappingProxyType({"effort": 7, "num_threads": 0})

    def __init__(self) -> None:
        try:
            import pillow_jxl  # noqa: F401  registers the format
        except ImportError as error:
            raise SettingsError("jxl needs the JPEG XL plugin; pip install 'vqcodec[jxl]'") from error

    def version(self) -> str | None:
        """Return the version of the plugin, which brings libjxl."""
        from importlib.metadata import version

        return version(self.library)


FORMATS: dict[str, Callable[[], EvalCodec]] = {
    codec.name: codec
    for codec in (Jpeg, Jpeg444, WebP, Avif, Avif444, AvifPsnr, Jpeg2000, Jxl, Heic, Jpegli, Vvc, AvifSlow)
}


def open_codec(wanted: str) -> EvalCodec:
    """Return a codec by its name, a shipped model's name or a model file's path; SettingsError or ModelError."""
    if wanted in FORMATS:
        return FORMATS[wanted]()
    try:
        return Vqc(wanted)
    except ModelError as error:
        if wanted.endswith(".safetensors"):
            raise
        raise SettingsError(
            f"there is no codec {wanted!r}; choose from {', '.join(FORMATS)}; or a model: {error}"
        ) from error


def open_codecs(wanted: Iterable[str]) -> dict[str, EvalCodec]:
    """Return codecs by what they were asked for; models whose files have the same name get their path as name."""
    codecs = {text: open_codec(text) for text in wanted}
    names = [codec.name for codec in codecs.values()]
    for text, codec in codecs.items():
        if names.count(codec.name) > 1:
            codec.name = text
            codec.label = f"vqc {text}"
    return codecs


def check_qualities(codec: EvalCodec, qualities: Iterable[float]) -> list[float]:
    """Return the qualities that a codec can take, without repetitions; SettingsError for one that it cannot."""
    checked = sorted({check_quality(quality) for quality in qualities})
    if isinstance(codec, PillowCodec):
        for quality in checked:
            codec.quality_options(quality)
    return checked
