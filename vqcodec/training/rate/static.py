"""The rate under a static prior: a density by position class while it trains, then tables fitted to indices."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vqcodec import ranks
from vqcodec.encoder.static import encode_by_class
from vqcodec.exact.model_file import Arrays, Metadata
from vqcodec.exact.priors.static import StaticPrior, row_quality
from vqcodec.quantizers import Learned, QuantizerSettings
from vqcodec.training.rate.contract import Base, Parts, Rate, Refine, Seen, Source
from vqcodec.training.rate.density import Cells, bits, rate_aware_round
from vqcodec.training.rate.lattice import initial_codebook
from vqcodec.training.rate.static_fit import Latents, PriorFitter

# A thousand for each of 256 codevectors.
_SAMPLE_VECTORS = 1 << 18
_FIT_ROUNDS, _CODEBOOK_ROUNDS = 3, 5
_BATCH = 16
# Tables of the run and tables of a model on the way are counted on different crops.
_RUN, _ON_THE_WAY = 2, 1


class StaticRate(Rate):
    """The density, and from `start` on the tables, of a static prior; any run begins with its noise."""

    kind = StaticPrior.kind

    def __init__(self, base: Base) -> None:
        super().__init__(base)
        self.prior: StaticPrior | None = None

    @classmethod
    def check(cls, quantizer: QuantizerSettings) -> None:
        """Raise nothing: a static prior can have any quantizer."""

    def start(self, source: Source) -> None:
        """Make the codebook from latents of all qualities, and the first tables."""
        self.prior = self._fit(source, _RUN, self.quantizer, new_codebook=True)

    def finish(self, source: Source) -> None:
        """Fit the tables anew, with the codebook as it is."""
        self.prior = self._fit(source, _RUN, self.quantizer, new_codebook=False)

    def rounded(self, x: Tensor, quality: Tensor, noise: torch.Generator | None) -> Seen:
        """Return what the synthesis sees while there are no indices: rounded latents, and the rate of noisy ones."""
        z, classes, cells, rate = self._noisy(x, quality, noise)
        integers, hard = rate_aware_round(z.detach(), cells)
        counted = hard.sum((1, 2, 3)) + self._class_bits(classes)
        return Seen(z + (integers - z).detach(), rate, counted.detach(), z.new_zeros(()), None)

    def seen(self, x: Tensor, quality: Tensor, noise: torch.Generator | None) -> Seen:
        """Return quantized latents, whose differentiable rate is still the density's of noisy ones."""
        z, classes, _, rate = self._noisy(x, quality, noise)
        indices, hard = self._assign(z.detach(), quality, classes)
        quantized = self.quantizer(z, indices)
        counted = (hard + self._class_bits(classes)).detach()
        return Seen(quantized.z_q, rate, counted, quantized.loss, quantized.usage)

    def sent(self, x: Tensor, quality: Tensor, refine: Refine) -> Seen:
        """Return what the decoder would have; the classes are those before proximal steps, as the encoder's."""
        z = self.network.analysis(x, quality)
        classes = self.density.classify(z, self.network.gain(quality))

        def quantize(latents: Tensor) -> tuple[Tensor, Tensor]:
            indices, counted = self._assign(latents, quality, classes)
            return self.quantizer.decode(indices), counted

        indices, hard = self._assign(refine(x, z, quality, quantize), quality, classes)
        counted = hard + self._class_bits(classes)
        usage = self.quantizer.usage_of(indices)
        return Seen(self.quantizer.decode(indices), counted, counted, z.new_zeros(()), usage)

    def parts(self, source: Source, finished: bool) -> Parts:
        """Return codebook and tables, on the way of a codebook and tables of their own."""
        quantizer, prior = self.quantizer, self.prior
        if prior is None or not finished:
            quantizer = copy.deepcopy(quantizer)
            prior = self._fit(source, _ON_THE_WAY, quantizer, new_codebook=prior is None)
        return Parts(quantizer.codebook, prior.arrays(), {})

    def _row_latents(self, source: Source, seed: int, row: int) -> tuple[Tensor, Tensor]:
        """Return latents of crops at the quality of a table row: z float16 [N, d, h, w], classes uint8 [N, h, w]."""
        numbers, quality = source.numbers(seed, row), row_quality(row, self.form.rows)
        was_training = self.network.training
        self.network.eval()
        counts = [min(_BATCH, source.count - start) for start in range(0, source.count, _BATCH)]
        parts = [self._analyze(source.crops(numbers, n), quality) for n in counts]
        self.network.train(was_training)
        return torch.cat([z for z, _ in parts]), torch.cat([classes for _, classes in parts])

    def highest(self, source: Source) -> Tensor:
        """Return the latents float16 [N, d, h, w] of crops at the highest quality."""
        return self._row_latents(source, _RUN, self.form.rows - 1)[0]

    def take_over(self, metadata: Metadata, arrays: Arrays) -> None:
        """Take over nothing: the tables are made anew from the networks that a run starts from."""

    def state_dict(self) -> dict[str, Any]:
        """Return the tables as `prior`."""
        if self.prior is None:
            return {"prior": {}}
        contiguous = {name: np.ascontiguousarray(array) for name, array in self.prior.arrays().items()}
        return {"prior": {name: torch.from_numpy(array) for name, array in contiguous.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the tables, if there were any."""
        if state["prior"]:
            arrays = {name: value.numpy() for name, value in state["prior"].items()}
            self.prior = StaticPrior(self.form.bits, self.quantizer.settings.grid_factor, **arrays)

    def _noisy(self, x: Tensor, quality: Tensor, noise: torch.Generator | None) -> tuple[Tensor, Tensor, Cells, Tensor]:
        """Return latents, their classes, the cells of the density and the rate [B] of latents with noise."""
        gain, z = self.network.gain(quality), self.network.analysis(x, quality)
        classes = self.density.classify(z.detach(), gain.detach())
        cells = self.density.cells(classes, gain)
        uniform = ranks.noise_like(z, noise) - 0.5
        return z, classes, cells, bits(z + uniform, cells).sum((1, 2, 3)) + self._class_bits(classes)

    def _class_bits(self, classes: Tensor) -> Tensor:
        return self.density.class_bits(classes).sum((1, 2))

    @torch.no_grad()
    def _analyze(self, x: Tensor, quality: float) -> tuple[Tensor, Tensor]:
        q = torch.full((len(x),), quality, device=x.device)
        z = self.network.analysis(x, q)
        # Half precision halves the memory of all rows together, which is what limits the number of crops.
        return z.half(), self.density.classify(z, self.network.gain(q)).to(torch.uint8)

    def _fit(self, source: Source, seed: int, quantizer: Learned, new_codebook: bool) -> StaticPrior:
        """Return tables for a quantizer; with `new_codebook` its codebook is made from the latents first."""
        rows = [self._row_latents(source, seed, row) for row in range(self.form.rows)]
        latents = Latents([z for z, _ in rows], [classes for _, classes in rows])
        fitter = PriorFitter(quantizer, self.form.rows, self.form.classes, self.form.count, self.form.bits)
        if new_codebook:
            with torch.no_grad():
                sample = _sample(latents, quantizer)
                quantizer.codebook.copy_(initial_codebook(sample, quantizer.K, self.form.spacing))
        return fitter.fit(latents, _CODEBOOK_ROUNDS if new_codebook else _FIT_ROUNDS, new_codebook)

    @torch.no_grad()
    def _assign(self, z: Tensor, quality: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return rate-aware indices [B, P, h', w'] and their bits [B] under the tables at hand."""
        assert self.prior is not None
        indices, costs = [], []
        for b, q in enumerate(quality.tolist()):
            table = torch.from_numpy(self.prior.table_costs[self.prior.table_map[self.prior.row(q)]]).to(z.device)
            index = encode_by_class(self.quantizer, z[b : b + 1], table, classes[b : b + 1])
            indices.append(index)
            costs.append(_bits(table, index[0], classes[b], self.quantizer.settings.grid_factor))
        return torch.cat(indices), torch.stack(costs)


def _bits(table: Tensor, indices: Tensor, classes: Tensor, factor: int) -> Tensor:
    member = classes.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    planes = torch.arange(len(indices), device=indices.device)[:, None, None]
    return table[member, planes, indices].sum()


def _sample(latents: Latents, quantizer: Learned) -> Tensor:
    """Return unit vectors [N, d_star] of all rows; what exceeds a coarse cell is folded back into one."""
    parts = []
    for z in latents.z:
        units = quantizer.expand(z.float()).reshape(len(z), quantizer.m, quantizer.d_star, -1).transpose(2, 3)
        vectors = units.reshape(-1, quantizer.d_star)
        parts.append(vectors[:: max(1, len(vectors) * len(latents.z) // _SAMPLE_VECTORS)])
    sample = torch.cat(parts)
    if quantizer.settings.wide:
        scale = quantizer.settings.scale
        sample = torch.remainder(sample + scale, 2 * scale) - scale
    return sample
