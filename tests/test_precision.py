"""bfloat16 where it is faster, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import tiny_settings

from vqcodec.errors import SettingsError
from vqcodec.networks.photo import PhotoNetwork
from vqcodec.training import precision
from vqcodec.training.photo.settings import TrainingSettings
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.precision import wants_bf16
from vqcodec.training.recipe import make_settings

CPU = torch.device("cpu")


@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, True), (0.95, False), (2.0, False)])
def test_auto_takes_what_is_clearly_faster(monkeypatch: pytest.MonkeyPatch, seconds: float, chosen: bool) -> None:
    network = PhotoNetwork(d=12, widths=(8, 8, 8, 8))
    monkeypatch.setattr(precision, "_seconds", lambda network, device: seconds if network.bf16 else 1.0)
    assert wants_bf16(network, CPU, "auto") is chosen
    assert not network.bf16
    assert [wants_bf16(network, CPU, switch) for switch in (True, False)] == [True, False]


def test_the_measurement_leaves_no_trace() -> None:
    state = TrainingState(tiny_settings(bf16="auto"), CPU)
    before = torch.get_rng_state()
    wants_bf16(state.network, CPU, "auto")
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in state.network.parameters())


def test_a_recipe_may_say_auto(tmp_path: Path) -> None:
    for text, value in (('"auto"', "auto"), ("true", True), ("false", False)):
        (tmp_path / "recipe.toml").write_text(f"bf16 = {text}")
        settings = make_settings(tmp_path / "recipe.toml", {})
        assert isinstance(settings, TrainingSettings) and settings.bf16 == value
    for text, match in (('"perhaps"', "must be true, false or"), ("3", "bf16 must be a bool or str, not 3")):
        (tmp_path / "recipe.toml").write_text(f"bf16 = {text}")
        with pytest.raises(SettingsError, match=match):
            make_settings(tmp_path / "recipe.toml", {})
