"""The faulty files among the test vectors: each is a good file with one thing wrong."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

# Offsets in the good file "plain_icc", whose numbers all take one byte.
MAGIC, VERSION, FINGERPRINT, WIDTH, HEIGHT, K, M, D_STAR, BETA, QUALITY, PRIOR, INDEX_CRC, SECTIONS = (
    0, 8, 9, 17, 18, 19, 20, 21, 22, 23, 24, 25, 29)  # fmt: skip
MAX_ICC_BYTES: Final = 1 << 24


class Fault(NamedTuple):
    """One bad file: the name of its fault in FORMAT.md section 7, and its model."""

    name: str
    cause: str
    about: str
    data: bytes
    model: str = "plain"


def seal(body: bytes) -> bytes:
    """A file whose checksum is right."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def patch(data: bytes, offset: int, new: bytes, length: int = 1) -> bytes:
    """`data` with `length` bytes at `offset` replaced by `new` and its checksum made right again."""
    return seal(data[:offset] + new + data[offset + length : -4])


def section(kind: int, payload: bytes) -> bytes:
    """A section of less than 16384 bytes."""
    size = len(payload)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([kind]) + length + payload


def flipped(data: bytes, offset: int) -> bytes:
    """`data` with one bit changed, its checksum left as it was."""
    return data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :]


def bad_files(good: Mapping[str, bytes]) -> Iterator[Fault]:
    """All bad files, in the order of the checks that find them."""
    data = good["plain_icc"]
    yield from _signatures(data)
    yield from _damage(data)
    yield from _fields(data)
    yield from _lengths(data)
    yield from _sections(data)
    yield from _models(good)
    yield from _payloads(data)


def _signatures(data: bytes) -> Iterator[Fault]:
    yield Fault("empty", "magic", "no bytes at all", b"")
    yield Fault("half_magic", "magic", "four bytes of the magic", data[:4])
    yield Fault("other_magic", "magic", "a PNG's magic", b"\x89PNG" + data[4:])
    yield Fault("text_mode", "magic", "CR LF became LF, as in a text-mode transfer", data.replace(b"\r\n", b"\n", 1))
    yield Fault("only_magic", "truncated", "the magic and nothing else", data[:VERSION])
    yield Fault("version_2", "version", "a newer version", patch(data, VERSION, b"\2"))
    yield Fault("version_0", "version", "version 0; its check comes before the checksum", flipped(data, VERSION))
    yield Fault("only_version", "truncated", "nothing behind the version", data[:FINGERPRINT])
    yield Fault("no_checksum", "truncated", "three bytes behind the version", data[: FINGERPRINT + 3])


def _damage(data: bytes) -> Iterator[Fault]:
    for cut in (FINGERPRINT + 4, WIDTH, BETA, SECTIONS, SECTIONS + 4, len(data) - 4, len(data) - 1):
        yield Fault(f"cut_{cut}", "file_crc", f"cut behind {cut} of {len(data)} bytes", data[:cut])
    yield Fault("one_more", "file_crc", "one zero byte more", data + b"\0")
    places = {"fingerprint": FINGERPRINT, "width": WIDTH, "K": K, "quality": QUALITY, "index_crc": INDEX_CRC,
              "section_type": SECTIONS, "section_length": SECTIONS + 1, "payload": SECTIONS + 5, "icc": len(data) - 9,
              "file_crc": len(data) - 2}  # fmt: skip
    for name, offset in places.items():
        yield Fault(f"flip_{name}", "file_crc", f"one bit flipped: {name}", flipped(data, offset))


