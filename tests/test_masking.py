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
from vqcodec.training.photo.begin_from import start_from
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.rate import masking as training
from vqcodec.training.rate.context import ContextRate
from vqcodec.training.rate.context_rate import code

second: Any = importlib.import_module("reference_masking")
reference: Any = importlib.import_module("reference_decoder")
CPU = torch.device("cpu")
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def masked_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("masked") / "masked.safetensors"
    return trained(path, tiny_settings(**TINY_CONTEXT, masking=True))


def test_the_example_of_the_text() -> None:
    classes, k = np.array([[3, 9, 4, 11, 2, 2, 5, 1]], np.uint8), np.array([1])
    assert masking.busyness(classes).tolist() == [20]
    assert masking.shifts(classes, 26).tolist() == second.finer_steps(classes.astype(np.int64), 26).tolist() == [1]
    for rescale in (masking.scaled, second.rescale):
        assert rescale(np.array([[-37]]), k).tolist() == [[-47]]
        assert rescale(np.array([[-27]]), -k).tolist() == [[-21]]
    assert masking.shifted(classes, k, 31)[0, 0] == 4


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=10, max_size=10), min_size=1, max_size=5),
    st.integers(0, 80),
    st.integers(-40000, 40000),
)
def test_both_decoders_and_training_shift_and_scale_alike(classes: list[list[int]], level: int, latent: int) -> None:
    found = np.array(classes, np.uint8)
    finer = masking.shifts(found, level)
    assert (abs(finer) <= masking.MOST).all()
    np.testing.assert_array_equal(finer, second.finer_steps(found.astype(np.int64), level))
    whole = torch.from_numpy(found).float()
    levels = torch.full((len(found),), level)
    assert training.shifts(whole + 0.25, levels)[:, 0].tolist() == finer.tolist()
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
    made = make_model(4, (2, 4), patterns=("deep", "coarse"))
    made.metadata["context"]["masking"] = True
    made.arrays["context.1.masking"] = np.array([[3, 1], [2, 5], [4, 3]], np.int32)
    data, indices = coded_file(made, *size, kind=kind)
    np.testing.assert_array_equal(reference.decode(data, made.to_bytes()), indices)
    plain = make_model(4, (2, 4), patterns=("deep", "coarse"))
    assert size == (1, 1) or not np.array_equal(coded_file(plain, *size, kind=kind)[1], indices)


def with_levels(path: Path, change: Callable[[Array], Array]) -> ContextPrior:
    """The prior of a model file with other levels."""
    metadata, arrays = model_file.load(path)
    changed = {
        name: change(array).astype(array.dtype) if name.endswith(".masking") else array
        for name, array in arrays.items()
    }
    found = model_file.make_prior(metadata, changed)
    assert isinstance(found, ContextPrior)
    return found


def test_steps_are_finer_where_little_is_going_on(masked_model: Path) -> None:
    errors = []
    for level in (0, masking.LEVEL_LIMIT):  # all places are busier than the first, and none as busy as the second
        found = with_levels(masked_model, lambda array, level=level: np.full_like(array, level))
        z = latents(found.d, (16, 16), 3).clip(-2, 2)
        codes = ContextEncoder(found).choose(z, 50, 0).codes
        masked = slice(min(group.channels.start for group in found.groups if not group.pattern.linear), None)
        errors.append(float(np.square(codes[masked] / 16 - z[masked]).mean() ** 0.5))
    # Two classes coarser or finer are a factor of 2^(4 / 3) in all.
    assert errors[0] / errors[1] == pytest.approx(2 ** (4 / 3), rel=0.15)


def test_groups_with_linear_predictions_keep_their_steps() -> None:
    found = prior("masked")
    assert [net.levels is None for net in found.nets] == [True, True, False, False]
    assert chosen("masked", (5, 5), 50).codes.shape == (found.d, 5, 5)


@pytest.mark.parametrize(
    ("level", "dtype"), [(-1, np.int32), (masking.LEVEL_LIMIT + 1, np.int32), (3, np.int64)], ids=str
)
def test_levels_that_cannot_be_right_are_refused(level: int, dtype: type) -> None:
    metadata, arrays = model("masked")
    wrong = arrays["context.2.masking"].astype(dtype)
    wrong[0, 0] = level
    with pytest.raises(ModelError, match="2.masking"):
        model_file.make_prior(metadata, arrays | {"context.2.masking": wrong})
    with pytest.raises(ModelError):
        model_file.make_prior(metadata, arrays | {"context.2.masking": arrays["context.2.masking"][1:]})


def test_training_sees_what_files_hold(masked_model: Path) -> None:
    state = TrainingState(tiny_settings(**TINY_CONTEXT, masking=True), CPU)
    start_from(state, str(masked_model))
    state.rate.round(True)
    assert isinstance(state.rate, ContextRate) and state.rate.net.masked
    # The networks of a tiny run expect the same everywhere, so the phases have levels that differ.
    found = with_levels(masked_model, lambda array: array * [[0], [1], [1]] + [[0], [0], [40]])
    for net, levels in zip(state.rate.net.nets, found.nets, strict=True):
        if levels.levels is not None:
            net.masking = torch.from_numpy(levels.levels)
    z = torch.from_numpy(latents(found.d, (7, 9), 1))
    rows = torch.tensor([found.row(50)])
    coded = code(state.rate.net, state.rate._assigner_now(), z[None], rows)
    in_file = ContextEncoder(found).choose(z.numpy(), 50, TRAINING_RATE_WEIGHT)
    # A few latents lie between two codevectors: their tables were rounded once more for the file.
    assert float((16 * coded.z_q[0] == torch.from_numpy(in_file.codes)).float().mean()) > 0.98
    assert coded.scale is not None and coded.scale.unique().numel() == 3


def test_a_run_sets_levels_where_its_model_has_none(context_model: Path, masked_model: Path) -> None:
    settings = tiny_settings(**TINY_CONTEXT, masking=True)
    levels = []
    for init in (context_model, masked_model):
        state = TrainingState(settings, CPU)
        start_from(state, str(init))
        assert isinstance(state.rate, ContextRate)
        before = [net.masking for net in state.rate.net.nets]
        kept = [None if array is None else array.clone() for array in before]
        state.rate.start(source_of(state, picture_set(), 4))
        levels.append([net.masking for net in state.rate.net.nets])
        for old, new in zip(kept, levels[-1], strict=True):
            assert (old is None) == (new is None)
            assert old is None or new is None or torch.equal(old, new) == (init == masked_model)
    stored = model_file.load(masked_model)[1]
    for number, array in enumerate(levels[1]):
        assert array is None or np.array_equal(array.numpy(), stored[f"context.{number}.masking"])


def test_a_masked_model_is_not_trained_on_without_masking(masked_model: Path) -> None:
    with pytest.raises(SettingsError, match="set masking=true"):
        start_from(TrainingState(tiny_settings(**TINY_CONTEXT), CPU), str(masked_model))


def test_masking_needs_a_context_prior() -> None:
    with pytest.raises(SettingsError, match='set prior="context"'):
        tiny_settings(masking=True)


def test_an_old_reader_refuses_a_masked_model_by_its_setting() -> None:
    metadata, arrays = model("masked")
    plain = {key: value for key, value in metadata.prior_settings.items() if key != "masking"}
    changed = replace(metadata, prior_settings=plain)
    assert metadata.prior_settings["masking"] is True
    assert isinstance(model_file.make_prior(changed, arrays), ContextPrior)  # the levels alone say nothing
