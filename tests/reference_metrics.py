"""SSIMULACRA 2 written down a second time, from libjxl's description: its recursive Gaussian and its loops.

Only the 108 weights are taken from the `ssimulacra2` package.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ssimulacra2.ssimulacra2 import weights

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
SIGMA = 1.5


def recursive_gaussian(line: Array) -> Array:
    """Filter along the first axis as libjxl does (Charalampidis, 2016): three oscillators, zero outside."""
    n = round(3.2795 * SIGMA + 0.2546)
    omega = np.array([1, 3, 5]) * np.pi / (2 * n)
    p = np.array([1, -1, 1]) / np.tan(omega / 2)
    r = np.array([1, -1, 1]) * p * p / np.sin(omega)
    rho = np.exp(-0.5 * SIGMA**2 * omega**2) / n
    d13, d35, d51 = (p[i] * r[j] - r[i] * p[j] for i, j in ((0, 1), (1, 2), (2, 0)))
    zeta1, zeta3 = d35 / d13, d51 / d13
    matrix = np.array([p, r, [zeta1, zeta3, 1]])
    beta = np.linalg.solve(matrix, [1, n * n - SIGMA**2, zeta1 * rho[0] + zeta3 * rho[1] + rho[2]])
    gain, feedback = -beta * np.cos(omega * (n + 1)), -2 * np.cos(omega)
    length = len(line)
    result, last, before = np.zeros_like(line), [0.0] * 3, [0.0] * 3
    for at in range(-n + 1, length):
        left, right = at - n - 1, at + n - 1
        entering = (line[left] if left >= 0 else 0.0) + (line[right] if right < length else 0.0)
        now = [gain[k] * entering - feedback[k] * last[k] - before[k] for k in range(3)]
        before, last = last, now
        if at >= 0:
            result[at] = now[0] + now[1] + now[2]
    return result


def ssimulacra2(original: Pixels, copy: Pixels) -> float:
    """The score of a copy."""
    linear = [_linear(original), _linear(copy)]
    numbers: list[list[tuple[float, float, float, float, float, float]]] = []
    for _ in range(6):
        if min(linear[0].shape[:2]) < 8:
            break
        a, b = _xyb(linear[0]), _xyb(linear[1])
        numbers.append([_plane(a[..., c], b[..., c]) for c in range(3)])
        linear = [_half(linear[0]), _half(linear[1])]
    total, weight = 0.0, iter(weights)
    for c in range(3):
        for scale in numbers:
            for norm in range(2):
                total += sum(next(weight) * abs(scale[c][2 * kind + norm]) for kind in range(3))
    total *= 0.9562382616834844
    total = 2.326765642916932 * total - 0.020884521182843837 * total**2 + 6.248496625763138e-05 * total**3
    return 100 - 10 * total**0.6276336467831387 if total > 0 else 100.0


def _plane(a: Array, b: Array) -> tuple[float, float, float, float, float, float]:
    """Means of first and fourth power of the three maps of one color plane."""
    mean_a, mean_b = _blur(a), _blur(b)
    both = _blur(a * b) - mean_a * mean_b
    spread = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    loss = np.maximum(0, 1 - (1 - (mean_a - mean_b) ** 2) * (2 * both + 0.0009) / (spread + 0.0009))
    edges = (1 + abs(b - mean_b)) / (1 + abs(a - mean_a)) - 1
    norms = [
        float(np.mean(values**power)) ** (1 / power)
        for values in (loss, np.maximum(0, edges), np.maximum(0, -edges))
        for power in (1, 4)
    ]
    return norms[0], norms[1], norms[2], norms[3], norms[4], norms[5]


def _blur(plane: Array) -> Array:
    return recursive_gaussian(recursive_gaussian(plane).T).T


def _linear(pixels: Pixels) -> Array:
    values = pixels / 255.0
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _xyb(linear: Array) -> Array:
    bias = 0.0037930732552754493
    matrix = [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 1 - 0.24342268924547819 - 0.20476744424496821],
    ]
    long, medium, short = np.moveaxis(np.cbrt(linear @ np.array(matrix).T + bias) - bias ** (1 / 3), 2, 0)
    x, y = (long - medium) / 2, (long + medium) / 2
    return np.stack([14 * x + 0.42, y + 0.01, short - y + 0.55], axis=2)


def _half(linear: Array) -> Array:
    rows, columns = (np.minimum(np.arange(size + size % 2), size - 1) for size in linear.shape[:2])
    even = linear[rows][:, columns]
    return (even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]) / 4
