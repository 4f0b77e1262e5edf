"""Pillow opens and saves .vqc files once this module is imported.

    import vqcodec.pillow
    image = Image.open("photo.vqc")
    image.save("small.vqc", quality=30, effort=5)

Opening reads what a file says of its picture and imports no torch; pixels are decoded when they are first asked for.
Pillow knows no entry points, so a program has to import this module itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from PIL import Image, ImageFile

from vqcodec.errors import InputError, VqcError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.bitstream.header import MAGIC
from vqcodec.files import atomic_write, read_file, read_stream
from vqcodec.image import info_of, to_pil

FORMAT, SUFFIX, MIME_TYPE = "VQC", ".vqc", "image/x-vqc"
OPTIONS = (
    "quality", "model", "effort", "max_bytes", "target_bpp", "target_psnr", "target_ssimulacra2", "background", "strip",
    "lossy", "half",
)  # fmt: skip
"""What `save` takes, with the meaning that it has in vqcodec.compress; other options are ignored, as Pillow does."""


class VqcImageError(VqcError, OSError):
    """A VqcError that programs catch too which expect Pillow's OSError."""


class VqcImageFile(ImageFile.ImageFile):
    """A .vqc file as an image: RGB or L, with transparency RGBA or LA; ICC profile, EXIF and XMP are in its `info`.

    `model`: a model's name or path, for files of a model that is not shipped; to be set before pixels are asked for.
    """

    format = FORMAT
    format_description = "vqc learned image codec"
    model: str | Path | None = None
    _parsed: Container | None = None

    def load(self) -> Any:
        """Decode the pixels, the first time; Pillow calls it for whatever needs them."""
        if self._parsed is not None:
            from vqcodec.api import load_coder

            with _for_pillow():
                path = model_file.needed(self._parsed.header.fingerprint, self.model)
                image = to_pil(load_coder(path).picture_of(self._parsed))
            self.im = image.convert(self.mode).im
            self._parsed = None
        return super().load()

    def _open(self) -> None:
        assert self.fp is not None
        with _for_pillow():
            self._parsed = container.read(read_stream(cast(BinaryIO, self.fp), str(self.filename or "the file")))
        self._size = self._parsed.header.width, self._parsed.header.height
        # Pillow checks this too, but only once a file is open; nothing that grows with it is unpacked before.
        Image._decompression_bomb_check(self._size)
        with _for_pillow():
            said = self._parsed.without_alpha
        self._mode = ("L" if said.is_gray and not said.icc else "RGB") + ("A" if self._parsed.has_alpha else "")
        self.info.update(info_of(said))
        if self._exclusive_fp:
            self.fp.close()


def make_thumbnail(source: Path, target: Path, side: int) -> None:
    """Write a PNG of a .vqc file with no side above `side` pixels, as fast as `vqcodec.decompress` makes thumbnails.

    Raises InputError where the picture has more pixels than Pillow lets programs open, and the errors of reading,
    decompressing and writing.
    """
    from vqcodec.api import decompress

    data = read_file(source)
    header = container.read(data).header
    _check_limit(header.width, header.height, source)
    image = decompress(data, thumbnail=side)
    with atomic_write(target, force=True) as file:
        image.save(file, "PNG")


def _check_limit(width: int, height: int, source: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from half the limit on Pillow warns, of what a thumbnail need not decode
        try:
            Image._decompression_bomb_check((width, height))
        except Image.DecompressionBombError as error:
            raise InputError(
                f"{source} is {width} x {height}, more than Pillow opens; make it smaller first"
            ) from error


@contextmanager
def _for_pillow() -> Iterator[None]:
    try:
        yield
    except VqcError as error:
        raise VqcImageError(str(error)) from error


def _accept(beginning: bytes) -> bool:
    return beginning.startswith(MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    from vqcodec.api import compress

    with _for_pillow():
        file.write(compress(image, **{name: image.encoderinfo[name] for name in OPTIONS if name in image.encoderinfo}))


Image.register_open(FORMAT, VqcImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME_TYPE)
