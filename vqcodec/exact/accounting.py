"""What a .vqc file spends its bytes on, beside what the papers on compositional codebooks count.

    S_codebook = 32 * K * d        plain VQ with K codevectors of the same d values
               = 32 * K * d_star   a codebook that m = d / d_star units share
    S_index    = h * w * m * log2 K            as the papers count it
               = beta^2 * h * w * m * log2 K   as a decoder needs it in the modes all and conditional

A real file holds entropy-coded indices and, with depth 2, a second plane for each wide unit.
NumPy only; everything is in bits unless its name says bytes or bpp.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vqcodec.exact.bitstream.container import CRC_BYTES, Container
from vqcodec.exact.bitstream.header import Header, varint
from vqcodec.exact.bitstream.sections import SECTION_NAMES
from vqcodec.exact.indices import decode_tiles, latent_grid
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import Prior

FLOAT_BITS = 32


@dataclass(frozen=True)
class CodebookStorage:
    """Bits of the codebook itself: S_codebook of plain VQ of the same d, and of this file's model."""

    vq_bits: int
    shared_bits: int


@dataclass(frozen=True)
class IndexStorage:
    """Bits of the indices of one picture, h x w latents in `planes` planes.

    paper_bits and decoder_bits are S_index as counted and as needed; fixed_bits is every stored
    index, second planes too, at log2 K; entropy_bits is what they and their classes cost under
    the model's tables, of which class_bits are for the classes.
    """

    h: int
    w: int
    planes: int
    paper_bits: float
    decoder_bits: float
    fixed_bits: float
    entropy_bits: float
    class_bits: float


def codebook_storage(header: Header) -> CodebookStorage:
    """Return what codebooks of a file's K, m and d_star cost."""
    shared = FLOAT_BITS * header.K * header.d_star
    plain = shared * header.m
    return CodebookStorage(vq_bits=plain, shared_bits=plain if header.layout == "own" else shared)


def index_storage(parsed: Container, metadata: Metadata, prior: Prior) -> IndexStorage:
    """Decode a file's indices and return what they cost; FormatError or ModelError where they do not decode."""
    header = parsed.header
    class_bits = index_bits = 0.0
    planes = count = 0
    for _, part in decode_tiles(parsed, metadata, prior):
        more_class_bits, more_index_bits = prior.bits(part.indices, part.classes, header.quality)
        class_bits, index_bits = class_bits + more_class_bits, index_bits + more_index_bits
        planes, count = len(part.indices), count + part.indices.size
    h, w = latent_grid(header.height, header.width, metadata.stride)
    # Papers count one index per unit, residual ones one per stage; coarse indices are ours.
    paper_bits = h * w * (header.depth if header.layout == "stages" else header.m) * math.log2(header.K)
    return IndexStorage(
        h=h,
        w=w,
        planes=planes,
        paper_bits=paper_bits,
        decoder_bits=paper_bits * metadata.factor**2,
        fixed_bits=count * math.log2(header.K),
        entropy_bits=class_bits + index_bits,
        class_bits=class_bits,
    )


def section_bytes(parsed: Container) -> dict[str, int]:
    """Return the bytes of each part of a file; they add up to its size."""
    parts = {"header": len(parsed.header.pack())}
    for section in parsed.sections:
        frame = 1 + len(varint(len(section.payload)))
        parts[SECTION_NAMES[section.type]] = frame + len(section.payload)
    parts["checksum"] = CRC_BYTES
    unknown = parsed.size_bytes - sum(parts.values())
    return parts | ({"unknown sections": unknown} if unknown else {})


def bits_per_pixel(bits: float, header: Header) -> float:
    """Return bits divided by the picture's pixels."""
    return bits / (header.width * header.height)


def analyze(parsed: Container, metadata: Metadata | None, prior: Prior | None) -> dict[str, Any]:
    """Return all figures of a file under the names that `vqc info --json` prints.

    Without its model (None) its name, the quantizer's and the indices' storage are null.
    """
    header = parsed.header
    indices = index_storage(parsed, metadata, prior) if metadata and prior else None
    said = parsed.ancillary
    return {
        "width": header.width,
        "height": header.height,
        "model": metadata.name if metadata else None,
        "fingerprint": header.fingerprint.hex(),
        "quantizer": metadata.quantizer["name"] if metadata else None,
        "layout": header.layout,
        "K": header.K,
        "m": header.m,
        "d_star": header.d_star,
        "beta": header.beta,
        "beta_mode": header.mode,
        "depth": header.depth,
        "prior": header.prior,
        "tile": header.tile,
        "quality": header.quality,
        "bytes": parsed.size_bytes,
        "bpp": bits_per_pixel(8 * parsed.size_bytes, header),
        "icc_profile": said.icc is not None,
        "alpha": said.alpha is not None,
        "gray": said.is_gray,
        "exif_bytes": len(said.exif or b""),
        "xmp_bytes": len(said.xmp or b""),
        "sections": section_bytes(parsed),
        "codebook": asdict(codebook_storage(header)),
        "indices": asdict(indices) if indices else None,
    }
