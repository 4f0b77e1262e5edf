"""The context prior: integer networks predict each latent from those already decoded.

Pass by pass (priors/passes.py) a network gives every latent a mean and a deviation class. The
unit's two classes choose the frequency tables of its indices, and what the indices say is added
to the means. Everything is integers: latents count sixteenths of a quantizer step.

bitstream/FORMAT.md, "Context prior", is the law; bitstream/reference_decoder.py is a second
decoder that shares no code with this one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.errors import FormatError, ModelError
from vqcodec.exact.bitstream import rans
from vqcodec.exact.priors import integer_net, masking, passes
from vqcodec.exact.priors.adaptive import AdaptiveTables, Sharing
from vqcodec.exact.priors.base import Arrays, Model, Prior, tensors_under
from vqcodec.exact.priors.group_net import IntegerGroupNet
from vqcodec.exact.priors.integer_net import FloatArray
from vqcodec.exact.priors.linear import MOST_CHANNELS
from vqcodec.exact.priors.tables import Choice, FrequencyTables, IntArray, Tables, check_map
from vqcodec.exact.priors.walk import IntegerWalk, Pass, by_place, schedule, units_of

PREFIX = "context."
NO_COARSE = 65535
SCALE_MAX = 255


class ContextPrior(Prior):
    """Integer networks and the tables that their classes choose among."""

    kind = "context"
    codes_per_step = integer_net.SIXTEENTHS
    # So that little is decoded in vain: each tile starts networks of its own.
    most_untiled = 1 << 13

    def __init__(
        self, settings: dict[str, Any], scale: float, table_bits: int, arrays: dict[str, npt.NDArray[Any]]
    ) -> None:
        """`arrays` holds the tensors of the context prior without their prefix; ModelError where they do not fit."""
        try:
            if "patterns" not in settings:
                raise ModelError(
                    "the model has the context prior of version 1, this vqc reads version 2; train it anew"
                )
            sizes, starts = settings["groups"], settings["starts"]
            shape = (settings["embed"], settings["hidden"], len(arrays["unit"]))
            said = settings["bound"]
            if not all(type(n) is int for n in (*sizes, *starts, *shape, said)):
                raise ModelError("the model's groups, starts, embed, hidden and bound must be whole numbers")
            self.groups = passes.make_groups(sizes, settings["patterns"], starts)
            self.codebook = arrays["codebook16"]
            self.spread = arrays["unit"]  # the name in files is older than the word
            self.fine_map, self.coarse_map = arrays["fine_map"], arrays["coarse_map"]
            self.tables = FrequencyTables("tables", arrays["tables"], len(self.codebook), table_bits)
            self._check(scale)
            self.scale = int(scale)
            masked = masking.check_setting(settings.get("masking", False))
            self.nets = [IntegerGroupNet(group, shape, arrays, masked) for group in self.groups]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the model's context prior is incomplete or damaged: {error}") from error
        self.bound = max(net.bound for net in self.nets)
        if not self.bound <= said <= integer_net.BOUND:
            raise ModelError(
                f"the model's networks could sum up to {self.bound}, it says {said}; "
                f"at most {integer_net.BOUND} is exact"
            )
        self.zero = int(np.flatnonzero(~self.codebook.any(1))[0])

    @classmethod
    def of_model(cls, model: Model, arrays: Arrays) -> ContextPrior:
        """Return the prior of a model; ModelError where its quantizer is not one that such a prior can have."""
        quantizer = model.quantizer
        said = tuple(quantizer[key] for key in ("d_star", "beta", "mode", "depth", "wide"))
        if model.own_codebooks or said != (2, 1, "all", 2, quantizer["m"]):
            raise ModelError(
                "a context prior needs a shared codebook with d_star 2, beta 1 and depth 2, every unit wide"
            )
        return cls(model.prior_settings, quantizer["scale"], model.table_bits, tensors_under(PREFIX, arrays))

    @classmethod
    def owns(cls, tensor: str) -> bool:
        """Return whether a tensor is the context prior's; see Prior.owns."""
        return tensor.startswith(PREFIX)

    @property
    def K(self) -> int:
        """The number of codevectors."""
        return len(self.codebook)

    @property
    def d(self) -> int:
        """The number of latent channels."""
        return sum(group.n for group in self.groups)

    @property
    def planes(self) -> int:
        """The number of index planes: a coarse and a fine one for each unit of two channels."""
        return self.d

    @property
    def deviation_classes(self) -> int:
        """The number S of deviation classes."""
        return len(self.coarse_map)

    @property
    def rows(self) -> int:
        """The number of rows of qualities."""
        return len(self.spread)

    @cached_property
    def adaptive(self) -> ContextPrior:
        """The same prior with tables that adapt; see Prior.adaptive."""
        other = copy.copy(self)
        other.adapts = True
        return other

    @cached_property
    def _sharing(self) -> Sharing:
        """Which counts of symbols tables share."""
        coarse = np.where(self.coarse_map == NO_COARSE, -1, self.coarse_map.astype(np.int64))
        return Sharing.make(self.tables, self.codebook, self.fine_map, coarse)

    def _tables_of_tile(self) -> Tables:
        return AdaptiveTables(self._sharing) if self.adapts else self.tables

    def walk(self, grid: tuple[int, int], quality: float, traced: bool = False) -> IntegerWalk:
        """Start predicting a latent grid (h, w), with traces or without."""
        return IntegerWalk(self, grid, self.row(quality), traced)

    def encode(self, indices: IntArray, classes: IntArray, quality: float) -> bytes:
        """Return the rANS bytes of indices [2m, h, w] whose classes [d, h, w] an IntegerWalk gave at this quality."""
        groups, tables = [], self._tables_of_tile()
        for _, near, coarse, fine in self._passes(indices, classes, quality, tables):
            coarse_tables, wide = self.coarse_tables(near)
            groups += tables.symbol_groups(coarse_tables, coarse[wide])
            groups += tables.symbol_groups(self.fine_tables(near, coarse), fine)
        return rans.encode(groups)

    def symbols(self, grid: tuple[int, int]) -> int:
        """Return an index for each plane and position."""
        return self.planes * grid[0] * grid[1]

    def follow(self, indices: IntArray, _classes: IntArray, quality: float) -> Choice:
        """Return what a decoder makes of indices uint16 [2m, h, w], from which the classes follow.

        FormatError for a coarse index where none is coded.
        """
        walk, flat = self.walk(indices.shape[1:], quality), by_place(indices)
        self._check_uncoded(indices, quality)
        for step in walk.steps():
            prediction = walk.predict(step)
            coarse, fine = self._of_pass(flat, step)
            # What cannot be written must not be lost without a word.
            narrow = np.ones(len(coarse), np.bool_)
            narrow[self.coarse_tables(prediction.deviation_class)[1]] = False
            if (coarse[narrow] != self.zero).any():
                raise FormatError(
                    f"a unit has a coarse index other than {self.zero} where this model codes none; the indices are "
                    "not of this model and quality"
                )
            walk.put(step, prediction, coarse, fine)
        return walk.result()

    def _check_uncoded(self, indices: IntArray, quality: float) -> None:
        """Raise FormatError where a group that this quality does not code has indices other than zero."""
        for group in self.groups:
            if group.start > self.row(quality):
                units = units_of(group.channels)
                fine = slice(self.d // 2 + units.start, self.d // 2 + units.stop)
                if (indices[units] != self.zero).any() or (indices[fine] != self.zero).any():
                    raise FormatError(
                        f"channels {group.channels.start} and above have indices other than {self.zero}, and the model "
                        f"codes none of them at quality {quality:g}; the indices are not of this model and quality"
                    )

    def read(self, decoder: rans.Decoder, grid: tuple[int, int], quality: float) -> Choice:
        """Return indices, classes and latents of a grid, pass by pass; see Prior.read."""
        return self._read(decoder, grid, quality)

    def decode_first(self, data: bytes, grid: tuple[int, int], quality: float, channels: int) -> npt.NDArray[Any]:
        """Return the latents of the groups that hold the first channels; see Prior.decode_first."""
        decoded = passes.first_groups(self.groups, channels)[-1].channels.stop
        return self._read(rans.Decoder(data), grid, quality, channels).codes[:decoded]

    def _read(
        self, decoder: rans.Decoder, grid: tuple[int, int], quality: float, channels: int | None = None
    ) -> Choice:
        walk, tables = self.walk(grid, quality), self._tables_of_tile()
        for step in walk.steps(channels):
            prediction = walk.predict(step)
            near = prediction.deviation_class
            coarse_tables, wide = self.coarse_tables(near)
            coarse = np.full(near.size // 2, self.zero, np.uint16)
            tables.enter(step.group)
            coarse[wide] = tables.read(decoder, coarse_tables)
            fine = tables.read(decoder, self.fine_tables(near, coarse))
            tables.learn(self._pairs(near), coarse != self.zero, coarse, fine)
            walk.put(step, prediction, coarse, fine)
        return walk.result()

    def _of_pass(self, flat: IntArray, step: Pass) -> tuple[IntArray, IntArray]:
        """Return coarse and fine indices [units] of a pass, place by place, of indices [cells, 2m]."""
        units = units_of(step.channels)
        fine = slice(self.d // 2 + units.start, self.d // 2 + units.stop)
        return flat[step.places, units].reshape(-1), flat[step.places, fine].reshape(-1)

    def index_bits(self, indices: IntArray, classes: IntArray, quality: float) -> npt.NDArray[np.float32]:
        """Return float32 [2m, h, w], the bits of each index under the table that codes it; 0 where none is coded."""
        if self.adapts:
            return self._adapted_bits(indices, classes, quality)
        half, row = self.d // 2, self.row(quality)
        bits = np.zeros(indices.shape, np.float32)
        for group in self.groups:
            if group.start <= row:
                units = units_of(group.channels)
                fine = slice(half + units.start, half + units.stop)
                classes_of = classes[group.channels].reshape(group.n // 2, 2, -1).transpose(0, 2, 1)
                parts = self._bits_of(self.tables, classes_of, indices[units].reshape(-1), indices[fine].reshape(-1))
                bits[units], bits[fine] = (part.reshape(-1, *bits.shape[1:]) for part in parts)
        return bits

    def _adapted_bits(self, indices: IntArray, classes: IntArray, quality: float) -> npt.NDArray[np.float32]:
        """Return the same with tables that adapt, which takes a walk through the passes."""
        bits, tables = np.zeros((indices[0].size, len(indices)), np.float32), self._tables_of_tile()
        for step, near, coarse, fine in self._passes(indices, classes, quality, tables):
            units = units_of(step.channels)
            for start, part in zip((0, self.d // 2), self._bits_of(tables, near, coarse, fine), strict=True):
                bits[step.places, start + units.start : start + units.stop] = part.reshape(len(near), -1)
        return np.ascontiguousarray(bits.T).reshape(indices.shape)

    def _passes(
        self, indices: IntArray, classes: IntArray, quality: float, tables: Tables
    ) -> Iterator[tuple[Pass, IntArray, IntArray, IntArray]]:
        """Yield passes with their classes [N, n], coarse and fine indices [units]; tables learn from each after it."""
        flat, flat_classes = by_place(indices), by_place(classes)
        for step in schedule(self.groups, indices.shape[1:], self.row(quality)):
            near = flat_classes[step.places, step.channels]
            coarse, fine = self._of_pass(flat, step)
            tables.enter(step.group)
            yield step, near, coarse, fine
            tables.learn(self._pairs(near), coarse != self.zero, coarse, fine)

    def _bits_of(
        self, tables: Tables, classes: IntArray, coarse: IntArray, fine: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the bits of coarse and of fine indices [units] for classes [..., 2 units]."""
        coarse_tables, wide = self.coarse_tables(classes)
        coarse_bits = np.zeros(len(coarse), np.float32)
        coarse_bits[wide] = tables.costs_of(coarse_tables, coarse[wide])
        return coarse_bits, tables.costs_of(self.fine_tables(classes, coarse), fine)

    def coarse_tables(self, classes: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return table numbers of the units that take a coarse index, and which do, for classes [..., 2 units]."""
        numbers = self.coarse_map.reshape(-1).take(self._pairs(classes))
        wide = numbers != NO_COARSE
        return numbers[wide], wide

    def fine_tables(self, classes: IntArray, coarse: IntArray) -> IntArray:
        """Return the table numbers [units] of fine indices for classes [..., 2 units] and coarse indices [units]."""
        numbers: IntArray = self.fine_map.reshape(-1).take(2 * self._pairs(classes) + (coarse != self.zero))
        return numbers

    def _pairs(self, classes: IntArray) -> npt.NDArray[np.intp]:
        """Return the place [units] in a flattened map [S, S] of the two classes of each unit."""
        first, second = classes.reshape(-1, 2).T
        return first.astype(np.intp) * self.deviation_classes + second

    def _check(self, scale: float) -> None:
        S = len(self.coarse_map)
        if type(scale) not in (int, float) or scale not in range(1, SCALE_MAX + 1):
            raise ModelError(f"the model's scale {scale} must be a whole number of 1..{SCALE_MAX} with a context prior")
        if self.codebook.dtype != np.int16 or self.codebook.shape != (self.K, 2) or self.codebook.any(1).all():
            raise ModelError("the model's codebook16 must be int16 [K, 2] and hold the zero codevector")
        sizes = [group.n for group in self.groups]
        if not sizes or min(sizes) < 2 or any(n % 2 for n in sizes):
            raise ModelError(f"the model's groups {sizes} must be even numbers of channels")
        if any(group.n > MOST_CHANNELS for group in self.groups if group.pattern.linear):
            raise ModelError(f"the model's groups {sizes} have more than {MOST_CHANNELS} channels predicted linearly")
        if min(group.start for group in self.groups) < 0:
            raise ModelError("the model's starts must be rows of qualities, 0 or above")
        fits = self.spread.dtype == np.int32 and self.spread.shape == (self.rows, self.d)
        if not fits or self.spread.min() < 1:
            raise ModelError("the model's unit must be int32 [rows, channels] of at least 1")
        if not 1 <= S <= 256:
            raise ModelError(f"the model has {S} deviation classes; 1..256 are allowed")
        types = [array.dtype.name for array in (self.fine_map, self.coarse_map, self.tables.frequencies)]
        if types != ["uint16", "uint16", "uint32"]:
            raise ModelError("the model's fine_map and coarse_map must be uint16, its tables uint32")
        check_map("fine_map", self.fine_map, (S, S, 2), len(self.tables))
        coded = np.where(self.coarse_map == NO_COARSE, 0, self.coarse_map)
        check_map("coarse_map", coded, (S, S), len(self.tables))
