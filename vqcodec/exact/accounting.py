"""What a .vqc file spends its bytes on, beside what the papers on compositional codebooks count.

    S_codebook = 32 * K * d            plain VQ with K codevectors of the same d values, and the stages of residual VQ
               = 32 * K * d_star       a codebook that m = d / d_star units share (LooC)
               = 32 * m * K * d_star   a codebook for each unit (product quantization, dual codebooks)
               = 0                     a grid, which follows from its levels (FSQ, LFQ)
    capacity   = K^m                   different latent vectors; K^stages of residual VQ
    K'         = K^(1/m)               codevectors with which m units have the capacity of plain VQ with K
    search     = beta^2 * h * w * K * d     multiplications that find the nearest codevectors, K' in the place of K
    S_index    = h * w * m * log2 K            as the papers count it
               = beta^2 * h * w * m * log2 K   as a decoder needs it in the modes all and conditional

A real file holds entropy-coded indices and, with depth 2, a second plane for each wide unit.
Everything is in bits unless its name says bytes or bpp.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vqcodec.exact.bitstream.container import CRC_BYTES, Container
from vqcodec.exact.bitstream.header import Header, varint
from vqcodec.exact.bitstream.sections import SECTION_NAMES
from vqcodec.exact.headers import check_model, check_size, latent_grid, size_of
from vqcodec.exact.metadata import Metadata

if TYPE_CHECKING:
    from vqcodec.exact.priors import Prior

FLOAT_BITS = 32


GRIDS = ("fsq", "lfq")
"""Quantizers whose codevectors are a grid that nobody has to store."""


@dataclass(frozen=True)
class CodebookStorage:
    """What the codebook itself is: S_codebook of plain VQ of the same d, and of this file's `books` by its `formula`.

    There are 2^capacity_bits different latent vectors. `equal_K` is K', with which the units or stages would have the
    capacity of plain VQ with K codevectors (supplement of LooC, section 1).
    """

    vq_bits: int
    bits: int
    books: int
    formula: str
    capacity_bits: float
    equal_K: float


@dataclass(frozen=True)
class IndexStorage:
    """Bits of the indices of one picture, h x w latents in `planes` planes.

    paper_bits and decoder_bits are S_index as counted and as needed; fixed_bits is every stored
    index, second planes too, at log2 K; entropy_bits is what they and their classes cost under
    the tables that code them, of which class_bits are for the classes: None where the indices were not decoded.
    `multiplications` find the nearest codevectors by cosine, as the supplement of LooC counts them, for each stage
    and for beta^2 latents; `equal_multiplications` are those of K' codevectors.
    """

    h: int
    w: int
    planes: int
    paper_bits: float
    decoder_bits: float
    fixed_bits: float
    entropy_bits: float | None
    class_bits: float | None
    multiplications: int
    equal_multiplications: float


def codebook_storage(header: Header, name: str | None) -> CodebookStorage:
    """Return what codebooks of a file's K, m and d_star cost; `name` is the quantizer's, None where it is not known."""
    book = FLOAT_BITS * header.K * header.d_star
    books, formula = (header.m, "32 m K d*") if header.layout == "own" else (1, "32 K d*" if header.m > 1 else "32 K d")
    if name in GRIDS:
        books, formula = 0, "0"
    choices = _choices(header)
    return CodebookStorage(
        vq_bits=book * header.m,
        bits=book * books,
        books=books,
        formula=formula,
        capacity_bits=choices * math.log2(header.K),
        equal_K=header.K ** (1 / choices),
    )


def _choices(header: Header) -> int:
    """Return how many indices a latent vector has, as papers count them: coarse indices are ours."""
    return header.depth if header.layout == "stages" else header.m


def index_storage(parsed: Container, metadata: Metadata, prior: Prior | None) -> IndexStorage:
    """Return what a file's indices cost; with a prior they are decoded for it.

    FormatError or ModelError where the header is not one of this model, or the indices do not decode.
    """
    header = parsed.header
    check_model(header, metadata)
    size = size_of(parsed)
    check_size(size, metadata)
    class_bits, entropy_bits = _entropy(parsed, metadata, prior) if prior else (None, None)
    h, w = latent_grid(size, metadata.stride)
    paper_bits = h * w * _choices(header) * math.log2(header.K)
    stages = header.depth if header.layout == "stages" else 1
    # Where a decoder interpolates, the encoder looks for h w codevectors.
    searched = stages * metadata.factor**2 * h * w * header.m * header.d_star
    return IndexStorage(
        h=h,
        w=w,
        planes=metadata.planes,
        paper_bits=paper_bits,
        decoder_bits=paper_bits * metadata.factor**2,
        fixed_bits=h * w * metadata.factor**2 * metadata.planes * math.log2(header.K),
        entropy_bits=entropy_bits,
        class_bits=class_bits,
        multiplications=searched * header.K,
        equal_multiplications=searched * header.K ** (1 / _choices(header)),
    )


def _entropy(parsed: Container, metadata: Metadata, prior: Prior) -> tuple[float, float]:
    """Return the bits of classes, and of classes and indices together."""
    from vqcodec.exact.indices import decode_tiles, prior_of

    class_bits = index_bits = 0.0
    coded = prior_of(parsed.header, prior)
    for _, part in decode_tiles(parsed, metadata, prior):
        more_class_bits, more_index_bits = coded.bits(part.indices, part.classes, parsed.header.quality)
        class_bits, index_bits = class_bits + more_class_bits, index_bits + more_index_bits
    return class_bits, class_bits + index_bits


def _check_stored(parsed: Container, metadata: Metadata) -> None:
    """Raise FormatError for pixels without loss, in the place of indices or over them, that do not decode."""
    from vqcodec.exact.stored import decode_overlay, decode_pixels  # only where all is decoded NumPy is needed

    if parsed.pixels is not None:
        decode_pixels(parsed, metadata)
    decode_overlay(parsed)


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

    Without its model (None) its name, the quantizer's and the indices' storage are null; without its prior the entropy
    of the indices. Of a file that has pixels without loss the indices' storage is null, and with its prior they are
    decoded, as is an overlay.
    """
    header = parsed.header
    indices, is_lossless = None, parsed.pixels is not None
    if metadata and not is_lossless:
        indices = index_storage(parsed, metadata, prior)
    elif metadata:
        check_model(header, metadata)
    if metadata and prior:
        _check_stored(parsed, metadata)
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
        "adaptive": header.adaptive,
        "tile": header.tile,
        "quality": header.quality,
        "halved": parsed.is_halved,
        "lossless": is_lossless,
        "overlay": parsed.overlay is not None,
        "bytes": parsed.size_bytes,
        "bpp": bits_per_pixel(8 * parsed.size_bytes, header),
        "icc_profile": said.icc is not None,
        "alpha": said.alpha is not None,
        "gray": said.is_gray,
        "exif_bytes": len(said.exif or b""),
        "xmp_bytes": len(said.xmp or b""),
        "sections": section_bytes(parsed),
        "codebook": asdict(codebook_storage(header, metadata.quantizer["name"] if metadata else None)),
        "indices": asdict(indices) if indices else None,
    }