def _fields(data: bytes) -> Iterator[Fault]:
    changes: tuple[tuple[str, int, bytes, str], ...] = (
        ("width_0", WIDTH, b"\0", "no columns"),
        ("width_65536", WIDTH, b"\x80\x80\x04", "width above its limit"),
        ("width_1e9", WIDTH, b"\x80\x94\xeb\xdc\x03", "a width of 10^9"),
        ("width_long", WIDTH, b"\x91\0", "width 17 in two bytes instead of one"),
        ("width_six_bytes", WIDTH, b"\x91\x80\x80\x80\x80\0", "width in six bytes"),
        ("height_0", HEIGHT, b"\0", "no rows"),
        ("height_1e9", HEIGHT, b"\x80\x94\xeb\xdc\x03", "a height of 10^9"),
        ("K_code_17", K, b"\x11", "2^17 codevectors"),
        ("K_long_16", K, b"\0\x10", "K = 16, a power of two, in the long form"),
        ("K_long_0", K, b"\0\0", "K = 0"),
        ("K_long_65537", K, b"\0\x81\x80\x04", "K = 65537"),
        ("m_0", M, b"\0", "no units"),
        ("m_4097", M, b"\x81\x20", "m above its limit"),
        ("d_star_0", D_STAR, b"\0", "codevectors without values"),
        ("d_star_4097", D_STAR, b"\x81\x20", "d_star above its limit"),
        ("beta_0", BETA, b"\0", "beta 0"),
        ("beta_9", BETA, b"\x09", "beta above its limit"),
        ("mode_3", BETA, b"\x32", "an unknown mode, with beta 2"),
        ("mode_without_beta", BETA, b"\x11", "mode conditional with beta 1"),
        ("depth_code_3", BETA, b"\xc1\x01\x01", "depth code 3"),
        ("layout_0", BETA, b"\x81\x00\x01", "layout number 0"),
        ("layout_13", BETA, b"\x81\x0d\x01", "an unknown layout"),
        ("stages_0", BETA, b"\x81\x04\x00", "layout stages of depth 0"),
        ("stages_17", BETA, b"\x81\x04\x11", "layout stages of depth 17"),
        ("own_depth_2", BETA, b"\x81\x03\x02", "layout own of depth 2"),
        ("own_beta_2", BETA, b"\x82\x03\x01", "layout own of beta 2"),
        ("old_depth_2", BETA, b"\x81\x01\x02", "the old number 1, of a shared codebook, with depth 2"),
        ("old_beta_2", BETA, b"\x82\x01\x01", "the old number 1 with beta 2"),
        ("quality_0", QUALITY, b"\0", "quality 0"),
        ("quality_half", QUALITY, b"\1", "quality 0.5"),
        ("quality_100_5", QUALITY, b"\xc9", "quality 100.5"),
        ("prior_1", PRIOR, b"\1", "a context prior with depth 1"),
    )
    for name, offset, new, about in changes:
        yield Fault(name, "header", about, patch(data, offset, new))
    sides = b"\xff\xff\x03\xff\xff\x03"
    yield Fault("sides_65535", "header", "65535 x 65535: more than 2^27 pixels", patch(data, WIDTH, sides, 2))


def _lengths(data: bytes) -> Iterator[Fault]:
    for end in (FINGERPRINT + 5, WIDTH, HEIGHT, K, BETA, INDEX_CRC, SECTIONS - 1):
        yield Fault(f"ends_at_{end}", "header", f"the header ends at {end}, the checksum is right", seal(data[:end]))
    long_width = seal(data[:WIDTH] + b"\x91")
    yield Fault("ends_in_width", "header", "the header ends inside a number, the checksum is right", long_width)


def _sections(data: bytes) -> Iterator[Fault]:
    header, sections = data[:SECTIONS], data[SECTIONS:-4]
    end = 2 + sections[1]
    indices, icc = sections[:end], sections[end:]
    changes: tuple[tuple[str, bytes, str], ...] = (
        ("no_sections", b"", "no section at all"),
        ("no_indices", icc, "only an ICC profile"),
        ("two_indices", indices + indices, "two index sections"),
        ("two_icc", indices + icc + icc, "two ICC profiles"),
        ("two_colours", indices + section(0x82, b"\1") * 2, "two color spaces"),
        ("no_colour", indices + section(0x82, b""), "a color space without its byte"),
        ("long_colour", indices + section(0x82, b"\1\0"), "a color space of two bytes"),
        ("icc_and_colour", indices + icc + section(0x82, b"\1"), "an ICC profile and a color space"),
        ("mandatory_unknown", indices + section(0x04, b"new"), "an unknown mandatory section"),
        ("type_0", indices + section(0x00, b""), "section type 0, which is mandatory and unknown"),
        ("type_only", indices + b"\x81", "the file ends behind a section's type"),
        ("length_cut", indices + b"\x81\x80", "the file ends inside a section's length"),
        ("length_long", indices + b"\x90\x80\0", "a section's length 0 in two bytes"),
        ("length_past_end", indices + b"\x90\x05four", "a section of 5 bytes of which 4 are there"),
        ("length_huge", indices + b"\x90\xff\xff\xff\xff\x7f", "a section of 2^35 - 1 bytes"),
    )
    for name, new, about in changes:
        yield Fault(name, "section", about, seal(header + new))


