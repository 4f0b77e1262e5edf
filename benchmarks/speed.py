"""Whole-process times of the command line from a cold start, medians of five, and peak memory.

    python benchmarks/speed.py PICTURE [--model FILE] [--runs 5]

Prints one JSON object: seconds (median) and peak resident memory in MB for each command, limits and targets among them,
and the seconds of two compressions at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def vqc(*arguments: str) -> list[str]:
    """Return the command line of vqc."""
    return [sys.executable, "-m", "vqcodec", *arguments]


def run(command: list[str]) -> tuple[float, float]:
    """Return wall seconds and peak MB of one process."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def measure(arguments: list[str], runs: int) -> dict[str, float]:
    run(vqc(*arguments))
    seconds, peaks = zip(*(run(vqc(*arguments)) for _ in range(runs)), strict=True)
    return {"seconds": round(statistics.median(seconds), 3), "peak_mb": round(max(peaks))}


def two_at_a_time(arguments: list[str], outputs: list[str]) -> float:
    """Return the seconds until two processes have compressed the same picture."""
    started = time.monotonic()
    commands = [vqc(*arguments, "-o", output) for output in outputs]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    if any(process.wait() for process in processes):
        raise SystemExit("one of two compressions at a time failed")
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    model = ["--model", arguments.model] if arguments.model else []
    with tempfile.TemporaryDirectory() as folder:
        small, back = str(Path(folder) / "a.vqc"), str(Path(folder) / "a.png")
        compress = ["compress", str(arguments.picture), "-f", *model]
        commands = {
            "compress": [*compress, "-o", small],
            "compress -e 1": [*compress, "-o", small, "-e", "1"],
            "compress --max-bytes 30000": [*compress, "-o", small, "--max-bytes", "30000"],
            "compress --target-psnr 34": [*compress, "-o", small, "--target-psnr", "34"],
            "decompress": ["decompress", small, "-o", back, "-f", *model],
            "info": ["info", small, *model],
            "help": ["--help"],
        }
        found = {name: measure(command, arguments.runs) for name, command in commands.items()}
        times = [two_at_a_time(compress, [small, f"{small}2"]) for _ in range(arguments.runs)]
        found["two compressions at a time"] = {"seconds": round(statistics.median(times), 3)}
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
