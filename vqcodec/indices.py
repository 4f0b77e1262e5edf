"""A picture as integers, and a parsed file's way to them; no torch."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.bitstream.container import Container
from vqcodec.bitstream.header import Header
from vqcodec.errors import FormatError, ModelError
from vqcodec.model_file import Metadata
from vqcodec.priors.static import StaticPrior

MAX_INDICES = 1 << 28


@dataclass(frozen=True)
class Encoded:
    """A picture as indices: uint16 [P, h', w'], the classes [h, w] that choose tables, and its size."""

    indices: npt.NDArray[np.uint16]
    classes: npt.NDArray[np.uint8]
    width: int
    height: int
    quality: float


def unpack(parsed: Container, metadata: Metadata, prior: StaticPrior) -> Encoded:
    """Return the indices in a parsed .vqc file; FormatError or ModelError where they are not what was encoded."""
    header = parsed.header
    check_model(header, metadata)
    check_size(header.height, header.width, metadata)
    indices, classes = prior.decode(parsed.indices, latent_grid(header, metadata.stride), header.quality)
    if index_crc(indices) != header.index_crc:
        raise FormatError("the decoded indices do not match their checksum; the file is damaged")
    return Encoded(
        indices.astype(np.uint16, copy=False),
        classes.astype(np.uint8, copy=False),
        header.width,
        header.height,
        header.quality,
    )


def check_model(header: Header, metadata: Metadata) -> None:
    """Raise ModelError if a file needs another model, FormatError if its header contradicts this one."""
    if header.fingerprint.hex() != metadata.fingerprint:
        raise ModelError(
            f"the file was made by the model {header.fingerprint.hex()}, not by {metadata.name} "
            f"({metadata.fingerprint}); name the right one with --model"
        )
    for key in ("K", "m", "d_star", "beta", "mode", "depth"):
        said, needed = getattr(header, key), metadata.quantizer[key]
        if said != needed:
            raise FormatError(f"the header says {key}={said}, the model has {key}={needed}; the file is damaged")


def check_size(height: int, width: int, metadata: Metadata) -> None:
    """Raise FormatError for a picture with more indices than the format allows, before memory is asked for."""
    cells = math.ceil(height / metadata.stride) * math.ceil(width / metadata.stride) * metadata.factor**2
    planes = metadata.quantizer["m"] + metadata.quantizer["wide"]
    if cells * planes > MAX_INDICES:
        raise FormatError(f"{width} x {height} pixels need {cells * planes} indices; at most 2^28 are allowed")


def latent_grid(header: Header, stride: int) -> tuple[int, int]:
    """Return the height h and width w of a picture's latents."""
    return math.ceil(header.height / stride), math.ceil(header.width / stride)


def index_crc(indices: npt.NDArray[Any]) -> int:
    """Return the CRC-32 of indices as little-endian uint16 in C order."""
    return zlib.crc32(indices.astype("<u2").tobytes())
