"""What a file's reader and writer must know of a quantizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from vqcodec.errors import SettingsError
from vqcodec.exact.bitstream.header import METHODS, MODES, MOST_DEPTH, OWN_CODEBOOKS
from vqcodec.quantizers.layout.matching import Match

# Steps^2 per bit. A uniform quantiser at high rate has the slope 2 ln 2 / 12 = 0.1155; behind a
# synthesis that repairs part of the error a little more pays.
RATE_WEIGHT = 0.15
_MOST_UNITS = {"looc": 4096, "pq": 4096, "dual": 2}
_MOST_DEPTH = {"looc": 2, "rq": MOST_DEPTH}
_ONLY_MATCH = {"gumbel": "l2", "sq": "l2", "fsq": "fsq", "lfq": "l2", "simvq": "l2", "rotation": "l2"}
_FEWEST_LEVELS = 3


@dataclass(frozen=True)
class QuantizerSettings:
    """Stored in the model file and, but for what only an encoder needs, in the .vqc header.

    name: the method; K codevectors of d_star values; m units; beta with its mode; depth, which is 1 or
    2 in `looc`, with the number of wide units and the factor of the coarse index, and the number of
    stages in `rq`. match: how an encoder finds a codevector, with the levels of `fsq` (matching.py).
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

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise SettingsError(f"quantizer {self.name!r} is unknown; choose one of {', '.join(METHODS)}")
        self._check_ranges()
        if self.mode not in MODES:
            raise SettingsError(f"beta mode {self.mode!r} is unknown; choose one of {', '.join(MODES)}")
        if self.beta == 1 and self.mode != "all":
            raise SettingsError(f"beta mode {self.mode!r} needs beta of 2 or more; use mode 'all' with beta 1")
        if not 0 <= self.wide <= self.m or (self.name == "looc" and self.depth == 2) != (self.wide > 0):
            raise SettingsError(f"wide={self.wide} does not fit depth={self.depth} and m={self.m} units")
        if self.depth == 2 and self.name == "looc" and self.match != "l2":
            raise SettingsError(f"match={self.match!r} finds no coarse codevector; with depth 2 looc needs match='l2'")
        if self.match not in get_args(Match):
            raise SettingsError(f"match {self.match!r} is unknown; choose one of {', '.join(get_args(Match))}")
        if self.match != (needed := _ONLY_MATCH.get(self.name, self.match)):
            raise SettingsError(f"quantizer {self.name!r} cannot match by {self.match!r}; choose match={needed!r}")
        self._check_levels()

    def _check_levels(self) -> None:
        if (self.match == "fsq") != bool(self.levels) or (self.levels and len(self.levels) != self.d_star):
            raise SettingsError(f"levels={list(self.levels)} do not fit match={self.match!r} and d_star={self.d_star}")
        if self.levels and (min(self.levels) < _FEWEST_LEVELS or math.prod(self.levels) != self.K):
            raise SettingsError(
                f"levels={list(self.levels)} do not make K={self.K}; choose levels of {_FEWEST_LEVELS} or more "
                "whose product is K"
            )

    def _check_ranges(self) -> None:
        units, depth = _MOST_UNITS.get(self.name, 1), _MOST_DEPTH.get(self.name, 1)
        beta = 8 if self.name == "looc" else 1
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
        return self.depth if self.name == "rq" else self.m + self.wide

    @property
    def has_own_codebooks(self) -> bool:
        """Whether every unit has a codebook of its own."""
        return self.name in OWN_CODEBOOKS

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
        """Return the settings as plain values for JSON; `match` and `levels` only where they are not the usual ones."""
        values = asdict(self) | {"levels": list(self.levels)}
        return values if self.match != "l2" else {k: v for k, v in values.items() if k not in ("match", "levels")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuantizerSettings:
        """Return the settings that as_dict wrote; TypeError for other names."""
        names = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - names):
            raise TypeError(f"unknown quantizer settings {', '.join(unknown)}")
        return cls(**(dict(values) | {"levels": tuple(values.get("levels", ()))}))
