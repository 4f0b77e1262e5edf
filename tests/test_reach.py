"""Gains that keep latents within the reach of the codebook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import picture_set, tiny_settings

from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.rate.reach import cap_gains, coarse_reach, flat_reach


def test_capped_gains_bring_the_largest_latents_within_reach() -> None:
    state = TrainingState(tiny_settings(), torch.device("cpu"))
    with torch.no_grad():
        state.quantizer.codebook.normal_()
    reach, quality = coarse_reach(state.quantizer), torch.tensor([100.0])
    natural = torch.randn(1, state.network.d, 4, 4)
    natural[:, 0] = 3 * reach / float(state.network.gain(quality).detach()[0, 0])
    with torch.no_grad():
        state.network.block_analysis.sub_(state.network.block_analysis.mean((2, 3), keepdim=True))
    before = state.network.gain(quality).detach()
    assert cap_gains(state.network, state.quantizer, natural * before) == 1
    after = state.network.gain(quality).detach()
    assert float((natural * after)[:, 0].abs().max()) == pytest.approx(reach, rel=1e-4)
    assert torch.equal(after[:, 1:], before[:, 1:])


def test_capped_gains_bring_every_flat_color_within_reach() -> None:
    state = TrainingState(tiny_settings(), torch.device("cpu"))
    pictures, quality = picture_set(), torch.tensor([100.0])
    with torch.no_grad():
        state.quantizer.codebook.normal_()
        state.network.set_basis(*block_basis(pictures, np.random.default_rng(0), 64))
        colors = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)[:, :, None, None].expand(-1, -1, 16, 16)
        before = state.network.analysis(colors, quality).abs().amax((0, 2, 3))
        assert torch.allclose(before, flat_reach(state.network), rtol=1e-3, atol=1e-2)
        assert float(before.max()) > coarse_reach(state.quantizer)
        assert cap_gains(state.network, state.quantizer, torch.zeros(1, state.network.d, 1, 1)) > 0
        after = state.network.analysis(colors, quality).abs().amax((0, 2, 3))
    assert float(after.max()) <= coarse_reach(state.quantizer) * (1 + 1e-4)
