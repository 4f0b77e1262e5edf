"""The rate weight of a model: what an encoder counts a bit, which no decoder needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny import picture, picture_set

from vqcodec.choices import RATE_WEIGHT
from vqcodec.codec import Codec
from vqcodec.exact import model_file
from vqcodec.training.photo import rate_weight
from vqcodec.training.photo.rate_weight import WEIGHTS, best_rate_weight
from vqcodec.training.pictures.augmentation import Augmentation
from vqcodec.training.rate.contract import Source


@pytest.fixture(params=["tiny", "context"])
def model(request: pytest.FixtureRequest) -> Path:
    """A model with a static prior, and one with a context prior."""
    path: Path = request.getfixturevalue({"tiny": "tiny_model", "context": "context_model"}[request.param])
    return path


def weighted(model: Path, weight: float | None) -> Codec:
    metadata, arrays = model_file.load(model)
    return Codec(replace(metadata, rate_weight=weight), arrays)


def test_trained_models_have_measured_weights(model: Path) -> None:
    assert model_file.load(model)[0].rate_weight in WEIGHTS


@pytest.mark.parametrize(("effort", "most"), [(1, 0.6), (3, 2.0)])
def test_bits_that_count_more_are_fewer(model: Path, effort: int, most: float) -> None:
    """With a search the weight is also how far a step goes, to less error for more bits: so it takes more there."""

    def bits(weight: float) -> float:
        codec = weighted(model, weight)
        return codec.encoder.bits(codec.encode(picture(64, 96, seed=5), 50, effort).choice, 50)

    assert bits(most) < bits(0.03)


def test_a_model_that_says_none_has_the_usual_one(model: Path) -> None:
    pixels = picture(64, 96, seed=5)
    said, unsaid = (weighted(model, weight).encode(pixels, 50, 3).choice.indices for weight in (RATE_WEIGHT, None))
    assert (said == unsaid).all()


def test_the_weight_is_kept_and_is_no_part_of_the_fingerprint(model: Path, tmp_path: Path) -> None:
    metadata, arrays = model_file.load(model)
    path = tmp_path / "model.safetensors"
    for weight in (None, 0.5):
        path.write_bytes(model_file.to_bytes(replace(metadata, rate_weight=weight), arrays))
        kept, _ = model_file.load(path)
        assert (kept.rate_weight, kept.fingerprint) == (weight, metadata.fingerprint)


def test_the_weight_with_least_cost_is_taken(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = weighted(model, None)
    source = Source(codec.network, picture_set(), 0, 64, Augmentation(), 2, lambda x, z, quality, quantize: z)
    monkeypatch.setattr(rate_weight, "_cost", lambda codec, pictures: abs(codec.rate_weight - 0.12))
    assert best_rate_weight(*model_file.load(model), source) == 0.12
    monkeypatch.undo()
    crops = [picture(64, 64, seed) for seed in range(3)]
    # Where bits count nearly nothing, or nearly all, the sum is more than in between.
    cost = {weight: rate_weight._cost(weighted(model, weight), crops) for weight in (0.002, 0.12, 8.0)}
    assert cost[0.12] < min(cost[0.002], cost[8.0])
