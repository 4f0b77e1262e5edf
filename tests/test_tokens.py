"""Indices as arrays and back, and pictures drawn from a prior."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import random_priors

from vqcodec.codec import Codec
from vqcodec.errors import FormatError, ModelError, VqcError
from vqcodec.exact import tokens
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.indices import PictureChoice, Size, index_crc, pack, unpack
from vqcodec.exact.model_file import Metadata
from vqcodec.exact.priors import ContextPrior, Prior, StaticPrior
from vqcodec.exact.priors.tables import Choice

ICC = b"a profile" * 20
CRC_OF_SEED_7 = 2016130907
Model = tuple[Metadata, Prior]


@pytest.fixture(params=["static", "two_groups", "three_groups"])
def model(request: pytest.FixtureRequest, tiny_codec: Codec) -> Model:
    """A model with a static prior of three classes, and ones with context priors."""
    if request.param == "static":
        return tiny_codec.metadata, tiny_codec.prior
    return context_model(request.param)


def context_model(name: str) -> tuple[Metadata, ContextPrior]:
    """A random context prior with the fingerprint that models get when they are written."""
    return replace(random_priors.model(name)[0], fingerprint="0123456789abcdef"), random_priors.prior(name)


def assert_same(one: PictureChoice, other: PictureChoice) -> None:
    assert one.size == other.size
    for name in Choice._fields:
        np.testing.assert_array_equal(getattr(one.choice, name), getattr(other.choice, name), err_msg=name)


@pytest.mark.parametrize("size", [Size(300, 270, 37.5), Size(530, 300, 90.0, 16)], ids=["whole", "tiles"])
def test_a_sample_survives_its_file_and_its_arrays(model: Model, size: Size) -> None:
    encoded = tokens.sample(3, size, *model)
    assert encoded.size == size
    alpha = np.arange(size.height * size.width).reshape(size.height, size.width).astype(np.uint8)
    said_of_it = Ancillary(ICC, True, alpha, b"some EXIF", b"some XMP")
    file = pack(encoded, *model, said_of_it)
    assert_same(unpack(container.read(file), *model), encoded)
    said = tokens.from_npz(tokens.to_npz(encoded, *model, said_of_it))
    assert (said.size, said.ancillary.icc, said.fingerprint.hex()) == (size, ICC, model[0].fingerprint)
    back = tokens.complete(said, *model)
    assert_same(back, encoded)
    assert pack(back, *model, said.ancillary) == file


def test_a_seed_is_the_same_picture_on_every_machine() -> None:
    encoded = tokens.sample(7, Size(64, 64, 50.0), *context_model("two_groups"))
    assert index_crc(encoded.choice.indices) == CRC_OF_SEED_7


def test_a_seed_is_a_picture(model: Model) -> None:
    first, again, other = (tokens.sample(seed, Size(200, 200, 50.0), *model) for seed in (1, 1, 2))
    assert_same(first, again)
    assert not np.array_equal(first.choice.indices, other.choice.indices)


def test_samples_cost_what_their_tables_say_on_average(model: Model) -> None:
    """The mean of -log2 p over symbols drawn with probability p is the tables' entropy."""
    metadata, prior = model
    encoded = tokens.sample(5, Size(800, 800, 50.0), metadata, prior)
    tables = prior.index_tables if isinstance(prior, StaticPrior) else prior.tables
    entropy = (tables.frequencies / 2.0**tables.bits * tables.costs).sum(1)
    bits = prior.index_bits(encoded.choice.indices, encoded.choice.classes, 50.0)
    if isinstance(prior, StaticPrior):
        expected = entropy[np.moveaxis(prior.table_map[prior.row(50.0)][encoded.choice.classes], 2, 0)]
    else:
        expected = np.zeros_like(bits)
        half = prior.d // 2
        classes = encoded.choice.classes.reshape(half, 2, *encoded.choice.classes.shape[1:]).transpose(0, 2, 3, 1)
        numbers, wide = prior.coarse_tables(classes)
        expected[:half].reshape(-1)[wide] = entropy[numbers]
        fine = prior.fine_tables(classes, encoded.choice.indices[:half].reshape(-1))
        expected[half:] = entropy[fine].reshape(expected[half:].shape)
    assert bits.sum() == pytest.approx(expected.sum(), rel=0.01)


