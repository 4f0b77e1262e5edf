"""READ FIRST. A picture, its indices, its bytes, and back.

    pixels uint8 [H, W, 3]
      | pad to whole blocks                        image/ reads and writes pictures
    x float32 [1, 3, 16h, 16w]
      | network.analysis                           networks/
    z float32 [1, d, h, w]
      | encoder, given what each index costs       encoder/, quantizers/
    indices uint16 [P, h', w'], classes
      | prior.encode                               exact/priors/, exact/bitstream/rans.py
    bytes
      | header, tiles, sections, CRC               exact/bitstream/container.py, exact/indices.py, exact/tiles.py
    photo.vqc

Decompression walks the same road upwards. Everything below the indices is integers and
comes out the same on every machine; pixels may differ by a grey level.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec import networks
from vqcodec.choices import DEFAULT_EFFORT, DEFAULT_QUALITY, check_effort, check_quality
from vqcodec.encoder.by_table import TableAssigner
from vqcodec.encoder.context import choose_context, make_assigner
from vqcodec.encoder.proximal import Scene, Slices, refine
from vqcodec.encoder.static import choose_static
from vqcodec.errors import InputError, ModelError, SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.container import Container
from vqcodec.exact.bitstream.header import Header
from vqcodec.exact.indices import (
    MAX_UNTILED,
    Encoded,
    Size,
    assemble,
    check_size,
    index_crc,
    latent_grid,
    pack,
    to_int16,
    unpack,
    unpack_codes,
    write_file,
)
from vqcodec.exact.priors import ContextPrior, Prior, StaticPrior
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.tiles import Tile, tiles_of
from vqcodec.image import Picture
from vqcodec.pinned import pinned_torch
from vqcodec.quantizers import Fixed, QuantizerSettings
from vqcodec.quantizers.layout.settings import RATE_WEIGHT

EFFORT_STEPS = (0, 0, 1, 2, 3, 4, 6, 8, 12, 20)
"""Steps of refinement for each effort 0..9; effort 0 takes the nearest codevectors, all others count bits."""
TILE = 64
"""Side in latents of the tiles that large pictures are cut into."""
TILED_LATENTS = 96 * 64
"""Pictures of more latents are cut into tiles."""
SYNTHESIS_TILE = 64


class Codec:
    """One model, ready to compress and decompress."""

    @pinned_torch()
    def __init__(self, metadata: model_file.Metadata, arrays: model_file.Arrays) -> None:
        self.metadata = metadata
        weights = {k: _tensor(v) for k, v in model_file.tensors_under(model_file.NETWORK_PREFIX, arrays).items()}
        try:
            self.prior: Prior = model_file.make_prior(metadata, arrays)
            networks.check_weights(metadata.network, weights)
            self.network = networks.build(metadata.network)
            settings = QuantizerSettings.from_dict(metadata.quantizer, metadata.layout)
            self.quantizer = Fixed(settings, _tensor(arrays["codebook"]))
            self.network.load_state_dict(weights)
        except (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, SettingsError) as error:
            raise ModelError(f"the model's weights do not fit its settings: {error}") from error
        if self.network.stride != metadata.stride:
            raise ModelError(f"the model says stride {metadata.stride}, its network has {self.network.stride}")
        self.network.eval().requires_grad_(False)
        self.quantizer.eval().requires_grad_(False)

    @cached_property
    def assigner(self) -> TableAssigner:
        """The choice of indices under the tables of a context prior; decoding does not need it."""
        assert isinstance(self.prior, ContextPrior)
        return make_assigner(self.prior)

    @classmethod
    def open(cls, model: str | Path | None = None) -> Codec:
        """Return the codec of a shipped model's name, a model file's path, or None for the default model."""
        return cls(*model_file.load(model_file.resolve(model)))

    @staticmethod
    def path_for(data: bytes, model: str | Path | None = None) -> Path:
        """Return the model file that a .vqc file needs; ModelError where it is not shipped and none is given."""
        return Codec.path_of(container.read(data).header.fingerprint, model)

    @staticmethod
    def path_of(fingerprint: bytes, model: str | Path | None = None) -> Path:
        """Return the model file of a fingerprint; ModelError where it is not shipped and none is given."""
        if model is not None:
            return model_file.resolve(model)
        path = model_file.find(fingerprint)
        if path is None:
            raise ModelError(
                f"the file was made by the model {fingerprint.hex()}, which is not shipped with this vqc; "
                "name its file with --model"
            )
        return path

    @pinned_torch()
    def compress(self, picture: Picture, quality: float = DEFAULT_QUALITY, effort: int = DEFAULT_EFFORT) -> bytes:
        """Return the .vqc file of a picture at a quality of 1..100 in steps of 0.5.

        effort 0..9: more of it takes longer; 1 makes the file smaller than 0, and from there on the picture is better
        at the same quality. Pictures of more than TILED_LATENTS latents are cut into tiles, unless the analysis sees
        the whole picture.
        """
        height, width = picture.pixels.shape[:2]
        margin = self.network.analysis_margin
        with _memory_errors(width, height):
            grid = latent_grid(height, width, self.network.stride)
            if margin is None or grid[0] * grid[1] <= TILED_LATENTS:
                return self.pack(self.encode(picture.pixels, quality, effort), picture.icc)
            return self._compress_tiles(picture, margin, check_quality(quality), check_effort(effort))

    @pinned_torch()
    def decompress(self, data: bytes) -> Picture:
        """Return the picture in a .vqc file; FormatError or ModelError where it cannot be decoded."""
        parsed = container.read(data)
        with _memory_errors(parsed.header.width, parsed.header.height):
            codes = unpack_codes(parsed, self.metadata, self.prior)
            return Picture(self._synthesise(codes, parsed.header), icc=parsed.icc)

    @pinned_torch()
    @torch.inference_mode()
    def analyse(self, pixels: npt.NDArray[np.uint8], quality: float) -> Tensor:
        """Return latents z float32 [1, d, h, w] of pixels uint8 [H, W, 3], padded to whole blocks."""
        return self.network.analysis(_pad(_to_tensor(pixels), self.network.stride), torch.tensor([quality]))

    @pinned_torch()
    def encode(
        self, pixels: npt.NDArray[np.uint8], quality: float = DEFAULT_QUALITY, effort: int = DEFAULT_EFFORT
    ) -> Encoded:
        """Return the indices of pixels uint8 [H, W, 3]; in tiles where the prior decodes such a picture only so."""
        quality, effort = check_quality(quality), check_effort(effort)
        height, width = pixels.shape[:2]
        check_size(height, width, self.metadata)
        margin, (h, w) = self.network.analysis_margin, latent_grid(height, width, self.network.stride)
        if margin is not None and isinstance(self.prior, ContextPrior) and h * w > MAX_UNTILED:
            size = Size(width, height, quality, TILE)
            return assemble(self._encode_tiles(pixels, margin, quality, effort), size, self.metadata)
        everything = (slice(None), slice(None))
        chosen = self._encode_tile(pixels, everything, quality, effort)
        latents = None if chosen.latents is None else to_int16(chosen.latents)
        return Encoded(chosen.indices, chosen.classes, latents, width, height, quality)

    @pinned_torch()
    def decode(self, encoded: Encoded) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] for indices."""
        with _memory_errors(encoded.width, encoded.height):
            return self._synthesise(encoded.indices if encoded.latents is None else encoded.latents, encoded)

    @pinned_torch()
    def latents(self, chosen: Encoded | Choice) -> Tensor:
        """Return the latents float32 [1, d, h, w] that a decoder has of indices."""
        codes = chosen.indices if chosen.latents is None else chosen.latents
        h, w = chosen.classes.shape[-2:]
        return self._latents(codes, (slice(0, h), slice(0, w)))

    def pack(self, encoded: Encoded, icc: bytes | None = None) -> bytes:
        """Return the .vqc file that holds these indices."""
        return pack(encoded, self.metadata, self.prior, icc)

    def unpack(self, parsed: Container) -> Encoded:
        """Return the indices in a parsed .vqc file; see indices.unpack."""
        return unpack(parsed, self.metadata, self.prior)

    def useful_effort(self, effort: int) -> int:
        """Return effort, or the most that changes anything: 0 without rates, 1 for a model not made for less error."""
        if not self.network.has_rates:
            return 0
        return effort if self.metadata.proximal else min(effort, 1)

    def _compress_tiles(self, picture: Picture, margin: int, quality: float, effort: int) -> bytes:
        height, width = picture.pixels.shape[:2]
        streams = [
            (index_crc(chosen.indices), self.prior.encode(chosen.indices, chosen.classes, quality))
            for _, chosen in self._encode_tiles(picture.pixels, margin, quality, effort)
        ]
        return write_file(streams, Size(width, height, quality, TILE), self.metadata, self.prior, picture.icc)

    def _encode_tiles(
        self, pixels: npt.NDArray[np.uint8], margin: int, quality: float, effort: int
    ) -> Iterator[tuple[Tile, Choice]]:
        height, width = pixels.shape[:2]
        check_size(height, width, self.metadata)
        stride = self.network.stride
        grid = latent_grid(height, width, stride)
        for tile in tqdm(tiles_of(grid, TILE), desc="tiles", leave=False, delay=2.0, disable=None):
            seen, inner = _with_margin(tile, grid, margin)
            rows, columns = (slice(stride * part.start, stride * part.stop) for part in seen)
            yield tile, self._encode_tile(pixels[rows, columns], inner, quality, effort)

    def _encode_tile(self, pixels: npt.NDArray[np.uint8], inner: Slices, quality: float, effort: int) -> Choice:
        """Return the indices of a tile, which lies at `inner` in the latents of pixels uint8 [H, W, 3]."""
        z = self.analyse(pixels, quality)
        effort = self.useful_effort(effort)
        choose = partial(self._choose, quality=quality, weight=RATE_WEIGHT if effort else 0.0)
        steps = EFFORT_STEPS[effort]
        if not steps:
            return choose(z[:, :, inner[0], inner[1]])
        scene = Scene(self.network, _pad(_to_tensor(pixels), self.network.stride), z.clone(), inner, quality)
        bits = partial(self._bits, quality=quality)
        return refine(scene, choose, self.latents, bits, steps)

    @torch.inference_mode()
    def _choose(self, z: Tensor, quality: float, weight: float) -> Choice:
        if isinstance(self.prior, StaticPrior):
            return choose_static(self.prior, self.quantizer, z, quality, rate_aware=weight > 0)
        return choose_context(self.prior, self.assigner, z, quality, weight)

    def _bits(self, chosen: Choice, quality: float) -> float:
        return sum(self.prior.bits(chosen.indices, chosen.classes, quality))

    @torch.inference_mode()
    def _synthesise(self, codes: npt.NDArray[Any], size: Encoded | Header) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] for what indices.unpack_codes gives."""
        stride, quality = self.network.stride, torch.tensor([size.quality])
        grid, margin = latent_grid(size.height, size.width, stride), self.network.synthesis_margin
        pixels = np.empty((size.height, size.width, 3), np.uint8)
        for tile in tiles_of(grid, 0 if margin is None else SYNTHESIS_TILE):
            seen, inner = _with_margin(tile, grid, margin or 0)
            x = self.network.synthesis(self._latents(codes, seen), quality)[0]
            place = pixels[tile.top * stride : tile.bottom * stride, tile.left * stride : tile.right * stride]
            top, left = inner[0].start * stride, inner[1].start * stride
            x = x[:, top : top + place.shape[0], left : left + place.shape[1]]
            place[:] = (x * 255.0).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        return pixels

    def _latents(self, codes: npt.NDArray[Any], seen: tuple[slice, slice]) -> Tensor:
        """Return the quantised latents float32 [1, d, h, w] of a part of a picture."""
        if isinstance(self.prior, ContextPrior):
            return torch.from_numpy(codes[:, seen[0], seen[1]].astype(np.float32))[None] / SIXTEENTHS
        factor = self.metadata.factor
        rows, columns = (slice(factor * part.start, factor * part.stop) for part in seen)
        return self.quantizer.decode(torch.from_numpy(codes[:, rows, columns].astype(np.int64))[None])


def _with_margin(tile: Tile, grid: tuple[int, int], margin: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return a tile with what its network sees around it, in the grid, and where the tile lies in that."""
    top, left = max(0, tile.top - margin), max(0, tile.left - margin)
    seen = (slice(top, min(grid[0], tile.bottom + margin)), slice(left, min(grid[1], tile.right + margin)))
    inner = (slice(tile.top - top, tile.bottom - top), slice(tile.left - left, tile.right - left))
    return seen, inner


@contextmanager
def _memory_errors(width: int, height: int) -> Iterator[None]:
    """Say in a sentence that a picture is too large for this machine, however torch or NumPy put it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise InputError(
            f"there is not enough memory for {width} x {height} pixels; make the picture smaller"
        ) from error


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _to_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 255.0


def _pad(x: Tensor, stride: int) -> Tensor:
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % stride, 0, -height % stride), mode="replicate")
