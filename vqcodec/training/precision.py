"""Whether bfloat16 makes a network faster on this machine: it does where the processor has instructions for it."""

from __future__ import annotations

import time
from typing import Literal

import torch

from vqcodec.networks import RatedNetwork

Switch = bool | Literal["auto"]
"""True, False, or what a measurement says."""
_ROUNDS = 3
# A small picture: caches help both sides alike, and a start must not take long.
_POSITIONS = 12
# A rounding error in every layer is not worth a few hundredths of the time.
_WORTH = 0.9


def wants_bf16(network: RatedNetwork, device: torch.device, switch: Switch) -> bool:
    """Return whether a network is to compute its convolutional branches in bfloat16; `auto` measures for a second.

    Without such instructions bfloat16 takes up to ten times as long. The measurement may come out differently another
    time, so a run that must be repeatable to the bit says true or false.
    """
    if switch != "auto":
        return switch
    before = network.bf16
    seconds = {False: float("inf"), True: float("inf")}
    for _ in range(_ROUNDS):
        for network.bf16 in seconds:
            seconds[network.bf16] = min(seconds[network.bf16], _seconds(network, device))
    network.bf16 = before
    return seconds[True] < _WORTH * seconds[False]


def _seconds(network: RatedNetwork, device: torch.device) -> float:
    """Return the time of one picture there and back, with gradients."""
    side = _POSITIONS * network.stride
    x = torch.full((1, 3, side, side), 0.5, device=device).contiguous(memory_format=torch.channels_last)
    quality = torch.full((1,), 50.0, device=device)
    _wait(device)
    started = time.perf_counter()
    y = network.synthesis(network.analysis(x, quality), quality)
    torch.autograd.grad(y.sum(), [p for p in network.parameters() if p.requires_grad], allow_unused=True)
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
