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
comes out the same on every machine; pixels may differ by a gray level.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from vqcodec.decoder import WHOLE, Part, Shower, memory_errors, picture_of_part, whole
from vqcodec.encoder import encoder_for
from vqcodec.encoder.proximal import Scene, Slices, refine
from vqcodec.errors import ModelError, SettingsError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.container import NOTHING, Container
from vqcodec.exact.indices import (
    PictureChoice,
    Size,
    assemble,
    check_size,
    encode_tiles,
    latent_grid,
    most_untiled,
    pack,
    unpack,
)
from vqcodec.exact.priors import Prior
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.tiles import Tile, tiles_of
from vqcodec.image import Picture
from vqcodec.pinned import pinned_torch
from vqcodec.quantizers import Fixed, QuantizerSettings
from vqcodec.quantizers.layout.settings import RATE_WEIGHT

# Each step brings less than the one before (docs/benchmarks.md), so few are added at first and many at last.
EFFORT_STEPS = (0, 0, 1, 2, 3, 4, 6, 8, 12, 20)
"""Steps of refinement for each effort 0..9; effort 0 takes the nearest codevectors, all others count bits."""
# A prior starts anew in each tile, and memory grows with it; 1024 pixels at stride 16 are a compromise.
TILE = 64
"""Side in latents of the tiles that large pictures are cut into."""
TILED_LATENTS = 96 * 64
"""Pictures of more latents are cut into tiles."""


