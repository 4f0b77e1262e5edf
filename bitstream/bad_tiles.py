"""The faulty files among the test vectors whose faults lie in tiles, in the kind of the prior, or in the model."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from bad_models import BAD_MODELS
from bad_vectors import INDEX_CRC, PRIOR, WIDTH, Fault, patch, seal, section

from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.header import varint
from vqcodec.exact.tiles import read_streams

WIDE_HEADER: Final = 31  # bytes before the sections where width and height take two bytes each
CONTEXT_MODEL: Final = "context"


class Entry(NamedTuple):
    """One tile in the payload of an index section."""

    crc: int
    stream: bytes

    def pack(self) -> bytes:
        """Its bytes."""
        return varint(len(self.stream)) + self.checksum + self.stream

    @property
    def checksum(self) -> bytes:
        """The four bytes of its checksum."""
        return self.crc.to_bytes(4, "little")


def bad_context_files(good: Mapping[str, bytes]) -> Iterator[Fault]:
    """All bad files, those without tiles first."""
    yield from _kinds(good)
    yield from _bad_models(good["context_1x1"])
    yield from _payloads(good["context_tiled"])
    yield from _streams(good["context_tiled"])


def _kinds(good: Mapping[str, bytes]) -> Iterator[Fault]:
    data = good["plain_icc"]
    yield Fault("prior_2", "header", "a context prior whose tables adapt, with depth 1", patch(data, PRIOR, b"\2"))
    yield Fault("prior_3", "header", "an unknown prior", patch(data, PRIOR, b"\3"))
    yield Fault("prior_7_tiles", "header", "an unknown prior, with tiles", patch(data, PRIOR, b"\x0f"))
    context = good["context"]
    other = patch(context, PRIOR, b"\0")
    yield Fault("other_prior", "mismatch", "a static prior, the model has a context prior", other, CONTEXT_MODEL)
    adaptive = patch(good["context_adaptive"], PRIOR + 2, b"\1")
    yield Fault("adaptive_as_not", "rans", "tables adapt, the header says not", adaptive, CONTEXT_MODEL)
    adaptive = patch(context, PRIOR, b"\2")
    yield Fault("not_as_adaptive", "rans", "tables do not adapt, the header says so", adaptive, CONTEXT_MODEL)
    tiled = patch(good["context_tiled"], PRIOR + 2, b"\1")
    yield Fault("tiles_as_one", "rans", "the tile code is 0, the payload has tiles", tiled, CONTEXT_MODEL)
    large = patch(context, WIDTH, b"\xc0\x0c\xc0\x0c", 2)
    yield Fault("untiled_large", "size", "100 x 100 latents without tiles", large, CONTEXT_MODEL)
    untiled = patch(context, PRIOR, b"\x09")
    yield Fault("one_as_tiles", "tiles", "tile code 1, the payload is one stream", untiled, CONTEXT_MODEL)


def _bad_models(data: bytes) -> Iterator[Fault]:
    for name, about in BAD_MODELS.items():
        yield Fault(name, "model", f"the model has {about}", data, name)


def _payloads(data: bytes) -> Iterator[Fault]:
    entries = _entries(data)
    packed = [entry.pack() for entry in entries]
    payload, last = b"".join(packed), len(packed[-1])
    long_length = bytes([packed[-1][0] | 128, 0])
    changes = (
        ("tiles_none", b"", "tiles, and no payload"),
        ("tiles_missing", payload[:-last], "the last tile is missing"),
        ("tiles_length_only", payload[: 1 - last], "the file ends behind the length of the last tile"),
        ("tiles_crc_cut", payload[: 4 - last], "the file ends inside the checksum of the last tile"),
        ("tiles_cut", payload[:-1], "the last byte of the last tile is missing"),
        ("tiles_length_long", payload[:-last] + long_length + packed[-1][1:], "a length not in its shortest form"),
        ("tiles_more", payload + b"\0", "a byte behind the last tile"),
        ("tiles_one_more", payload + packed[-1], "one tile too many"),
    )
    for name, new, about in changes:
        yield Fault(name, "tiles", about, _with_payload(data, new), CONTEXT_MODEL)


def _streams(data: bytes) -> Iterator[Fault]:
    entries = _entries(data)
    wrong = Entry(entries[3].crc ^ 1, entries[3].stream)
    payload = b"".join(entry.pack() for entry in _put(entries, 3, wrong))
    about = "the checksums of the tiles do not fit that of the header"
    yield Fault("tile_crc_header", "index_crc", about, _with_payload(data, payload), CONTEXT_MODEL)
    crc, stream = entries[3]
    changes = (
        ("tile_crc", "index_crc", wrong, "the checksum of tile 4 is wrong, the header's fits it"),
        ("tile_empty", "index_crc", Entry(crc, b""), "tile 4 has no stream: it decodes to other indices"),
        ("tile_zero_byte", "rans", Entry(crc, stream + b"\0"), "the stream of tile 4 ends in a zero byte"),
        ("tile_one_more", "rans", Entry(crc, bytes(4) + stream), "the stream of tile 4 has a word too many"),
        ("tile_of_other_size", "rans", entries[0], "tile 4 is a copy of tile 1, which is larger"),
    )
    for name, cause, entry, about in changes:
        yield Fault(name, cause, about, _with_entries(data, _put(entries, 3, entry)), CONTEXT_MODEL)


def _entries(data: bytes) -> list[Entry]:
    return [Entry(*entry) for entry in read_streams(container.read(data).indices, 6)]


def _put(entries: list[Entry], place: int, entry: Entry) -> list[Entry]:
    return [*entries[:place], entry, *entries[place + 1 :]]


def _with_entries(data: bytes, entries: list[Entry]) -> bytes:
    """The file with other tiles, whose checksums fit the header's."""
    crc = zlib.crc32(b"".join(entry.checksum for entry in entries)).to_bytes(4, "little")
    changed = _with_payload(data, b"".join(entry.pack() for entry in entries))
    return patch(changed, INDEX_CRC + 2, crc, 4)


def _with_payload(data: bytes, payload: bytes) -> bytes:
    """The file with another payload of its index section; the header's index checksum is left as it was."""
    return seal(data[:WIDE_HEADER] + section(1, payload))
