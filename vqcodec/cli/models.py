"""vqc models: what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqcodec.cli.console import print_result

if TYPE_CHECKING:
    from vqcodec.exact.metadata import Metadata

_COLUMNS = ("name", "quantizer", "K", "m", "d*", "beta", "depth", "size", "fingerprint", "trained on")


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per model.")
def command(as_json: bool) -> None:
    """List the models that are shipped."""
    from vqcodec.exact import metadata

    models = [_facts(path, metadata.read_metadata(path)) for path in metadata.shipped()]
    if as_json:
        for facts in models:
            print_result(facts)
        return
    if not models:
        print_result("no model is shipped; train one with: vqc train IMAGES/ -o my.safetensors")
        return
    for line in _table([_COLUMNS, *map(_row, models)]):
        print_result(line)


def _facts(path: Path, metadata: Metadata) -> dict[str, Any]:
    quantizer = metadata.quantizer
    return {
        "name": metadata.name,
        "quantizer": quantizer["name"],
        "K": quantizer["K"],
        "m": quantizer["m"],
        "d_star": quantizer["d_star"],
        "beta": quantizer["beta"],
        "beta_mode": quantizer["mode"],
        "depth": quantizer["depth"],
        "bytes": path.stat().st_size,
        "fingerprint": metadata.fingerprint,
        "training": metadata.training,
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    beta = str(facts["beta"]) + (f" ({facts['beta_mode']})" if facts["beta"] > 1 else "")
    return (
        facts["name"],
        facts["quantizer"],
        str(facts["K"]),
        str(facts["m"]),
        str(facts["d_star"]),
        beta,
        str(facts["depth"]),
        f"{facts['bytes'] / 1e6:.1f} MB",
        facts["fingerprint"],
        _trained_on(facts["training"]),
    )


def _trained_on(training: dict[str, Any]) -> str:
    """Return the training data in words: its name if the model tells one, and how many pictures."""
    pictures = f"{training['pictures']} pictures" if "pictures" in training else ""
    return ", ".join(part for part in (str(training.get("data", "")), pictures) if part) or "unknown"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