# Arrays that are not what they should be

Values = dict[str, Any]


def arrays(encoded: PictureChoice, model: Model) -> Values:
    with np.load(io.BytesIO(tokens.to_npz(encoded, *model))) as file:
        return dict(file)


def completed(values: Values, model: Model) -> PictureChoice:
    file = io.BytesIO()
    np.savez(file, **values)
    return tokens.complete(tokens.from_npz(file.getvalue()), *model)


def without(key: str) -> Callable[[Values], Values]:
    return lambda values: {name: value for name, value in values.items() if name != key}


def with_(**changes: Any) -> Callable[[Values], Values]:
    return lambda values: values | changes


FAULTS: dict[str, tuple[Callable[[Values], Values], str]] = {
    "no indices": (without("indices"), "holds no indices"),
    "no fingerprint": (without("fingerprint"), "holds no fingerprint"),
    "no width": (without("width"), "holds no width"),
    "a width of none": (with_(width=0), "width=0"),
    "a huge picture": (with_(width=65535, height=65535), "at most 2"),
    "a quality of none": (with_(quality=0.2), "quality"),
    "a text for a number": (with_(width="wide"), "cannot be read"),
    "a quality of nothing": (with_(quality=np.nan), "quality=nan"),
    "a quality between steps": (with_(quality=50.3), "quality=50.3"),
    "part of a pixel": (with_(height=10.5), "10.5 where a whole number"),
    "an infinite width": (with_(width=np.inf), "cannot be read|whole number"),
    "a profile of numbers": (with_(icc=np.zeros(3)), "icc that is not uint8"),
    "a profile of nothing": (with_(icc=np.zeros(0, np.uint8)), "icc that is not uint8"),
    "sections of numbers": (with_(sections=np.zeros(3)), "sections that is not uint8"),
    "cut sections": (with_(sections=np.array([0x85, 9], np.uint8)), "ends inside a section"),
    "damaged alpha": (with_(sections=np.array([0x84, 1, 0], np.uint8)), "alpha section is incomplete"),
    "indices twice": (with_(sections=np.array([1, 0], np.uint8)), "arrays of their own"),
    "an odd tile": (with_(tile=17), "tile side 17"),
    "another picture": (with_(width=1000), "have indices of shape|has indices of shape"),
    "fractions": (lambda v: v | {"indices": v["indices"].astype(np.float32)}, "not whole numbers of 0.."),
    "too large": (lambda v: v | {"indices": v["indices"] + np.uint16(5000)}, "not whole numbers of 0.."),
    "negative": (lambda v: v | {"indices": v["indices"].astype(np.int64) - 1000}, "not whole numbers of 0.."),
    "a bad fingerprint": (with_(fingerprint="nothing"), "cannot be read"),
    "objects": (with_(indices=np.array([{}], dtype=object)), "cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(model: Model, fault: str) -> None:
    change, match = FAULTS[fault]
    values = arrays(tokens.sample(0, Size(100, 90, 50.0), *model), model)
    completed(values, model)
    with pytest.raises(FormatError, match=match):
        completed(change(values), model)


def test_arrays_of_another_model_are_refused(model: Model) -> None:
    values = arrays(tokens.sample(0, Size(100, 90, 50.0), *model), model)
    with pytest.raises(ModelError, match="not by"):
        completed(values | {"fingerprint": "00" * 8}, model)


def test_a_static_prior_needs_the_classes(tiny_codec: Codec) -> None:
    model = tiny_codec.metadata, tiny_codec.prior
    values = arrays(tokens.sample(0, Size(100, 90, 50.0), *model), model)
    with pytest.raises(FormatError, match="holds no classes, of which this model has 3"):
        completed(without("classes")(values), model)
    with pytest.raises(FormatError, match=r"classes that are not whole numbers of 0\.\.2"):
        completed(values | {"classes": values["classes"] + np.uint8(3)}, model)


def test_a_coarse_index_where_none_is_coded_is_refused() -> None:
    model = context_model("two_groups")
    encoded = tokens.sample(0, Size(100, 90, 50.0), *model)
    half = model[1].d // 2
    classes = encoded.choice.classes.reshape(half, 2, *encoded.choice.classes.shape[1:]).transpose(0, 2, 3, 1)
    narrow = ~model[1].coarse_tables(classes)[1].reshape(half, *encoded.choice.classes.shape[1:])
    indices = encoded.choice.indices.copy()
    indices[:half][narrow] = (model[1].zero + 1) % model[1].K
    assert narrow.any()
    with pytest.raises(FormatError, match="a unit has a coarse index"):
        completed(arrays(encoded, model) | {"indices": indices}, model)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04" + bytes(60), b"\x89PNG"])
def test_what_is_no_npz_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        tokens.from_npz(data)


def test_every_truncation_of_an_npz_is_refused(tiny_codec: Codec) -> None:
    model = tiny_codec.metadata, tiny_codec.prior
    data = tokens.to_npz(tokens.sample(0, Size(60, 60, 50.0), *model), *model)
    for length in range(0, len(data), 7):
        with pytest.raises(FormatError):
            tokens.from_npz(data[:length])


def test_flipped_bits_of_an_npz_are_refused_or_do_no_harm(tiny_codec: Codec) -> None:
    model = tiny_codec.metadata, tiny_codec.prior
    data = tokens.to_npz(tokens.sample(0, Size(60, 60, 50.0), *model), *model)
    random, refused = np.random.default_rng(0), 0
    for _ in range(400):
        flipped = bytearray(data)
        flipped[random.integers(len(data))] ^= 1 << int(random.integers(8))
        try:
            tokens.complete(tokens.from_npz(bytes(flipped)), *model)
        except VqcError:
            refused += 1
    assert refused > 100


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def test_members_that_are_no_arrays_or_too_large_are_refused() -> None:
    for members, match in (
        ({"indices": b"a text"}, "cannot be read"),
        ({"indices": b"\x93NUMPY\x01\x00\x10\x00(((((((((((((((\n"}, "cannot be read"),
        ({"indices": bytes(tokens._MOST_BYTES + 1)}, "bytes of indices; no picture needs so many"),
        ({"junk": bytes(1000)}, "holds no width"),
    ):
        with pytest.raises(FormatError, match=match):
            tokens.from_npz(zipped(**members))


def test_what_is_too_large_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive of 8 arrays of half a gigabyte each is refused by the first, from what the archive says of it."""

    def unpacked(*_: object) -> bytes:
        pytest.fail("unpacked before it was looked at")

    def array(value: object) -> bytes:
        file = io.BytesIO()
        np.save(file, np.asarray(value))
        return file.getvalue()

    head = array(np.zeros((1 << 14, 1 << 10), np.uint8))[:128].replace(b"16384", b"99999999")
    small = {"width": array(70000), "height": array(5), "quality": array(50.0), "fingerprint": array("00" * 8)}
    cases = (
        ({"width": bytes(1 << 20)}, "bytes of width"),
        ({"indices": head + bytes(1000)}, "no picture needs so many"),
        ({"icc": bytes(1 << 25)}, "bytes of icc"),
    )
    for members, match in cases:
        data = zipped(**(small | members))
        with monkeypatch.context() as patch, pytest.raises(FormatError, match=match):
            patch.setattr(zipfile.ZipFile, "read", unpacked)
            tokens.from_npz(data)
    with pytest.raises(FormatError, match="70000 x 5 pixels"):
        tokens.from_npz(zipped(**small, indices=array(np.zeros(1 << 20, np.uint8))))
