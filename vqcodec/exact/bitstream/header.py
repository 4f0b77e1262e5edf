"""The fixed part of a .vqc file. bitstream/FORMAT.md is the law; this module follows it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vqcodec.errors import FormatError

MAGIC = b"\x89VQC\r\n\x1a\n"
VERSION = 1
FINGERPRINT_BYTES = 8
MAX_SIDE = 65535
MAX_PIXELS = 1 << 27
MAX_INDICES = 1 << 29
MODES = ("all", "conditional", "smooth")
PRIORS = ("static", "context")
"""The kinds of priors; a file has their numbers here."""
_ADAPTIVE = 2
"""What a file has there whose context prior has tables that adapt."""
MOST_DEPTH = {"shared": 2, "own": 1, "stages": 16}
"""The layouts with their greatest depth: units share a codebook, units have one each, stages add up."""
_NEEDED = {"context": ("shared", 2, 1, 2)}
"""Layout, d_star, beta and depth, where a prior works with no others."""
TILE_STEP, MOST_TILE_STEPS = 16, 31
_PRIOR_BITS = 3
_LONG = 2
"""What stands in place of a depth where the layout and its depth follow in bytes of their own."""
_NUMBERS = {"own": 3, "stages": 4}
# Files of before layouts have the number of a method here: of 1 to 12 all but 3, 4 and 5 had one codebook for all.
_READ_NUMBERS = dict.fromkeys(range(1, 13), "shared") | {3: "own", 5: "own", 4: "stages"}
_VARINT_BYTES = 5


@dataclass(frozen=True)
class Header:
    """What a .vqc file says of itself: the model, the picture's size and the quantizer.

    `quality` is 1..100 in steps of 0.5; `index_crc` is the CRC-32 of the indices as
    little-endian uint16 in C order [P, h', w'], or with tiles that of the tiles' CRCs. `tile` is the
    side of the tiles in latents, a multiple of 16 up to 496, or 0 for a picture that is not cut. `layout`
    is one of MOST_DEPTH; the method that made the codebook is no concern of a file's. `adaptive` says that the
    tables of a context prior adapt.
    """

    fingerprint: bytes
    width: int
    height: int
    K: int
    m: int
    d_star: int
    beta: int
    mode: str
    depth: int
    quality: float
    prior: str
    index_crc: int
    tile: int = 0
    layout: str = "shared"
    adaptive: bool = False

    def __post_init__(self) -> None:
        _check("the fingerprint's length", len(self.fingerprint), FINGERPRINT_BYTES, FINGERPRINT_BYTES)
        _check("width", self.width, 1, MAX_SIDE)
        _check("height", self.height, 1, MAX_SIDE)
        if self.width * self.height > MAX_PIXELS:
            raise FormatError(f"the header says {self.width} x {self.height} pixels; at most 2^27 are allowed")
        _check("K", self.K, 2, 65536)
        _check("m", self.m, 1, 4096)
        _check("d_star", self.d_star, 1, 4096)
        _check("beta", self.beta, 1, 8)
        _check("depth", self.depth, 1, MOST_DEPTH[self.layout])
        _check("2 * quality", round(2 * self.quality), 2, 200)
        _check("tile / 16", self.tile // TILE_STEP, 0, MOST_TILE_STEPS)
        if self.tile % TILE_STEP:
            raise FormatError(f"the tile side {self.tile} is not a multiple of {TILE_STEP}")
        said = self.layout, self.d_star, self.beta, self.depth
        if _NEEDED.get(self.prior, said) != said:
            raise FormatError("a context prior needs a shared codebook with d_star 2, beta 1 and depth 2")
        if self.beta > 1 and self.layout != "shared":
            raise FormatError(f"the header says beta {self.beta} with the layout {self.layout}, which has none")
        if self.beta == 1 and self.mode != "all":
            raise FormatError(f"the header says beta mode {self.mode} with beta 1")

    def pack(self) -> bytes:
        """Return the bytes from the magic to the index CRC."""
        exponent = self.K.bit_length() - 1
        is_power = 1 << exponent == self.K
        return b"".join(
            (
                MAGIC,
                bytes([VERSION]),
                self.fingerprint,
                varint(self.width),
                varint(self.height),
                bytes([exponent]) if is_power else b"\0" + varint(self.K),
                varint(self.m),
                varint(self.d_star),
                self._pack_layout(),
                bytes([round(2 * self.quality), self._prior_and_tile()]),
                struct.pack("<I", self.index_crc),
            )
        )

    def _pack_layout(self) -> bytes:
        packed = self.beta | MODES.index(self.mode) << 4
        if self.layout == "shared":
            return bytes([packed | (self.depth - 1) << 6])
        return bytes([packed | _LONG << 6, _NUMBERS[self.layout], self.depth])

    def _prior_and_tile(self) -> int:
        number = _ADAPTIVE if self.adaptive else PRIORS.index(self.prior)
        return number | self.tile // TILE_STEP << _PRIOR_BITS


class Reader:
    """A cursor over bytes that raises FormatError instead of reading past the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` bytes, which hold `what`."""
        if count > len(self.data) - self.position:
            raise FormatError(f"the file ends inside {what}; it is truncated or damaged")
        self.position += count
        return self.data[self.position - count : self.position]

    def varint(self, what: str) -> int:
        """Return an unsigned LEB128 number of at most five bytes in its shortest form."""
        value = 0
        for i in range(_VARINT_BYTES):
            byte = self.take(1, what)[0]
            value |= (byte & 127) << 7 * i
            if byte < 128:
                if byte == 0 and i > 0:
                    break
                return value
        raise FormatError(f"{what} is not a number in its shortest form; the file is damaged")


def varint(value: int) -> bytes:
    """Return a number 0..2^35 - 1 as unsigned LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_version(data: bytes) -> Reader:
    """Check magic and version; return a reader that stands behind them."""
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError("this is not a .vqc file: its first eight bytes are not the signature")
    reader = Reader(data)
    reader.take(len(MAGIC), "the signature")
    version = reader.take(1, "the version")[0]
    if version != VERSION:
        raise FormatError(f"this file has format version {version}, this vqc reads version {VERSION}; update vqc")
    return reader


def read_header(reader: Reader) -> Header:
    """Read the fields behind the version; every value is checked against its range."""
    fingerprint = reader.take(FINGERPRINT_BYTES, "the fingerprint")
    width, height = reader.varint("the width"), reader.varint("the height")
    K = _read_K(reader)
    m, d_star = reader.varint("m"), reader.varint("d_star")
    beta, mode, layout, depth = _read_layout(reader)
    quality, prior_and_tile = reader.take(2, "the header")
    steps, prior = divmod(prior_and_tile, 1 << _PRIOR_BITS)
    if prior > _ADAPTIVE:
        raise FormatError(f"the header has the unknown prior {prior}; update vqc")
    (index_crc,) = struct.unpack("<I", reader.take(4, "the index CRC"))
    return Header(
        fingerprint=fingerprint,
        width=width,
        height=height,
        K=K,
        m=m,
        d_star=d_star,
        beta=beta,
        mode=mode,
        depth=depth,
        quality=quality / 2,
        prior="context" if prior == _ADAPTIVE else PRIORS[prior],
        index_crc=index_crc,
        tile=TILE_STEP * steps,
        layout=layout,
        adaptive=prior == _ADAPTIVE,
    )


def _read_layout(reader: Reader) -> tuple[int, str, str, int]:
    """Return beta, mode, layout and depth."""
    packed = reader.take(1, "beta, mode and depth")[0]
    beta, mode, depth = packed & 15, packed >> 4 & 3, packed >> 6
    if mode >= len(MODES):
        raise FormatError(f"the header has the unknown beta mode {mode}")
    if depth < _LONG:
        return beta, MODES[mode], "shared", depth + 1
    number, depth = reader.take(2, "the layout")
    if packed >> 6 != _LONG or number not in _READ_NUMBERS:
        raise FormatError(f"the header has the unknown layout {number}; update vqc")
    layout = _READ_NUMBERS[number]
    _check("beta", beta, 1, 1)
    _check("depth", depth, 1, MOST_DEPTH[layout] if layout == "stages" else 1)
    return beta, MODES[mode], "shared" if depth == 1 and layout == "stages" else layout, depth


def _read_K(reader: Reader) -> int:
    exponent = reader.take(1, "K")[0]
    if exponent > 16:
        raise FormatError(f"the header has the K code {exponent}, which is outside 0..16")
    if exponent:
        return 1 << exponent
    K = reader.varint("K")
    if K & (K - 1) == 0:
        raise FormatError(f"the header writes K={K} in the long form, which is for other numbers")
    return K


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise FormatError(f"header field {name}={value} is outside {low}..{high}")
