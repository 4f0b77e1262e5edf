"""What a user is told while a training goes wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from test_autoencoder import require_package, settings_of

from vqcodec import quantizers
from vqcodec.errors import ModelError, TrainingError
from vqcodec.quantizers import names
from vqcodec.training.health import CollapseWatch, check_loss
from vqcodec.training.papers.loop import Autoencoder, AutoencoderTrainer


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("training", [True, False])
def test_latents_that_are_no_numbers_are_refused(name: str, value: float, training: bool) -> None:
    require_package(name)
    settings = settings_of(name)
    quantizer = quantizers.build(settings.quantizer_settings(), settings.options).train(training)
    z = torch.randn(2, quantizer.d, 8, 8)
    z[1, 1, 3, 4] = value
    before = [parameter.detach().clone() for parameter in quantizer.parameters()]
    with pytest.raises(ModelError, match="latents that are to be quantized are infinite or no numbers"):
        quantizer(z)
    assert all(torch.equal(*pair) for pair in zip(before, quantizer.parameters(), strict=True))


def test_a_loss_that_is_no_number_ends_the_run_before_a_step_is_taken(tmp_path: Path) -> None:
    state = Autoencoder(settings_of("vq", learning_rate=0.02), torch.device("cpu"))
    checkpoint = tmp_path / "checkpoint"
    good = torch.rand(2, 3, 32, 32)
    assert not AutoencoderTrainer(state, lambda step: good, 1.0, checkpoint).run(stop_after=2)
    saved = checkpoint.read_bytes()
    before = {key: tensor.clone() for key, tensor in state.network.state_dict().items()}
    with pytest.raises(TrainingError, match=r"loss of step 3 is inf.* learning_rate below 0.02"):
        AutoencoderTrainer(state, lambda step: good, 1e-45, checkpoint).run()
    assert all(torch.equal(tensor, before[key]) for key, tensor in state.network.state_dict().items())
    assert checkpoint.read_bytes() == saved
    check_loss(1e30, 1, 0.1)


def test_a_collapse_is_said_once_and_again_when_half_is_left() -> None:
    watch = CollapseWatch("a smaller -K")
    assert watch.see(50, 1024, 9999, 0.01, 3.0) is None, "the first steps do not count"
    assert watch.see(250, 1024, 4095, 0.01, 3.0) is None, "so few indices say nothing about 1024 codevectors"
    assert watch.see(250, 1024, 9999, 0.1, 50.0) is None
    said = watch.see(300, 1024, 4096, 0.0625, 20.0)
    assert said is not None and "64 of 1024 codevectors are in use at step 300 (6.2%, perplexity 20.0)" in said
    assert said.endswith("; what helps is a smaller -K")
    later = [watch.see(step, 1024, 9999, usage, 9.0) for step, usage in ((350, 0.04), (400, 0.03), (450, 0.03))]
    assert [said is None for said in later] == [True, False, True]


def test_a_run_says_it_while_it_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = Autoencoder(settings_of("vq", K=64, steps=210), torch.device("cpu"))
    with torch.no_grad():
        state.quantizer.codebook[1:] += 1000  # type: ignore[operator]
    x = torch.rand(2, 3, 32, 32)
    state.progress.step = 198
    assert not AutoencoderTrainer(state, lambda step: x, 1.0, tmp_path / "checkpoint").run(stop_after=200)
    assert "the codebook collapses: 1 of 64 codevectors are in use at step 200" in capsys.readouterr().err