class Codec:
    """One model, ready to compress and decompress."""

    @pinned_torch()
    def __init__(self, metadata: model_file.Metadata, arrays: model_file.Arrays) -> None:
        self.metadata = metadata
        weights = {k: _tensor(v) for k, v in tensors_under(model_file.NETWORK_PREFIX, arrays).items()}
        try:
            self.prior: Prior = model_file.make_prior(metadata, arrays)
            networks.check_weights(metadata.network, weights)
            self.network = networks.build(metadata.network)
            settings = QuantizerSettings.from_dict(metadata.quantizer, metadata.layout)
            self.quantizer = Fixed(settings, _tensor(arrays["codebook"]))
            self.network.load_state_dict(weights)
        # What torch raises for weights that do not fit is its own affair; a caller gets one kind of error.
        except (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError, SettingsError) as error:
            raise ModelError(f"the model's weights do not fit its settings: {error}") from error
        # The header's sizes are checked with the stride of the metadata, before a network is made.
        if self.network.stride != metadata.stride:
            raise ModelError(f"the model says stride {metadata.stride}, its network has {self.network.stride}")
        self.network.eval().requires_grad_(False)
        self.quantizer.eval().requires_grad_(False)
        self.encoder = encoder_for(self.prior, self.quantizer)

    @classmethod
    def open(cls, model: str | Path | None = None) -> Codec:
        """Return the codec of a shipped model's name, a model file's path, or None for the default model."""
        return cls(*model_file.load(model_file.resolve(model)))

    @pinned_torch()
    def compress(self, picture: Picture, quality: float = DEFAULT_QUALITY, effort: int = DEFAULT_EFFORT) -> bytes:
        """Return the .vqc file of a picture at a quality of 1..100 in steps of 0.5.

        effort 0..9: more of it takes longer; 1 makes the file smaller than 0, and from there on the picture is better
        at the same quality. Pictures of more than TILED_LATENTS latents are cut into tiles, unless the analysis sees
        the whole picture.
        """
        size = self._size(picture.pixels, quality, TILED_LATENTS)
        with memory_errors(size):
            chosen = self._choose_tiles(picture.pixels, size, check_effort(effort))
            return encode_tiles(chosen, size, self.metadata, self.prior, picture.ancillary)

    def decompress(self, data: bytes) -> Picture:
        """Return the picture in a .vqc file; FormatError or ModelError where it cannot be decoded."""
        return self.picture_of(container.read(data))

    @pinned_torch()
    def picture_of(self, parsed: Container, part: Part = WHOLE) -> Picture:
        """Return the picture in a parsed .vqc file, or a part of it; errors as in `decompress`, and SettingsError."""
        return picture_of_part(parsed, self.metadata, self.prior, self._shower(parsed.header.quality), part)

    @pinned_torch()
    def analyze(self, pixels: npt.NDArray[np.uint8], quality: float) -> Tensor:
        """Return latents z float32 [1, d, h, w] of pixels uint8 [H, W, 3], padded to whole blocks."""
        return self._analyze(self._padded(pixels), quality)

    @pinned_torch()
    def encode(
        self, pixels: npt.NDArray[np.uint8], quality: float = DEFAULT_QUALITY, effort: int = DEFAULT_EFFORT
    ) -> PictureChoice:
        """Return the indices of pixels uint8 [H, W, 3]; in tiles where the prior decodes such a picture only so."""
        size = self._size(pixels, quality, most_untiled(self.metadata))
        return assemble(self._choose_tiles(pixels, size, check_effort(effort)), size, self.metadata)

    @pinned_torch()
    def decode(self, encoded: PictureChoice) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] for indices."""
        with memory_errors(encoded.size):
            size = encoded.size
            return self._shower(size.quality).show(encoded.choice.codes, whole(size), size)

    @pinned_torch()
    def latents(self, encoded: PictureChoice) -> Tensor:
        """Return the latents float32 [1, d, h, w] that a decoder has of indices."""
        return self.encoder.latents(encoded.choice.codes)

    def pack(self, encoded: PictureChoice, ancillary: Ancillary = NOTHING) -> bytes:
        """Return the .vqc file that holds these indices, and what else it says of the picture."""
        return pack(encoded, self.metadata, self.prior, ancillary)

    def unpack(self, parsed: Container) -> PictureChoice:
        """Return the indices in a parsed .vqc file; see indices.unpack."""
        return unpack(parsed, self.metadata, self.prior)

    def useful_effort(self, effort: int) -> int:
        """Return effort, or the most that changes anything: 0 without rates, 1 for a model not made for less error."""
        if not self.network.has_rates:
            return 0
        return effort if self.metadata.proximal else min(effort, 1)

    def _size(self, pixels: npt.NDArray[np.uint8], quality: float, most: int) -> Size:
        """Return what a file will say of pixels uint8 [H, W, 3], which are cut into tiles above `most` latents."""
        height, width = pixels.shape[:2]
        check_size(height, width, self.metadata)
        h, w = latent_grid(height, width, self.network.stride)
        is_cut = self.network.analysis_margin is not None and h * w > most
        return Size(width, height, check_quality(quality), TILE if is_cut else 0)

    def _choose_tiles(self, pixels: npt.NDArray[np.uint8], size: Size, effort: int) -> Iterator[tuple[Tile, Choice]]:
        """Yield the tiles of pixels uint8 [H, W, 3] with what is chosen for each; a whole picture is one tile."""
        stride, margin = self.network.stride, self.network.analysis_margin or 0
        grid = latent_grid(size.height, size.width, stride)
        tiles = tiles_of(grid, size.tile)
        for tile in tqdm(tiles, desc="tiles", leave=False, delay=2.0, disable=len(tiles) == 1 or None):
            seen = tile.widened(grid, margin)
            yield tile, self._choose(pixels[seen.slices(stride)], tile.within(seen).slices(), size.quality, effort)

    def _choose(self, pixels: npt.NDArray[np.uint8], inner: Slices, quality: float, effort: int) -> Choice:
        """Return what is chosen for a tile, which lies at `inner` in the latents of pixels uint8 [H, W, 3]."""
        x, effort = self._padded(pixels), self.useful_effort(effort)
        z = self._analyze(x, quality)
        steps = EFFORT_STEPS[effort]
        if not steps:
            return self.encoder.choose(z[(..., *inner)], quality, RATE_WEIGHT if effort else 0.0)
        return refine(Scene(self.network, x, torch.tensor([quality]), z, inner), self.encoder, steps)

    def _shower(self, quality: float) -> Shower:
        """Return what makes pixels of Choice.codes."""
        network, wanted = self.network, torch.tensor([quality])

        @torch.inference_mode()
        def synthesis(part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            picture: npt.NDArray[np.float32] = network.synthesis(self.encoder.latents(part), wanted)[0].numpy()
            return picture

        return Shower(synthesis, network.stride, network.synthesis_margin, self.metadata.factor)

    @torch.inference_mode()
    def _analyze(self, x: Tensor, quality: float) -> Tensor:
        return self.network.analysis(x, torch.tensor([quality]))

    def _padded(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Return pixels uint8 [H, W, 3] as float32 [1, 3, stride h, stride w] in [0, 1]; edges are repeated."""
        height, width = pixels.shape[:2]
        x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None] / 255.0
        return F.pad(x, (0, -width % self.network.stride, 0, -height % self.network.stride), mode="replicate")


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))
