"""--device: where the networks of a command compute."""

from __future__ import annotations

import os

import click

from vqcodec.cli.console import print_note
from vqcodec.device import AUTO, CPU, DEVICE_VARIABLE, DEVICES, chosen

device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    help="Where networks compute: cpu, unless VQC_DEVICE says otherwise, or a GPU; auto is a GPU where there is one.",
)


def use_device(name: str | None, quiet: bool = False) -> None:
    """Let this process and those that it starts compute there; a note where "auto" finds no GPU. SettingsError."""
    if name is None:
        return
    os.environ[DEVICE_VARIABLE] = found = chosen(name)
    if name == AUTO and found == CPU and not quiet:
        print_note("torch finds no GPU here; networks compute on the processor")
