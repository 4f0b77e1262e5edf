"""Whole-process times and peak memory of vqc and of other codecs, for pictures of several sizes, in turn in one run.

    python benchmarks/speed_sizes.py [--megapixels 0.4 11 100] [--efforts 1 3] [--runs 3] [--source PICTURE]

Prints one JSON object: for each size and command the seconds (median), peak resident memory in MB and bytes of what was
written; of other codecs also their seconds in those of `vqc compress` (the first of --efforts) and `vqc decompress`.
Pictures are drawn by large_picture.py, PNG is read and written by all. Of the others avifenc and avifdec, cjxl and
djxl, cwebp and dwebp are taken where these programs are installed, and otherwise Pillow's codec in a new process, which
is named so. A codec that fails at a size, as WebP above 16,383 pixels a side, is left out there with what it said.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from large_picture import SOURCE, size_of
from PIL import features
from speed import run, vqc

_BY_PILLOW = """
import sys
from PIL import Image
if {needs_jxl}: import pillow_jxl
Image.MAX_IMAGE_PIXELS = None
with Image.open(sys.argv[1]) as image:
    image.save(sys.argv[2], **{options})
"""


class Peer(NamedTuple):
    """Another codec: the suffix of its files, its programs with options, and options of Pillow's."""

    suffix: str
    encode: tuple[str, ...]
    decode: tuple[str, ...]
    options: dict[str, int]

    def commands(self) -> tuple[str, list[str], list[str]]:
        """Return what it is, and what encodes and decodes; input and output are to be added."""
        encoder, decoder = shutil.which(self.encode[0]), shutil.which(self.decode[0])
        if encoder and decoder:
            return f"{self.encode[0]}, {self.decode[0]}", [encoder, *self.encode[1:]], [decoder, *self.decode[1:]]
        return f"{self.suffix} by Pillow", self._by_pillow(self.options), self._by_pillow({"compress_level": 3})

    def _by_pillow(self, options: dict[str, int]) -> list[str]:
        return [sys.executable, "-c", _BY_PILLOW.format(needs_jxl=self.suffix == "jxl", options=options)]

    def is_here(self) -> bool:
        """Whether there is a program or Pillow's codec."""
        if shutil.which(self.encode[0]) and shutil.which(self.decode[0]):
            return True
        return find_spec("pillow_jxl") is not None if self.suffix == "jxl" else bool(features.check(self.suffix))


PEERS = (
    Peer("avif", ("avifenc", "-s", "6", "-q", "60"), ("avifdec",), {"speed": 6, "quality": 60}),
    Peer("jxl", ("cjxl", "-e", "7", "-q", "75"), ("djxl",), {"effort": 7, "quality": 75}),
    Peer(
        "webp",
        ("cwebp", "-quiet", "-m", "4", "-q", "75", "-o"),
        ("dwebp", "-quiet", "-o"),
        {"method": 4, "quality": 75},
    ),
)


def measured(command: list[str], output: Path, runs: int) -> dict[str, float]:
    """Return the median seconds of a command, after one run to warm up, its peak MB and the bytes of its output."""
    run(command)
    seconds, peaks = zip(*(run(command) for _ in range(runs)), strict=True)
    return {
        "seconds": round(statistics.median(seconds), 3),
        "peak_mb": round(max(peaks)),
        "bytes": output.stat().st_size,
    }


def with_files(command: list[str], source: Path, target: Path) -> list[str]:
    """Return a command with its input and output; where it ends with -o, the output comes first."""
    return [*command, str(target), str(source)] if command[-1] == "-o" else [*command, str(source), str(target)]


def peer_rows(peer: Peer, picture: Path, vqc_seconds: tuple[float, float], runs: int) -> dict[str, object]:
    """Return what another codec takes for a picture, beside the seconds of `vqc compress` and `vqc decompress`."""
    name, encode, decode = peer.commands()
    small, back = picture.with_name(f"peer.{peer.suffix}"), picture.with_name("peer.png")
    rows: dict[str, object] = {}
    try:
        for what, command, target, own in (
            ("encode", with_files(encode, picture, small), small, vqc_seconds[0]),
            ("decode", with_files(decode, small, back), back, vqc_seconds[1]),
        ):
            row = measured(command, target, runs)
            rows[what] = row | {"of_vqc": round(row["seconds"] / own, 3)}
    except SystemExit as error:
        return {name: rows | {"failed": str(error)}}
    return {name: rows}


def size_rows(megapixels: float, arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Return the rows of one size."""
    picture, small, back = folder / "picture.png", folder / "picture.vqc", folder / "back.png"
    draw = Path(__file__).with_name("large_picture.py")
    # Drawn elsewhere: a child's peak counts the memory of the process that it was started from.
    options = ["--megapixels", str(megapixels), "--source", str(arguments.source), "--draw", str(picture)]
    subprocess.run([sys.executable, str(draw), *options], check=True)
    model = ["--model", arguments.model] if arguments.model else []
    compress = {
        f"compress -e {effort}": vqc("compress", str(picture), "-f", "-o", str(small), "-e", str(effort), *model)
        for effort in arguments.efforts
    }
    rows = {name: measured(command, small, arguments.runs) for name, command in compress.items()}
    decompress = vqc("decompress", str(small), "-f", "-o", str(back), *model)
    rows["decompress"] = measured(decompress, back, arguments.runs)
    vqc_seconds = rows[next(iter(compress))]["seconds"], rows["decompress"]["seconds"]
    width, height = size_of(megapixels)
    found: dict[str, object] = {"width": width, "height": height, "vqc": rows}
    for peer in PEERS:
        if peer.is_here():
            found |= peer_rows(peer, picture, vqc_seconds, arguments.runs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.4, 11, 100])
    parser.add_argument("--efforts", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    found = {}
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory() as folder:
            found[f"{megapixels:g} MP"] = size_rows(megapixels, arguments, Path(folder))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
