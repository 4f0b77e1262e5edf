"""Gains that keep latents within the reach of the codebook."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import TINY_CONTEXT, picture_set, tiny_settings

from vqcodec.training.photo.basis import block_basis
from vqcodec.training.photo.source import source_of
from vqcodec.training.photo.state import TrainingState
from vqcodec.training.rate.pair_tables import armed_codebook, hexagonal_codebook
from vqcodec.training.rate.reach import cap_gains, coarse_reach, flat_colors


def test_capped_gains_bring_the_largest_latents_within_reach() -> None:
    state = TrainingState(tiny_settings(), torch.device("cpu"))
    with torch.no_grad():
        state.quantizer.codebook.normal_()
    reach, quality = coarse_reach(state.quantizer), torch.tensor([100.0])
    natural = torch.randn(1, state.network.d, 4, 4)
    natural[:, 0] = 3 * reach / float(state.network.gain(quality).detach()[0, 0])
    before = state.network.gain(quality).detach()
    assert cap_gains(state.network, state.quantizer, natural * before) == 1
    after = state.network.gain(quality).detach()
    assert float((natural * after)[:, 0].abs().max()) == pytest.approx(reach, rel=1e-4)
    assert torch.equal(after[:, 1:], before[:, 1:])


def test_a_prior_starts_with_every_flat_color_within_reach() -> None:
    settings, pictures = tiny_settings(**TINY_CONTEXT), picture_set()
    state = TrainingState(settings, torch.device("cpu"))
    with torch.no_grad():
        state.network.set_basis(*block_basis(pictures, np.random.default_rng(0), 64))
        colors, quality = flat_colors(64), torch.tensor([100.0])
        before = state.network.analysis(colors, quality).abs().max()
        state.rate.start(source_of(state, pictures, 4))
        after = state.network.analysis(colors, quality).abs().max()
    assert float(after) <= coarse_reach(state.quantizer) * (1 + 1e-4) < float(before)


@pytest.mark.parametrize("K", [32, 256, 1024])
def test_a_codebook_reaches_further_along_its_axes(K: int) -> None:
    points, disc = armed_codebook(K, 1.35), hexagonal_codebook(K, 1.35)
    assert points.shape == disc.shape and not points[0].any()
    assert len({tuple(point) for point in points.tolist()}) == K
    for axis in range(2):
        assert float(points[:, axis].abs().max()) >= float(disc[:, axis].abs().max()) * (1.3 if K > 32 else 1)
    # Inside it is what it was, less its rim.
    inner = K - K // 7
    assert torch.equal(points[:inner], disc[:inner])
