"""Changes that get past checksums and fingerprints, which would stop nearly every change of bytes at the door.

`Mutate` is a change of bytes as a fuzzer makes them: the bytes, and how many there may be afterwards.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from fuzz_drawn import drawn_picture, overlaid, with_overlay_crc
from fuzz_targets import FINGERPRINTS, MODELS, models_for

from vqcodec.errors import VqcError
from vqcodec.exact import indices, tokens
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.header import read_header, read_version
from vqcodec.exact.bitstream.pixels import unpack_pixels
from vqcodec.exact.model_settings import DTYPES

reference_model: Any = import_module("reference_model")

Mutate = Callable[[bytes, int], bytes]
MOST_MEMBERS = 16
GOOD_MODELS = [path.read_bytes() for path in MODELS.values()]
HEAD_BYTES, CRC_BYTES, LENGTH_BYTES = 9, 4, 8
VALUES: tuple[Any, ...] = (
    *(0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 4096, 4097, 65535, 65536, 1 << 31, 1 << 40, -1, -128, 10**30),
    *(0.5, 1.0, -0.0, 1e308, 1e-320, True, False, None, "", "coarse", "fine", "deep", "all", "conditional", "smooth"),
    *([], {}, [2, 2], [0], [4, 2], ["fine", "coarse"], ["deep", "deep"], [1.5], "0" * 16, [[]], {"name": "none"}),
)


def mutate_file(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Change a .vqc file; most of the time its checksum is right, and often that of its indices."""
    rng = random.Random(seed)
    if rng.random() < 0.1 or len(data) < HEAD_BYTES + CRC_BYTES:
        return mutate(data, most)
    if rng.random() < 0.1:
        return _other_picture(data, rng)[:most]
    body = data[:HEAD_BYTES] + mutate(data[HEAD_BYTES:-CRC_BYTES], most - HEAD_BYTES - CRC_BYTES)
    return _sealed(with_overlay_crc(_with_index_crc(body)) if rng.random() < 0.5 else body)


def _sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(CRC_BYTES, "little")


def _other_picture(data: bytes, rng: random.Random) -> bytes:
    """Draw a picture of a model, with what the file says beside the indices."""
    try:
        parsed = container.read(data)
        ours, _ = models_for(parsed.header.fingerprint)
        width, height = parsed.header.width, parsed.header.height
        if rng.random() < 0.5:
            width, height = rng.randint(1, 80), rng.randint(1, 80)
        size = indices.Size(width, height, rng.randint(2, 200) / 2, 16 * rng.choice([0, 0, 1, 2, 31]))
        if width * height > 1 << 16:
            return data
        if parsed.pixels is not None or rng.random() < 0.1:
            return drawn_picture(rng, size._replace(tile=0), ours) or data
        file = indices.pack(tokens.sample(rng.getrandbits(32), size, *ours), *ours, parsed.ancillary)
        return file if parsed.overlay is None else overlaid(container.read(file), rng)
    except VqcError:
        return data


def _with_index_crc(body: bytes) -> bytes:
    """Put the checksum of the indices, or pixels, into a header without tiles, if the rest is right."""
    try:
        reader = read_version(body)
        header = read_header(reader)
        parsed = container.read(_sealed(body))
        ours, _ = models_for(header.fingerprint)
        h, w = indices.latent_grid(indices.size_of(parsed), ours[0].stride)
        if header.tile or h * w > 1 << 10:
            return body
        if parsed.pixels is None:
            crc = indices.index_crc(ours[1].decode(parsed.indices, (h, w), header.quality).indices)
        else:
            crc = zlib.crc32(unpack_pixels(parsed.pixels, header.height, header.width).tobytes())
    except VqcError:
        return body
    return body[: reader.position - CRC_BYTES] + crc.to_bytes(CRC_BYTES, "little") + body[reader.position :]


