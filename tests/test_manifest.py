"""Manifests: one run each, whatever is in them is kept, and what is wrong in one is said with what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vqcodec.cli import manifest
from vqcodec.errors import InputError, OutputError, VqcError

HEAD = {"vqc": "test"}


def test_runs_that_start_together_do_not_write_one_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    path, before, others = tmp_path / "m.jsonl", manifest.atomic_write, list[str]()

    def meanwhile(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(manifest, "atomic_write", before)
        with pytest.raises(OutputError, match="written by another run"):
            manifest.Manifest(path, HEAD)
        others.append("refused")
        return before(*given, **more)

    monkeypatch.setattr(manifest, "atomic_write", meanwhile)
    with manifest.Manifest(path, HEAD):
        assert others == ["refused"] and path.read_text() == '{"vqc": "test"}\n'


def test_a_run_that_locks_what_another_has_replaced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    path, before = tmp_path / "m.jsonl", manifest._lock
    path.touch()
    kept: list[manifest.Manifest] = []

    def other_was_quicker(*given: Any) -> None:
        monkeypatch.setattr(manifest, "_lock", before)
        kept.append(manifest.Manifest(path, HEAD))
        before(*given)

    monkeypatch.setattr(manifest, "_lock", other_was_quicker)
    with pytest.raises(OutputError, match="written by another run"):
        manifest.Manifest(path, HEAD)
    kept[0].__exit__(None, None, None)


@pytest.mark.parametrize("line", ["[" * 200_000, "no JSON", '{"name": 1}'])
def test_a_damaged_line_is_said_with_what_to_do(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"vqc": "test"}}\n{{"name": "a"}}\n{line}\n')
    with pytest.raises(InputError, match=re.escape(f"line 3 of {path} is none of a manifest; remove it")):
        manifest.Manifest(path, HEAD)


def test_half_a_character_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"vqc": "test"}\n{"name": "\\ud800"}\n')
    for _ in range(2):
        with manifest.Manifest(path, HEAD) as kept:
            assert kept.done == {"\ud800"}


def test_what_cannot_be_a_manifest_leaves_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none/m", tmp_path):
        with pytest.raises(VqcError):
            manifest.Manifest(path, HEAD)
    assert not list(tmp_path.iterdir())