def _models(good: Mapping[str, bytes]) -> Iterator[Fault]:
    data = good["plain_icc"]
    other = patch(data, FINGERPRINT, bytes(8), 8)
    yield Fault("fingerprint_0", "fingerprint", "made by an unknown model", other)
    yield Fault("other_model", "fingerprint", "a good file, given another model", data, "wide")
    changes = (("K", K, b"\x05"), ("K_long", K, b"\0\x11"), ("m", M, b"\x05"), ("d_star", D_STAR, b"\x03"),
               ("beta", BETA, b"\x02"), ("depth", BETA, b"\x41"))  # fmt: skip
    for name, offset, new in changes:
        yield Fault(f"other_{name}", "mismatch", f"{name} is not the model's", patch(data, offset, new))
    another = patch(data, BETA, b"\x81\x03\x01")
    yield Fault("other_layout", "mismatch", "the layout is not the model's", another)
    single = patch(data, BETA, b"\x81\x04\x02")
    yield Fault("other_stages", "mismatch", "stages, where the model has units that share a codebook", single)
    two_pass = patch(good["conditional_1x1"], BETA + 1, b"\x23")  # K = 12 takes two bytes
    yield Fault("other_mode", "mismatch", "mode is not the model's", two_pass, "conditional")


def _payloads(data: bytes) -> Iterator[Fault]:
    header, size = data[:SECTIONS], data[SECTIONS + 1]
    payload = data[SECTIONS + 2 : SECTIONS + 2 + size]
    indices = data[SECTIONS : SECTIONS + 2 + size]
    changes = (
        ("stream_zero_byte", payload + b"\0", "the stream ends in a zero byte"),
        ("stream_one_more", bytes(4) + payload, "a word is left when all indices are decoded"),
        ("stream_high_word", payload + bytes(-size % 4) + b"\1", "a word more at the end, where decoding begins"),
        ("stream_cut", payload[:-4], "the stream lacks its last four bytes"),
    )
    for name, new, about in changes:
        yield Fault(name, "rans", about, seal(header + section(1, new)))
    yield Fault("tile_1", "tiles", "a tile code, but the payload is one stream", patch(data, PRIOR, b"\x10"))
    yield Fault("stream_empty", "index_crc", "no stream: it decodes to other indices", seal(header + section(1, b"")))
    yield Fault("index_crc", "index_crc", "the checksum of the indices is wrong", patch(data, INDEX_CRC, bytes(4), 4))
    profile = zlib.compress(b"profile", 9)
    for name, icc, about in (
        ("icc_not_zlib", b"profile", "an ICC profile that is no zlib stream"),
        ("icc_cut", profile[:-2], "an ICC profile whose zlib stream is cut"),
        ("icc_more", profile + b"!", "a byte behind the ICC profile's zlib stream"),
        ("icc_bomb", zlib.compress(bytes(MAX_ICC_BYTES + 1), 9), "an ICC profile of 2^24 + 1 bytes"),
    ):
        big = section(0x81, icc) if len(icc) < 1 << 14 else b"\x81" + _varint3(len(icc)) + icc
        yield Fault(name, "icc", about, seal(header + indices + big))


def _varint3(value: int) -> bytes:
    return bytes([value & 127 | 128, value >> 7 & 127 | 128, value >> 14])
