"""What a model file says of itself without its tensors, and which file is meant by a name or a fingerprint.

No NumPy, which takes longer to import than all that `vqc info` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vqcodec import hub
from vqcodec.errors import ModelError
from vqcodec.exact import model_settings
from vqcodec.exact.bitstream.header import PRIORS
from vqcodec.files import parsed_json

FORMAT = 1
METADATA_KEY = "vqc"
DEFAULT_MODEL = "photo"
CODEBOOK = "codebook"
_OWN_AXES = 3
_OWN_KEY, _LENGTH_BYTES, _MOST_BYTES = "__metadata__", 8, 100_000_000
"""Of the .safetensors format: what is no tensor, the bytes of the length of its JSON, and the most of that."""
PROXIMAL_KEY = "search"
"""The key that shipped model files have for Metadata.proximal."""
_MODELS_FOLDER = Path(__file__).parent.parent / "models"


@dataclass(frozen=True)
class Metadata:
    """What a model file says of itself without its tensors.

    network: its name and settings; quantizer: the fields of QuantizerSettings; prior: its kind as
    headers of files name it, and its settings, which a model file has under that name; training: facts about how it
    was made; proximal: whether an encoder's proximal steps to less squared error are of use, which they are not to a
    model for looks; files call it `search`. rate_weight: what a bit counts for this model's encoder against a
    squared error of one step^2, where that is not RATE_WEIGHT.
    own_codebooks: whether units have a codebook each, which in a file is the shape of the tensor `codebook` and
    nothing else. `fingerprint` is 16 hexadecimal digits.
    """

    name: str
    network: dict[str, Any]
    stride: int
    quantizer: dict[str, Any]
    table_bits: int
    prior: str = PRIORS[0]
    prior_settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    proximal: bool = True
    rate_weight: float | None = None
    own_codebooks: bool = False
    fingerprint: str = ""

    @property
    def factor(self) -> int:
        """How many times more indices than latents the file holds along each side."""
        return 1 if self.quantizer["mode"] == "smooth" else int(self.quantizer["beta"])

    @property
    def layout(self) -> str:
        """How indices stand for latents: `own`, `stages` or `shared`; the name of the method has no part in it."""
        if self.own_codebooks:
            return "own"
        return "stages" if self.quantizer["depth"] > 1 and not self.quantizer["wide"] else "shared"

    @property
    def planes(self) -> int:
        """The index planes P."""
        quantizer = self.quantizer
        return int(quantizer["depth"] if self.layout == "stages" else quantizer["m"] + quantizer["wide"])


def read_metadata(path: Path) -> Metadata:
    """Return a model file's metadata; ModelError if it is not a model of this vqc."""
    described = _described(path)
    said = described.get(_OWN_KEY) or {}
    if not isinstance(said, dict) or METADATA_KEY not in said:
        raise ModelError(f"{path} is not a vqc model: its description is missing")
    own_codebooks = len((described.get(CODEBOOK) or {}).get("shape", ())) == _OWN_AXES
    with named(path):
        values = model_settings.parse(said[METADATA_KEY])
        if own_codebooks:
            model_settings.check_own_codebooks(values["quantizer"])
    version = values.pop("format")
    if version != FORMAT:
        raise ModelError(f"{path} has model format {version}, this vqc reads {FORMAT}; update vqc")
    proximal = values.pop(PROXIMAL_KEY, True)
    for kind in PRIORS:
        if settings := values.pop(kind, None):
            values |= {"prior": kind, "prior_settings": settings}
    return Metadata(**({"name": ""} | values), proximal=proximal, own_codebooks=own_codebooks)


def shipped() -> list[Path]:
    """Return the model files inside the package, the default first."""
    paths = sorted(_MODELS_FOLDER.glob("*.safetensors"))
    return sorted(paths, key=lambda path: path.stem != DEFAULT_MODEL)


def resolve(model: str | Path | None) -> Path:
    """Return the path for a shipped model's name, a path, an address as in hub.py, or None for the default model."""
    wanted = DEFAULT_MODEL if model is None else str(model)
    if hub.is_address(wanted):
        return hub.fetch(wanted)
    for path in shipped():
        if path.stem == wanted:
            return path
    path = Path(wanted)
    if path.is_file():
        return path
    names = ", ".join(path.stem for path in shipped()) or "none"
    raise ModelError(
        f"there is no model {wanted!r}; shipped models: {names}; or give the path of a .safetensors file or hf://user/name"
    )


def find(wanted: bytes) -> Path | None:
    """Return the shipped model with this fingerprint, or None."""
    for path in shipped():
        if read_metadata(path).fingerprint == wanted.hex():
            return path
    return None


def needed(fingerprint: bytes, model: str | Path | None = None) -> Path:
    """Return the model file that a .vqc file with this fingerprint needs.

    `model` is what `resolve` takes, for files of a model that is not shipped; ModelError where it is None and needed.
    """
    path = find(fingerprint) if model is None else resolve(model)
    if path is None:
        raise ModelError(
            f"the file was made by the model {fingerprint.hex()}, which is not shipped with this vqc; "
            "name its file with --model"
        )
    return path


def _described(path: Path) -> dict[str, Any]:
    """Return the JSON at the beginning of a .safetensors file, which its package reads only with NumPy.

    ModelError where it is none, or the file is not as long as it says.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            described = parsed_json(file.read(min(length, _MOST_BYTES)))
            ends = [tensor["data_offsets"][1] for name, tensor in described.items() if name != _OWN_KEY]
            is_whole = _LENGTH_BYTES + length + max(ends, default=0) == file.seek(0, os.SEEK_END)
    except FileNotFoundError as error:
        raise ModelError(f"model {path} does not exist") from error
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(f"{path} is not a model file: {error}") from error
    if not is_whole:
        raise ModelError(f"{path} is not a model file: its length is not what its description says")
    return dict(described)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Say of which file a ModelError is."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path} is not a vqc model: {error}") from error
