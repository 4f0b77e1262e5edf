"""benchmarks/speed_sizes.py: one small picture through vqc and whatever other codecs there are."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import features


@pytest.fixture
def speed_sizes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return importlib.import_module("speed_sizes")


def test_a_small_picture_is_measured(
    speed_sizes: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", "speed_sizes --megapixels 0.01 --efforts 0 1 --runs 1".split())
    speed_sizes.main()
    (found,) = json.loads(capsys.readouterr().out).values()
    assert (found.pop("width"), found.pop("height")) == (123, 82)
    own = found.pop("vqc")
    assert set(own) == {"compress -e 0", "compress -e 1", "decompress"}
    assert own["compress -e 1"]["bytes"] < own["compress -e 0"]["bytes"]
    assert len(found) >= features.check("avif") + features.check("webp")
    for peer in found.values():
        for what, same in (("encode", own["compress -e 0"]), ("decode", own["decompress"])):
            assert peer[what]["of_vqc"] == pytest.approx(peer[what]["seconds"] / same["seconds"], abs=0.002)
            assert peer[what]["bytes"] > 100 and peer[what]["peak_mb"] > 0


def test_programs_come_before_pillow_and_failures_are_said(
    speed_sizes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, what in (("cwebp", "cp $7 $6"), ("dwebp", "exit 3")):
        (tmp_path / name).write_text(f"#!/bin/sh\nshift\n{what}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"pixels")
    webp = next(peer for peer in speed_sizes.PEERS if peer.suffix == "webp")
    found = speed_sizes.peer_rows(webp, picture, (1.0, 1.0), 1)["cwebp, dwebp"]
    assert found["encode"]["bytes"] == 6 and "dwebp" in found["failed"]
