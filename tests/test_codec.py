"""The whole road on a tiny model: exact indices, honest sizes, an error for every fault."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import picture

import vqcodec
from vqcodec import coder as coder_module
from vqcodec.codec import Codec
from vqcodec.errors import FormatError, InputError, ModelError, SettingsError, VqcError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.headers import Size, check_size
from vqcodec.image import Picture

Pixels = npt.NDArray[np.uint8]


def test_indices_survive_the_file_exactly(tiny_codec: Codec, pixels: Pixels) -> None:
    for quality in (1.0, 33.5, 100.0):
        encoded = tiny_codec.encode(pixels, quality)
        decoded = tiny_codec.unpack(container.read(tiny_codec.pack(encoded)))
        assert np.array_equal(decoded.choice.indices, encoded.choice.indices)
        assert np.array_equal(decoded.choice.classes, encoded.choice.classes)
        assert decoded.size == Size(101, 70, quality)


def test_decompressed_picture_is_the_synthesis_of_the_indices(tiny_codec: Codec, pixels: Pixels) -> None:
    data = tiny_codec.compress(Picture(pixels), 60)
    assert np.array_equal(tiny_codec.decompress(data).pixels, tiny_codec.decode(tiny_codec.encode(pixels, 60)))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (16, 16), (17, 15), (33, 64)])
def test_every_size_comes_back(tiny_codec: Codec, size: tuple[int, int]) -> None:
    pixels = picture(*size, seed=1)
    decoded = tiny_codec.decompress(tiny_codec.compress(Picture(pixels), 80)).pixels
    assert decoded.shape == pixels.shape and decoded.dtype == np.uint8


def test_more_quality_means_more_bytes_and_less_error(tiny_codec: Codec, pixels: Pixels) -> None:
    sizes, errors = [], []
    for quality in (3, 15, 30):  # beyond that the 32 codevectors do not reach the largest latents
        data = tiny_codec.compress(Picture(pixels), quality)
        sizes.append(len(data))
        errors.append(float(np.square(tiny_codec.decompress(data).pixels.astype(float) - pixels).mean()))
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_file_is_within_one_percent_and_forty_bytes_of_the_predicted_bits(tiny_codec: Codec) -> None:
    pixels = picture(300, 400, seed=9)
    encoded = tiny_codec.encode(pixels, 70)
    predicted = sum(tiny_codec.prior.bits(encoded.choice.indices, encoded.choice.classes, 70)) / 8
    size = len(tiny_codec.pack(encoded))
    assert predicted <= size <= 1.01 * predicted + 40


def test_indices_do_not_depend_on_threads_or_batch_of_the_decoder(tiny_codec: Codec, pixels: Pixels) -> None:
    data = tiny_codec.compress(Picture(pixels), 50)
    threads = torch.get_num_threads()
    try:
        decoded = []
        for count in (1, 2):
            torch.set_num_threads(count)
            decoded.append(tiny_codec.unpack(container.read(data)).choice.indices)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(decoded[0], decoded[1])


def test_rate_aware_assignment_saves_bits(tiny_codec: Codec, pixels: Pixels) -> None:
    encoded = tiny_codec.encode(pixels, 50)
    plain = tiny_codec.quantizer.encode(tiny_codec.analyze(pixels, 50))[0].numpy()
    bits = tiny_codec.prior.bits
    assert sum(bits(encoded.choice.indices, encoded.choice.classes, 50)) < sum(bits(plain, encoded.choice.classes, 50))


def test_every_truncation_and_every_flipped_byte_is_an_error(tiny_codec: Codec) -> None:
    data = tiny_codec.compress(Picture(picture(20, 20, seed=2)), 30)
    for length in range(len(data)):
        with pytest.raises(VqcError):
            tiny_codec.decompress(data[:length])
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0xA5
        with pytest.raises(VqcError):
            tiny_codec.decompress(bytes(broken))


def test_damage_behind_a_repaired_checksum_is_caught_by_the_index_crc(tiny_codec: Codec, pixels: Pixels) -> None:
    parsed = container.read(tiny_codec.compress(Picture(pixels), 50))
    payload = bytearray(parsed.indices)
    payload[len(payload) // 2] ^= 1
    with pytest.raises(FormatError, match="checksum|more than"):
        tiny_codec.unpack(container.read(container.write(parsed.header, bytes(payload))))


def test_header_that_disagrees_with_the_model_is_refused(tiny_codec: Codec, pixels: Pixels) -> None:
    parsed = container.read(tiny_codec.compress(Picture(pixels), 50))
    for field, value in (("K", 64), ("m", 6), ("d_star", 4), ("depth", 1), ("beta", 2)):
        header = replace(parsed.header, **{field: value})  # type: ignore[arg-type]
        with pytest.raises(FormatError, match=field):
            tiny_codec.unpack(container.read(container.write(header, parsed.indices)))
    header = replace(parsed.header, fingerprint=b"\0" * 8)
    with pytest.raises(ModelError, match="0000000000000000"):
        tiny_codec.unpack(container.read(container.write(header, parsed.indices)))


def test_a_file_is_parsed_once(tiny_model: Path, pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    data, parse, parsed = vqcodec.compress(pixels, model=tiny_model), container.read, []
    monkeypatch.setattr(container, "read", lambda data: parsed.append(data) or parse(data))
    vqcodec.decompress(data, tiny_model)
    vqcodec.decompress(data, vqcodec.load_model(tiny_model))
    assert parsed == [data, data]


def test_more_indices_than_the_format_allows_are_refused_before_decoding(tiny_codec: Codec) -> None:
    metadata = replace(tiny_codec.metadata, quantizer=tiny_codec.metadata.quantizer | {"m": 4096})
    with pytest.raises(FormatError, match="2\\^29"):
        check_size(Size(16384, 8192, 50), metadata)
    check_size(Size(768, 512, 50), metadata)


def test_color_profile_comes_back(tiny_codec: Codec, pixels: Pixels) -> None:
    profile = bytes(range(200))
    data = tiny_codec.compress(Picture(pixels, icc=profile), 50)
    assert tiny_codec.decompress(data).icc == profile


@pytest.mark.parametrize("quality", [0, 0.5, 100.5, -3, math.nan])
def test_quality_out_of_range_is_refused(tiny_codec: Codec, pixels: Pixels, quality: float) -> None:
    with pytest.raises(SettingsError, match="1..100"):
        tiny_codec.compress(Picture(pixels), quality)


def test_python_interface(tiny_model: Path, pixels: Pixels) -> None:
    data = vqcodec.compress(pixels, quality=40, model=tiny_model)
    image = vqcodec.decompress(data, model=tiny_model)
    assert image.size == (101, 70) and image.mode == "RGB"
    assert vqcodec.load_model(tiny_model) is vqcodec.load_model(tiny_model)
    with pytest.raises(ModelError, match="--model"):
        vqcodec.decompress(data)


def test_model_file_is_verified(tiny_model: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_model.read_bytes())
    data[-100] ^= 1
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        Codec.open(broken)
    broken.write_bytes(data[:1000])
    with pytest.raises(ModelError, match="not a model file"):
        Codec.open(broken)
    with pytest.raises(ModelError, match="no model"):
        Codec.open(tmp_path / "missing.safetensors")


def test_fingerprint_covers_what_decoding_needs_and_nothing_else(tiny_model: Path) -> None:
    metadata, arrays = model_file.load(tiny_model)
    assert model_file.fingerprint(replace(metadata, name="other", training={}), arrays) == metadata.fingerprint
    assert model_file.fingerprint(replace(metadata, table_bits=19), arrays) != metadata.fingerprint
    changed = arrays | {"codebook": arrays["codebook"] + 1}
    assert model_file.fingerprint(metadata, changed) != metadata.fingerprint


def test_prior_can_be_read_without_the_weights(tiny_model: Path, tiny_codec: Codec, pixels: Pixels) -> None:
    metadata, prior = model_file.load_prior(tiny_model)
    encoded = tiny_codec.encode(pixels, 50)
    data = container.read(tiny_codec.pack(encoded))
    assert zlib.crc32(prior.decode(data.indices, (5, 7), 50)[0].astype("<u2").tobytes()) == data.header.index_crc
    assert metadata.fingerprint == tiny_codec.metadata.fingerprint


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")], ids=str)
def test_too_little_memory_is_one_sentence(
    tiny_codec: Codec, pixels: Pixels, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tiny_codec.network, "analysis", fail)
    with pytest.raises(InputError, match="not enough memory for 101 x 70"):
        tiny_codec.compress(Picture(pixels), 50)


@pytest.mark.parametrize("name", ["codebook", "tables", "network.block_analysis"])
def test_model_without_a_tensor_is_refused(tiny_model: Path, name: str) -> None:
    metadata, arrays = model_file.load(tiny_model)
    with pytest.raises(ModelError):
        Codec(metadata, {key: array for key, array in arrays.items() if key != name})
    with pytest.raises(ModelError):
        Codec(metadata, arrays | {name: arrays[name][:2]})
    with pytest.raises(ModelError):
        Codec(replace(metadata, quantizer=metadata.quantizer | {"color": 1}), arrays)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_trial_shows_what_its_file_holds(
    tiny_codec: Codec, pixels: npt.NDArray[np.uint8], tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tiled:
        monkeypatch.setattr(coder_module, "TILED_LATENTS", 16)
        monkeypatch.setattr(coder_module, "TILE", 16)
    gray = np.repeat(pixels[..., :1], 3, 2)
    alpha = np.full(pixels.shape[:2], 7, np.uint8)
    for given in (Picture(pixels, b"profile", alpha=alpha), Picture(gray)):
        data, decoded = tiny_codec.trial(given, 30, 1)
        assert data == tiny_codec.compress(given, 30, 1) and bool(container.read(data).header.tile) == tiled
        wanted, found = tiny_codec.decompress(data), decoded()
        assert (found.pixels == wanted.pixels).all() and found.icc == wanted.icc and found.is_gray == wanted.is_gray
        assert np.array_equal(found.alpha, wanted.alpha)  # None is equal to None
