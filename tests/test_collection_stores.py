"""Collections in stores that fail now and then, or for good."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collecting import NAMES, convert, files, lines, photos

from vqcodec import stores

fsspec = pytest.importorskip("fsspec")
__all__ = ["convert", "photos"]


@pytest.fixture
def store(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.0)
    for name in (*NAMES, "notes.txt"):
        with (photos / name).open("rb") as file:
            stores.write(f"memory://in/{name}", file)
    stores.write("memory://in/deep/../../escaped.png", io.BytesIO(b"hostile"))
    yield "memory://in"
    for folder in ("/in", "/out"):
        if fsspec.filesystem("memory").exists(folder):
            fsspec.filesystem("memory").rm(folder, recursive=True)


def test_a_store_that_fails_now_and_then(
    store: str, photos: Path, tmp_path: Path, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert convert(photos, tmp_path / "small").code == 0
    (tmp_path / "done.jsonl").unlink()
    memory, calls = type(fsspec.filesystem("memory")), [0]
    for name in ("ls", "_open"):
        before = getattr(memory, name)

        def now_and_then(self: Any, *given: Any, before: Any = before, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] % 3 == 0:
                raise ConnectionError("the connection was reset")
            return before(self, *given, **more)

        monkeypatch.setattr(memory, name, now_and_then)
    done = convert(store, "memory://out")
    assert done.code == 1 and done.err.count("would be written outside of") == 1 and "1 failed" in done.err
    monkeypatch.undo()
    made = {name: stores.read(address) for name, address in stores.listed("memory://out")}
    assert made == files(tmp_path / "small") and sorted(facts["name"] for facts in lines(tmp_path)) == NAMES


def test_a_store_that_does_not_answer(
    store: str, convert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "_open", never)
    done = convert(store, tmp_path / "small")
    assert done.code == 1 and done.err.count("cannot be read (no route); try again later") == 4
    assert not (tmp_path / "small").exists()
    (tmp_path / "done.jsonl").unlink()
    assert "memory://none does not exist" in convert("memory://none", tmp_path / "small").err
    assert not (tmp_path / "done.jsonl").exists()  # which would be the manifest of a mistake
    assert "Protocol not known" in convert("nowhere://none", tmp_path / "small").err


def test_what_is_written_to_a_store_is_there_whole_or_not(store: str) -> None:
    class Ending(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stores.write("memory://out/half", Ending(b"abc"))
    assert not stores.has_file("memory://out/half")
