"""Indices as arrays and back, and pictures drawn from a prior."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import random_priors
from PIL import Image
from tiny import Run

from vqcodec import tokens
from vqcodec.bitstream import container
from vqcodec.codec import Codec
from vqcodec.errors import FormatError, ModelError
from vqcodec.indices import Encoded, Size, pack, unpack
from vqcodec.model_file import Metadata
from vqcodec.priors import ContextPrior, Prior, StaticPrior

ICC = b"a profile" * 20
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


def assert_same(one: Encoded, other: Encoded) -> None:
    assert vars(one).keys() == vars(other).keys()
    for key, value in vars(one).items():
        assert np.array_equal(value, getattr(other, key)), key


@pytest.mark.parametrize("size", [Size(300, 270, 37.5), Size(530, 300, 90.0, 16)], ids=["whole", "tiles"])
def test_a_sample_survives_its_file_and_its_arrays(model: Model, size: Size) -> None:
    encoded = tokens.sample(3, size, *model)
    assert (encoded.width, encoded.height, encoded.quality, encoded.tile) == size
    file = pack(encoded, *model, ICC)
    assert_same(unpack(container.read(file), *model), encoded)
    said = tokens.from_npz(tokens.to_npz(encoded, model[0], ICC))
    assert (said.size, said.icc, said.fingerprint.hex()) == (size, ICC, model[0].fingerprint)
    back = tokens.complete(said, *model)
    assert_same(back, encoded)
    assert pack(back, *model, said.icc) == file


def test_a_seed_is_a_picture(model: Model) -> None:
    first, again, other = (tokens.sample(seed, Size(200, 200, 50.0), *model) for seed in (1, 1, 2))
    assert_same(first, again)
    assert not np.array_equal(first.indices, other.indices)


def test_samples_cost_what_their_tables_say_on_average(model: Model) -> None:
    """The mean of -log2 p over symbols drawn with probability p is the tables' entropy."""
    metadata, prior = model
    encoded = tokens.sample(5, Size(800, 800, 50.0), metadata, prior)
    tables = prior.index_tables if isinstance(prior, StaticPrior) else prior.tables
    entropy = (tables.frequencies / 2.0**tables.bits * tables.costs).sum(1)
    bits = prior.index_bits(encoded.indices, encoded.classes, 50.0)
    if isinstance(prior, StaticPrior):
        expected = entropy[np.moveaxis(prior.table_map[prior.row(50.0)][encoded.classes], 2, 0)]
    else:
        expected = np.zeros_like(bits)
        half = prior.d // 2
        levels = encoded.classes.reshape(half, 2, *encoded.classes.shape[1:]).transpose(0, 2, 3, 1)
        numbers, wide = prior.coarse_tables(levels)
        expected[:half].reshape(-1)[wide] = entropy[numbers]
        fine = prior.fine_tables(levels, encoded.indices[:half].reshape(-1))
        expected[half:] = entropy[fine].reshape(expected[half:].shape)
    assert bits.sum() == pytest.approx(expected.sum(), rel=0.01)


# Arrays that are not what they should be

Values = dict[str, Any]


def arrays(encoded: Encoded, metadata: Metadata) -> Values:
    with np.load(io.BytesIO(tokens.to_npz(encoded, metadata))) as file:
        return dict(file)


def completed(values: Values, model: Model) -> Encoded:
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
    values = arrays(tokens.sample(0, Size(100, 90, 50.0), *model), model[0])
    completed(values, model)
    with pytest.raises(FormatError, match=match):
        completed(change(values), model)


def test_arrays_of_another_model_are_refused(model: Model) -> None:
    values = arrays(tokens.sample(0, Size(100, 90, 50.0), *model), model[0])
    with pytest.raises(ModelError, match="not by"):
        completed(values | {"fingerprint": "00" * 8}, model)


def test_a_static_prior_needs_the_classes(tiny_codec: Codec) -> None:
    model = tiny_codec.metadata, tiny_codec.prior
    values = arrays(tokens.sample(0, Size(100, 90, 50.0), *model), model[0])
    with pytest.raises(FormatError, match="holds no classes, of which this model has 3"):
        completed(without("classes")(values), model)
    with pytest.raises(FormatError, match=r"classes that are not whole numbers of 0\.\.2"):
        completed(values | {"classes": values["classes"] + np.uint8(3)}, model)


def test_a_coarse_index_where_none_is_coded_is_refused() -> None:
    model = context_model("two_groups")
    encoded = tokens.sample(0, Size(100, 90, 50.0), *model)
    half = model[1].d // 2
    levels = encoded.classes.reshape(half, 2, *encoded.classes.shape[1:]).transpose(0, 2, 3, 1)
    narrow = ~model[1].coarse_tables(levels)[1].reshape(half, *encoded.classes.shape[1:])
    indices = encoded.indices.copy()
    indices[:half][narrow] = (model[1].zero + 1) % model[1].K
    assert narrow.any()
    with pytest.raises(FormatError, match="a unit has a coarse index"):
        completed(arrays(encoded, model[0]) | {"indices": indices}, model)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04" + bytes(60), b"\x89PNG"])
