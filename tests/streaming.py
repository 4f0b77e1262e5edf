"""What tests of streamed pictures share: shards of pictures whose gray level is their number."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from PIL import Image
from torch import Tensor


def png(value: int, side: int = 24) -> bytes:
    data = io.BytesIO()
    Image.new("L", (side, side), value).save(data, "PNG")
    return data.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def shards(folder: Path, count: int = 4, each: int = 5) -> list[Path]:
    """Write .tar files of pictures whose gray level is their number, with other files between them."""
    folder.mkdir(exist_ok=True)
    paths = []
    for i in range(count):
        members = {f"{n:03}.png": png(n) for n in range(i * each, (i + 1) * each)}
        members |= {"notes.txt": b"of this shard", "__about__/preview.png": b"no picture"}
        paths.append(folder / f"shard-{i}.tar")
        paths[-1].write_bytes(tar(members))
    return paths


def levels(pictures: list[Tensor]) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pictures]
