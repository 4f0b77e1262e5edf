"""Writes the test vectors under bitstream/vectors/: tiny models, good files with their indices, bad files.

    python bitstream/make_vectors.py

Everything is drawn from fixed seeds. Good files are made by the `vqcodec` package; bad ones are
good ones with one fault each, most of them with a correct checksum, so that the fault itself must
be noticed. Bad models are good ones with one fault each. `vectors.json` lists the files; FORMAT.md
section 7 explains the names of the faults.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from bad_models import bad_models
from bad_pixels import bad_overlay_files, bad_pixel_files
from bad_said import bad_said_files
from bad_tiles import bad_context_files
from bad_vectors import bad_files, patch
from random_models import ContextPlan, ModelPlan, draw_context, draw_static, make_model, quantizer

from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.bitstream.ancillary import Ancillary
from vqcodec.exact.bitstream.header import Header
from vqcodec.exact.bitstream.pixels import Overlay, pack_overlay, pack_pixels
from vqcodec.exact.bitstream.sections import COLOR_SPACE, HALVED, ICC_PROFILE, INDICES, OVERLAY, PIXELS, Section
from vqcodec.exact.headers import Size, latent_grid
from vqcodec.exact.indices import index_crc, tiles_crc
from vqcodec.exact.priors import ContextPrior, StaticPrior
from vqcodec.exact.tiles import tiles_of, write_streams

FOLDER: Final = Path(__file__).parent / "vectors"
PROFILE: Final = b"not a real ICC profile"


@dataclass(frozen=True)
class FilePlan:
    """One good file: its model, size in pixels, quality and what is special about it; with colors it has no indices.

    `over` is the number of colors of an overlay; `adaptive` says that the tables of a context prior adapt.
    """

    name: str
    model: str
    width: int
    height: int
    quality: float
    about: str
    zeros: bool = False
    extra: tuple[Section, ...] = ()
    extra_first: bool = False
    tile: int = 0
    colors: int = 0
    over: int = 0
    adaptive: bool = False
    half: bool = False


MODELS: Final = (
    ModelPlan("plain", quantizer(16, 4, 2), table_bits=12, tables=3, rows=1),
    ModelPlan("wide", quantizer(32, 3, 2, depth=2, wide=2), table_bits=20, tables=5, rows=4, classes=3),
    ModelPlan("all", quantizer(10, 2, 2, beta=2), table_bits=8, tables=2, rows=2, stride=8),
    ModelPlan("conditional", quantizer(12, 2, 4, beta=3, mode="conditional"), 24, tables=6, rows=2, classes=2),
    ModelPlan("smooth", quantizer(300, 1, 1, beta=2, mode="smooth"), table_bits=16, tables=2, rows=1),
    ModelPlan("vq", quantizer(64, 1, 3, name="vq"), table_bits=12, tables=2, rows=1, stride=4),
    ModelPlan("pq", quantizer(20, 3, 2, name="pq"), 14, tables=4, rows=2, classes=2, stride=4, own_codebooks=True),
    ModelPlan("rq", quantizer(16, 1, 4, name="rq", depth=5), table_bits=12, tables=5, rows=1, stride=8),
    ContextPlan("context", zeros=(5, 11), patterns=("fine", "coarse")),
    ContextPlan(
        "groups", groups=(2, 2, 4), K=27, embed=3, hidden=6, rows=1, deviation_classes=12, table_bits=20, scale=9.0
    ),
    ContextPlan("starts", groups=(4, 2, 2), rows=4, patterns=("fine", "coarse", "deep"), starts=(0, 3, 2)),
    ContextPlan("masking", groups=(2, 2, 8), embed=3, hidden=6, rows=2, masking=True),
)

ICC: Final = Section(ICC_PROFILE, zlib.compress(PROFILE, 9))
COLOR: Final = Section(COLOR_SPACE, b"\1")
NEW_COLOR: Final = Section(COLOR_SPACE, b"\xc8")
UNKNOWN: Final = (Section(0x90, b"skip me"), Section(0xFF, b""), Section(0x90, b"and me"))
SQUARE: Final = np.pad(np.full((20, 30), 255, np.uint8), 10)
SHADOW: Final = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
GRAY, ALPHA = Ancillary(is_gray=True).sections, Ancillary(alpha=SQUARE).sections
SOFT_ALPHA: Final = Ancillary(alpha=SHADOW).sections
METADATA: Final = Ancillary(exif=b"not real EXIF", xmp=b"<x:xmpmeta/>").sections
EVERYTHING: Final = Ancillary(PROFILE, True, SHADOW, b"not real EXIF", b"<x:xmpmeta/>").sections
FILES: Final = (
    FilePlan("plain", "plain", 40, 33, 50, "one row of tables, no classes"),
    FilePlan("plain_1x1", "plain", 1, 1, 1, "the smallest picture and the lowest quality"),
    FilePlan("plain_zeros", "plain", 16, 16, 100, "every index is 0: the stream is empty", zeros=True),
    FilePlan("plain_icc", "plain", 50, 40, 50, "with an ICC profile", extra=(ICC,)),
    FilePlan("plain_icc_first", "plain", 50, 40, 50, "sections in the other order", extra=(ICC,), extra_first=True),
    FilePlan("plain_colour", "plain", 20, 20, 50, "a color space by its number", extra=(COLOR,)),
    FilePlan("plain_new_colour", "plain", 20, 20, 50, "a number of a color space still to come", extra=(NEW_COLOR,)),
    FilePlan("plain_unknown", "plain", 20, 20, 75.5, "unknown optional sections are skipped", extra=UNKNOWN),
    FilePlan("plain_gray", "plain", 20, 20, 50, "without colors", extra=GRAY),
    FilePlan("plain_alpha", "plain", 50, 40, 50, "alpha as it is", extra=ALPHA),
    FilePlan("plain_soft_alpha", "plain", 50, 40, 50, "alpha as differences", extra=SOFT_ALPHA),
    FilePlan("plain_metadata", "plain", 20, 20, 50, "EXIF and XMP", extra=METADATA),
    FilePlan(
        "plain_everything", "plain", 50, 40, 50, "all optional sections, first", extra=EVERYTHING, extra_first=True
    ),
    FilePlan("wide_low", "wide", 100, 70, 1, "depth 2, three classes, first row"),
    FilePlan("wide_mid", "wide", 70, 100, 37.5, "depth 2, three classes, a row between"),
    FilePlan("wide_high", "wide", 300, 5, 100, "depth 2, three classes, last row; two bytes of width"),
    FilePlan("all", "all", 50, 35, 50.5, "beta 2, all indices stored, K is no power of two, 8-bit tables"),
    FilePlan("conditional", "conditional", 90, 50, 20, "beta 3, two passes, two classes, 24-bit tables"),
    FilePlan("conditional_1x1", "conditional", 1, 1, 99.5, "beta 3, one base index"),
    FilePlan("smooth", "smooth", 128, 129, 60, "beta 2, interpolated: as many indices as latents; K above 256"),
    FilePlan("vq", "vq", 28, 28, 50, "one unit, which has the codebook to itself"),
    FilePlan("pq", "pq", 32, 32, 75, "layout own: a codebook for each unit, two classes"),
    FilePlan("rq", "rq", 40, 20, 50, "layout stages: five planes for one unit"),
    FilePlan("wide_tiled", "wide", 300, 270, 80, "static prior, 2 x 2 tiles of 16 latents, three classes", tile=16),
    FilePlan("conditional_tiled", "conditional", 270, 20, 40, "beta 3, two passes, two tiles", tile=16),
    FilePlan("context", "context", 100, 70, 37.5, "context prior, a row between; two codevectors are (0, 0)"),
    FilePlan("context_1x1", "context", 1, 1, 1, "context prior, one latent position: most passes are empty"),
    FilePlan("context_tiled", "context", 545, 280, 100, "context prior, 2 x 3 tiles of 16 latents, last row", tile=16),
    FilePlan("groups", "groups", 60, 90, 64.5, "context prior of three groups, K = 27"),
    FilePlan("starts_low", "starts", 90, 310, 1, "context prior, a quality that codes the first of three groups alone"),
    FilePlan("starts_mid", "starts", 90, 310, 66, "context prior, a quality that codes two of three groups"),
    FilePlan("starts_high", "starts", 90, 310, 100, "context prior, a quality that codes three of three groups"),
    FilePlan("masking_low", "masking", 100, 40, 20, "context prior whose steps follow how busy places are"),
    FilePlan("masking_high", "masking", 60, 100, 100, "the same, last row, with tables that adapt", adaptive=True),
    FilePlan("plain_flat", "plain", 9, 5, 20, "pixels of one color", colors=1),
    FilePlan("plain_pixels", "plain", 20, 17, 50, "pixels of seven colors", colors=7),
    FilePlan(
        "plain_colors",
        "plain",
        30,
        31,
        75.5,
        "pixels of 300 colors, last",
        extra=METADATA,
        extra_first=True,
        colors=300,
    ),
    FilePlan("context_pixels", "context", 20, 40, 50, "pixels of 256 grays, a context prior", extra=GRAY, colors=256),
    FilePlan("plain_overlay", "plain", 20, 17, 50, "an overlay of seven colors", over=7),
    FilePlan(
        "plain_overlay_last",
        "plain",
        30,
        31,
        50,
        "an overlay behind all others",
        extra=METADATA,
        extra_first=True,
        over=1,
    ),
    FilePlan("wide_overlay", "wide", 300, 3, 80, "an overlay of 255 colors, two tiles", tile=16, over=255),
    FilePlan("context_overlay", "context", 20, 40, 50, "an overlay of 256 grays, context prior", extra=GRAY, over=256),
    FilePlan("groups_one_tile", "groups", 40, 16, 50, "context prior, the largest tile code, one tile", tile=496),
    FilePlan("context_adaptive", "context", 260, 250, 37.5, "tables that adapt", adaptive=True),
    FilePlan("context_adaptive_1x1", "context", 1, 1, 1, "tables that adapt, one latent position", adaptive=True),
    FilePlan(
        "context_adaptive_tiled", "context", 305, 280, 100, "tables that adapt, in 2 x 2 tiles", tile=16, adaptive=True
    ),
    FilePlan("plain_half", "plain", 41, 33, 50, "half the width and height", half=True),
    FilePlan("plain_half_1x1", "plain", 1, 1, 50, "half of one pixel, gray", extra=GRAY, extra_first=True, half=True),
    FilePlan("context_half", "context", 530, 41, 37.5, "half, two tiles of 16 latents", tile=16, half=True),
    FilePlan("plain_over_half", "plain", 41, 33, 50, "half, and an overlay of the whole", over=7, half=True),
    FilePlan("starts_adaptive", "starts", 190, 310, 66, "tables that adapt, two of three groups", adaptive=True),
)

OLD: Final = (
    ("old_1", "vq", (22, b"\x81\x01\x01", 1), "layout number 1, which stood for a shared codebook"),
    ("old_4", "vq", (22, b"\x81\x04\x01", 1), "layout number 4 with one stage, which is a shared codebook"),
    ("old_5", "pq", (24, b"\x05", 1), "layout number 5, which stood for codebooks of their own"),
)
"""Good files as writers made them before layouts: name, whose bytes they are but for a patch, and what that is."""


def make_file(
    plan: FilePlan, metadata: model_file.Metadata, arrays: model_file.Arrays
) -> tuple[bytes, npt.NDArray[Any]]:
    """One good file and the indices in it, or the pixels."""
    rng = np.random.default_rng(list(plan.name.encode()))
    prior = model_file.make_prior(metadata, arrays)
    used = prior.adaptive or prior if plan.adaptive else prior
    if plan.colors:
        pixels = draw_pixels(rng, plan, plan.colors)
        payload = pack_pixels(pixels)
        assert payload is not None
        return _sealed(plan, metadata, arrays, zlib.crc32(pixels.tobytes()), Section(PIXELS, payload)), pixels
    h, w = latent_grid(Size(plan.width, plan.height, plan.quality, is_halved=plan.half), metadata.stride)
    f, streams = metadata.factor, []
    indices = np.zeros((prior.planes, f * h, f * w), np.uint16)
    for tile in tiles_of((h, w), plan.tile):
        if isinstance(prior, StaticPrior):
            drawn = draw_static(rng, prior, tile.grid, plan.quality)
        else:
            assert isinstance(prior, ContextPrior)
            drawn = draw_context(rng, prior, tile.grid, plan.quality)
        part = drawn.indices * np.uint16(not plan.zeros)
        streams.append((index_crc(part), used.encode(part, drawn.classes, plan.quality)))
        indices[:, f * tile.top : f * tile.bottom, f * tile.left : f * tile.right] = part
    coded = [Section(HALVED, b"")] if plan.half else []
    coded.append(Section(INDICES, write_streams(streams) if plan.tile else streams[0][1]))
    if plan.over:
        payload = pack_overlay(draw_overlay(plan))
        assert payload is not None
        coded.append(Section(OVERLAY, payload))
    return _sealed(plan, metadata, arrays, tiles_crc(streams) if plan.tile else streams[0][0], *coded), indices


def draw_overlay(plan: FilePlan) -> Overlay:
    """An overlay of just so many colors, gray where the file says so, on two thirds of a picture."""
    places = np.arange(plan.width * plan.height).reshape(plan.height, plan.width)
    pixels = draw_pixels(np.random.default_rng(list(plan.name.encode())), plan, plan.over)
    return Overlay(pixels, places // 3 % 3 > 0)


def draw_pixels(rng: np.random.Generator, plan: FilePlan, count: int) -> npt.NDArray[np.uint8]:
    """Pixels uint8 [height, width, 3] of just so many colors, gray where the file says so."""
    colors = rng.integers(0, 256, (count, 3), np.uint8)
    if plan.extra == GRAY:
        colors = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 3, axis=1)
    places = np.arange(plan.width * plan.height) // 3 % count
    return colors[places].reshape(plan.height, plan.width, 3)


def rgba(overlay: Overlay) -> npt.NDArray[np.uint8]:
    """An overlay as uint8 [height, width, 4]: 255 behind red, green and blue where it counts, elsewhere only zeros."""
    return np.dstack([overlay.pixels, np.full(overlay.drawn.shape, 255, np.uint8)]) * overlay.drawn[..., None]


def _sealed(
    plan: FilePlan, metadata: model_file.Metadata, arrays: model_file.Arrays, crc: int, *coded: Section
) -> bytes:
    header = Header(
        fingerprint=bytes.fromhex(model_file.fingerprint(metadata, arrays)),
        width=plan.width,
        height=plan.height,
        quality=plan.quality,
        prior=metadata.prior,
        index_crc=crc,
        tile=plan.tile,
        **{name: metadata.quantizer[name] for name in ("K", "m", "d_star", "beta", "mode", "depth")},
        layout=metadata.layout,
        adaptive=plan.adaptive,
    )
    sections = [*plan.extra, *coded] if plan.extra_first else [*coded, *plan.extra]
    return container.write_sections(header, sections)


def main() -> None:
    """Write all vectors and their list."""
    for folder in ("models", "good", "bad"):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
        for old in (FOLDER / folder).iterdir():
            old.unlink()
    models = {plan.name: make_model(plan) for plan in MODELS}
    for name, (metadata, arrays) in (models | bad_models(*models["context"])).items():
        (FOLDER / "models" / f"{name}.safetensors").write_bytes(model_file.to_bytes(metadata, arrays))
    good, bad, files = [], [], {}
    for plan in FILES:
        files[plan.name], indices = make_file(plan, *models[plan.model])
        (FOLDER / "good" / f"{plan.name}.vqc").write_bytes(files[plan.name])
        np.save(FOLDER / "good" / f"{plan.name}.npy", indices.astype("u1" if plan.colors else "<u2"))
        if plan.over:
            np.save(FOLDER / "good" / f"{plan.name}_over.npy", rgba(draw_overlay(plan)))
        good.append({"file": f"good/{plan.name}.vqc", "model": plan.model, "about": plan.about})
    for name, base, change, about in OLD:
        model = next(plan.model for plan in FILES if plan.name == base)
        (FOLDER / "good" / f"{name}.vqc").write_bytes(patch(files[base], *change))
        (FOLDER / "good" / f"{name}.npy").write_bytes((FOLDER / "good" / f"{base}.npy").read_bytes())
        good.append({"file": f"good/{name}.vqc", "model": model, "about": about})
    makers = (bad_files, bad_context_files, bad_said_files, bad_pixel_files, bad_overlay_files)
    for fault in (fault for make in makers for fault in make(files)):
        (FOLDER / "bad" / f"{fault.name}.vqc").write_bytes(fault.data)
        bad.append({"file": f"bad/{fault.name}.vqc", "model": fault.model, "fault": fault.cause, "about": fault.about})
    (FOLDER / "vectors.json").write_text(json.dumps({"good": good, "bad": bad}, indent=1) + "\n")


if __name__ == "__main__":
    main()