def test_what_is_no_npz_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        tokens.from_npz(data)


def test_every_truncation_of_an_npz_is_refused(tiny_codec: Codec) -> None:
    model = tiny_codec.metadata, tiny_codec.prior
    data = tokens.to_npz(tokens.sample(0, Size(60, 60, 50.0), *model), model[0])
    for length in range(0, len(data), 7):
        with pytest.raises(FormatError):
            tokens.from_npz(data[:length])


# The command line


def pixels_of(path: Path) -> npt.NDArray[Any]:
    return np.asarray(Image.open(path))


def test_a_file_comes_back_the_same_byte_for_byte(run: Run, packed: Path, tiny_model: Path, tmp_path: Path) -> None:
    npz, vqc, png = (tmp_path / f"back.{suffix}" for suffix in ("npz", "vqc", "png"))
    assert run("tokens", packed, "-o", npz, "--model", tiny_model).code == 0
    assert run("tokens", "--back", npz, "-o", vqc, "--model", tiny_model).code == 0
    assert vqc.read_bytes() == packed.read_bytes()
    assert run("tokens", "--back", npz, "-o", png, "--model", tiny_model).code == 0
    assert run("decompress", packed, "-o", tmp_path / "direct.png", "--model", tiny_model).code == 0
    assert np.array_equal(pixels_of(png), pixels_of(tmp_path / "direct.png"))


def test_the_indices_of_a_picture_are_those_of_its_file(
    run: Run, photo: Path, packed: Path, tiny_model: Path, tmp_path: Path
) -> None:
    done = run("tokens", photo, "--model", tiny_model, "--json", "-o", tmp_path / "a.npz")
    facts = json.loads(done.out)
    assert facts["width"], facts["height"] == (101, 70)
    assert run("tokens", "-", "--model", tiny_model, stdin=packed.read_bytes()).out[:2] == b"PK"
    assert run("tokens", packed, "--model", tiny_model).code == 0
    with np.load(tmp_path / "a.npz") as one, np.load(packed.with_suffix(".npz")) as other:
        assert list(one["indices"].shape) == facts["indices"]
        assert one["quality"] == 50 and all(np.array_equal(one[key], other[key]) for key in one.files)


def test_wrong_use_of_tokens_is_a_sentence(run: Run, photo: Path, packed: Path, tiny_model: Path) -> None:
    for arguments, said in (
        ((photo, "-o", photo.with_suffix(".txt"), "--model", tiny_model), "is no .npz"),
        (("--back", photo, "-o", photo.with_suffix(".txt"), "--model", tiny_model), "no suffix of a picture"),
        (("--back", photo, "-o", photo.with_suffix(".jpg"), "--model", tiny_model), "cannot be read"),
        ((packed,), "name its file with --model"),
        ((photo.parent, "--model", tiny_model), "is a folder"),
        ((photo.parent / "none.png",), "does not exist"),
    ):
        done = run("tokens", *arguments)
        assert done.code == 1 and said in done.err and done.err.count("\n") == 1, done.err
    assert not photo.with_suffix(".txt").exists() and not photo.with_suffix(".npz").exists()


def test_a_sample_is_the_same_picture_in_every_form(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"sample.{suffix}" for suffix in ("vqc", "npz", "png")]
    common = ("--size", "90x70", "-q", "60", "--seed", "4", "--model", tiny_model)
    lines = [json.loads(run("sample", "-o", output, *common, "--json").out) for output in outputs]
    vqc, npz, png = outputs
    assert {line["vqc_bytes"] for line in lines} == {vqc.stat().st_size}
    assert run("decompress", vqc, "-o", tmp_path / "direct.png", "--model", tiny_model).code == 0
    assert np.array_equal(pixels_of(png), pixels_of(tmp_path / "direct.png")) and pixels_of(png).shape == (70, 90, 3)
    assert run("tokens", "--back", npz, "-o", tmp_path / "back.vqc", "--model", tiny_model).code == 0
    assert (tmp_path / "back.vqc").read_bytes() == vqc.read_bytes()


def test_wrong_use_of_sample_is_a_sentence(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    for arguments, said in (
        (("-o", tmp_path / "a.png", "--size", "90"), "--size 90 is not a width and height"),
        (("-o", tmp_path / "a.png", "--size", "0x10"), "--size 0x10 is not"),
        (("-o", tmp_path / "a.png", "--size", "65535x65535"), "at most 2"),
        (("-o", tmp_path / "a.doc"), "a.doc has no suffix of a picture"),
        (("-o", there), "exists"),
    ):
        done = run("sample", *arguments, "--model", tiny_model)
        assert done.code == 1 and said in done.err and done.err.count("\n") == 1, done.err
    assert there.read_bytes() == b"mine" and not (tmp_path / "a.png").exists()
