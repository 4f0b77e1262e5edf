"""READ FIRST. A picture, its indices, its bytes, and back.

    pixels uint8 [H, W, 3]
      | pad to whole blocks                        image/ reads and writes pictures
    x float32 [3, 16h, 16w]
      | transform.analysis                         runtime/ without torch, networks/ with it
    z float32 [d, h, w]
      | encoder, given what each index costs       encoder/, quantizers/
    indices uint16 [P, h', w'], classes
      | prior.encode                               exact/priors/, exact/bitstream/rans.py
    bytes
      | header, tiles, sections, CRC               exact/bitstream/container.py, exact/indices.py, exact/tiles.py
    photo.vqc

Decompression walks the same road upwards. Everything below the indices is integers and
comes out the same on every machine; pixels may differ by a gray level.

A Coder knows nothing of torch, which takes longer to import than a picture to compress: shipped models are a Coder with
the networks of runtime/, and codec.py adds whatever needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from vqcodec.choices import DEFAULT_EFFORT, DEFAULT_QUALITY, RATE_WEIGHT, check_effort, check_quality, steps_of
from vqcodec.cores import in_order
from vqcodec.decoder import (
    WHOLE,
    Part,
    Shower,
    comes_in_strips,
    memory_errors,
    picture_of_part,
    sketch_of_part,
    stored_picture_of_part,
    strips_of_part,
    whole,
)
from vqcodec.encoder import ContextEncoder, Encoder
from vqcodec.encoder.looks import refine_for_looks
from vqcodec.encoder.proximal import Distortion, refine, step_sizes, whole_sizes
from vqcodec.errors import InputError
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.container import NOTHING, Container
from vqcodec.exact.headers import Size, check_size, latent_grid
from vqcodec.exact.indices import Parts, PictureChoice, assemble, encode_tiles, most_untiled, pack, unpack
from vqcodec.exact.priors import ContextPrior, Prior
from vqcodec.exact.priors.tables import Choice
from vqcodec.exact.stored import encode_pixels
from vqcodec.exact.tiles import Rectangle, Tile, tiles_of
from vqcodec.heap import trim
from vqcodec.image import Drawn, Picture, Strips, coded_pixels, drawn_parts, drawn_pixels, picture_with
from vqcodec.runtime.transform import PhotoTransform
from vqcodec.transform import Array, Transform

# A prior starts anew in each tile, and memory grows with it; 1024 pixels at stride 16 are a compromise.
TILE = 64
"""Side in latents of the tiles that large pictures are cut into."""
TILED_LATENTS = 96 * 64
"""Pictures of more latents are cut into tiles."""
# What lies further from a tile than this changes its gradients too little to be looked at.
_SEARCH_MARGIN = 2


class Coder:
    """One model, ready to compress and decompress, whatever computes its networks."""

    def __init__(self, metadata: model_file.Metadata, prior: Prior, encoder: Encoder, transform: Transform) -> None:
        self.metadata, self.prior, self.encoder, self.transform = metadata, prior, encoder, transform
        self.rate_weight = RATE_WEIGHT if metadata.rate_weight is None else metadata.rate_weight

    def compress(
        self,
        picture: Picture,
        quality: float = DEFAULT_QUALITY,
        effort: int = DEFAULT_EFFORT,
        drawn: Drawn | None = None,
        half: bool = False,
    ) -> bytes:
        """Return the .vqc file of a picture at a quality of 1..100 in steps of 0.5.

        effort 0..9: more of it takes longer; 1 makes the file smaller than 0, and from there on the picture is better
        at the same quality. Pictures of more than TILED_LATENTS latents are cut into tiles, unless the analysis sees
        the whole picture. drawn: what `drawn_parts` returns of the picture, which the file then has without loss.
        half: code half the width and height, which a decoder shows enlarged: for files of less than 0.1 bpp.
        """
        size = self._size(picture.pixels, quality, TILED_LATENTS, half)
        with memory_errors(size):
            chosen = self._choose_tiles(coded_pixels(picture, drawn, half), size, check_effort(effort))
            return self._file(chosen, size, picture, drawn)

    def trial(
        self, picture: Picture, quality: float, effort: int, drawn: Drawn | None = None, half: bool = False
    ) -> tuple[bytes, Callable[[], Picture]]:
        """Return the file that `compress` makes, and what returns its picture, from codes that are still in memory."""
        size, codes = self._size(picture.pixels, quality, TILED_LATENTS, half), []

        def kept() -> Iterator[tuple[Tile, Choice]]:
            for tile, choice in self._choose_tiles(coded_pixels(picture, drawn, half), size, check_effort(effort)):
                codes.append((tile, choice.codes))
                yield tile, choice

        def shown() -> Picture:
            with memory_errors(size):
                window = whole(size)
                pixels = self._shower(quality).show(codes, window, size)
                if drawn is not None:
                    drawn.overlay.lay(pixels, window.slices())
                return picture_with(pixels, picture.ancillary)

        with memory_errors(size):
            return self._file(kept(), size, picture, drawn), shown

    def without_loss(self, picture: Picture, quality: float = DEFAULT_QUALITY) -> bytes | None:
        """Return a file of the pixels themselves in the place of indices; None where the picture is not drawn.

        A picture with more than 2^16 colors or 2^24 pixels counts as not drawn.

        `compress` never makes one: who counts bytes of indices is not to get others. vqcodec.rate_control chooses.
        """
        height, width = picture.pixels.shape[:2]
        size = Size(width, height, check_quality(quality))
        with memory_errors(size):
            pixels = drawn_pixels(picture)
            return None if pixels is None else encode_pixels(pixels, size, self.metadata, self.prior, picture.ancillary)

    def drawn_parts(self, picture: Picture) -> Drawn | None:
        """Return what of a picture a file may have without loss over its indices; None where that is nothing, or all.

        `compress` takes it only where it is given: who counts bytes of indices is not to get others.
        """
        height, width = picture.pixels.shape[:2]
        with memory_errors(Size(width, height, DEFAULT_QUALITY)):
            return drawn_parts(picture)

    def decompress(self, data: bytes) -> Picture:
        """Return the picture in a .vqc file; FormatError or ModelError where it cannot be decoded."""
        return self.picture_of(container.read(data))

    def picture_of(self, parsed: Container, part: Part = WHOLE) -> Picture:
        """Return the picture in a parsed .vqc file, or a part of it; errors as in `decompress`, and SettingsError.

        A thumbnail is a sketch where it is small enough and the network has a linear path for it.
        """
        if parsed.pixels is not None:
            return stored_picture_of_part(parsed, self.metadata, part)
        quality = parsed.header.quality
        path = None if part.thumbnail is None else self.transform.linear_path(quality)
        sketch = None if path is None else sketch_of_part(parsed, self.metadata, self.prior, path, part)
        if sketch is not None:
            return sketch
        self.transform.prepare(quality, "synthesis")
        return picture_of_part(parsed, self.metadata, self.prior, self._shower(quality), part)

    def strips_of(self, parsed: Container, part: Part = WHOLE) -> Strips | None:
        """Return the same in strips that are decoded as they are asked for; None where `picture_of` alone will do."""
        if not comes_in_strips(parsed, part):
            return None
        quality = parsed.header.quality
        self.transform.prepare(quality, "synthesis")
        return strips_of_part(parsed, self.metadata, self.prior, self._shower(quality), part)

    def encode(
        self, pixels: npt.NDArray[np.uint8], quality: float = DEFAULT_QUALITY, effort: int = DEFAULT_EFFORT
    ) -> PictureChoice:
        """Return the indices of pixels uint8 [H, W, 3]; in tiles where the prior decodes such a picture only so."""
        size = self._size(pixels, quality, most_untiled(self.metadata))
        return assemble(self._choose_tiles(pixels, size, check_effort(effort)), size, self.metadata)

    def decode(self, encoded: PictureChoice) -> npt.NDArray[np.uint8]:
        """Return pixels uint8 [H, W, 3] for indices."""
        with memory_errors(encoded.size):
            size = encoded.size
            tile = tiles_of(latent_grid(size, self.transform.stride), 0)[0]
            return self._shower(size.quality).show([(tile, encoded.choice.codes)], whole(size), size)

    def pack(self, encoded: PictureChoice, ancillary: Ancillary = NOTHING) -> bytes:
        """Return the .vqc file that holds these indices, and what else it says of the picture."""
        return pack(encoded, self.metadata, self.prior, ancillary)

    def unpack(self, parsed: Container) -> PictureChoice:
        """Return the indices in a parsed .vqc file; see indices.unpack. InputError where they are not all of it."""
        if parsed.overlay is not None:
            raise InputError(
                "the file has drawn parts without loss over its indices, which these do not say; compress with --lossy"
            )
        return unpack(parsed, self.metadata, self.prior)

    def useful_effort(self, effort: int) -> int:
        """Return effort, or the most that changes anything: 0 without rates."""
        return effort if self.transform.has_rates else 0

    def _steps(self, effort: int) -> int:
        """Return how many steps a search of an effort has."""
        return steps_of(self.useful_effort(effort), self.metadata.proximal)

    def _size(self, pixels: npt.NDArray[np.uint8], quality: float, most: int, half: bool = False) -> Size:
        """Return what a file will say of pixels uint8 [H, W, 3], which are cut into tiles above `most` latents."""
        height, width = pixels.shape[:2]
        size = Size(width, height, check_quality(quality), is_halved=half)
        check_size(size, self.metadata)
        h, w = latent_grid(size, self.transform.stride)
        is_cut = self.transform.analysis_margin is not None and h * w > most
        return size._replace(tile=TILE) if is_cut else size

    def _file(self, parts: Parts, size: Size, picture: Picture, drawn: Drawn | None) -> bytes:
        """Return the file of a picture's tiles."""
        packed = None if drawn is None else drawn.packed
        return encode_tiles(parts, size, self.metadata, self.prior, picture.ancillary, packed)

    def _choose_tiles(self, pixels: npt.NDArray[np.uint8], size: Size, effort: int) -> Iterator[tuple[Tile, Choice]]:
        """Return the tiles of pixels uint8 [H, W, 3] with what is chosen for each; a whole picture is one tile."""
        stride, margin = self.transform.stride, self.transform.analysis_margin or 0
        grid = latent_grid(size, stride)
        tiles = tiles_of(grid, size.tile)
        if self._steps(effort):
            self.transform.prepare(size.quality, "error_slope")

        def chosen(tile: Tile) -> Choice:
            seen = tile.widened(grid, margin)
            choice = self._choose(pixels[seen.slices(stride)], tile.within(seen), size.quality, effort)
            if size.tile:
                trim()
            return choice

        choices = in_order(chosen, tiles) if self.transform.takes_turns else map(chosen, tiles)
        return zip(tiles, _with_bar(choices, len(tiles)), strict=True)

    def _choose(self, pixels: npt.NDArray[np.uint8], inner: Rectangle, quality: float, effort: int) -> Choice:
        """Return what is chosen for a tile, which lies at `inner` in the latents of pixels uint8 [H, W, 3]."""
        x = self._padded(pixels)
        z = self.transform.analysis(x, quality)
        start = inner.of(z).copy()
        if not (steps := self._steps(effort)):
            del x, z
            return self.encoder.choose(start, quality, self.rate_weight if self.useful_effort(effort) else 0.0)

        near = inner.widened(z.shape[1:], _SEARCH_MARGIN)
        z, x = near.of(z).copy(), near.of(x, self.transform.stride).copy()
        distortion = self._distortion(z, inner.within(near), x, quality)
        costs = self.transform.rate_lambda(quality), self.transform.gain(quality)
        search, sizes = refine_for_looks, whole_sizes(*costs)
        if self.metadata.proximal:
            search, sizes = refine, step_sizes(*costs, self.rate_weight)
        return search(self.encoder, start, distortion, sizes, quality, self.rate_weight, steps)

    def _distortion(self, z: Array, inner: Rectangle, x: Array, quality: float) -> Distortion:
        """Return what latents [d, h, w] of a tile lose, which lies at `inner` in latents z of the picture x."""

        def among(latents: Array) -> Array:
            # Surroundings stay at the analysis' latents: their own tiles are not chosen yet, or already written.
            seen = z.copy()
            inner.of(seen)[:] = latents
            return seen

        def slope(latents: Array) -> tuple[float, Array]:
            error, gradient = self.transform.distortion_slope(among(latents), x, quality)
            return error, inner.of(gradient)

        return Distortion(lambda latents: self.transform.distortion(among(latents), x, quality), slope)

    def _shower(self, quality: float) -> Shower:
        """Return what makes pixels of Choice.codes."""

        def synthesis(codes: npt.NDArray[Any], inner: Rectangle) -> Array:
            return self.transform.synthesis(self.encoder.latents(codes), quality, inner)

        return Shower(synthesis, self.transform.stride, self.transform.synthesis_margin, self.metadata.factor)

    def _padded(self, pixels: npt.NDArray[np.uint8]) -> Array:
        """Return pixels uint8 [H, W, 3] as float32 [3, stride h, stride w] in [0, 1]; edges are repeated."""
        height, width = pixels.shape[:2]
        stride = self.transform.stride
        x = np.moveaxis(pixels, 2, 0).astype(np.float32, order="C")
        x /= np.float32(255)
        return np.pad(x, ((0, 0), (0, -height % stride), (0, -width % stride)), mode="edge")


def _with_bar(choices: Iterator[Choice], tiles: int) -> Iterator[Choice]:
    """Show on stderr how many of several tiles have been chosen for."""
    if tiles == 1:
        return choices
    from tqdm import tqdm

    bar: Iterator[Choice] = iter(tqdm(choices, desc="tiles", total=tiles, leave=False, delay=2.0, disable=None))
    return bar


def quick_coder(metadata: model_file.Metadata, arrays: model_file.Arrays) -> Coder:
    """Return the coder of a model that needs no torch, as can_run tells; ModelError where it is damaged."""
    prior = model_file.make_prior(metadata, arrays)
    assert isinstance(prior, ContextPrior)
    return Coder(metadata, prior, ContextEncoder(prior), PhotoTransform(metadata.network, arrays))
