"""The codec works alike whatever its caller has set in torch, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vqcodec.codec import Codec
from vqcodec.image import Picture


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == dtype
        torch.set_default_dtype(before)


SETTINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("model", ["tiny_model", "context_model"])
def test_a_caller_s_settings_change_nothing(
    request: pytest.FixtureRequest, pixels: npt.NDArray[np.uint8], name: str, model: str
) -> None:
    path: Path = request.getfixturevalue(model)
    codec = Codec.open(path)
    data = codec.compress(Picture(pixels), 40, effort=3)
    shown = codec.decompress(data).pixels
    setting: AbstractContextManager[object] = SETTINGS[name]()
    with setting:
        for again in (codec, Codec.open(path)):
            assert again.compress(Picture(pixels), 40, effort=3) == data
            np.testing.assert_array_equal(again.decompress(data).pixels, shown)
            np.testing.assert_array_equal(again.decode(again.encode(pixels, 40)), shown)
    assert Codec.open(path).compress(Picture(pixels), 40, effort=3) == data
