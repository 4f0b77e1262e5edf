"""A large batch that is killed at a random place and started again: all is made, nothing twice, nothing half.

    python benchmarks/batch.py FOLDER_OF_PICTURES [--count 1000] [--jobs 2] [--model FILE] [--effort 3] [--seed 0]

Crops of 0.4 megapixels of the pictures become JPEG files of quality 95. `vqc compress -r -j JOBS` of their folder is
killed with all its processes by SIGKILL, and started again with --skip-existing. Prints one JSON object; any claim of
the first line that does not hold ends it with an AssertionError. It needs a system with process groups.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from vqcodec.exact.bitstream import container

WIDTH, HEIGHT = 776, 516
JPEG_QUALITY = 95
SAMPLE = 10  # files that are decoded at the end; of all others checksum and size are looked at
SECONDS_TO_END = 10.0
COUNTING = """
import os
from vqcodec.exact import model_file
load = model_file.load
def counted(path):
    with open(os.environ["VQC_LOADS"], "a") as file:
        print(os.getpid(), file=file)
    return load(path)
model_file.load = counted
"""
"""A sitecustomize that writes down each time that a model is loaded; workers run it too."""


def draw(sources: Path, folder: Path, count: int, rng: random.Random, size: tuple[int, int]) -> None:
    """Write so many crops of pictures, each at a place and scale of its own."""
    folder.mkdir()
    paths = sorted(path for path in sources.iterdir() if path.suffix in (".png", ".jpg"))
    for number in range(count):
        with Image.open(paths[number % len(paths)]) as image:
            least = max(size[0] / image.width, size[1] / image.height)
            scale = least * rng.uniform(1, 1.5)
            left, top = (rng.uniform(0, side - part / scale) for side, part in zip(image.size, size, strict=True))
            box = (left, top, left + size[0] / scale, top + size[1] / scale)
            crop = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, box)
        crop.save(folder / f"{number:05}.jpg", quality=JPEG_QUALITY)


class Batch:
    """`vqc compress -r` of a folder in a process group of its own, which counts how often a model is loaded."""

    def __init__(self, work: Path, options: list[str]) -> None:
        self.output, self.loads = work / "out", work / "loads"
        self.loads.unlink(missing_ok=True)
        site = work / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(COUNTING)
        path = os.pathsep.join([str(site), str(Path(__file__).parent.parent)])
        command = [
            sys.executable,
            "-m",
            "vqcodec",
            "compress",
            "-r",
            str(work / "in"),
            "-o",
            str(self.output),
            "--json",
        ]
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [*command, *options],
            env=os.environ | {"PYTHONPATH": path, "VQC_LOADS": str(self.loads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def made(self) -> dict[str, int]:
        """Return the files that are there, see files_made."""
        return files_made(self.output)

    def kill_at(self, count: int, seconds: float) -> None:
        """Kill all processes so many seconds after so many files are there."""
        while len(self.made()) < count:
            assert self.process.poll() is None, "the batch ended before it was killed"
            time.sleep(0.01)
        time.sleep(seconds)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        end = time.monotonic() + SECONDS_TO_END
        while has_processes(self.process):
            assert time.monotonic() < end, "processes outlive a SIGKILL of their group"
            time.sleep(0.01)

    def end(self) -> tuple[list[str], float]:
        """Wait for the end; return the names of what was made, and seconds."""
        out, _ = self.process.communicate()
        assert self.process.returncode == 0, f"exit code {self.process.returncode}"
        return [Path(json.loads(line)["output"]).name for line in out.splitlines()], time.monotonic() - self.begin

    def loads_by_process(self) -> dict[str, int]:
        """Return how often each process has loaded a model."""
        pids = self.loads.read_text().split() if self.loads.exists() else []
        return {pid: pids.count(pid) for pid in pids}


def files_made(folder: Path) -> dict[str, int]:
    """Return the .vqc files of a folder, with the time in nanoseconds when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.vqc")}


def has_processes(first: subprocess.Popen[str]) -> bool:
    """Return whether any process of the group that a process leads still runs."""
    try:
        os.killpg(first.pid, 0)
    except ProcessLookupError:
        return False
    return True


def killed_and_resumed(work: Path, count: int, jobs: int, rng: random.Random, options: list[str],
                       delay_seconds: float) -> dict[str, object]:  # fmt: skip
    """Compress the pictures in work/in, be killed, go on, check everything, and return figures."""
    options = ["-j", str(jobs), *options]
    first = Batch(work, options)
    first.kill_at(rng.randrange(1, max(2, count * 3 // 4)), rng.uniform(0, delay_seconds))
    before, loads = first.made(), first.loads_by_process()
    assert set(loads.values()) == {1}, f"models were loaded more than once in a process: {loads}"
    assert len(before) < count, "the batch was done before it was killed"
    again = Batch(work, [*options, "--skip-existing"])
    outputs, seconds = again.end()
    after, loads = again.made(), again.loads_by_process()
    assert set(loads.values()) == {1} and len(loads) <= jobs, f"models were loaded again in a process: {loads}"
    assert len(after) == count, f"{len(after)} files of {count}"
    assert {name: after[name] for name in before} == before, "a file was made twice"
    assert sorted(outputs) == sorted(after.keys() - before.keys()), "the second run made other files than were missing"
    others = [path.name for path in again.output.iterdir() if path.suffix != ".vqc"]
    assert not others, f"left behind: {others}"
    return {"count": count, "before_the_kill": len(before), "seconds_again": round(seconds, 1)}


def check_files(work: Path, size: tuple[int, int], sample: list[str], model: list[str]) -> int:
    """Read every file, decode some with the command line, and return the bytes of all."""
    total = 0
    for path in (work / "out").iterdir():
        header = container.read(path.read_bytes()).header
        assert (header.width, header.height) == size, f"{path.name} is of another picture"
        total += path.stat().st_size
    for name in sample:
        pair = [str(work / "in" / f"{name}.jpg"), str(work / "out" / f"{name}.vqc")]
        subprocess.run(
            [sys.executable, "-m", "vqcodec", "verify", *pair, *model], check=True, stdout=subprocess.DEVNULL
        )
    return total


def measure(sources: Path, count: int, jobs: int, seed: int, options: list[str], model: list[str],
            size: tuple[int, int] = (WIDTH, HEIGHT), delay_seconds: float = 1.0) -> dict[str, object]:  # fmt: skip
    """Return the figures of a whole run, killed at most `delay_seconds` after some file of the first three quarters."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        draw(sources, work / "in", count, rng, size)
        figures = killed_and_resumed(work, count, jobs, rng, [*options, *model], delay_seconds)
        names = [path.stem for path in sorted((work / "in").iterdir())]
        total = check_files(work, size, rng.sample(names, min(SAMPLE, count)), model)
    return figures | {"jobs": jobs, "bytes": total, "bpp": round(8 * total / (count * size[0] * size[1]), 4)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill a batch of many pictures, go on, and check what is there.")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model")
    parser.add_argument("--effort", default="3")
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    model = ["--model", said.model] if said.model else []
    figures = measure(said.pictures, said.count, said.jobs, said.seed, ["-e", said.effort], model)
    print(json.dumps(figures | {"effort": int(said.effort), "seed": said.seed}))


if __name__ == "__main__":
    main()
