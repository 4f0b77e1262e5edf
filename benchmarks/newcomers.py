"""What every quantizer makes of a few photographs in a few minutes, with no setting but its name.

    python benchmarks/newcomers.py FOLDER --held PICTURES [--time 3m] [--match PATTERN] [--threads 1] [--only vq,pq]

Trains a model with `vqc train FOLDER --quantizer X --time TIME` for each X, and compresses held-out pictures with it
as `vqc compress` does without options. Prints a Markdown table row by row, and writes it with -o: seconds of the whole
command, PSNR and bits per pixel of the files, whether the mean is above 24 dB and no file above 2 bpp, and what the
command noted. A run that makes no model has its message there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vqcodec import quantizers
from vqcodec.codec import Codec
from vqcodec.image import find_pictures, read_picture
from vqcodec.scores import psnr_db

LEAST_DB, MOST_BPP = 24.0, 2.0
HEAD = [
    "| quantizer | seconds | PSNR (dB) | lowest | bpp | largest | above 24 dB at 2 bpp | noted |",
    "|---|---|---|---|---|---|---|---|",
]


class Coded(NamedTuple):
    psnr_db: float
    bpp: float


def coded(codec: Codec, path: Path) -> Coded:
    """What the file of a picture has."""
    picture = read_picture(path)
    data = codec.compress(picture)
    pixels = picture.pixels
    bpp = 8 * len(data) / (pixels.shape[0] * pixels.shape[1])
    return Coded(psnr_db(pixels, codec.decompress(data).pixels), bpp)


def train(name: str, model: Path, options: argparse.Namespace) -> tuple[float, str]:
    """Run the command; return its seconds, and what it noted or, where it made no model, said at last."""
    words = [sys.executable, "-m", "vqcodec", "train", str(options.folder), "--quantizer", name, "--time", options.time]
    words += ["--threads", str(options.threads), "-o", str(model)]
    words += ["--match", options.match] if options.match else []
    started = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return time.monotonic() - started, "; ".join(lines if done.returncode == 0 else lines[-1:])


def row(name: str, held: list[Path], options: argparse.Namespace) -> str:
    """The row of a quantizer."""
    with tempfile.TemporaryDirectory() as place:
        model = Path(place) / f"{name}.safetensors"
        seconds, noted = train(name, model, options)
        if not model.exists():
            return f"| `{name}` | {seconds:.0f} | | | | | no model | {noted} |"
        codec = Codec.open(model)
        found = [coded(codec, path) for path in held]
    psnr, bpp = np.array(found).T
    good = "yes" if psnr.mean() > LEAST_DB and bpp.max() <= MOST_BPP else "no"
    figures = f"{psnr.mean():.2f} | {psnr.min():.2f} | {bpp.mean():.3f} | {bpp.max():.3f}"
    return f"| `{name}` | {seconds:.0f} | {figures} | {good} | {noted} |"


def rows(options: argparse.Namespace) -> Iterator[str]:
    held = [path for given in options.held for path in (find_pictures(given) if given.is_dir() else [given])]
    held = held[:: max(1, len(held) // options.count)][: options.count]
    for name in options.only.split(",") if options.only else quantizers.names():
        try:
            yield row(name, held, options)
        except Exception as error:  # one method must not keep the others from their rows
            yield f"| `{name}` | | | | | | no model | {type(error).__name__}: {error} |"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photographs to train on")
    parser.add_argument("--held", type=Path, nargs="+", required=True, help="pictures, or folders of them")
    parser.add_argument("--count", type=int, default=4, help="how many of these are compressed, spread over all")
    parser.add_argument("--time", default="3m")
    parser.add_argument("--match", help="train only on pictures with such names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", help="quantizers, with commas; all if left out")
    parser.add_argument("-o", "--output", type=Path, help="write the table here too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    table = list(HEAD)
    print(*HEAD, sep="\n", flush=True)
    for line in rows(options):
        print(line, flush=True)
        table.append(line)
        if options.output:
            options.output.write_text("\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
