"""The contract that every prior keeps, so that nobody needs to ask which one it is.

quality is 1..100, grid the height and width of a tile in latents. docs/extending.md
lists the steps to a new one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from vqcodec.exact.bitstream import rans
from vqcodec.exact.bitstream.header import MAX_INDICES
from vqcodec.exact.priors.tables import Choice, IntArray, table_row

Arrays = dict[str, npt.NDArray[Any]]
P = TypeVar("P", bound="Prior")


class Model(Protocol):
    """What a prior needs to know of the model that it is part of; see Metadata."""

    @property
    def quantizer(self) -> dict[str, Any]:
        """The settings of the quantizer."""

    @property
    def table_bits(self) -> int:
        """What frequencies sum to, as a power of two."""

    @property
    def factor(self) -> int:
        """How many times more indices than latents there are along each side."""

    @property
    def prior_settings(self) -> dict[str, Any]:
        """The settings of the prior."""

    @property
    def own_codebooks(self) -> bool:
        """Whether units have a codebook each."""


class Prior(ABC):
    """Codes the indices of a tile under frequency tables that it chooses.

    kind: its name in headers of files, and the key of its settings in a model file. Any but the static prior has
    settings, if only a version, since a model file says by their key which prior it has;
    most_untiled: the most latent positions of a picture without tiles; codes_per_step: how many codes make a step of
    a latent, 0 where codes are no latents and only a quantizer knows what they stand for; adapts: whether its tables
    learn in each tile anew.
    """

    kind: ClassVar[str]
    most_untiled: ClassVar[int] = MAX_INDICES
    codes_per_step: ClassVar[int] = 0
    adapts = False

    @classmethod
    @abstractmethod
    def of_model(cls: type[P], model: Model, arrays: Arrays) -> P:
        """Return the prior that a model's tensors hold; ModelError or KeyError where they do not fit its settings."""

    @classmethod
    @abstractmethod
    def owns(cls, tensor: str) -> bool:
        """Return whether a model's tensor of this name is part of the prior."""

    @property
    @abstractmethod
    def K(self) -> int:
        """The number of codevectors."""

    @property
    @abstractmethod
    def planes(self) -> int:
        """The number of index planes P."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """The number of rows of qualities."""

    @property
    def free_classes(self) -> int:
        """How many position classes an encoder chooses among, so that whoever keeps indices keeps them too."""
        return 0

    @property
    def adaptive(self) -> Prior | None:
        """The same prior with tables that adapt to each tile, which files may be coded with; None where it has none."""
        return None

    def row(self, quality: float) -> int:
        """Return the row of the tables that serves a quality."""
        return table_row(quality, self.rows)

    @abstractmethod
    def encode(self, indices: IntArray, classes: IntArray, quality: float) -> bytes:
        """Return the rANS bytes of the indices [P, h', w'] and classes of a tile, as a Choice has them."""

    @abstractmethod
    def read(self, decoder: rans.Decoder, grid: tuple[int, int], quality: float) -> Choice:
        """Return the Choice of a grid (h, w) whose symbols a decoder gives."""

    @abstractmethod
    def symbols(self, grid: tuple[int, int]) -> int:
        """Return the most symbols that a grid has."""

    @abstractmethod
    def follow(self, indices: npt.NDArray[np.uint16], classes: npt.NDArray[np.uint8], quality: float) -> Choice:
        """Return the Choice that indices from elsewhere stand for; FormatError where none does."""

    @abstractmethod
    def index_bits(self, indices: IntArray, classes: IntArray, quality: float) -> npt.NDArray[np.float32]:
        """Return float32 [P, h', w'], the bits of each index under the table that codes it; 0 where none is coded."""

    def class_bits(self, classes: IntArray, quality: float) -> float:
        """Return the bits of the classes: none where they follow from the indices."""
        return 0.0

    def decode(self, data: bytes, grid: tuple[int, int], quality: float) -> Choice:
        """Return the Choice that a tile's bytes hold."""
        decoder = rans.Decoder(data)
        choice = self.read(decoder, grid, quality)
        decoder.finish()
        return choice

    def decode_first(self, data: bytes, grid: tuple[int, int], quality: float, channels: int) -> npt.NDArray[Any]:
        """Return at least the first channels of the Choice.codes that a tile's bytes hold.

        A prior that codes channels one after the other stops there, and does not notice damage behind them.
        """
        return self.decode(data, grid, quality).codes

    def sample(self, noise: np.random.BitGenerator, grid: tuple[int, int], quality: float) -> Choice:
        """Return a Choice drawn from the distribution that the tables are of."""
        return self.read(rans.Decoder.of_noise(noise, self.symbols(grid)), grid, quality)

    def bits(self, indices: IntArray, classes: IntArray, quality: float) -> tuple[float, float]:
        """Return the bits of the classes and of the indices under the tables."""
        index_bits = self.index_bits(indices, classes, quality).sum(dtype=np.float64)
        return self.class_bits(classes, quality), float(index_bits)


def tensors_under(prefix: str, arrays: Arrays) -> Arrays:
    """Return the tensors whose names begin with a prefix, by their names without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
