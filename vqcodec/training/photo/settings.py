"""The settings of training the `photo` network, one model for every rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from vqcodec import losses
from vqcodec.errors import SettingsError
from vqcodec.networks import rated
from vqcodec.networks.rated import LAMBDAS
from vqcodec.quantizers import QuantizerSettings, method, names_by_rate, settings_of
from vqcodec.training import optimizers
from vqcodec.training.limits import CODEBOOK, Ranges, RunSettings, unit_channels
from vqcodec.training.photo.tilt import LOWEST, check_tilt
from vqcodec.training.pictures.augmentation import SHARES, Augmented
from vqcodec.training.precision import Switch
from vqcodec.training.rate import rate_of

MOST_COUNTS = 1 << 28
"""Most index counts that fitting tables keeps in memory (1 GiB)."""
# A tenth less than the radius, so that the cells of the coarse index overlap and leave no gap between them.
_COARSE_FILL = 0.9
# Shares of the channels, sorted by deviation: the first few carry most bits and need most passes.
_GROUP_EDGES = (0.0125, 0.05, 0.15, 0.3, 0.55)
# A block of 16 x 16 x 3 has 768 values, and its basis no more components.
_MOST_CHANNELS = 768
_RANGES: Ranges = {
    "K": (2, 65536),
    "m": (1, 4096),
    "d": (1, _MOST_CHANNELS),
    "width": (2, 1024),
    "prior_share": (0, 1),
    "quantised_share": (0, 1),
    "integer_share": (0, 1),
    "synthesis_share": (0, 1),
    "refine_steps": (0, 100),
    "losses_weight": (1e-6, 1e6),
    "low_rates": (1, 100),
    "batch": (1, 4096),
    "crop": (64, 4096),
    "warmup_steps": (1, 10**6),
    "clip": (1e-6, 1e6),
    "validation_pictures": (1, 10**4),
    "validation_minutes": (0.05, 10**6),
    "context_width": (4, 4096),
    "context_rows": (2, 199),
    "classes": (1, 256),
    "table_rows": (1, 199),
    "table_count": (1, 32767),
    "lattice_spacing": (0.01, 100),
    "fit_crops": (1, 10**5),
}


@dataclass(frozen=True)
class TrainingSettings(Augmented, RunSettings):
    """Everything that a training run depends on besides its pictures.

    The run has these stages: `noise` (scalar rounding, a density per channel), with a context
    prior `prior` (only its networks learn), `quantised` (the codebook in the loop) and
    `synthesis` (only the synthesis learns, from exactly what the decoder gets). The shares of
    all but the first are fractions of the run, which lasts `steps` steps or, if that is 0,
    `seconds` seconds; in the last `integer_share` of the run the context prior is rounded.
    In the last stage three of four steps have latents that `refine_steps` proximal steps of the encoder have moved.
    `init` is a model, by name or path, whose networks the run starts from, with logarithms of gains
    changed by `tilt`, see tilt.py. `losses` are weights by their names in vqcodec/losses: where any is given, bits per
    pixel are weighed against their sum times losses_weight lambda^0.78 instead of squared error, see loss.py.
    With `masking` a context prior's steps are coarser in busy places and finer in calm ones.
    `lambdas` are the weights of squared error at evenly spaced qualities. Qualities are drawn as 1 + 99 u^low_rates
    with u even in 0..1. `optimizer` is adam or soap, see optimizers.py; `bf16` is true, false or
    "auto", see precision.py.
    """

    ranges: ClassVar[Ranges] = _RANGES | CODEBOOK | SHARES

    network: str = "photo"
    quantizer: str = "looc"
    K: int = 256
    m: int = 160
    d: int = 320
    width: int = 64
    beta: int = 1
    mode: str = "all"
    depth: int = 2
    wide: int = 48
    scale: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    tilt: Mapping[str, float] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    losses_weight: float = 45.0
    low_rates: float = 1.0
    prior: str = "static"
    prior_share: float = 0.1
    quantised_share: float = 0.2
    integer_share: float = 0.4
    synthesis_share: float = 0.15
    refine_steps: int = 2
    crop: int = 192
    optimizer: str = "adam"
    warmup_steps: int = 50
    clip: float = 1.0
    quantizer_weight: float = 0.1
    validation_pictures: int = 8
    validation_minutes: float = 10.0
    groups: tuple[int, ...] = ()
    lambdas: tuple[float, ...] = LAMBDAS
    context_width: int = 256
    context_rows: int = 34
    masking: bool = False
    classes: int = 16
    table_rows: int = 12
    table_count: int = 256
    lattice_spacing: float = 1.35
    table_bits: int = 20
    fit_crops: int = 128
    bf16: Switch = False

    def __post_init__(self) -> None:
        for name in ("groups", "lambdas"):  # a recipe and a checkpoint have lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.lambdas) < 2 or self.lambdas[0] <= 0 or sorted(set(self.lambdas)) != list(self.lambdas):
            raise SettingsError(f"lambdas={list(self.lambdas)} must be two or more numbers above 0 that grow")
        super().__post_init__()
        stride = rated(self.network).stride
        if self.quantizer not in names_by_rate():
            raise SettingsError(
                f"quantizer {self.quantizer!r} is not trained by rate and distortion; "
                f"network {self.network} has the quantizers {', '.join(names_by_rate())}"
            )
        if self.optimizer not in optimizers.NAMES:
            raise SettingsError(f"optimizer {self.optimizer!r} is unknown; choose {' or '.join(optimizers.NAMES)}")
        if self.bf16 not in (True, False, "auto"):
            raise SettingsError(f'bf16={self.bf16!r} must be true, false or "auto"')
        quantizer = self.quantizer_settings()
        check_tilt(self.tilt)
        if self.tilt and not self.init:
            raise SettingsError("tilt changes the gains of a model that the run starts from; name it with init")
        losses.check(self.losses)
        if LOWEST in self.tilt and not self.losses:
            raise SettingsError(
                f"tilt {LOWEST} is for a run with losses, because the encoder's proximal steps to less squared error "
                "would not know of it; give losses, or leave it out"
            )
        if self.losses and self.refine_steps:
            raise SettingsError(
                f"the encoder's proximal steps go to less squared error and not to less of the losses; set "
                f"refine_steps=0 instead of {self.refine_steps}, or leave losses out"
            )
        if self.quantized_from < 0:
            raise SettingsError("prior_share + quantised_share + synthesis_share must not be above 1")
        if self.groups and (sum(self.groups) != self.d or any(n < 2 or n % 2 for n in self.groups)):
            raise SettingsError(f"groups={list(self.groups)} must be even numbers of channels that sum to d={self.d}")
        rate_of(self.prior).check(quantizer)
        if self.masking and not rate_of(self.prior).has_networks:
            raise SettingsError(
                f"masking follows what a context prior expects, and this run has the prior {self.prior!r}; set "
                'prior="context", or leave masking out'
            )
        if self.masking and not self.losses:
            raise SettingsError(
                "masking spends more on calm places than squared error asks for; give losses, or leave masking out"
            )
        if self.crop % stride:
            raise SettingsError(f"crop={self.crop} must be a multiple of {stride}")
        # Every symbol takes at least one of 2^table_bits; were more than a quarter gone so, tables could not be skewed.
        if max(self.K, self.classes) > 1 << (self.table_bits - 2):
            raise SettingsError(f"table_bits={self.table_bits} are too few for K={self.K} or classes={self.classes}")
        pairs = self.K**2 if self.mode == "conditional" else 0
        if max(self.table_rows * self.classes * quantizer.planes * self.K, pairs) > MOST_COUNTS:
            raise SettingsError(
                f"{self.table_rows} rows x {self.classes} classes x {quantizer.planes} planes x K={self.K} are too "
                "many tables to fit; lower table_rows, classes, K or m"
            )

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values with what follows from them unless it is said.

        There are no more units and stages than the method can have; with depth 2 as many units are wide as
        the prior prefers.
        """
        most = method(values.get("quantizer", cls.quantizer))
        values = {"m": min(cls.m, most.units), "depth": min(cls.depth, most.depth)} | dict(values)
        depth, m = values.get("depth", cls.depth), values.get("m", cls.m)
        share = rate_of(values.get("prior", cls.prior)).wide_share
        return {"wide": max(1, round(share * m)) if depth == 2 else 0} | values

    @property
    def quantized_from(self) -> float:
        """The fraction of the run at which the stage after `noise` starts."""
        prior_share = self.prior_share if rate_of(self.prior).has_networks else 0.0
        # Shares such as 0.95 and 0.05 are to leave nothing over.
        return round(1 - self.quantised_share - self.synthesis_share - prior_share, 9)

    def group_sizes(self) -> tuple[int, ...]:
        """Return the channels of the context prior's groups: even numbers that sum to d, a few strong ones first."""
        if self.groups:
            return self.groups
        edges = sorted({min(self.d, max(2, 2 * round(share * self.d / 2))) for share in _GROUP_EDGES})
        return tuple(stop - start for start, stop in zip([0, *edges], [*edges, self.d], strict=True) if stop > start)

    def quantizer_settings(self) -> QuantizerSettings:
        """Return the quantizer of this run; raise SettingsError where K, m, d and beta do not fit."""
        d_star = unit_channels(self.d, self.m)
        return settings_of(
            self.quantizer,
            self.K,
            self.m,
            d_star,
            beta=self.beta,
            mode=self.mode,
            depth=self.depth,
            wide=self.wide,
            scale=self._coarse_scale(d_star),
        )

    def _coarse_scale(self, d_star: int) -> float:
        """Return `scale`, or for 0 one at which the cells of the coarse index are as large as the codebook.

        K cells of a lattice fill a ball whose radius, counted in cells, grows as K^(1 / d_star).
        """
        return self.scale or round(_COARSE_FILL * self.K ** (1 / d_star), rate_of(self.prior).scale_digits)
