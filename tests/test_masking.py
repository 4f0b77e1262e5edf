"""Steps that follow how busy a place is expected to be: the same in both decoders, in files and in training."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from context_by_hand import make_model
from context_files import ADAPTIVE, CONTEXT, coded_file
from hypothesis import given
from hypothesis import strategies as st
from random_priors import chosen, latents, model, prior
from tiny import TINY_CONTEXT, picture_set, tiny_settings, trained

from vqcodec.choices import TRAINING_RATE_WEIGHT
from vqcodec.encoder import ContextEncoder
from vqcodec.errors import ModelError, SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.priors import ContextPrior, masking
from vqcodec.exact.priors.context import PREFIX
from vqcodec.training.photo.begin_from import start_from
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.rate import masking as training
from vqcodec.training.rate.context import ContextRate
from vqcodec.training.rate.context_group import FloatGroupNet
from vqcodec.training.rate.context_rate import code
from vqcodec.training.rate.context_tensors import integer_tensors
from vqcodec.training.rate.context_usual import set_usual, usual_busyness

second: Any = importlib.import_module("reference_masking")
reference: Any = importlib.import_module("reference_decoder")
CPU = torch.device("cpu")
MASKED = TINY_CONTEXT | {"masking": True, "losses": {"l2": 1.0}, "refine_steps": 0}
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def masked_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("masked") / "masked.safetensors"
    return trained(path, tiny_settings(**MASKED))


def test_the_example_of_the_text() -> None:
    classes, k = np.array([[3, 9, 4, 11, 2, 2, 5, 1]], np.uint8), np.array([1])
    assert masking.busyness(classes).tolist() == [20]
    assert masking.finer_by(classes, 26).tolist() == second.finer_steps(classes.astype(np.int64), 26).tolist() == [1]
    for rescale in (masking.scaled, second.rescale):
        assert rescale(np.array([[-37]]), k).tolist() == [[-47]]
        assert rescale(np.array([[-27]]), -k).tolist() == [[-21]]
    assert masking.shifted(classes, k, 31)[0, 0] == 4


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=10, max_size=10), min_size=1, max_size=5),
    st.integers(0, 80),
    st.integers(-40000, 40000),
)
def test_both_decoders_and_training_scale_alike(classes: list[list[int]], usual: int, latent: int) -> None:
    found = np.array(classes, np.uint8)
    finer = masking.finer_by(found, usual)
    assert (abs(finer) <= masking.MOST).all()
    np.testing.assert_array_equal(finer, second.finer_steps(found.astype(np.int64), usual))
    whole = torch.from_numpy(found).float()
    as_usual = torch.full((len(found),), usual)
    assert training.finer_by(whole + 0.25, as_usual)[:, 0].tolist() == finer.tolist()
    sixteenths = np.full((len(found), 1), latent)
    steps = masking.scaled(sixteenths, finer)
    np.testing.assert_array_equal(steps, second.rescale(sixteenths, finer))
    in_training = training.scaled(torch.from_numpy(sixteenths).double() / 16, torch.from_numpy(finer)[:, None])
    assert (16 * in_training).tolist() == steps.tolist()
    # There and back it is the same but for what coarser steps round away.
    assert (abs(masking.scaled(steps, -finer) - sixteenths) <= 1).all()


@pytest.mark.parametrize("kind", [CONTEXT, ADAPTIVE])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 7)], ids=str)
def test_what_was_encoded_by_hand_is_decoded(size: tuple[int, int], kind: int) -> None:
    made = make_model(4, (2, 8), patterns=("deep", "coarse"))
    made.metadata["context"]["masking"] = True
    made.arrays["context.1.masking"] = np.array([[0, 20], [30, 0], [6, 16]], np.int32)
    data, indices = coded_file(made, *size, kind=kind)
    np.testing.assert_array_equal(reference.decode(data, made.to_bytes()), indices)
    plain = make_model(4, (2, 8), patterns=("deep", "coarse"))
    assert size != (9, 7) or not np.array_equal(coded_file(plain, *size, kind=kind)[1], indices)


def with_usual(path: Path, change: Callable[[Array], Array]) -> ContextPrior:
    """The prior of a model file with another usual busyness."""
    metadata, arrays = model_file.load(path)
    changed = {name: change(arrays[name]).astype(np.int32) for name in arrays if name.endswith(".masking")}
    found = model_file.make_prior(metadata, arrays | changed)
    assert isinstance(found, ContextPrior) and changed
    return found


def test_steps_are_finer_where_little_is_going_on(masked_model: Path) -> None:
    errors = []
    for usual in (0, masking.USUAL_MAX):  # all places are busier than the first, and none as busy as the second
        found = with_usual(masked_model, lambda array, usual=usual: np.full_like(array, usual))
        z = latents(found.d, (16, 16), 3).clip(-2, 2)
        codes = ContextEncoder(found).choose(z, 50, 0).codes
        masked = slice(min(group.channels.start for group in found.groups if not group.pattern.linear), None)
        errors.append(float(np.square(codes[masked] / 16 - z[masked]).mean() ** 0.5))
    # Two classes coarser or finer are a factor of 2^(4 / 3) in all.
    assert errors[0] / errors[1] == pytest.approx(2 ** (4 / 3), rel=0.15)


def test_groups_with_linear_predictions_keep_their_steps() -> None:
    found = prior("masked")
    assert [net.usual is None for net in found.nets] == [True, True, False, False]
    assert chosen("masked", (5, 5), 50).codes.shape == (found.d, 5, 5)


@pytest.mark.parametrize(
    ("usual", "dtype"), [(-1, np.int32), (masking.USUAL_MAX + 1, np.int32), (3, np.int64)], ids=str
)
def test_a_busyness_that_cannot_be_usual_is_refused(usual: int, dtype: type) -> None:
    metadata, arrays = model("masked")
    wrong = arrays["context.2.masking"].astype(dtype)
    wrong[0, 0] = usual
    with pytest.raises(ModelError, match="2.masking"):
        model_file.make_prior(metadata, arrays | {"context.2.masking": wrong})
    with pytest.raises(ModelError):
        model_file.make_prior(metadata, arrays | {"context.2.masking": arrays["context.2.masking"][1:]})


def shaken_rate(model_path: Path) -> tuple[ContextRate, ContextPrior]:
    """A masked rate whose networks see their surroundings, as a tiny run's do not, and the prior of its file."""
    state = TrainingState(tiny_settings(**MASKED), CPU)
    start_from(state, str(model_path))
    rate, random = state.rate, torch.Generator().manual_seed(1)
    assert isinstance(rate, ContextRate)
    with torch.no_grad():
        for net in rate.net.nets:
            assert isinstance(net, FloatGroupNet)
            net.out += 3 * torch.randn(net.out.shape, generator=random)
    rate.round(True)
    z, row = torch.from_numpy(latents(sum(rate.net.sizes), (16, 16), 4))[None], rate.net.rows - 1
    set_usual(rate.net, {row: usual_busyness(rate.net, rate._assigner_now(), z, row)})
    metadata, arrays = model_file.load(model_path)
    tensors = {PREFIX + name: array for name, array in integer_tensors(rate.net).items()}
    found = model_file.make_prior(metadata, arrays | tensors)
    assert isinstance(found, ContextPrior)
    return rate, found


