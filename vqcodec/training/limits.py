"""What the settings of every kind of run have in common, and are checked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from vqcodec.errors import SettingsError

Ranges = dict[str, tuple[float, float]]
COMMON: Ranges = {
    "learning_rate": (1e-9, 1),
    "checkpoint_minutes": (0.05, 10**6),
    "seed": (0, 2**62),
    "threads": (0, 1024),
}
CODEBOOK: Ranges = {"quantizer_weight": (0, 1e3), "table_bits": (8, 24)}
"""Those of a run that makes a codebook and its tables."""
ADVERSARIAL_RANGES: Ranges = {
    "adversarial": (0, 1e3),
    "adversarial_from": (0, 1),
    "discriminator_width": (4, 1024),
    "discriminator_rate": (1e-9, 1),
}
"""Those of a run that a discriminator judges."""


def check_ranges(settings: Any, ranges: Ranges) -> None:
    """Raise SettingsError for a field outside its range, `ranges` or COMMON."""
    for key, (low, high) in (ranges | COMMON).items():
        value = getattr(settings, key)
        if not low <= value <= high:
            raise SettingsError(f"{key}={value} is outside {low:g}..{high:g}")


def unit_channels(d: int, m: int) -> int:
    """Return d_star, the channels of each of m units; SettingsError where they do not divide d."""
    if m < 1 or d % m:
        raise SettingsError(f"d={d} latent channels do not divide into m={m} units; choose m that divides d")
    return d // m


@dataclass(frozen=True)
class Adversarial:
    """The settings of a run that a discriminator judges (adversary.py).

    It does from the fraction `adversarial_from` of the run on, 0..1, and has `discriminator_width` channels; its
    loss is weighed as VQGAN does, times `adversarial`. `discriminator_rate` is its learning rate.
    """

    adversarial: float = 0.8
    adversarial_from: float = 0.3
    discriminator_width: int = 48
    discriminator_rate: float = 4e-4


@dataclass(frozen=True)
class RunSettings:
    """What runs of every kind depend on besides their pictures; SettingsError for a field outside `ranges`.

    `data` says what the pictures are, and `init` is a model, by name or path, that the run starts from. It lasts
    `steps` steps or, if that is 0, `seconds` seconds. `crop` is the side of training crops. With `stream` the
    pictures are read while it goes on, see pictures/streamed.py, and not all before.
    """

    ranges: ClassVar[Ranges] = {}

    name: str = "model"
    data: str = ""
    init: str = ""
    steps: int = 2000
    seconds: float = 0.0
    batch: int = 8
    crop: int = 128
    stream: bool = False
    learning_rate: float = 1e-3
    checkpoint_minutes: float = 3.0
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, self.ranges)
        if self.steps <= 0 and self.seconds <= 0:
            raise SettingsError("a run needs steps or a time; give --steps N or --time 30m")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)
