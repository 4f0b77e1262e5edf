"""Training of files for looks: what the losses of a run weigh against its bits, and what does not go with them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save
from tiny import TINY_CONTEXT, picture, picture_set, tiny_settings
from torch import Tensor

import vqcodec.coder
from vqcodec.codec import Codec
from vqcodec.errors import ModelError, SettingsError
from vqcodec.exact import model_file
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.training.photo.export import export
from vqcodec.training.photo.loop import Trainer
from vqcodec.training.photo.rate_weight import FOR_LOOKS
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.photo.tilt import LOWEST, slope
from vqcodec.training.stage import Batch, Loss

LOOKS: dict[str, Any] = TINY_CONTEXT | {"losses": {"l2": 3.0}, "losses_weight": 20.0, "refine_steps": 0}


def _state(tmp_path: Path, steps: int, **changes: Any) -> TrainingState:
    state = TrainingState(tiny_settings(**changes), torch.device("cpu"))
    tmp_path.mkdir(exist_ok=True)
    Trainer(state, picture_set(), picture_set(), tmp_path / "checkpoint").run(stop_after=steps)
    return state


@pytest.mark.parametrize("tilt", [{}, {LOWEST: -0.5}])
def test_losses_take_the_place_of_squared_error(tmp_path: Path, tilt: dict[str, float]) -> None:
    states = [_state(tmp_path / name, 5, **changes) for name, changes in (("a", TINY_CONTEXT), ("b", LOOKS))]
    states[1].load_state_dict(states[0].state_dict())
    states[1].settings = tiny_settings(**LOOKS, tilt=tilt, init="photo")
    batch = _batch()
    x, quality, _ = batch
    network = PhotoNetwork(6, (8, 8, 8, 8))
    usual, weight = network.rate_lambda(quality), slope(network, quality, tilt)
    error, looks = (_loss(state, batch) for state in states)
    assert all(error.figures[name] == looks.figures[name] for name in ("bpp", "mse"))
    mse, bits = _squared_errors_and_bits(states[0], x, quality)
    scales = [(0.01 / each).sqrt() for each in (usual, weight)]
    assert error.figures["loss"] == pytest.approx((scales[0] * (bits + usual * 255**2 * mse)).mean().item(), rel=1e-4)
    expected = (scales[1] * (bits + 20.0 * weight**0.78 * 3.0 * mse)).mean().item()
    assert looks.figures["loss"] == pytest.approx(expected, rel=1e-4)
    if not tilt:
        beyond = [(each.total - each.figures["loss"]).item() for each in (error, looks)]
        assert beyond[0] == pytest.approx(beyond[1], rel=1e-3), "what draws latents to indices is the same"


def _batch() -> Batch:
    crops = picture_set().crops(np.random.default_rng(0), 2, 64)
    return Batch(crops, torch.tensor([10.0, 60.0]), torch.Generator())


def _loss(state: TrainingState, batch: Batch) -> Loss:
    return Trainer(state, picture_set(), picture_set(), Path("none")).shown(batch)[0]


def _squared_errors_and_bits(state: TrainingState, x: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        seen = state.rate.seen(x, quality, torch.Generator())
        y = state.network.synthesis(seen.z_q, quality).clamp(0, 1)
        return (y - x).square().mean((1, 2, 3)), seen.bits / x[0, 0].numel()


def test_the_analysis_learns_from_the_losses(tmp_path: Path) -> None:
    state = _state(tmp_path, 5, **LOOKS)
    gradients = [_analysis_gradient(state, weight) for weight in (20.0, 40.0, 60.0)]
    steps = [second - first for first, second in pairwise(gradients)]
    assert steps[0].abs().max() > 0
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-3 * steps[0].abs().max().item())
    assert state.network.log_gain.grad is None


def _analysis_gradient(state: TrainingState, weight: float) -> Tensor:
    state.settings = replace(state.settings, losses_weight=weight)
    state.network.zero_grad()
    _loss(state, _batch()).total.backward()  # type: ignore[no-untyped-call]
    gradient = state.network.block_analysis.grad
    assert gradient is not None
    return gradient.clone()


def test_low_rates_are_drawn_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, drawn = Trainer.shown, []

    def seen(trainer: Trainer, batch: Batch) -> tuple[Loss, Tensor]:
        drawn.append(batch.quality)
        return shown(trainer, batch)

    monkeypatch.setattr(Trainer, "shown", seen)
    for name, power in (("even", 1.0), ("low", 3.0)):
        _state(tmp_path / name, 2, low_rates=power)
    even, low = torch.cat(drawn[:2]), torch.cat(drawn[2:])
    torch.testing.assert_close(low, 1 + 99 * ((even - 1) / 99) ** 3)


def test_losses_do_not_go_with_proximal_steps_to_less_squared_error() -> None:
    with pytest.raises(SettingsError, match="refine_steps=0 instead of 2"):
        tiny_settings(**LOOKS | {"refine_steps": 2})
    with pytest.raises(SettingsError, match="no loss 'beauty'"):
        tiny_settings(**LOOKS | {"losses": {"beauty": 1.0}})
    with pytest.raises(SettingsError, match="give losses, or leave it out"):
        tiny_settings(init="photo", tilt={LOWEST: -0.5})


def test_no_proximal_steps_to_less_squared_error_spoil_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = _state(tmp_path, 8, **LOOKS)
    path = tmp_path / "looks.safetensors"
    path.write_bytes(model_file.to_bytes(*export(state, picture_set(), 4)))
    codec = Codec.open(path)
    assert not codec.metadata.proximal and codec.metadata.rate_weight == FOR_LOOKS
    monkeypatch.setattr(vqcodec.coder, "refine", lambda *_: pytest.fail("stepped"))
    pixels = picture(64, 96, seed=5)
    first, third = (codec.pack(codec.encode(pixels, 40, effort)) for effort in (1, 3))
    assert first != third and codec.pack(codec.encode(pixels, 40, 1)) == first
    monkeypatch.setattr(codec, "metadata", replace(codec.metadata, proximal=True))
    with pytest.raises(pytest.fail.Exception, match="stepped"):
        codec.encode(pixels, 40, 3)


def test_a_search_key_that_is_neither_true_nor_false_is_damage(tiny_model: Path, tmp_path: Path) -> None:
    with safe_open(tiny_model, "np") as file:
        values = json.loads(file.metadata()[model_file.METADATA_KEY])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(save(arrays, {model_file.METADATA_KEY: json.dumps(values | {"search": "no"})}))
    with pytest.raises(ModelError, match="search='no', which no model has"):
        model_file.load(path)