def test_training_sees_what_files_hold(masked_model: Path) -> None:
    rate, found = shaken_rate(masked_model)
    z = torch.from_numpy(latents(found.d, (7, 9), 1))
    coded = code(rate.net, rate._assigner_now(), z[None], torch.tensor([found.row(100)]))
    in_file = ContextEncoder(found).choose(z.numpy(), 100, TRAINING_RATE_WEIGHT)
    # A few latents lie between two codevectors: their tables were rounded once more for the file.
    assert float((16 * coded.z_q[0] == torch.from_numpy(in_file.codes)).float().mean()) > 0.98
    assert coded.steps is not None
    for group in found.groups:
        steps = coded.steps[0, group.channels]
        assert bool((steps == steps[:1]).all())  # one for all channels of a place
        assert (steps.unique().numel() > 1) != group.pattern.linear


def test_the_cost_learns_in_steps_of_each_place(masked_model: Path) -> None:
    state = TrainingState(tiny_settings(**MASKED), CPU)
    start_from(state, str(masked_model))
    rate, last = state.rate, state.rate.networks[0].nets[-1]
    assert isinstance(rate, ContextRate) and isinstance(last, FloatGroupNet) and last.usual is not None
    # Its networks do not look at their surroundings yet, so a change of a mean changes nothing but its own cost.
    last.out.data.zero_()
    last.usual[:] = last.usual * torch.tensor([[0], [1], [1]]) + torch.tensor([[0], [0], [40]])
    z, rows = torch.from_numpy(latents(sum(rate.net.sizes), (32, 32), 2))[None], torch.tensor([rate.net.rows - 1])
    bias = last.bias_out
    (gradient,) = torch.autograd.grad(code(rate.net, rate._assigner_now(), z, rows).rate.sum(), bias)

    def cost() -> float:
        with torch.no_grad():
            coded = code(rate.net, rate._assigner_now(), z, rows)
            assert coded.steps is not None
            moved = ((z - coded.z_q) * coded.steps).square().sum()
            return float((coded.bits.sum() + moved / TRAINING_RATE_WEIGHT).double())

    before, channel, measured = bias.detach().clone(), int(gradient[:, : last.n].abs().sum(0).argmax()), []
    for sign in (1, -1):
        with torch.no_grad():
            bias.copy_(before)
            bias[:, channel] += sign * 0.25
        measured.append(cost())
    expected = float(gradient[:, channel].sum())
    assert (measured[0] - measured[1]) / 0.5 == pytest.approx(expected, rel=0.1)


