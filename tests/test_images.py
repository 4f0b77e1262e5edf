"""Data sets as batches: every picture once an epoch, the same for the same step, parts of large ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dataset_forms import made

from vqcodec.training.pictures.images import Images, to_pictures


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_the_pixels_in_zero_to_one(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 8, 6, channels), np.uint8)
    x = to_pictures(torch.from_numpy(pixels))
    assert x.shape == (5, 3, 8, 6) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    for channel in range(3):
        expected = pixels[..., channel if channels == 3 else 0]
        np.testing.assert_array_equal((x[:, channel] * 255).round().numpy(), expected)


@pytest.mark.parametrize("batch", [1, 4, 10, 16])
def test_every_epoch_shows_every_picture_once_in_a_new_order(batch: int) -> None:
    images = Images(np.arange(10, dtype=np.uint8)[:, None, None, None], batch, seed=3, crop=28)
    assert images.steps_per_epoch == -(-10 // batch)
    epochs = []
    for epoch in range(3):
        steps = range(epoch * images.steps_per_epoch, (epoch + 1) * images.steps_per_epoch)
        epochs.append((torch.cat([images.batch(step) for step in steps])[:, 0, 0, 0] * 255).round().int().tolist())
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_resumed_run_sees_what_an_uninterrupted_one_would() -> None:
    pixels, _ = made("mnist", "train", 50)
    images = Images(pixels, 8, seed=1, crop=28)
    whole = [images.batch(step) for step in range(20)]
    for start in (3, 7, 13):
        again = Images(pixels, 8, seed=1, crop=28)
        assert all(torch.equal(again.batch(step), whole[step]) for step in range(start, 20))
    assert not torch.equal(Images(pixels, 8, seed=2, crop=28).batch(0), whole[0])


def test_larger_pictures_are_shown_in_parts_that_differ_each_time() -> None:
    pixels = np.arange(40 * 50, dtype=np.uint8).reshape(1, 40, 50, 1).repeat(3, 0)
    images = Images(pixels, 3, seed=5, crop=16)
    shown = [(images.batch(step)[:, 0] * 255).round().byte().numpy() for step in range(20)]
    assert all(parts.shape == (3, 16, 16) for parts in shown)
    windows = np.lib.stride_tricks.sliding_window_view(pixels[0, :, :, 0], (16, 16))
    found = [np.argwhere((windows == part).all((2, 3))).tolist() for parts in shown for part in parts]
    assert all(found) and len({str(places) for places in found}) > 50
    again = Images(pixels, 3, seed=5, crop=16)
    np.testing.assert_array_equal((again.batch(7)[:, 0] * 255).round().byte().numpy(), shown[7])


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_variance_is_that_of_the_values_in_zero_to_one(name: str) -> None:
    pixels = made(name, "train", 30)[0] // 3
    assert Images(pixels, 4, seed=1, crop=32).variance == pytest.approx(np.var(pixels / 255.0), rel=1e-12)


def test_whole_pictures_come_once_in_their_order() -> None:
    pixels = np.arange(19 * 20 * 24, dtype=np.uint8).reshape(19, 20, 24, 1).repeat(3, 3)
    images = Images(pixels, 4, seed=1, crop=16)
    shown = torch.cat(list(images.whole())).permute(0, 2, 3, 1)
    np.testing.assert_array_equal((shown * 255).round().byte().numpy(), pixels)


def test_a_picture_is_cut_only_along_its_longer_sides() -> None:
    pixels = np.arange(2 * 20 * 40, dtype=np.uint8).reshape(2, 20, 40, 1)
    assert Images(pixels, 2, seed=1, crop=32).batch(0).shape == (2, 3, 20, 32)
