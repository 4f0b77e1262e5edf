"""A collection of small pictures by two processes and by two actors of Ray Data, of which one is killed in the middle.

    python benchmarks/collection.py PHOTOGRAPHS [--count 10000] [--side 128] [--jobs 2] [--model FILE]

The pictures are pieces of the photographs, as PNG. `vqc compress --manifest` of their folder runs with each engine;
both must make the same files, and each of them once. It needs /proc, where the actors are looked for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vqcodec.image import find_pictures, read_picture

EFFORT = "1"
ACTOR = b"ray::MapWorker"


def write_pieces(photographs: Path, folder: Path, count: int, side: int) -> None:
    """Write `count` pieces of photographs into folders of 1,000."""
    numbers = np.random.default_rng(0)
    pixels = [read_picture(path).pixels for path in find_pictures(photographs)[:40]]
    for number in range(count):
        whole = pixels[numbers.integers(len(pixels))]
        top, left = (int(numbers.integers(length - side)) for length in whole.shape[:2])
        path = folder / f"{number // 1000:03}" / f"{number:06}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(whole[top : top + side, left : left + side]).save(path, compress_level=1)


def actors() -> list[int]:
    """Return the processes in which Ray's actors are."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes().startswith(ACTOR):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def seconds_of(command: list[str], manifest: Path, kill_at: int = 0) -> tuple[float, int]:
    """Return how long a command takes, and how many actors were killed when the manifest had `kill_at` lines."""
    killed, started = 0, time.monotonic()
    run = subprocess.Popen(command)
    while run.poll() is None:
        time.sleep(0.2)
        if kill_at and not killed and manifest.exists() and manifest.read_bytes().count(b"\n") >= kill_at:
            for pid in actors()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    if run.returncode:
        raise SystemExit(f"vqc compress ended with {run.returncode}")
    return time.monotonic() - started, killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=10**4)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default="photo")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place, first, found = Path(name), 0.0, dict[str, dict[str, bytes]]()
        (place / "in").mkdir()
        write_pieces(options.photographs, place / "in", options.count, options.side)
        print(f"{options.count} pictures of {options.side} x {options.side}, {options.jobs} at a time, effort {EFFORT}")
        for title, engine, kill_at in (
            ("processes", "processes", 0),
            ("ray", "ray", 0),
            ("ray, an actor killed", "ray", options.count // 2),
        ):
            manifest, made = place / f"{len(found)}.jsonl", place / f"out-{len(found)}"
            words = [str(place / "in"), "-o", str(made), "--manifest", str(manifest), "--engine", engine, "--quiet"]
            words += ["-e", EFFORT, "-j", str(options.jobs), "--model", options.model]
            seconds, killed = seconds_of([sys.executable, "-m", "vqcodec", "compress", *words], manifest, kill_at)
            names = [json.loads(line)["name"] for line in manifest.read_text().splitlines()[1:]]
            assert len(names) == len(set(names)) == options.count, "a file is not there once"
            found[title] = {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*.vqc")}
            assert found[title] == found["processes"], "the files differ"
            first = first or seconds
            print(f"{title}: {seconds:.1f} s, {seconds / first - 1:+.1%}, {killed} killed, each file once", flush=True)


if __name__ == "__main__":
    main()
