"""Training arithmetic of this machine: GFLOP/s of forward and backward 3 x 3 convolutions.

    python benchmarks/precision.py [--threads 1]

Prints one JSON object: float32 and bfloat16, for the shapes of the photo network.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
import torch.nn.functional as F

SHAPES = ((192, 12), (128, 24), (64, 48))
BATCH, SECONDS = 8, 1.0


def gflops(channels: int, side: int, dtype: torch.dtype) -> float:
    x = torch.randn(BATCH, channels, side, side, dtype=dtype, requires_grad=True)
    weight = torch.randn(channels, channels, 3, 3, dtype=dtype, requires_grad=True)
    F.conv2d(x, weight, padding=1).sum().backward()
    started, count = time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        F.conv2d(x, weight, padding=1).sum().backward()
        count += 1
    return 3 * 2 * 9 * BATCH * (channels * side) ** 2 * count / (time.monotonic() - started) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    result = {n: {f"{c} channels": round(gflops(c, s, t)) for c, s in SHAPES} for n, t in types.items()}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