def usual_of(state: TrainingState) -> list[torch.Tensor | None]:
    """The usual busyness of a rate's groups once its networks have learned alone."""
    state.rate.settle(source_of(state, picture_set(), 4))
    assert isinstance(state.rate, ContextRate) and state.rate.net.knows_usual
    return [net.usual if isinstance(net, FloatGroupNet) else None for net in state.rate.net.nets]


def test_a_run_measures_what_is_usual_where_its_model_does_not_know(context_model: Path, masked_model: Path) -> None:
    stored = model_file.load(masked_model)[1]
    for init in (context_model, masked_model):
        state = TrainingState(tiny_settings(**MASKED), CPU)
        start_from(state, str(init))
        for number, usual in enumerate(usual_of(state)):
            name = f"context.{number}.masking"
            assert (usual is None) == (name not in stored)
            assert usual is None or usual.min() > 0
            assert usual is None or init == context_model or np.array_equal(usual.numpy(), stored[name])


def test_a_tilt_changes_what_is_usual(masked_model: Path) -> None:
    plain, tilted = (
        TrainingState(tiny_settings(**MASKED, init=str(masked_model), tilt=tilt), CPU)
        for tilt in ({}, {"lowest": -1.5})
    )
    for state in (plain, tilted):
        start_from(state, str(masked_model))
    for before, after in zip(usual_of(plain), usual_of(tilted), strict=True):
        assert before is None or after is None or bool((after[:, 0] < before[:, 0]).all())


def test_reach_is_that_of_the_finest_steps(masked_model: Path) -> None:
    state = TrainingState(tiny_settings(**MASKED), CPU)
    start_from(state, str(masked_model))
    finest = state.rate.finest_steps()
    assert isinstance(finest, torch.Tensor)
    assert finest.flatten().unique().tolist() == pytest.approx([1, 2 ** (2 / 3)], rel=1e-4)
    assert TrainingState(tiny_settings(**TINY_CONTEXT), CPU).rate.finest_steps() == 1


def test_a_model_before_its_networks_have_learned_has_no_masking(context_model: Path) -> None:
    state = TrainingState(tiny_settings(**MASKED), CPU)
    start_from(state, str(context_model))
    parts = state.rate.parts(source_of(state, picture_set(), 4), True)
    assert "masking" not in parts.settings and not [name for name in parts.arrays if "masking" in name]


def test_a_masked_model_is_not_trained_on_without_masking(masked_model: Path) -> None:
    with pytest.raises(SettingsError, match="set masking=true"):
        start_from(TrainingState(tiny_settings(**TINY_CONTEXT), CPU), str(masked_model))


def test_masking_needs_a_context_prior_and_losses() -> None:
    with pytest.raises(SettingsError, match='set prior="context"'):
        tiny_settings(masking=True)
    with pytest.raises(SettingsError, match="give losses, or leave masking out"):
        tiny_settings(**TINY_CONTEXT, masking=True)


def test_masking_without_its_usual_busyness_is_refused() -> None:
    metadata, arrays = model("masked")
    fewer = {name: array for name, array in arrays.items() if name != "context.3.masking"}
    with pytest.raises(ModelError, match="incomplete or damaged: '3.masking'"):
        model_file.make_prior(metadata, fewer)


def test_the_setting_says_whether_a_model_masks() -> None:
    metadata, arrays = model("masked")
    plain = {key: value for key, value in metadata.prior_settings.items() if key != "masking"}
    found = model_file.make_prior(replace(metadata, prior_settings=plain), arrays)
    assert isinstance(found, ContextPrior) and all(net.usual is None for net in found.nets)
