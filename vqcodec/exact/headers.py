"""What the header of a file says, held against a model: sizes, and whether the two go together; no NumPy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from vqcodec.errors import FormatError, ModelError
from vqcodec.exact.bitstream.header import MAX_INDICES, Header
from vqcodec.exact.metadata import Metadata

if TYPE_CHECKING:
    from vqcodec.exact.bitstream.container import Container
    from vqcodec.exact.priors import Prior


class Size(NamedTuple):
    """What a file says of a picture besides its indices: pixels, quality 1..100, side of the tiles in latents or 0.

    is_halved: the indices are of the picture at half its width and height, rounded up.
    """

    width: int
    height: int
    quality: float
    tile: int = 0
    is_halved: bool = False

    @property
    def coded(self) -> Size:
        """The same of the picture that the indices are of."""
        if not self.is_halved:
            return self
        return self._replace(width=-(-self.width // 2), height=-(-self.height // 2), is_halved=False)


def make_header(size: Size, metadata: Metadata, prior: Prior, crc: int) -> Header:
    """Return the header of a file with this CRC-32 of indices; FormatError for a size that no header can say."""
    settings = metadata.quantizer
    return Header(
        fingerprint=bytes.fromhex(metadata.fingerprint),
        width=size.width,
        height=size.height,
        K=settings["K"],
        m=settings["m"],
        d_star=settings["d_star"],
        beta=settings["beta"],
        mode=settings["mode"],
        depth=settings["depth"],
        quality=size.quality,
        prior=prior.kind,
        index_crc=crc,
        tile=size.tile,
        layout=metadata.layout,
        adaptive=prior.adapts,
    )


def check_model(header: Header, metadata: Metadata) -> None:
    """Raise ModelError if a file needs another model, FormatError if its header contradicts this one."""
    check_fingerprint(header.fingerprint, metadata)
    quantizer = metadata.quantizer
    facts = {**quantizer, "layout": metadata.layout, "prior": metadata.prior}
    for key in ("layout", "K", "m", "d_star", "beta", "mode", "depth", "prior"):
        said, needed = getattr(header, key), facts[key]
        if said != needed:
            raise FormatError(f"the header says {key}={said}, the model has {key}={needed}; the file is damaged")


def check_fingerprint(fingerprint: bytes, metadata: Metadata) -> None:
    """Raise ModelError if a file needs another model."""
    if fingerprint.hex() != metadata.fingerprint:
        raise ModelError(
            f"the file was made by the model {fingerprint.hex()}, not by {metadata.name} "
            f"({metadata.fingerprint}); name the right one with --model"
        )


def check_size(size: Size, metadata: Metadata) -> None:
    """Raise FormatError for a picture with more indices than the format allows, before memory is asked for."""
    cells = math.prod(latent_grid(size, metadata.stride)) * metadata.factor**2
    if cells * metadata.planes > MAX_INDICES:
        coded = size.coded
        raise FormatError(
            f"{coded.width} x {coded.height} pixels need {cells * metadata.planes} indices; at most 2^29 are allowed"
        )


def size_of(parsed: Container) -> Size:
    """Return what a file says of the picture."""
    header = parsed.header
    return Size(header.width, header.height, header.quality, header.tile, parsed.is_halved)


def latent_grid(size: Size, stride: int) -> tuple[int, int]:
    """Return the height h and width w of the latents of a picture."""
    coded = size.coded
    return math.ceil(coded.height / stride), math.ceil(coded.width / stride)
