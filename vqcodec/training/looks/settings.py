"""The settings of training a model's synthesis for how pictures look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from vqcodec.errors import SettingsError
from vqcodec.training.limits import ADVERSARIAL_RANGES, Adversarial, Ranges, RunSettings
from vqcodec.training.pictures.augmentation import SHARES, Augmented

OBJECTIVE = "perceptual"
_RANGES: Ranges = {
    "matching": (0, 1e3),
    "average_decay": (0, 0.99999),
    "low_rates": (1, 100),
    "effort": (0, 9),
    "batch": (1, 4096),
    "crop": (64, 4096),
    "clip": (1e-6, 1e6),
}


@dataclass(frozen=True)
class PerceptualSettings(Augmented, Adversarial, RunSettings):
    """Everything that such a run depends on besides its pictures.

    The model `init`, by name or path, is taken as it is, but for its synthesis, which learns on what an encoder of
    effort `effort` writes. `losses` are weights by their names in vqcodec/losses. A discriminator judges too, and
    `matching` weighs the difference in its features. Qualities are drawn as 1 + 99 u^low_rates with u even in 0..1. The
    model that is written has moving averages of the weights. A run lasts `steps` steps or, if that is 0, `seconds`
    seconds.
    """

    ranges: ClassVar[Ranges] = _RANGES | SHARES | ADVERSARIAL_RANGES

    name: str = "perceptual"
    objective: str = OBJECTIVE
    init: str = "photo"
    losses: Mapping[str, float] = field(default_factory=lambda: {"l1": 1.0, "structure": 1.0})
    matching: float = 0.0
    average_decay: float = 0.99
    low_rates: float = 2.5
    effort: int = 1
    batch: int = 4
    crop: int = 256
    learning_rate: float = 1e-4
    clip: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective != OBJECTIVE:
            raise SettingsError(f"objective {self.objective!r} is unknown; the only one with a name is {OBJECTIVE}")
        if not self.losses:
            raise SettingsError("a run for how pictures look needs losses, for example losses = { l1 = 1.0 }")

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as they are: nothing follows from others here."""
        return dict(values)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return super().as_dict() | {"losses": dict(self.losses)}
