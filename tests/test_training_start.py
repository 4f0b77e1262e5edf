"""Runs that start from a model: what they take over, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import TINY_CONTEXT, picture_set, tiny_settings, trained

from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.priors.context import PREFIX
from vqcodec.training.photo.begin_from import start_from
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.rate.context import ContextRate
from vqcodec.training.rate.context_tensors import float_parent
from vqcodec.training.rate.reach import coarse_reach


@pytest.mark.parametrize("changes", [{}, TINY_CONTEXT], ids=["static", "context"])
def test_a_run_can_start_from_a_model(tmp_path: Path, changes: dict[str, Any]) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    trained(first, tiny_settings(**changes))
    settings = tiny_settings(**changes, init=str(first), learning_rate=1e-9, steps=4)
    trained(second, settings)
    before, after = weights(first), weights(second)
    assert len(before) > 40
    for name in before:
        assert torch.allclose(before[name], after[name], atol=1e-3), name


def weights(path: Path) -> dict[str, torch.Tensor]:
    """What a model's networks compute with.

    Of the gains those of the highest quality are left out: they are capped anew, with a codebook that is made anew. And
    integers are compared as the numbers that they stand for, since a bound that is nearly reached may halve a scale.
    """
    metadata, arrays = model_file.load(path)
    found = {name: torch.from_numpy(array).float() for name, array in arrays.items() if name.startswith("network.")}
    found["network.log_gain"] = found["network.log_gain"][:-1]
    if metadata.prior_settings:
        found |= float_parent(metadata.prior_settings, tensors_under(PREFIX, arrays)).state_dict()
    return found


def test_a_run_starts_from_the_tables_of_a_context_prior(context_model: Path) -> None:
    state = TrainingState(tiny_settings(**TINY_CONTEXT, init=str(context_model)), torch.device("cpu"))
    start_from(state, str(context_model))
    state.rate.start(source_of(state, picture_set(), 4))
    arrays = model_file.load(context_model)[1]
    assert isinstance(state.rate, ContextRate) and state.rate.pairs is not None
    for name, values in state.rate.pairs.arrays(state.settings.table_bits).items():
        # Shares that are whole numbers already are rounded once more.
        assert np.allclose(values.astype(float), arrays[f"context.{name}"], atol=8, rtol=1e-3), name
    assert np.array_equal(state.quantizer.codebook.detach().numpy(), arrays["codebook"])


def test_a_run_refuses_to_start_from_the_tables_of_another_codebook(context_model: Path) -> None:
    state = TrainingState(tiny_settings(**TINY_CONTEXT, K=64), torch.device("cpu"))
    with pytest.raises(SettingsError, match="is for K=32, scale=.*; set these as it has them"):
        start_from(state, str(context_model))


def test_a_run_refuses_to_start_from_another_network(context_model: Path) -> None:
    for changes in ({"width": 12}, {"context_width": 8}):
        state = TrainingState(tiny_settings(**(TINY_CONTEXT | changes)), torch.device("cpu"))
        with pytest.raises(SettingsError, match="this run"):
            start_from(state, str(context_model))


def test_gains_follow_other_lambdas_and_the_prior_follows_them(context_model: Path) -> None:
    states = []
    for last in (1.28, 2.56):
        lambdas = (0.0008, 0.0023, 0.0067, 0.0192, 0.0555, last)
        state = TrainingState(tiny_settings(**TINY_CONTEXT, lambdas=lambdas), torch.device("cpu"))
        start_from(state, str(context_model))
        states.append(state)
    (before, after), nets = (state.network.log_gain.detach() for state in states), [s.rate.networks[0] for s in states]
    assert torch.equal(before[:-1], after[:-1])
    rise, most = after[-1] - before[-1], 0.5 * np.log(2)
    # Channels of the means of blocks were as fine as the codebook allows, or nearly.
    assert float(rise.max()) == pytest.approx(most, abs=1e-5) and float(rise.median()) == pytest.approx(most, abs=1e-5)
    spreads = [net.spread / 16 for net in nets]
    assert torch.equal(spreads[0][0], spreads[1][0])
    grown = spreads[1][-1] / spreads[0][-1]
    free = (rise > most - 1e-4) & (spreads[0][-1] > 2)
    assert free.any() and torch.allclose(grown[free], torch.tensor(2.0**0.5), rtol=0.05)


def test_gains_that_follow_lambdas_stay_within_reach_of_crops(context_model: Path) -> None:
    lambdas = (0.0008, 0.0023, 0.0067, 0.0192, 0.0555, 1e4)
    state = TrainingState(tiny_settings(**TINY_CONTEXT, lambdas=lambdas), torch.device("cpu"))
    crops = picture_set().crops(np.random.default_rng(1), 8, 64)
    start_from(state, str(context_model), lambda: crops)
    z = state.network.analysis(crops, torch.full((len(crops),), 100.0)).detach()
    assert float(z.abs().max()) == pytest.approx(coarse_reach(state.quantizer), rel=1e-3)


def test_a_run_refuses_to_start_with_another_number_of_lambdas(context_model: Path) -> None:
    state = TrainingState(tiny_settings(**TINY_CONTEXT, lambdas=(0.01, 0.1)), torch.device("cpu"))
    with pytest.raises(SettingsError, match=r"has lambdas=.*, this run lambdas=.*; set lambdas"):
        start_from(state, str(context_model))
