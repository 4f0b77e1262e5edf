"""Where results were made: versions, machine, commit, and how much memory a call takes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vqcodec.cores import cores
from vqcodec.heap import trim

_PACKAGES = (
    "vqcodec",
    "torch",
    "numpy",
    "Pillow",
    "scipy",
    "bjontegaard",
    "pytorch-msssim",
    "torchmetrics",
    "ssimulacra2",
    "pillow-jxl-plugin",
)
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def describe() -> dict[str, Any]:
    """Return processor, cores, memory in bytes and system."""
    memory = None
    with suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": _processor(), "cores": cores(), "memory_bytes": memory, "system": platform.platform()}


def load() -> float | None:
    """Return how many processes ran or waited to in the last minute, on average; None on systems that do not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def commit() -> str | None:
    """Return the commit of the checkout of this package, with "-dirty" if it was changed; None outside one."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list that afterwards holds the bytes by which resident memory grew inside the block at its highest.

    What was resident before, such as the interpreter and a loaded model, does not count. The
    list stays empty on systems that do not tell (all but Linux).
    """
    found: list[int] = []
    trim()  # else memory that is free but still resident would hide the growth
    before = _reset_peak()
    yield found
    peak = _status("VmHWM")
    if before is not None and peak is not None:
        found.append(max(0, peak - before))


def _reset_peak() -> int | None:
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return None
    return _status("VmRSS")


def _status(key: str) -> int | None:
    """Return a figure of this process in bytes."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    if sys.platform == "linux":
        with suppress(OSError):
            for line in Path("/proc/cpuinfo").read_text().splitlines():
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
