"""Seconds and memory of a quantizer's training step, next to the nearest thing in vector-quantize-pytorch.

    python benchmarks/quantizers.py [--batch 64] [--runs 7] [--threads N] [--only vq,looc-256] [--json]

A step is forward and backward on latents [batch, d, 32, 32] with normal values, d = 128 where the method allows it.
Both sides take turns in one process, and the medians are compared; the range is the fastest and the slowest step.
Memory (Linux) is the peak of one step in a process of its own, above what the latents and the quantizers take before.
A side that needs more than --memory-limit MB, by default 80 % of what is free, counts as not fitting. What the package
takes part in, on our side too, is left out if it is not there: pip install vqcodec[quantizers].
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vqcodec import quantizers
from vqcodec.quantizers import Learned, QuantizerSettings, settings_of

PACKAGE = "vector-quantize-pytorch"
GRID, CHANNELS, K = 32, 128, 1024
LEVELS = (8, 8, 4, 4)
NEEDS_PACKAGE = ("fsq", "lfq", "simvq", "rotation")
BY_GRADIENT = {"rotation_trick": False, "learnable_codebook": True, "ema_update": False}
BY_AVERAGES = {"rotation_trick": False, "decay": 0.99}
REVIVING = BY_GRADIENT | {"threshold_ema_dead_code": 2}
DOES_NOT_FIT = 3

Step = Callable[[], None]


@dataclass(frozen=True)
class Entry:
    """What is compared: a quantizer of ours, and a class of the package with arguments besides its size."""

    settings: QuantizerSettings
    options: dict[str, Any] = field(default_factory=dict)
    theirs: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)

    def ours(self) -> nn.Module:
        return quantizers.build(self.settings, self.options)

    def other(self) -> nn.Module:
        import vector_quantize_pytorch

        sizes: dict[str, Any] = {}
        if "levels" not in self.arguments:
            sizes = {"dim": self.settings.d, "codebook_size": self.settings.K}
        if self.theirs == "VectorQuantize":
            sizes["accept_image_fmap"] = True
        module: nn.Module = getattr(vector_quantize_pytorch, self.theirs)(**sizes, **self.arguments)
        return ChannelsLast(module) if self.theirs == "ResidualVQ" else module


class ChannelsLast(nn.Module):
    """Hands latents on as [B, h * w, d]: ResidualVQ 1.32 mixes up the axes of pictures when it stacks residuals."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        z_q, *rest = self.module(z.movedim(1, -1).flatten(1, 2))
        return z_q.reshape(z.movedim(1, -1).shape).movedim(-1, 1), *rest


def one_unit(name: str, **changes: Any) -> QuantizerSettings:
    return settings_of(**({"name": name, "K": K, "m": 1, "d_star": CHANNELS} | changes))


def looc(size: int) -> Entry:
    settings = QuantizerSettings("looc", K=size, m=32, d_star=4)
    return Entry(settings, {}, "VectorQuantize", REVIVING | {"heads": 32, "codebook_dim": 4})