def mutate_model(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Change a setting, a tensor or what the file says of one; most of the time the fingerprint is right."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        # Of what was changed before little is right, and what is wrong is refused at the first fault.
        data = rng.choice(GOOD_MODELS)
    try:
        start = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
        entries = json.loads(data[LENGTH_BYTES:start])
        said = json.loads(entries["__metadata__"]["vqc"])
        changed = rng.choice((_change_setting, _change_setting, _change_entry, _change_tensor, _change_tensor))
        tensors = changed(entries, said, bytearray(data[start:]), rng, mutate)
    # A model that is damaged already may fail in any way.
    except Exception:
        return mutate(data, most)
    if rng.random() < 0.9:
        _seal_model(entries, said, tensors)
    text = json.dumps(said)
    if rng.random() < 0.03:
        text = mutate(text.encode(), 2 * len(text)).decode(errors="replace")
    entries["__metadata__"]["vqc"] = text
    head = json.dumps(entries).encode()
    if rng.random() < 0.03:
        head = mutate(head, 2 * len(head))
    return (len(head).to_bytes(LENGTH_BYTES, "little") + head + tensors)[:most]


def _change_setting(_: Any, said: Any, tensors: bytearray, rng: random.Random, __: Mutate) -> bytes:
    """Replace a setting, or a number in one, or take it away, or add one."""
    place = rng.choice([said, *(value for value in said.values() if isinstance(value, dict) and value)])
    key = rng.choice([*place, "spare"])
    old = place.get(key)
    if rng.random() < 0.1:
        place.pop(key, None)
    elif isinstance(old, list) and old and rng.random() < 0.7:
        old[rng.randrange(len(old))] = rng.choice([*old, *VALUES])
    elif type(old) is int and rng.random() < 0.4:
        place[key] = old + rng.choice([-2, -1, 1, 2])
    else:
        place[key] = rng.choice(VALUES)
    return bytes(tensors)


def _change_entry(entries: Any, _: Any, tensors: bytearray, rng: random.Random, __: Mutate) -> bytes:
    """Change a tensor's name, type, shape or place."""
    name = rng.choice([key for key in entries if key != "__metadata__"])
    entry, way = entries[name], rng.randrange(6)
    if way == 0:
        entries[rng.choice([*entries, name + "\0", "codebook", "spare", "network.x"])] = entries.pop(name)
    elif way == 1:
        entry["dtype"] = rng.choice([*DTYPES, "BF16", "F64", "BOOL", "U64"])
    elif way == 2:
        entry["shape"] = rng.choice([entry["shape"][::-1], [1, *entry["shape"]], [0], [], [1 << 40], [-1]])
    elif way == 3:
        entry["data_offsets"][rng.randrange(2)] += rng.choice([-4, -1, 1, 4, 1 << 40])
    elif way == 4:
        entries.pop(name)
    else:
        return _without_rows(entries, entry, tensors, rng)
    return bytes(tensors)


def _without_rows(entries: Any, entry: Any, tensors: bytearray, rng: random.Random) -> bytes:
    """Take the last rows of a tensor away, and move those behind it."""
    begin, end = entry["data_offsets"]
    rows = entry["shape"][0]
    kept = rng.randrange(rows + 1)
    less = (rows - kept) * (end - begin) // rows
    entry["shape"][0] = kept
    entry["data_offsets"] = [begin, end - less]
    for other in entries.values():
        if "data_offsets" in other and other["data_offsets"][0] >= end:
            other["data_offsets"] = [offset - less for offset in other["data_offsets"]]
    return bytes(tensors[: end - less] + tensors[end:])


def _change_tensor(entries: Any, _: Any, tensors: bytearray, rng: random.Random, mutate: Mutate) -> bytes:
    """Change bytes or numbers of a tensor; the sums of its rows may stay."""
    entry = rng.choice([value for key, value in entries.items() if key != "__metadata__"])
    begin, end = entry["data_offsets"]
    raw = bytes(tensors[begin:end])
    if rng.random() < 0.2:
        tensors[begin:end] = (mutate(raw, len(raw)) + bytes(len(raw)))[: len(raw)]
        return bytes(tensors)
    array = np.frombuffer(raw, DTYPES[entry["dtype"]]).copy()
    one, other = rng.randrange(len(array)), rng.randrange(len(array))
    if rng.random() < 0.5 and array.dtype.kind in "iu":
        amount = array.dtype.type(rng.randint(0, max(0, int(array[one]))))
        array[one] -= amount
        array[other] += amount
    elif array.dtype.kind == "f":
        array[one] = rng.choice([0.0, -1.0, 1e30, float("inf"), float("nan"), 1e-40])
    else:
        limits = np.iinfo(array.dtype)
        near = int(array[one]) + rng.choice([-1, 1])
        array[one] = min(max(rng.choice([limits.min, limits.max, 0, 1, near]), limits.min), limits.max)
    tensors[begin:end] = array.tobytes()
    return bytes(tensors)


def _seal_model(entries: Any, said: Any, tensors: bytes) -> None:
    """Put the right fingerprint into a model's settings, where one can be computed."""
    try:
        found = {
            name: reference_model.read_tensor(tensors, entry)
            for name, entry in entries.items()
            if name != "__metadata__"
        }
        said["fingerprint"] = reference_model.compute_fingerprint(said, found).hex()
    except Exception:
        return


def mutate_archive(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Change an array of an .npz, or its head; the archive's own checksums are right most of the time."""
    rng = random.Random(seed)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = {name: file.read(name) for name in file.namelist()[:MOST_MEMBERS]}
    # What a damaged archive makes of zipfile is more than can be listed.
    except Exception:
        return mutate(data, most)
    if rng.random() < 0.1 or not members:
        return mutate(data, most)
    name = rng.choice(list(members))
    way = rng.randrange(4)
    if way == 0:
        members[name] = mutate(members[name], most)
    elif way == 1:
        members[name] = _other_array(members[name], rng)
    elif way == 2:
        members.pop(name)
    else:
        _draw_archive(members, rng)
    return _zipped(members, rng)[:most]


def _zipped(members: dict[str, bytes], rng: random.Random) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _other_array(content: bytes, rng: random.Random) -> bytes:
    """Change an array's numbers, type or shape."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
        way = rng.randrange(4)
        if way == 0 and array.size and array.dtype.kind in "iuf":
            array.flat[rng.randrange(array.size)] = rng.choice([0, 1, 2, 15, 100])
        elif way == 1:
            array = array.astype(rng.choice(["uint8", "int8", "uint16", "int64", "float64", "complex64", "bool", "U8"]))
        elif way == 2:
            array = rng.choice([array[None], array.ravel(), array.T, array[..., :0]])
        else:
            array = np.array(rng.choice([value for value in VALUES if isinstance(value, int | float | str)]))
    except Exception:
        return content
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype == object)
    return file.getvalue()


def _draw_archive(members: dict[str, bytes], rng: random.Random) -> None:
    """Put in a picture drawn from any of the test models."""
    ours, _ = models_for(bytes.fromhex(rng.choice(FINGERPRINTS)))
    size = indices.Size(rng.randint(1, 24), rng.randint(1, 24), rng.randint(2, 200) / 2, 16 * rng.choice([0, 0, 1, 31]))
    data = tokens.to_npz(tokens.sample(rng.getrandbits(32), size, *ours), *ours)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members |= {name: file.read(name) for name in file.namelist()}


MUTATORS = {"files": mutate_file, "models": mutate_model, "archives": mutate_archive}
