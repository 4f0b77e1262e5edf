"""Codecs of packages that are not in the extra `eval`: HEIC, jpegli, and VVC and AV1 out of ffmpeg.

Each is measured where its package is installed, and names it where it is not; the extra `peers` brings all.
"""

from __future__ import annotations

import subprocess
from importlib import import_module
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np

from vqcodec.errors import OutputError, SettingsError
from vqcodec.evaluation.pillow_codec import PillowCodec, Pixels, whole

_ALIGNED, _SMALLEST = 8, 64
_SIZE = np.dtype("<u2")
# How ffmpeg goes between RGB and YCbCr: BT.709, the whole range, no shortcuts.
_SCALE = "flags=accurate_rnd+full_chroma_int+full_chroma_inp+lanczos"


def _package(name: str, module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingsError(f"{name} needs {package}; pip install 'vqcodec[peers]'") from error


class Heic(PillowCodec):
    """HEIC (HEVC) 4:2:0 by x265 as Pillow's plugin has it."""

    name, label, format, library = "heic", "HEIC 4:2:0", "HEIF", "pillow-heif"
    options = MappingProxyType({"chroma": "420"})

    def __init__(self) -> None:
        _package(self.name, "pillow_heif", self.library).register_heif_opener()

    def version(self) -> str | None:
        """Return the version of the plugin, which brings libheif and x265."""
        return version(self.library)


class Jpegli:
    """JPEG 4:4:4 by jpegli, which every JPEG decoder reads."""

    name, label = "jpegli", "JPEG by jpegli"
    default_qualities: tuple[float, ...] = (5.0, 15.0, 30.0, 50.0, 70.0, 85.0, 95.0)

    def __init__(self) -> None:
        self._module = _package(self.name, "pyjpegli", "pyjpegli")

    @property
    def settings(self) -> dict[str, Any]:
        """The library and its version."""
        return {"format": "JPEG", "versions": {"pyjpegli": version("pyjpegli")}}

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the JPEG file."""
        height, width = pixels.shape[:2]
        data: bytes = self._module.encode(np.ascontiguousarray(pixels), width, height, whole(self.name, quality))
        return data

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of a JPEG file."""
        rgb, width, height = self._module.decode(data)
        return np.frombuffer(rgb, np.uint8).reshape(height, width, 3)


class Ffmpeg:
    """A video codec for one picture; a subclass says which, how, and how it reads the quality.

    The file is ffmpeg's raw stream behind four bytes with width and height, because these codecs take whole blocks:
    the picture is enlarged to them by repeating its edge.
    """

    name: str
    label: str
    encoder: str
    muxer: str
    pixel_format: str
    options: tuple[str, ...] = ()
    quantizers: tuple[int, int]
    default_qualities: tuple[float, ...] = (10.0, 25.0, 40.0, 55.0, 70.0, 85.0)

    def __init__(self) -> None:
        module = _package(self.name, "imageio_ffmpeg", "imageio-ffmpeg")
        self._program: str = module.get_ffmpeg_exe()

    @property
    def settings(self) -> dict[str, Any]:
        """The encoder with its options, the format of its pixels, and the package that brings it."""
        return {
            "format": self.encoder,
            "pixels": self.pixel_format,
            "options": " ".join(self.options),
            "quantizer": "from {} at quality 1 to {} at quality 100".format(*self.quantizers),
            "versions": {"imageio-ffmpeg": version("imageio-ffmpeg")},
        }

    def quantizer(self, quality: float) -> int:
        """Return the codec's quantizer for a quality of 1..100."""
        worst, best = self.quantizers
        return round(worst + (best - worst) * (quality - 1) / 99)

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the file; OutputError where ffmpeg cannot write it."""
        height, width = pixels.shape[:2]
        grown = np.pad(pixels, ((0, _grown(height) - height), (0, _grown(width) - width), (0, 0)), mode="edge")
        size = f"{grown.shape[1]}x{grown.shape[0]}"
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-i", "-")
        convert = f"scale=out_color_matrix=bt709:out_range=full:{_SCALE},format={self.pixel_format}"
        options = (*self.options, *self.quality_options(self.quantizer(quality)))
        target = ("-vf", convert, "-c:v", self.encoder, *options, "-frames:v", "1", "-f", self.muxer, "-")
        stream = self._run((*source, *target), grown.tobytes())
        return np.array([width, height], _SIZE).tobytes() + stream

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of a file."""
        width, height = np.frombuffer(data[: 2 * _SIZE.itemsize], _SIZE).tolist()
        convert = f"scale=in_color_matrix=bt709:in_range=full:{_SCALE}"
        target = ("-vf", convert, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        raw = self._run(("-f", self.muxer, "-i", "-", *target), data[2 * _SIZE.itemsize :])
        grown = np.frombuffer(raw, np.uint8).reshape(_grown(height), _grown(width), 3)
        return grown[:height, :width]

    def quality_options(self, quantizer: int) -> tuple[str, ...]:
        """Return the options that set the quantizer."""
        return ("-qp", str(quantizer))

    def _run(self, arguments: tuple[str, ...], data: bytes) -> bytes:
        command = [self._program, "-hide_banner", "-loglevel", "error", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        if done.returncode or not done.stdout:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
            raise OutputError(f"{self.name}: ffmpeg failed: {said[0]}")
        output: bytes = done.stdout
        return output


def _grown(length: int) -> int:
    """Return the next length that all of these codecs take."""
    return max(_SMALLEST, -(-length // _ALIGNED) * _ALIGNED)


class Vvc(Ffmpeg):
    """VVC by vvenc at its slowest, 4:2:0 with 10 bits, which is all that it takes; not tuned for the eye."""

    name, label = "vvc", "VVC 4:2:0 (vvenc)"
    encoder, muxer, pixel_format = "libvvenc", "vvc", "yuv420p10le"
    options = ("-preset", "slower", "-qpa", "0", "-threads", "1")
    quantizers = (51, 12)


class AvifSlow(Ffmpeg):
    """AV1 by libaom at cpu-used 0, 4:4:4 with 8 bits, tuned for PSNR: what AVIF can do when time does not count."""

    name, label = "av1-slow", "AV1 4:4:4 for PSNR, slowest"
    encoder, muxer, pixel_format = "libaom-av1", "obu", "yuv444p"
    options = ("-still-picture", "1", "-cpu-used", "0", "-tune", "psnr", "-b:v", "0", "-threads", "1")
    quantizers = (60, 8)

    def quality_options(self, quantizer: int) -> tuple[str, ...]:
        """Return the constant quality, libaom's scale of 0..63."""
        return ("-crf", str(quantizer))
