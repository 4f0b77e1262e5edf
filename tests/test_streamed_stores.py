"""Shards in stores that fail now and then, in the ways of their packages, or for good."""

from __future__ import annotations

import io
from pathlib import Path

import fsspec
import pytest
import torch
from streaming import levels, png, shards, tar

from vqcodec import stores
from vqcodec.errors import InputError, SettingsError
from vqcodec.training.pictures.shards import find_shards
from vqcodec.training.pictures.streamed import StreamedPictures

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of a store with shards, which is asked again without waiting."""
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.0)
    for path in shards(tmp_path):
        stores.write(f"memory://photos/{path.name}", io.BytesIO(path.read_bytes()))
    return "memory://photos"


class ClientError(Exception):
    """What packages of stores raise that is no OSError."""


def failing(monkeypatch: pytest.MonkeyPatch, times: int, error: type[Exception] = ConnectionError) -> None:
    """Let a store fail in the middle of reading, some times."""
    opened, left = stores.opened, [times]

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 3000 and left[0]:
                left[0] -= 1
                raise error("the connection was reset")
            return super().read(2000 if size is None else min(size, 2000))

    monkeypatch.setattr(stores, "opened", lambda address: Failing(opened(address).read()))


@pytest.mark.parametrize("error", [ConnectionError, ClientError])
@pytest.mark.parametrize("source", ["memory:/photos", "memory:/photos/shard-{0..3}.tar"])
def test_shards_of_a_store(store: str, source: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = find_shards([Path(source)])
    assert [shard.count for shard in found] == [5] * 4
    failing(monkeypatch, 4, error)
    assert sorted(levels(StreamedPictures(found, 1, CPU, count=20).at(0, 2).pictures)) == list(range(20))


@pytest.mark.parametrize("error", [ConnectionError, ClientError])
def test_a_store_that_does_not_answer(store: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = find_shards([Path(store)])
    failing(monkeypatch, 10**6, error)
    with pytest.raises(InputError, match="cannot be read .the connection was reset"):
        StreamedPictures(found, 1, CPU, count=20).at(0, 2)
    with pytest.raises(InputError, match=r"memory://photos/none.tar does not exist; check the address"):
        find_shards([Path("memory://photos/none.tar")])
    with pytest.raises(SettingsError, match="Protocol not known"):
        find_shards([Path("nowhere://photos/none.tar")])
    fsspec.filesystem("memory").rm("/photos", recursive=True)


def test_pictures_of_a_store_that_are_in_no_shard_are_said(store: str) -> None:
    for name in ("a.png", "._b.TAR", "c.TAR"):
        stores.write(f"memory://photos/{name}", io.BytesIO(tar({"1.png": png(1), "._1.png": b"of a Mac"})))
    found, others = find_shards([Path(store)])
    assert [shard.count for shard in found] == [1, 5, 5, 5, 5]
    assert [path.name for path in others.left_out] == ["._b.TAR", "a.png"]
    stores.write("memory://loose/a.png", io.BytesIO(png(1)))
    with pytest.raises(InputError, match="memory://loose holds no .tar files"):
        find_shards([Path("memory://loose")])
