"""A quantizer of your own, from its class to a file that any vqc decodes. See docs/extending-quantizer.md.

    python examples/own_quantizer.py PICTURE FOLDER

FOLDER gets a model that is trained on the picture, the picture's .vqc file, and the picture that comes back.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import vqcodec
from vqcodec import training
from vqcodec.errors import SettingsError
from vqcodec.quantizers import Learned, QuantizerSettings, register
from vqcodec.quantizers.base import draw
from vqcodec.quantizers.learning.noise import StepNoise


@dataclass(frozen=True)
class Options:
    """patience: batches for which a codevector may be of no use before it hops."""

    patience: int = 5


@register("hopping", options=Options, units=4096, defaults={"m": 4})
class Hopping(Learned):
    """A codebook [K, d_star] for m units, in which a codevector that nobody chooses hops to a feature of the batch."""

    idle: Tensor

    def __init__(self, settings: QuantizerSettings, options: Options = Options()) -> None:
        super().__init__(settings)
        if options.patience < 1:
            raise SettingsError(f"option patience of quantizer 'hopping' is {options.patience}; choose 1 or more")
        self.patience = options.patience
        # A buffer and a StepNoise go into checkpoints, so that a resumed run is the run that was not interrupted.
        self.register_buffer("idle", torch.zeros(self.K))
        self.noise = StepNoise()

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor, usage: Tensor) -> None:
        """Count for how long each codevector has been of no use, and let those hop that lost their patience."""
        self.idle.add_(1).mul_(usage == 0)
        tired = torch.nonzero(self.idle >= self.patience).flatten()
        generator = torch.Generator().manual_seed(self.noise.seed())
        self.noise.advance()
        if len(tired):
            units = z.view(-1, self.d_star, *z.shape[2:])
            self.codebook[tired] = draw(units, len(tired), generator)
            self.idle[tired] = 0


SETTINGS = {
    "network": "vqvae",
    "quantizer": "hopping",
    "K": 64,
    "d": 16,
    "options": {"patience": 3},
    "crop": 64,
    "batch": 4,
    "steps": 40,
}


def main(picture: Path, folder: Path) -> None:
    """Train a small model, compress the picture with it, and decompress the file."""
    model, file, back = (folder / name for name in ("hopping.safetensors", "picture.vqc", "picture.png"))
    training.run([picture], model, training.make_settings(None, SETTINGS), resume=False)
    data = vqcodec.compress(picture, model=model)
    file.write_bytes(data)
    vqcodec.decompress(data, model=model).save(back)
    print(f"{file}: {len(data):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
