"""Train with a loss of your own: edges that are as steep in the reconstruction as in the original.

    python examples/own_loss.py photographs/ [--steps 300]

A loss is a module of (x, y) that returns a scalar. Under a name in LOSSES, recipes and settings can give it a weight.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from vqcodec import training
from vqcodec.losses import LOSSES


class Edges(nn.Module):
    """The mean absolute difference between the steepness of edges."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scalar for originals x and reconstructions y float32 [B, 3, H, W] in 0..1; 0 for equal ones."""
        return (_steepness(y) - _steepness(x)).abs().mean()


def _steepness(x: Tensor) -> Tensor:
    """Return differences of neighbors [B, 3, H-1, W-1]; the constant keeps the gradient finite in flat places."""
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    right = x[..., :-1, 1:] - x[..., :-1, :-1]
    return (down.square() + right.square() + 1e-6).sqrt()


LOSSES["edges"] = Edges

SETTINGS = {
    "name": "edges",
    "K": 32,
    "m": 24,
    "d": 48,
    "width": 12,
    "crop": 64,
    "batch": 4,
    "classes": 4,
    "table_rows": 4,
    "fit_crops": 16,
    "validation_pictures": 1,
    # Squared error keeps colors and flat places right, the new loss has its say about edges.
    "losses": {"l2": 100.0, "edges": 1.0},
    # The encoder's proximal steps are for less squared error, so a run with losses goes without them.
    "refine_steps": 0,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and say where the model is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path("edges.safetensors"))
    options = parser.parse_args(arguments)
    settings = training.make_settings(None, SETTINGS | {"steps": options.steps})
    if training.run([options.pictures], options.output, settings, resume=False):
        print(f"{options.output}: use it with vqc compress --model {options.output}")


if __name__ == "__main__":
    main()
