"""A model as one .safetensors file: weights, codebook, tables, settings; and its fingerprint.

Reading needs no torch. The metadata holds one JSON object under the key "vqc". The
fingerprint covers what decoding depends on (network, stride, quantizer, table_bits and every
tensor), not the name or the notes about training, and not how the file is laid out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vqcodec import hub
from vqcodec.errors import ModelError
from vqcodec.exact import model_settings
from vqcodec.exact.priors import PRIORS, Prior, StaticPrior
from vqcodec.exact.priors.base import Arrays as Arrays

FORMAT = 1
METADATA_KEY = "vqc"
DEFAULT_MODEL = "photo"
NETWORK_PREFIX = "network."
CODEBOOK = "codebook"
_OWN_AXES = 3
_PROXIMAL_KEY = "search"
"""The key that shipped model files have for Metadata.proximal."""
_RATE_WEIGHT_KEY = "rate_weight"
_DECODING_KEYS = ("network", "stride", "quantizer", "table_bits")
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
    prior: str = StaticPrior.kind
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


def fingerprint(metadata: Metadata, arrays: Arrays) -> str:
    """Return 16 hexadecimal digits that identify what decoding depends on."""
    digest = hashlib.sha256(json.dumps(_decoding_settings(metadata), sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        shape = ",".join(map(str, array.shape))
        digest.update(b"\0".join((name.encode(), array.dtype.name.encode(), shape.encode(), b"")))
        # Little-endian on every machine, or one model would have two names.
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


def to_bytes(metadata: Metadata, arrays: Arrays) -> bytes:
    """Return the model file; its fingerprint is computed here."""
    values = _decoding_settings(metadata) | {"name": metadata.name, "training": metadata.training}
    values |= {"format": FORMAT, "fingerprint": fingerprint(metadata, arrays)}
    if not metadata.proximal:
        values[_PROXIMAL_KEY] = False
    if metadata.rate_weight is not None:
        values[_RATE_WEIGHT_KEY] = metadata.rate_weight
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data: bytes = save(contiguous, {METADATA_KEY: json.dumps(values, sort_keys=True)})
    return data


def read_metadata(path: Path) -> Metadata:
    """Return a model file's metadata; ModelError if it is not a model of this vqc."""
    with _open(path) as file:
        return _metadata(path, file)


def load(path: Path) -> tuple[Metadata, Arrays]:
    """Return metadata and all tensors of a model file; its fingerprint is verified."""
    with _open(path) as file:
        metadata = _metadata(path, file)
        arrays = _tensors(path, file, file.keys())
    with _named(path):
        model_settings.check_finite(arrays)
    # A damaged weight would decode to other indices, and nothing else would notice.
    if fingerprint(metadata, arrays) != metadata.fingerprint:
        raise ModelError(f"{path}: the fingerprint does not match the contents; the model file is damaged")
    return metadata, arrays


def load_prior(path: Path, *, verify: bool = False) -> tuple[Metadata, Prior]:
    """Return metadata and prior of a model file, reading none of its weights unless to `verify` its fingerprint."""
    if verify:
        metadata, arrays = load(path)
        return metadata, make_prior(metadata, arrays)
    with _open(path) as file:
        metadata = _metadata(path, file)
        owns = PRIORS[metadata.prior].owns
        names = [name for name in file.keys() if owns(name)]  # noqa: SIM118
        arrays = _tensors(path, file, names)
    return metadata, make_prior(metadata, arrays)


def make_prior(metadata: Metadata, arrays: Arrays) -> Prior:
    """Return the prior that a model's tensors hold; ModelError where they do not fit its settings."""
    try:
        prior = PRIORS[metadata.prior].of_model(metadata, arrays)
        K, planes = metadata.quantizer["K"], metadata.planes
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"the model's quantizer settings are incomplete or damaged: {error}") from error
    if (prior.K, prior.planes) != (K, planes):
        raise ModelError(
            f"the model's tables are for K={prior.K} and {prior.planes} planes, its quantizer has K={K} and {planes}"
        )
    return prior


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


def _decoding_settings(metadata: Metadata) -> dict[str, Any]:
    """Return the settings that decoding depends on; those of the prior only where it has any."""
    settings = {key: getattr(metadata, key) for key in _DECODING_KEYS}
    return settings | ({metadata.prior: metadata.prior_settings} if metadata.prior_settings else {})


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except FileNotFoundError as error:
        raise ModelError(f"model {path} does not exist") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a model file: {error}") from error


def _tensors(path: Path, file: Any, names: Iterable[str]) -> Arrays:
    """Return tensors of an open file; all names and types are checked first."""
    with _named(path):
        for name in file.keys():  # noqa: SIM118
            model_settings.check_tensor(name, file.get_slice(name).get_dtype())
    return {name: file.get_tensor(name) for name in names}


def _metadata(path: Path, file: Any) -> Metadata:
    raw = file.metadata()
    if METADATA_KEY not in (raw or {}):
        raise ModelError(f"{path} is not a vqc model: its description is missing")
    own_codebooks = _has_own_codebooks(file)
    with _named(path):
        values = model_settings.parse((raw or {})[METADATA_KEY])
        if own_codebooks:
            model_settings.check_own_codebooks(values["quantizer"])
    version = values.pop("format")
    if version != FORMAT:
        raise ModelError(f"{path} has model format {version}, this vqc reads {FORMAT}; update vqc")
    proximal = values.pop(_PROXIMAL_KEY, True)
    for kind in PRIORS:
        if settings := values.pop(kind, None):
            values |= {"prior": kind, "prior_settings": settings}
    return Metadata(**({"name": ""} | values), proximal=proximal, own_codebooks=own_codebooks)


def _has_own_codebooks(file: Any) -> bool:
    return CODEBOOK in file.keys() and len(file.get_slice(CODEBOOK).get_shape()) == _OWN_AXES  # noqa: SIM118


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path} is not a vqc model: {error}") from error
