"""Codebook and tables fitted on what the encoder really does to training pictures.

Rounds of three steps: assign indices with the costs of the tables at hand, move each
codevector to the mean of what chose it, and count again. Entropy-constrained vector
quantization (Chou, Lookabaugh, Gray 1989) with one codebook and many tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec.encoder.static import class_costs, encode_by_class
from vqcodec.exact.priors.static import StaticPrior
from vqcodec.quantizers import Learned
from vqcodec.training.rate import frequencies

# With 16 classes there are 17 x 17 contexts in each row, and most are too rare for a table of their own.
_CLASS_TABLES = 64


@dataclass(frozen=True)
class Latents:
    """Latents of many crops for each row of qualities: z[r] float16 [B, d, h, w], classes[r] uint8 [B, h, w]."""

    z: list[Tensor]
    classes: list[Tensor]


@dataclass
class _Counts:
    """What one round of assignment saw."""

    index: npt.NDArray[np.float32]
    pairs: npt.NDArray[np.float32] | None
    classes: npt.NDArray[np.float32]
    sums: Tensor
    visits: Tensor


class PriorFitter:
    """Fits a StaticPrior (and, if wanted, the codebook) of one quantizer to latents."""

    def __init__(self, quantizer: Learned, rows: int, classes: int, table_count: int, table_bits: int) -> None:
        self.quantizer, self.rows, self.classes = quantizer, rows, classes
        self.table_count, self.table_bits = table_count, table_bits

    def fit(self, latents: Latents, rounds: int, learn_codebook: bool, prior: StaticPrior | None = None) -> StaticPrior:
        """Return a prior after `rounds` rounds; the quantizer's codebook is moved in place if it is to learn."""
        for number in tqdm(range(rounds), desc="fitting tables", unit="round", leave=False, disable=None):
            counts = self._count(latents, prior)
            # Not in the last round: its tables must be counted on the codebook that is written.
            if learn_codebook and number < rounds - 1:
                self._move_codebook(counts)
            prior = self._make_prior(counts)
        assert prior is not None
        return prior

    @torch.no_grad()
    def _count(self, latents: Latents, prior: StaticPrior | None) -> _Counts:
        settings = self.quantizer.settings
        planes, K, device = settings.planes, self.quantizer.K, self.quantizer.codebook.device
        conditional = settings.mode == "conditional"
        counts = _Counts(
            np.zeros((self.rows, self.classes, planes, K), np.float32),
            np.zeros((K, K), np.float32) if conditional else None,
            np.zeros((self.rows, self.classes + 1, self.classes + 1, self.classes), np.float32),
            torch.zeros(K, settings.d_star, device=device),
            torch.zeros(K, device=device),
        )
        for row in range(self.rows):
            z, classes = latents.z[row].float(), latents.classes[row].long()
            indices, classes = self._assign(z, classes, prior, row)
            latents.classes[row] = classes.to(torch.uint8)
            self._add(counts, row, indices.cpu().numpy(), classes.cpu().numpy())
            self._add_means(counts, z, indices)
        return counts

    def _assign(self, z: Tensor, classes: Tensor, prior: StaticPrior | None, row: int) -> tuple[Tensor, Tensor]:
        if prior is None:
            return self.quantizer.encode(z), classes
        bits = torch.from_numpy(prior.table_costs[prior.table_map[row]]).to(z.device)
        indices = encode_by_class(self.quantizer, z, bits, classes)
        if self.classes > 1:
            costs = class_costs(bits, indices, self.quantizer.settings.grid_factor)
            share = F.one_hot(classes, self.classes).float().mean((0, 1, 2)) + 1e-4
            # The next round assigns again under these classes; doing it now would double the time.
            classes = (costs - torch.log2(share)[:, None, None]).argmin(1)
        return indices, classes

    def _add(self, counts: _Counts, row: int, indices: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]) -> None:
        factor, K = self.quantizer.settings.grid_factor, self.quantizer.K
        planes = indices.shape[1]
        member = classes.repeat(factor, 1).repeat(factor, 2)[:, None]
        base = indices
        if counts.pairs is not None:
            neighbor = indices[:, :, ::factor, ::factor].repeat(factor, 2).repeat(factor, 3)
            counts.pairs += np.bincount((neighbor * K + indices).reshape(-1), minlength=K * K).reshape(K, K)
            base, member = indices[:, :, ::factor, ::factor], classes[:, None]
        place = (member * planes + np.arange(planes)[:, None, None]) * K + base
        size = self.classes * planes * K
        counts.index[row] += np.bincount(place.reshape(-1), minlength=size).reshape(counts.index.shape[1:])
        if self.classes > 1:
            left = np.pad(classes + 1, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
            above = np.pad(classes + 1, ((0, 0), (1, 0), (0, 0)))[:, :-1]
            place = (left * (self.classes + 1) + above) * self.classes + classes
            shape = counts.classes.shape[1:]
            counts.classes[row] += np.bincount(place.reshape(-1), minlength=int(np.prod(shape))).reshape(shape)

    def _add_means(self, counts: _Counts, z: Tensor, indices: Tensor) -> None:
        """Add what each fine codevector stands for: the unit, less its coarse part."""
        wide, d_star = self.quantizer.settings.wide, self.quantizer.d_star
        x = self.quantizer.expand(z)
        x = x.reshape(len(x), self.quantizer.m, d_star, -1).transpose(2, 3)
        if wide:
            coarse = self.quantizer.codebook[indices[:, :wide].flatten(2)] * self.quantizer.settings.scale
            x = torch.cat([x[:, :wide] - coarse, x[:, wide:]], 1)
        fine = indices[:, wide:].reshape(-1)
        counts.sums.index_add_(0, fine, x.reshape(-1, d_star))
        counts.visits += torch.bincount(fine, minlength=self.quantizer.K)

    @torch.no_grad()
    def _move_codebook(self, counts: _Counts) -> None:
        seen = counts.visits > 0
        mean = counts.sums / counts.visits.clamp(min=1)[:, None]
        self.quantizer.codebook[seen] = mean[seen]
        self.quantizer.note_usage(counts.visits / counts.visits.sum())

    def _make_prior(self, counts: _Counts) -> StaticPrior:
        histograms = frequencies.smooth(counts.index, counts.index.sum(axis=1, keepdims=True))
        shape = histograms.shape[:3]
        shared, numbers = frequencies.cluster(histograms.reshape(-1, self.quantizer.K), self.table_count)
        merged = self._merge_conditional(counts, shared, numbers.reshape(shape))
        factor = self.quantizer.settings.grid_factor
        return StaticPrior(self.table_bits, factor, *merged, *self._class_tables(counts))

    def _class_tables(
        self, counts: _Counts
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]] | tuple[None, None]:
        if self.classes == 1:
            return None, None
        contexts = frequencies.smooth(counts.classes, counts.classes.sum(axis=(1, 2), keepdims=True))
        shared, numbers = frequencies.cluster(contexts.reshape(-1, self.classes), _CLASS_TABLES)
        return frequencies.frequency_tables(shared, self.table_bits), numbers.reshape(contexts.shape[:3])

    def _merge_conditional(
        self, counts: _Counts, shared: npt.NDArray[np.floating], numbers: npt.NDArray[np.uint16]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.uint16] | None]:
        if counts.pairs is None:
            return frequencies.frequency_tables(shared, self.table_bits), numbers, None
        pairs = frequencies.smooth(counts.pairs, counts.pairs.sum(axis=0, keepdims=True))
        more, places = frequencies.cluster(pairs, self.table_count)
        merged = np.concatenate([shared, more])
        return frequencies.frequency_tables(merged, self.table_bits), numbers, (places + len(shared)).astype(np.uint16)
