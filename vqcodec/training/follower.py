"""Following a run while it lasts: the entries of its log as curves of TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vqcodec.errors import SettingsError


class TensorBoard:
    """Writes numbers of log entries as scalars into a folder; SettingsError where the package is missing."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SettingsError("--log tensorboard needs tensorboard; pip install 'vqcodec[tensorboard]'") from error
        # Untyped where the package is missing.
        self._writer: Any = SummaryWriter(str(folder))

    def __call__(self, entry: Mapping[str, Any]) -> None:
        """Write an entry, which has its `step`."""
        for name, value in scalars(entry):
            self._writer.add_scalar(name, value, entry["step"])
        # At once: who looks at the curves wants to see how the run is doing, and it may be killed.
        self._writer.flush()


def scalars(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield names and numbers of an entry; those of a validation for each quality."""
    for name, value in entry.items():
        if name == "validation":
            for quality, figures in value.items():
                yield from zip((f"{what}/q{quality}" for what in ("bpp", "psnr_db", "usage")), figures, strict=True)
        elif name != "step" and isinstance(value, int | float):
            yield name, value
