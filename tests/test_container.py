"""The container: golden bytes, and an error for every way in which a file can be wrong."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqcodec.errors import FormatError, InputError
from vqcodec.exact.bitstream import container, profiles
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.header import Header, Reader, read_header, read_version, varint
from vqcodec.exact.bitstream.sections import INDICES, MOST_STREAM_BYTES, Section

ALPHA = np.add.outer(np.arange(5), np.arange(7)).astype(np.uint8)
HEADER = Header(bytes(range(8)), 768, 512, 256, 160, 2, 1, "all", 2, 50.0, "static", 0x01020304)


def seal(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def test_golden_bytes() -> None:
    assert container.write(HEADER, b"\x11\x22") == (
        b"\x89VQC\r\n\x1a\n"  # signature
        b"\x01"  # version
        b"\x00\x01\x02\x03\x04\x05\x06\x07"  # fingerprint
        b"\x80\x06\x80\x04"  # 768 x 512
        b"\x08"  # K = 2^8
        b"\xa0\x01\x02"  # m = 160, d_star = 2
        b"\x41"  # depth 2, mode all, beta 1
        b"\x64\x00"  # quality 50, static prior, no tiles
        b"\x04\x03\x02\x01"  # CRC of the indices
        b"\x01\x02\x11\x22"  # section 1: two bytes of indices
        b"\x7c\xb6\xcb\xcc"  # CRC of everything
    )


@pytest.mark.parametrize(
    ("layout", "depth", "number", "others"),
    [("own", 1, 3, {5}), ("stages", 4, 4, set()), ("shared", 1, None, {1, 4, 12})],
)
def test_a_layout_is_written_in_one_way_and_read_in_those_of_old_methods(
    layout: str, depth: int, number: int | None, others: set[int]
) -> None:
    header = replace(HEADER, layout=layout, depth=depth)
    written = header.pack()
    assert written[25:-6] == (b"\x01" if number is None else bytes([0x81, number, depth]))
    for other in others:
        old = written[:25] + bytes([0x81, other, depth]) + written[-6:]
        assert read_header(read_version(old)) == header
    with pytest.raises(FormatError, match="unknown layout 13; update vqc"):
        read_header(read_version(written[:25] + b"\x81\x0d\x01" + written[-6:]))


def test_overhead_is_at_most_forty_bytes() -> None:
    assert len(container.write(HEADER, b"\x01" * 30000)) - 30000 <= 40


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 8000),
    height=st.integers(1, 8000),
    K=st.integers(2, 65536),
    m=st.integers(1, 4096),
    beta=st.integers(2, 8),
    mode=st.sampled_from(["all", "conditional", "smooth"]),
    half_quality=st.integers(2, 200),
    icc=st.none() | st.binary(min_size=1, max_size=300),
    payload=st.binary(max_size=300),
)
def test_what_is_written_is_read(
    width: int, height: int, K: int, m: int, beta: int, mode: str, half_quality: int, icc: bytes | None, payload: bytes
) -> None:
    header = replace(HEADER, width=width, height=height, K=K, m=m, beta=beta, mode=mode, quality=half_quality / 2)
    parsed = container.read(container.write(header, payload, Ancillary(icc)))
    assert (parsed.header, parsed.indices, parsed.icc) == (header, payload, icc)


def test_every_truncation_and_every_flipped_bit_is_refused() -> None:
    data = container.write(HEADER, b"some indices", Ancillary(b"a profile", True, ALPHA, b"some EXIF", b"some XMP"))
    for length in range(len(data)):
        with pytest.raises(FormatError):
            container.read(data[:length])
    for position in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[position] ^= 1 << bit
            with pytest.raises(FormatError):
                container.read(bytes(broken))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("width", 10**9, "width=1000000000"),
        ("height", 0, "height=0"),
        ("m", 5000, "m=5000"),
        ("beta", 9, "beta=9"),
        ("quality", 101.0, "quality=202"),
        ("mode", "smooth", "with beta 1"),
    ],
)
def test_fields_out_of_range_are_refused_even_with_a_right_checksum(field: str, value: object, text: str) -> None:
    broken = object.__new__(Header)
    for name in HEADER.__dataclass_fields__:
        object.__setattr__(broken, name, getattr(HEADER, name))
    object.__setattr__(broken, field, value)
    with pytest.raises(FormatError, match=text):
        container.read(seal(broken.pack() + b"\x01\x00"))


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(FormatError, match="2\\^27"):
        replace(HEADER, width=60000, height=60000)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_whatever_is_like_bytes_is_read_into_bytes(kind: type) -> None:
    data = container.write(HEADER, b"indices")
    parsed = container.read(kind(data))
    assert parsed == container.read(data) and type(parsed.indices) is bytes


@pytest.mark.parametrize(("data", "kind"), [("photo.vqc", "str"), (None, "NoneType"), (5, "int")])
def test_what_is_no_bytes_is_refused(data: Any, kind: str) -> None:
    with pytest.raises(InputError, match=f"a {kind} is not the bytes of a .vqc file; give"):
        container.read(data)


def test_unknown_sections() -> None:
    indices = Section(INDICES, b"x")
    assert container.read(container.write_sections(HEADER, [Section(0xF0, b"later"), indices])).indices == b"x"
    for sections, text in (
        ([indices, Section(0x30, b"")], "type 48"),
        ([indices, indices], "two indices"),
        ([], "no index section"),
    ):
        with pytest.raises(FormatError, match=text):
            container.read(container.write_sections(HEADER, sections))


def test_signature_and_version_are_told_apart() -> None:
    data = container.write(HEADER, b"x")
    with pytest.raises(FormatError, match="not a .vqc file"):
        container.read(b"\x89PNG" + data[4:])
    with pytest.raises(FormatError, match="version 2.*update"):
        container.read(data[:8] + b"\x02" + data[9:])
    with pytest.raises(FormatError, match="not a .vqc file"):
        container.read(b"")


def test_numbers_have_one_form() -> None:
    assert Reader(varint(300)).varint("n") == 300
    with pytest.raises(FormatError, match="shortest"):
        Reader(b"\x80\x00").varint("n")
    with pytest.raises(FormatError, match="shortest"):
        Reader(b"\xff" * 6).varint("n")
    long_form = replace(HEADER, K=255).pack().replace(b"\x00\xff\x01", b"\x00\x80\x02")
    with pytest.raises(FormatError, match="long form"):
        read_header(read_version(long_form))
    code_17 = HEADER.pack().replace(b"\x08\xa0\x01", b"\x11\xa0\x01")
    with pytest.raises(FormatError, match="K code 17"):
        read_header(read_version(code_17))


def test_a_profile_that_unpacks_to_too_much_is_refused() -> None:
    bomb = zlib.compress(bytes(MOST_STREAM_BYTES + 1))
    parsed = container.read(container.write_sections(HEADER, [Section(1, b"x"), Section(0x81, bomb)]))
    with pytest.raises(FormatError, match="ICC"):
        _ = parsed.icc


@pytest.mark.parametrize("space", profiles.SPACES.values())
def test_a_usual_color_space_is_a_number(space: profiles.Space) -> None:
    icc = profiles.profile(space)
    plain, colored = (len(container.write(HEADER, b"abc", Ancillary(profile))) for profile in (None, icc))
    assert colored == plain + 3
    assert container.read(container.write(HEADER, b"abc", Ancillary(icc))).icc == icc


def test_the_longest_profile_and_one_byte_more() -> None:
    longest = bytes(MOST_STREAM_BYTES)
    assert container.read(container.write(HEADER, b"abc", Ancillary(longest))).icc == longest
    with pytest.raises(InputError, match="at most 2"):
        container.write(HEADER, b"abc", Ancillary(longest + b"!"))


def test_all_optional_sections_come_back() -> None:
    said = Ancillary(b"a profile", True, ALPHA, b"some EXIF", b"some XMP")
    header = replace(HEADER, width=7, height=5)
    read = container.read(container.write(header, b"abc", said)).ancillary
    assert (read.icc, read.is_gray, read.exif, read.xmp) == (b"a profile", True, b"some EXIF", b"some XMP")
    np.testing.assert_array_equal(read.alpha, ALPHA)
    assert container.write(header, b"abc", read) == container.write(header, b"abc", said)
    assert container.write(header, b"abc", Ancillary()) == container.write(header, b"abc")


@pytest.mark.parametrize(("type", "name"), [(0x81, "ICC profile"), (0x84, "alpha"), (0x85, "EXIF"), (0x86, "XMP")])
def test_a_damaged_section_is_named(type: int, name: str) -> None:
    bomb = zlib.compress(bytes(MOST_STREAM_BYTES + 1), 9)
    for payload in (b"", b"nonsense", bomb):
        parsed = container.read(container.write_sections(HEADER, [Section(1, b"x"), Section(type, payload)]))
        with pytest.raises(FormatError, match=f"the {name} section"):
            _ = parsed.ancillary


def test_what_is_too_long_for_a_file_is_refused_before_it_is_packed() -> None:
    for name, said in (
        ("EXIF", Ancillary(exif=bytes(MOST_STREAM_BYTES + 1))),
        ("XMP", Ancillary(xmp=bytes(MOST_STREAM_BYTES + 1))),
    ):
        with pytest.raises(InputError, match=f"the {name} has 16,777,217 bytes, a file holds at most 2"):
            container.write(HEADER, b"abc", said)
