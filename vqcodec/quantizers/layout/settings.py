"""What a file's reader and writer must know of a quantizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from vqcodec.errors import SettingsError
from vqcodec.exact.bitstream.header import MODES, MOST_DEPTH
from vqcodec.quantizers.layout.matching import Match

MOST_UNITS, MOST_BETA, MOST_STAGES = 4096, 8, MOST_DEPTH["stages"]
_FEWEST_LEVELS = 3


@dataclass(frozen=True)
class QuantizerSettings:
    """Stored in the model file and, but for what only an encoder needs, in the .vqc header.

    name: the method, here a label; K codevectors of d_star values; m units; beta with its mode; depth, which is 1 or
    2 with a shared codebook, with the number of wide units and the factor of the coarse index, and otherwise the
    number of stages. match: how an encoder finds a codevector, with the levels of `fsq` (matching.py). layout: how
    indices stand for latents, `shared`, `own` or `stages`; it follows from the rest of a model and is not stored.
    """

    name: str
    K: int
    m: int
    d_star: int
    beta: int = 1
    mode: str = "all"
    depth: int = 1
    wide: int = 0
    scale: float = 12.0
    match: Match = "l2"
    levels: tuple[int, ...] = ()
    layout: str = "shared"

    def __post_init__(self) -> None:
        if self.layout not in MOST_DEPTH:
            raise SettingsError(f"layout {self.layout!r} is unknown; choose one of {', '.join(MOST_DEPTH)}")
        shared, depth = self.layout == "shared", MOST_DEPTH[self.layout]
        self.check_ranges(MOST_UNITS if self.layout != "stages" else 1, MOST_BETA if shared else 1, depth)
        if self.mode not in MODES:
            raise SettingsError(f"beta mode {self.mode!r} is unknown; choose one of {', '.join(MODES)}")
        if self.beta == 1 and self.mode != "all":
            raise SettingsError(f"beta mode {self.mode!r} needs beta of 2 or more; use mode 'all' with beta 1")
        if not 0 <= self.wide <= self.m or (shared and self.depth > 1) != (self.wide > 0):
            raise SettingsError(f"wide={self.wide} does not fit depth={self.depth} and m={self.m} units")
        if self.wide and self.match != "l2":
            raise SettingsError(f"match={self.match!r} finds no coarse codevector; wide units need match='l2'")
        if self.match not in get_args(Match):
            raise SettingsError(f"match {self.match!r} is unknown; choose one of {', '.join(get_args(Match))}")
        self._check_levels()

    def _check_levels(self) -> None:
        if (self.match == "fsq") != bool(self.levels) or (self.levels and len(self.levels) != self.d_star):
            raise SettingsError(f"levels={list(self.levels)} do not fit match={self.match!r} and d_star={self.d_star}")
        if self.levels and (min(self.levels) < _FEWEST_LEVELS or math.prod(self.levels) != self.K):
            raise SettingsError(
                f"levels={list(self.levels)} do not make K={self.K}; choose levels of {_FEWEST_LEVELS} or more "
                "whose product is K"
            )

    def check_ranges(self, units: int, beta: int, depth: int) -> None:
        """Raise SettingsError for what is outside of a codebook's ranges, or above these for m, beta and depth."""
        for key, low, high in (
            ("K", 2, 65536),
            ("m", 1, units),
            ("d_star", 1, 4096),
            ("beta", 1, beta),
            ("depth", 1, depth),
        ):
            value = getattr(self, key)
            if not low <= value <= high:
                raise SettingsError(f"{key}={value} is outside {low}..{high}, what quantizer {self.name!r} can have")

    @property
    def d(self) -> int:
        """Latent channels."""
        return self.m * self.d_star

    @property
    def planes(self) -> int:
        """Index planes P: one per unit and one more for each wide unit, or one per stage."""
        return self.depth if self.layout == "stages" else self.m + self.wide

    @property
    def has_own_codebooks(self) -> bool:
        """Whether every unit has a codebook of its own."""
        return self.layout == "own"

    @property
    def codebook_shape(self) -> tuple[int, ...]:
        """The shape of the constant codebook: [K, d_star], or [m, K, d_star] where units have their own."""
        shared = (self.K, self.d_star)
        return (self.m, *shared) if self.has_own_codebooks else shared

    @property
    def grid_factor(self) -> int:
        """How many times more indices than latents there are along each side in the file."""
        return 1 if self.mode == "smooth" else self.beta

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON; `match` and `levels` only where they are not the usual ones.

        The layout is left out: a model's fingerprint covers these values, and what it follows from too.
        """
        values = asdict(self) | {"levels": list(self.levels)}
        left_out = ("layout",) if self.match != "l2" else ("layout", "match", "levels")
        return {key: value for key, value in values.items() if key not in left_out}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], layout: str) -> QuantizerSettings:
        """Return the settings that as_dict wrote, with their layout; TypeError for other names."""
        names = {field.name for field in fields(cls)} - {"layout"}
        if unknown := sorted(set(values) - names):
            raise TypeError(f"unknown quantizer settings {', '.join(unknown)}")
        return cls(**(dict(values) | {"levels": tuple(values.get("levels", ())), "layout": layout}))
