"""A generator and its file: .safetensors with the weights of the Transformer and, as JSON, what it was made for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vqcodec.errors import ModelError, SettingsError
from vqcodec.files import atomic_write, parsed_json
from vqcodec.generation.transformer import Sizes, Transformer

_KEY, _FORMAT = "vqc generator", 1


@dataclass(frozen=True)
class Purpose:
    """What a generator is for: the model of this fingerprint, pictures of `data`, and how it learned."""

    fingerprint: str
    data: str
    sizes: Sizes
    learned: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        said = {"fingerprint": self.fingerprint, "data": self.data, "learned": self.learned}
        return said | {"format": _FORMAT, "sizes": self.sizes.as_dict()}


def write(path: Path, transformer: Transformer, purpose: Purpose) -> None:
    """Write a generator; an existing file is replaced once the new one is whole."""
    weights = {name: tensor.contiguous() for name, tensor in transformer.state_dict().items()}
    with atomic_write(path, force=True) as file:
        file.write(save(weights, {_KEY: json.dumps(purpose.as_dict(), sort_keys=True)}))


def read(path: Path) -> tuple[Transformer, Purpose]:
    """Return a generator in eval mode; ModelError where the file is none, or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            said = parsed_json((file.metadata() or {})[_KEY])
            purpose = Purpose(said["fingerprint"], said["data"], Sizes(**said["sizes"]), said["learned"])
            with torch.device("meta"):
                transformer = Transformer(purpose.sizes)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        transformer.load_state_dict(weights, assign=True)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError, SettingsError) as error:
        raise ModelError(f"{path} is not a generator of this vqc; delete it, or name another folder with -o") from error
    return transformer.eval().requires_grad_(False), purpose