ENTRIES = {
    "vq": Entry(one_unit("vq"), {}, "VectorQuantize", BY_GRADIENT),
    "vq-ema": Entry(one_unit("vq"), {"learn": "ema"}, "VectorQuantize", BY_AVERAGES),
    "vq-unit": Entry(
        one_unit("vq", match="cosine"),
        {"learn": "ema", "codes": "unit"},
        "VectorQuantize",
        BY_AVERAGES | {"use_cosine_sim": True},
    ),
    "cvq": Entry(one_unit("cvq"), {}, "VectorQuantize", REVIVING),
    "hvq": Entry(one_unit("hvq"), {}, "VectorQuantize", REVIVING),
    "looc-256": looc(256),
    "looc-1024": looc(1024),
    "pq": Entry(
        settings_of("pq", K=K, m=4, d_star=CHANNELS // 4),
        {},
        "VectorQuantize",
        BY_GRADIENT | {"heads": 4, "codebook_dim": CHANNELS // 4, "separate_codebook_per_head": True},
    ),
    "rq": Entry(
        one_unit("rq", depth=4), {}, "ResidualVQ", BY_GRADIENT | {"num_quantizers": 4, "shared_codebook": True}
    ),
    "gumbel": Entry(
        one_unit("gumbel"),
        {},
        "VectorQuantize",
        BY_AVERAGES | {"stochastic_sample_codes": True, "straight_through": True},
    ),
    "dual": Entry(settings_of("dual", K=K, m=2, d_star=CHANNELS // 2)),
    "fsq": Entry(one_unit("fsq", d_star=len(LEVELS), match="fsq", levels=LEVELS), {}, "FSQ", {"levels": list(LEVELS)}),
    "lfq": Entry(one_unit("lfq", d_star=10), {}, "LFQ"),
    "simvq": Entry(one_unit("simvq"), {}, "SimVQ", {"channel_first": True}),
    "rotation": Entry(one_unit("rotation"), {}, "VectorQuantize", {"rotation_trick": True}),
}
SIDES = ("ours", "theirs")


def entries() -> dict[str, Entry]:
    """Return all entries: those above, and every other method with K = 1024 and d = 128."""
    covered = {entry.settings.name for entry in ENTRIES.values()}
    return ENTRIES | {name: Entry(one_unit(name)) for name in quantizers.names() if name not in covered}


def has_side(entry: Entry, side: str) -> bool:
    found = importlib.util.find_spec("vector_quantize_pytorch") is not None
    if side == "ours":
        return found or entry.settings.name not in NEEDS_PACKAGE
    return found and bool(entry.theirs)


def latents(entry: Entry, batch: int, grid: int = GRID) -> Tensor:
    return torch.randn(batch, entry.settings.d, grid, grid).requires_grad_()


def build(entry: Entry, side: str) -> nn.Module:
    torch.manual_seed(0)
    module = entry.ours() if side == "ours" else entry.other()
    if isinstance(module, Learned):
        nn.init.normal_(module.codebook)
    return module.train()


def make_step(module: nn.Module, z: Tensor) -> Step:
    gradient, one = torch.randn_like(z), torch.ones(())

    def step() -> None:
        z.grad = None
        module.zero_grad()
        out = module(z)
        heads = [out[0], *(loss.sum() for loss in out[2:3] if loss.requires_grad)]
        torch.autograd.backward(heads, [gradient, one][: len(heads)])

    return step


def seconds(steps: dict[str, Step], runs: int) -> dict[str, list[float]]:
    """Return the seconds of `runs` steps of each side, which take turns after one that does not count."""
    spent: dict[str, list[float]] = {side: [] for side in steps}
    for _ in range(runs + 1):
        for side, step in steps.items():
            started = time.perf_counter()
            step()
            spent[side].append(time.perf_counter() - started)
    return {side: each[1:] for side, each in spent.items()}


def kilobytes(file: str, key: str) -> int:
    """Return what a file of /proc says about a key."""
    values = dict(line.split(":", 1) for line in Path("/proc", file).read_text().splitlines())
    return int(values[key].split()[0])


def measure_here(entry: Entry, side: str, batch: int, limit: float) -> None:
    """Print the kilobytes that one step takes; to be run in a process of its own."""
    module = build(entry, side)
    make_step(module, latents(entry, 1, 4))()
    step = make_step(module, latents(entry, batch))
    allowed = int(limit * 2**20) + 1024 * kilobytes("self/status", "VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    # Starts the peak afresh; that of getrusage would still be the peak of the process that started this one.
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("self/status", "VmRSS")
    try:
        step()
    except (MemoryError, RuntimeError) as error:
        if "can't allocate memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        sys.exit(DOES_NOT_FIT)
    print(kilobytes("self/status", "VmHWM") - before)


def megabytes(name: str, side: str, arguments: argparse.Namespace) -> float | None:
    """Return the peak of one step in MB, None where it does not fit."""
    command = [sys.executable, __file__, "--measure", name, side, "--batch", str(arguments.batch)]
    command += ["--memory-limit", str(arguments.memory_limit), "--threads", str(arguments.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode == DOES_NOT_FIT:
        return None
    if done.returncode:
        raise SystemExit(f"measuring the memory of {side} for {name} failed")
    return round(int(done.stdout) / 1024, 1)


def compare(name: str, entry: Entry, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return one row: milliseconds and MB of each side, and how many times faster ours is."""
    sides = [side for side in SIDES if has_side(entry, side)]
    memory = {side: megabytes(name, side, arguments) for side in sides}
    z = latents(entry, arguments.batch)
    steps = {side: make_step(build(entry, side), z) for side in sides if memory[side] is not None}
    row: dict[str, Any] = {"name": name, "theirs": entry.theirs, "mb": memory, "ms": {}, "range_ms": {}}
    for side, spent in seconds(steps, arguments.runs).items():
        row["ms"][side] = round(1000 * statistics.median(spent), 1)
        row["range_ms"][side] = [round(1000 * min(spent), 1), round(1000 * max(spent), 1)]
    if len(row["ms"]) == len(SIDES):
        row["times_faster"] = round(row["ms"]["theirs"] / row["ms"]["ours"], 2)
    return row


def cell(row: dict[str, Any], key: str, side: str) -> str:
    if side not in row["mb"]:
        return "–"
    value = row[key].get(side)
    return "does not fit" if value is None else f"{value:,.0f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| method | next to | ms | theirs | times faster | MB | theirs |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        times, memory = ([cell(row, key, side) for side in SIDES] for key in ("ms", "mb"))
        faster = row.get("times_faster", "–")
        cells = [row["name"], row["theirs"] or "–", *times, str(faster), *memory]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", help="names of entries, with commas")
    parser.add_argument("--memory-limit", type=float, default=0.0, help="in MB, for a step of either side")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    arguments.memory_limit = arguments.memory_limit or 0.8 * kilobytes("meminfo", "MemAvailable") / 1024
    known = entries()
    if arguments.measure:
        name, side = arguments.measure
        measure_here(known[name], side, arguments.batch, arguments.memory_limit)
        return
    names = arguments.only.split(",") if arguments.only else list(known)
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no entry {', '.join(unknown)}; there are {', '.join(known)}")
    names = [name for name in names if has_side(known[name], "ours")]
    rows = [compare(name, known[name], arguments) for name in tqdm(names, unit="method")]
    if not arguments.json:
        print(table(rows))
        return
    versions = {"torch": torch.__version__}
    if has_side(ENTRIES["vq"], "theirs"):
        versions[PACKAGE] = importlib.metadata.version(PACKAGE)
    facts = {"batch": arguments.batch, "grid": GRID, "threads": arguments.threads, "runs": arguments.runs}
    print(json.dumps(facts | {"versions": versions, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
