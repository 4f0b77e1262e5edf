"""The model card that a hub shows: what a model is, how it was made, what was measured, how to use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vqcodec.errors import InputError
from vqcodec.exact.model_file import Metadata
from vqcodec.files import parsed_json

_TRAINING = ("data", "pictures", "steps", "seconds", "machine")
_SETTINGS = ("K", "m", "d_star", "beta", "mode", "depth")


def model_card(metadata: Metadata, size_bytes: int, name: str, results: dict[str, Any] | None) -> str:
    """Return Markdown for a model of a file of size_bytes that is to be hf://name.

    `results` is what results.json of `vqc eval` holds; curves of this model in it become a table.
    """
    parts = [_front(), f"# {metadata.name or name}\n", _use(name), _facts(metadata, size_bytes), _training(metadata)]
    return "\n".join(parts + ([] if results is None else [_measured(metadata, results)]))


def read_results(path: Path) -> dict[str, Any]:
    """Return what results.json of `vqc eval` holds; InputError where it does not."""
    try:
        found = parsed_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON; give the results.json that vqc eval writes") from error
    if not isinstance(found, dict) or not {"codecs", "curves", "metrics", "pictures"} <= found.keys():
        raise InputError(f"{path} holds no results; give the results.json that vqc eval writes")
    return found


def _front() -> str:
    tags = "".join(f"- {tag}\n" for tag in ("image-compression", "vector-quantization", "vqc"))
    return f"---\nlibrary_name: vqcodec\npipeline_tag: image-to-image\ntags:\n{tags}---\n"


def _use(name: str) -> str:
    return (
        "A model of vqc, a learned image codec.\n\n"
        f"    vqc compress photo.png --model hf://{name}\n    vqc decompress photo.vqc --model hf://{name}\n"
    )


def _facts(metadata: Metadata, size_bytes: int) -> str:
    quantizer = metadata.quantizer
    rows = {"network": metadata.network["name"], "quantizer": quantizer["name"]}
    rows |= {key: str(quantizer[key]) for key in _SETTINGS}
    rows |= {"prior": metadata.prior, "bytes": f"{size_bytes:,}", "fingerprint": metadata.fingerprint}
    return _table(("what", "value"), list(rows.items()))


def _training(metadata: Metadata) -> str:
    training = metadata.training
    rows = [(key, str(training[key])) for key in _TRAINING if training.get(key)]
    return "## Training\n\n" + (_table(("what", "value"), rows) if rows else "The model does not say.\n")


def _measured(metadata: Metadata, results: dict[str, Any]) -> str:
    try:
        return _checked_measured(metadata, results)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError("the results are damaged; give the results.json that vqc eval writes") from error


def _checked_measured(metadata: Metadata, results: dict[str, Any]) -> str:
    codec = next(
        (key for key, said in results["codecs"].items() if said["settings"].get("fingerprint") == metadata.fingerprint),
        None,
    )
    if codec is None:
        raise InputError(
            f"the results are of other models than {metadata.fingerprint}; run vqc eval --model with this one"
        )
    return "## Measured\n\n" + "\n".join(_sections(codec, results))


def _sections(codec: str, results: dict[str, Any]) -> Iterator[str]:
    pictures = results["pictures"]
    yield f"Means of {len(pictures)} pictures, {pictures[0]['name']} to {pictures[-1]['name']}, files as they are.\n"
    for metric, curves in results["curves"].items():
        if codec in curves:
            curve = curves[codec]
            rows = [
                (f"{quality:g}", f"{bpp:.3f}", f"{value:.3f}")
                for quality, bpp, value in zip(curve["qualities"], curve["bpp"], curve["values"], strict=True)
            ]
            yield _table(("quality", "bpp", results["metrics"][metric]["axis"]), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    # A bar in a name would begin another column.
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
