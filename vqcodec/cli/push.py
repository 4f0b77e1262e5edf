"""vqc push: a model to a hub."""

from __future__ import annotations

from pathlib import Path

import click

from vqcodec.cli.console import AnyPath, print_result


@click.command("push")
@click.argument("model", type=AnyPath())
@click.argument("name", metavar="USER/NAME")
@click.option("--results", metavar="FILE", type=AnyPath(), help="results.json of vqc eval, for the model card.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--dry-run", is_flag=True, help="Print the model card, and send nothing.")
def command(model: Path, name: str, results: Path | None, private: bool, dry_run: bool) -> None:
    """Put a model on the Hugging Face hub, with a model card made from what it says of itself.

    Log in first with `hf auth login`. USER/NAME@BRANCH is another branch than main. Who has the name has the model:
    every --model takes hf://USER/NAME, and hf://USER/NAME@REVISION stays what it is. Needs the extra `hub`.

    \b
    vqc push my.safetensors ann/garden
    vqc push my.safetensors ann/garden --results results/results.json
    vqc compress photo.png --model hf://ann/garden
    """
    from vqcodec import hub
    from vqcodec.card import model_card, read_results
    from vqcodec.exact import model_file

    address = hub.address_of(name)
    path = model_file.resolve(model)
    metadata, _ = model_file.load(path)
    found = None if results is None else read_results(results)
    card = model_card(metadata, path.stat().st_size, address.repository, found)
    if dry_run:
        print_result(card)
        return
    print_result(f"{path}: on the hub; use it with --model {hub.push(path, card, name, private)}")
