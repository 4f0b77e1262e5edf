"""The rate under a context prior: its networks, its tables for pairs of classes, and how both start and finish."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from vqcodec.choices import TRAINING_RATE_WEIGHT
from vqcodec.encoder.by_table import TableAssigner
from vqcodec.errors import SettingsError
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.priors.context import PREFIX, ContextPrior
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.exact.priors.static import row_quality
from vqcodec.networks.rated import QUALITY_MAX
from vqcodec.quantizers import QuantizerSettings
from vqcodec.training.rate.context_group import FloatGroupNet
from vqcodec.training.rate.context_net import ContextNet
from vqcodec.training.rate.context_rate import code
from vqcodec.training.rate.context_tensors import context_settings, float_parent, integer_tensors
from vqcodec.training.rate.context_usual import finest_steps, known_rows, set_usual, usual_busyness
from vqcodec.training.rate.contract import Base, Parts, Rate, Refine, Seen, Source
from vqcodec.training.rate.pair_tables import PairTables, armed_codebook, logistic_tables, written_tables
from vqcodec.training.rate.reach import cap_gains, flat_colors

# Rounds, because tables change what the encoder chooses, and that changes the tables.
_FIT_ROUNDS, _FIT_ROWS, _FIT_BATCH = 2, 12, 4
_SPREAD_CROPS = 64  # at one quality: the deviations of all rows follow, since gains only scale
# Neighbors in a flat picture are nearly equal: without it their weights would be large and cancel out.
_RIDGE = 1e-3
# A group of which less than one latent in a thousand would be anything but zero is not worth the time of coding it.
_MATTERS, _CODED_SHARE = 0.8, 0.001
# Keys of random numbers, other than those of static tables (1 and 2), so that crops differ.
_START, _FIT, _USUAL = 3, 4, 5
_USUAL_CROPS = 24


class ContextSettings(Protocol):
    """What a run says of its context prior."""

    @property
    def context_width(self) -> int:
        """The units of the hidden layers."""

    @property
    def context_rows(self) -> int:
        """The rows of qualities."""

    @property
    def masking(self) -> bool:
        """Whether steps follow how busy places are."""

    def group_sizes(self) -> tuple[int, ...]:
        """Return the channels of the groups."""


class ContextRate(Rate):
    """A ContextNet, and from `start` on the tables for pairs of classes that it names.

    The gains do not learn: the gradient that goes straight through the choice of indices takes for real an error
    that does not shrink with the step, and pulls them up without end.
    """

    kind = ContextPrior.kind
    has_networks = True
    wide_share = 1.0
    scale_digits = 0
    codebook_learns = gains_learn = False

    def __init__(self, base: Base, net: ContextNet) -> None:
        super().__init__(base)
        self.net, self.networks = net, (net,)
        self.is_trained = False
        self.pairs: PairTables | None = None
        self._assigner: TableAssigner | None = None

    @classmethod
    def of(cls, base: Base, settings: ContextSettings) -> ContextRate:
        """Return a rate whose networks have learned nothing."""
        width = settings.context_width
        net = ContextNet(settings.group_sizes(), settings.context_rows, width // 2, width, masked=settings.masking)
        return cls(base, net.to(base.network.sigma.device))

    @classmethod
    def check(cls, quantizer: QuantizerSettings) -> None:
        """Raise SettingsError unless units are two channels wide, and all of them wide; see FORMAT.md."""
        said = (quantizer.d_star, quantizer.beta, quantizer.depth, quantizer.wide)
        if said != (2, 1, 2, quantizer.m) or quantizer.scale % 1:
            raise SettingsError(
                "a context prior needs units of two channels (d = 2 m), beta 1, depth 2, every unit wide "
                f"(wide = m) and a whole scale; this run has d={quantizer.d}, m={quantizer.m}, beta={quantizer.beta}, "
                f"depth={quantizer.depth}, wide={quantizer.wide}, scale={quantizer.scale:g}"
            )

    @torch.no_grad()
    def start(self, source: Source) -> None:
        """Set codebook, scales and first tables, unless a model gave them; it then predicts as a static prior does."""
        if self.is_trained:
            return
        codebook, network, rows = armed_codebook(self.quantizer.K, self.form.spacing), self.network, self.net.rows
        self.quantizer.codebook.copy_(codebook)
        self._set_pairs(logistic_tables(codebook, self.quantizer.settings.scale))
        x = source.crops(source.numbers(_START), _SPREAD_CROPS)
        # Before the first step: gains do not learn from here on, and latents beyond the codebook would teach the rest.
        best = torch.full((1,), QUALITY_MAX, device=x.device)
        for pictures in (x, flat_colors(x.shape[3]).to(x.device)):
            cap_gains(network, self.quantizer, self._analyzed(pictures, best))
        qualities = torch.tensor([row_quality(row, rows) for row in range(rows)], device=x.device)
        middle = qualities[rows // 2 : rows // 2 + 1]
        z = self._analyzed(x, middle)
        deviation = z.movedim(1, 0).flatten(1).square().mean(1).sqrt()
        gains = network.gain(qualities)[:, :, 0, 0] / network.gain(middle)[:, :, 0, 0]
        self.net.set_spread(deviation * gains, _fit_linear(self.net, z, rows // 2) / deviation)
        self.net.starts.copy_(_starts(self.net, z, gains))

    @torch.no_grad()
    def settle(self, source: Source) -> None:
        """Let steps stay as they are where places are as busy as those of crops are on average."""
        if not self.net.masked or self.net.knows_usual:
            return
        found = {}
        for row in known_rows(self.net.rows):
            x = source.crops(source.numbers(_USUAL, row), _USUAL_CROPS)
            quality = torch.full((1,), row_quality(row, self.net.rows), device=x.device)
            found[row] = usual_busyness(self.net, self._assigner_now(), self._analyzed(x, quality), row)
        set_usual(self.net, found)
        self.net.knows_usual = True

    def unsettle(self) -> None:
        """Forget how busy places usually are: gains that have changed make them busier or calmer."""
        self.net.knows_usual = False

    def finest_steps(self) -> Tensor | float:
        """Return how many steps one of the gains' may hold, [d, 1, 1] or for all channels."""
        return finest_steps(self.net) if self.net.masked else 1.0

    def finish(self, source: Source) -> None:
        """Count the last tables under integer networks."""
        self.round(True)
        self._set_pairs(self._counted(source))

    def seen(self, x: Tensor, quality: Tensor, noise: torch.Generator | None) -> Seen:
        """Return quantized latents and their rate, without noise.

        The analysis learns where the encoder's proximal steps would move its latents: to their quantized values, less
        a step against the gradient of the picture's error (encoder/proximal.py). For that its rate is the distance
        to those values in bits, and the picture's error passes straight through. Gains learn nothing from it.
        """
        gain = self.network.gain(quality)
        z = self.network.analysis(x, quality) / gain * gain.detach()
        coded = code(self.net, self._assigner_now(), z, self.net.rows_of(quality))
        # In bits: what the encoder would pay for moving a latent that far, see proximal.py.
        moved = (z - coded.z_q) if coded.steps is None else (z - coded.z_q) * coded.steps
        pull = moved.square().sum((1, 2, 3)) / TRAINING_RATE_WEIGHT
        return coded._replace(z_q=z + (coded.z_q - z).detach(), rate=coded.rate + pull)

    def sent(self, x: Tensor, quality: Tensor, refine: Refine) -> Seen:
        """Return what the decoder would have, under the tables at hand."""
        return self._send(self._assigner_now(), x, quality, refine)

    def parts(self, source: Source, finished: bool) -> Parts:
        """Return the codebook and the integer tensors, on the way with tables counted for them."""
        assert self.pairs is not None
        was_integer, pairs = self.net.integer, self.pairs
        if not finished:
            self.round(True)
            pairs = self._counted(source)
            self.round(was_integer)
        codebook = self.quantizer.codebook.detach()
        tensors = integer_tensors(self.net) | pairs.arrays(self.form.bits)
        tensors["codebook16"] = (codebook * SIXTEENTHS).round().cpu().numpy().astype("int16")
        return Parts(codebook, {PREFIX + name: array for name, array in tensors.items()}, context_settings(self.net))

    def take_over(self, metadata: Metadata, arrays: Arrays) -> None:
        """Begin with networks, codebook and tables of a model's context prior, if it has one."""
        if metadata.prior != ContextPrior.kind:
            return
        tensors = tensors_under(PREFIX, arrays)
        parent = float_parent(metadata.prior_settings, tensors)
        shape, wanted = _shape(parent), _shape(self.net)
        if shape != wanted:
            raise SettingsError(
                f"the model's context prior has groups, patterns, rows and widths {shape}, this run has {wanted}"
            )
        if parent.masked and not self.net.masked:
            raise SettingsError("the model's steps follow how busy places are; set masking=true, as it has it")
        mine, its = self.quantizer.settings.as_dict(), metadata.quantizer
        if mine != its:
            changed = ", ".join(f"{key}={its.get(key)}" for key in mine if mine[key] != its.get(key))
            raise SettingsError(f"the model's context prior is for {changed}; set these as it has them")
        self.net.load_state_dict(self.net.state_dict() | parent.state_dict())
        self.net.knows_usual = parent.masked
        with torch.no_grad():
            self.quantizer.codebook.copy_(torch.from_numpy(arrays["codebook"]))
        self._set_pairs(written_tables(tensors))
        self.is_trained = True

    @property
    def trained(self) -> tuple[ContextNet, ...]:
        """The networks, if they come from a model."""
        return self.networks if self.is_trained else ()

    def state_dict(self) -> dict[str, Any]:
        """Return networks and tables; whether rounding is on follows from the time of the run."""
        pairs = {} if self.pairs is None else self.pairs.tensors()
        trained = {"context_is_trained": self.is_trained, "context_knows_usual": self.net.knows_usual}
        return {"context": self.net.state_dict(), "pairs": pairs} | trained

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over networks and, if there were any, tables."""
        # Checkpoints from before the word was spread call it unit.
        context = {"spread" if name == "unit" else name: value for name, value in state["context"].items()}
        self.net.load_state_dict(context)
        self.is_trained = state["context_is_trained"]
        self.net.knows_usual = state.get("context_knows_usual", False)
        if state["pairs"]:
            self._set_pairs(PairTables(**{name: value.numpy() for name, value in state["pairs"].items()}))

    def _analyzed(self, x: Tensor, quality: Tensor) -> Tensor:
        """Return the latents of many crops x [B, 3, H, W] at one quality [1], a few at a time."""
        parts = torch.chunk(x, max(1, len(x) // 8))
        return torch.cat([self.network.analysis(part, quality.expand(len(part))) for part in parts])

    def _set_pairs(self, pairs: PairTables) -> None:
        self.pairs, self._assigner = pairs, None

    def _assigner_now(self) -> TableAssigner:
        assert self.pairs is not None
        if self._assigner is None:
            self._assigner = self.pairs.assigner(self.quantizer.codebook.detach(), self.quantizer.settings.scale)
        return self._assigner

    def _send(
        self, assigner: TableAssigner, x: Tensor, quality: Tensor, refine: Refine, counts: Tensor | None = None
    ) -> Seen:
        """Return what the decoder would have of x [B, 3, H, W]; `counts` [T, K] is added to, see code."""
        quantize = partial(code, self.net, assigner, rows=self.net.rows_of(quality))

        def decoded(latents: Tensor) -> tuple[Tensor, Tensor]:
            coded = quantize(latents)
            return coded.z_q, coded.bits

        z = self.network.analysis(x, quality)
        return quantize(refine(x, z, quality, decoded), counts=counts)

    @torch.no_grad()
    def _counted(self, source: Source) -> PairTables:
        """Return tables counted on what the encoder does to crops at each of some qualities, in a few rounds."""
        assert self.pairs is not None
        codebook, scale, pairs = self.quantizer.codebook.detach(), self.quantizer.settings.scale, self.pairs
        batches = [(row, n) for row in range(_FIT_ROWS) for n in range(0, source.count, _FIT_BATCH)]
        for _ in range(_FIT_ROUNDS):
            assigner = pairs.assigner(codebook, scale)
            counts = torch.zeros(pairs.probabilities.shape, device=codebook.device)
            for row, n in tqdm(batches, desc="fitting tables", unit="batch", leave=False, disable=None):
                x = source.crops(source.numbers(_FIT, row, n), min(_FIT_BATCH, source.count - n))
                half = round(2 * row_quality(row, _FIT_ROWS)) / 2
                self._send(assigner, x, torch.full((len(x),), half, device=x.device), source.refine, counts)
            pairs = pairs.counted(counts, codebook, scale)
        return pairs


def _shape(net: ContextNet) -> tuple[object, ...]:
    return net.sizes, net.patterns, net.rows, net.embed, net.hidden


def _fit_linear(net: ContextNet, z: Tensor, row: int) -> Tensor:
    """Set linear predictions to the best for latents z [B, d, h, w]; return the deviations [d] that they leave."""
    batch, d, height, width = z.shape
    flat = z.movedim(1, 3).reshape(batch, height * width, d)
    left = torch.zeros(d, dtype=torch.float64, device=z.device)
    walk = net.begin(batch, height, width, torch.full((batch,), row, device=z.device))
    for number, phase, channels, places in walk.passes():
        group: FloatGroupNet = net.nets[number]  # type: ignore[assignment]
        y = flat[:, places, channels].reshape(-1, group.n)
        error = y.double()
        if (weights := group.linear_of(phase)) is not None:
            near = walk.neighbors(number, phase, places).filled
            ridge = _RIDGE * near.square().sum() / near.shape[1] * torch.eye(near.shape[1], device=z.device)
            # What is not known for sure stays at the mean of the neighbors, which the weights start as.
            change = torch.linalg.solve(near.T @ near + ridge, near.T @ (error - near @ weights[0].double()))
            weights[0].add_(change.float())
            error = error - near @ weights[0].double()
        left[channels] += error.square().sum(0)
        walk.put(channels, places, y)
    return (left / (batch * height * width)).sqrt().float()


def _starts(net: ContextNet, z: Tensor, gains: Tensor) -> Tensor:
    """Return for each group the first row of gains [rows, d] at which enough of its latents z [B, d, h, w] matter."""
    parts, starts = torch.split(z.movedim(1, 0).flatten(1).abs(), list(net.sizes)), []
    for part, gain in zip(parts, torch.split(gains, list(net.sizes), 1), strict=True):
        shares = torch.stack([(part * row[:, None] > _MATTERS).float().mean() for row in gain])
        starts.append(int((shares < _CODED_SHARE).sum()))
    return torch.tensor(starts)
