"""The settings of training an autoencoder with a quantizer in the middle, as the papers do it.

Unlike `photo` there is one rate, the one of the quantizer, and no rate in the loss. A run is of one stage, unless the
network is to learn alone first (`network_share`), or a discriminator is to judge later (`adversarial`). Defaults are
those of the published code of CVQ-VAE and LooC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from vqcodec import losses
from vqcodec.errors import SettingsError
from vqcodec.networks import NETWORKS
from vqcodec.networks.vqvae import MOST_SCALE
from vqcodec.quantizers import QuantizerSettings, method, settings_of
from vqcodec.training.limits import ADVERSARIAL_RANGES, CODEBOOK, Adversarial, Ranges, RunSettings, unit_channels

Schedule = Literal["constant", "cosine"]
NETWORK_NAMES = tuple(name for name, kind in NETWORKS.items() if not kind.has_rates)
_RANGES: Ranges = {
    "d": (1, 4096),
    "channels": (1, 3),
    "width": (0, 1024),
    "subpixel": (1, MOST_SCALE),
    "rows": (1, MOST_SCALE),
    "batch": (1, 65536),
    "crop": (16, 4096),
    "variance": (0, 1e6),
    "mse_weight": (0, 1e3),
    "adam_beta1": (0, 0.999999),
    "adam_beta2": (0, 0.999999),
    "network_share": (0, 0.9),
    "validation_pictures": (0, 10**4),
}


@dataclass(frozen=True)
class AutoencoderSettings(Adversarial, RunSettings):
    """Everything that a run depends on besides its pictures.

    network: vqvae or vqgan, with `d` latent channels, `width` (of vqgan; 0 is the published one) and
    `channels` 1 for gray pictures; of vqvae, `subpixel` and `rows` are what LooC's released code does to latents
    beyond its paper (networks/layouts.py), so that a quantizer sees d * subpixel^2 channels.
    The quantizer has K codevectors for m units, and `options` of its own.
    The loss is mse_weight * 4 MSE / variance + quantizer_weight * the quantizer's, on pixels in [0, 1]; variance 0
    stands for that of the training pixels. (The papers' code has pixels in [-1, 1], hence the 4, and the variance in
    [0, 1].) `losses` are weights, by their names in vqcodec/losses, of what is added, and with `adversarial` above 0 a
    discriminator judges too: with that, and without squared error, a vqgan is trained as VQGAN is. `standardised`
    training begins with latents of mean 0 and variance 1 in each channel, and `init` is a model, by name or path, whose
    network it begins with; either way codevectors begin among the latents of training pictures, where the quantizer
    can. For `network_share` of the run the network learns alone, without quantizing; then codevectors begin in the
    middle of its latents. `validation_pictures` are held out, at most a fifth of all. A run lasts `steps` batches, or
    `seconds` if steps is 0. `crop` is the side of training crops of pictures that are larger. Adam's learning_rate is
    `constant`, or it falls to nothing along half a `cosine` after a short rise; adam_beta1 and adam_beta2 are the
    decays of its moments. Resumed with other `steps`, a cosine goes on as if they had been said at first.
    """

    ranges: ClassVar[Ranges] = _RANGES | CODEBOOK | ADVERSARIAL_RANGES

    network: str = "vqvae"
    d: int = 128
    channels: int = 3
    width: int = 0
    modulated: bool = False
    subpixel: int = 1
    rows: int = 1
    quantizer: str = "looc"
    K: int = 256
    m: int = 1
    beta: int = 1
    mode: str = "all"
    depth: int = 1
    match: str = "l2"
    levels: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 10_000
    batch: int = 128
    learning_rate: float = 3e-4
    schedule: Schedule = "constant"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    variance: float = 0.0
    standardised: bool = False
    network_share: float = 0.0
    validation_pictures: int = 0
    quantizer_weight: float = 1.0
    mse_weight: float = 1.0
    losses: Mapping[str, float] = field(default_factory=dict)
    adversarial: float = 0.0
    table_bits: int = 20
    seed: int = 42

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network not in NETWORK_NAMES:
            raise SettingsError(f"network {self.network!r} is unknown; choose one of {', '.join(NETWORK_NAMES)}")
        if self.schedule not in get_args(Schedule):
            raise SettingsError(f"schedule {self.schedule!r} is unknown; choose one of {', '.join(get_args(Schedule))}")
        if self.network == "vqvae" and (self.width or self.modulated):
            raise SettingsError("width and modulated are for network vqgan; vqvae has one form")
        if self.network != "vqvae" and max(self.subpixel, self.rows) > 1:
            raise SettingsError(f"subpixel and rows are for network vqvae, not {self.network}")
        if self.standardised and max(self.subpixel, self.rows) > 1:
            raise SettingsError("standardised latents are those of the network alone; leave subpixel, rows or it out")
        if self.standardised and self.init:
            raise SettingsError("the latents of the model named by init stay as they are; leave standardised out")
        self._check_losses()
        self.quantizer_settings()

    def _check_losses(self) -> None:
        losses.check(self.losses)
        others = {"adversarial": self.adversarial, "losses": self.losses, "mse_weight": self.mse_weight != 1}
        changed = [name for name, value in others.items() if value]
        if changed and method(self.quantizer).kind.likelihood:
            raise SettingsError(
                f"quantizer {self.quantizer!r} has a loss of another kind; leave {', '.join(changed)} out"
            )
        if not (self.mse_weight or self.losses):
            raise SettingsError("mse_weight is 0 and there are no losses; give one of them")
        if self.adversarial and self.adversarial_from < self.network_share:
            raise SettingsError(
                f"adversarial_from={self.adversarial_from} lies in the first {self.network_share} of the run, in which "
                "the network learns alone; choose that or more"
            )

    @classmethod
    def completed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values with what follows from the method unless it is said: units, stages, and the grids' sizes."""
        values = method(values.get("quantizer", cls.quantizer)).completed(values)
        return values | {"levels": tuple(values.get("levels", cls.levels))}

    def quantizer_settings(self) -> QuantizerSettings:
        """Return the quantizer of this run; SettingsError where K, m, d and the rest do not fit."""
        return settings_of(
            self.quantizer,
            self.K,
            self.m,
            unit_channels(self.d * self.subpixel**2, self.m),
            beta=self.beta,
            mode=self.mode,
            depth=self.depth,
            match=self.match,
            levels=tuple(self.levels),
        )

    def network_settings(self) -> dict[str, Any]:
        """Return what networks.build makes the network from."""
        values: dict[str, Any] = {"name": self.network, "d": self.d}
        if self.network == "vqvae":
            return values | {"channels": self.channels, "subpixel": self.subpixel, "rows": self.rows}
        return values | {"modulated": self.modulated} | ({"width": self.width} if self.width else {})

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return super().as_dict() | {
            "levels": list(self.levels),
            "options": dict(self.options),
            "losses": dict(self.losses),
        }
