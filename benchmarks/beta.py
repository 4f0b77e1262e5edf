"""What LooC's beta costs in the photo codec: bytes at equal PSNR of beta = 2, stored in three ways, against beta = 1.

    python benchmarks/beta.py MODEL TRAINING_IMAGES/ TEST_IMAGES/ [--every 3] [--crops 24] [--rows 5] [--classes 16]

Analysis and synthesis are the model's. For each variant a static prior is fitted to crops of the training
pictures in the same way (48 wide units, a hexagonal lattice as the codebook), at the qualities at which the
test pictures are then made into files, without refinement (effort 1). Interpolating by two and
averaging again blurs latents even if nothing is quantized, so each mode is measured with the blur left
in, taken back at the encoder, and taken back at the decoder. With a model that has a context prior two
more things are measured: `smooth` on top of it, and a lower bound of `conditional` with it.

Prints Markdown tables. `bytes` and `PSNR` are means over pictures at each quality.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vqcodec import quantizers
from vqcodec.choices import RATE_WEIGHT
from vqcodec.codec import Codec
from vqcodec.encoder import ContextEncoder
from vqcodec.encoder.static import StaticEncoder
from vqcodec.evaluation.eval.curves import Row, bd_rate, mean_curve
from vqcodec.evaluation.metrics import psnr
from vqcodec.exact.bitstream.header import MODES
from vqcodec.exact.indices import PictureChoice, Size
from vqcodec.exact.model_file import NETWORK_PREFIX, Metadata, fingerprint
from vqcodec.exact.priors import ContextPrior, StaticPrior
from vqcodec.exact.priors.static import row_quality
from vqcodec.image import Picture, find_pictures, read_picture
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.training.pictures.augmentation import Augmentation
from vqcodec.training.pictures.picture_set import PictureSet, load_pictures
from vqcodec.training.rate.pair_tables import hexagonal_codebook
from vqcodec.training.rate.static_fit import Latents, PriorFitter

BETA = 2
STATIC, CONTEXT = "β = 1, static prior", "β = 1, context prior"
AS_IT_IS, ENCODER, DECODER = "left in", "taken back by the encoder", "taken back by the decoder"
WIDE, SPACING = 48, 1.35
TABLES, TABLE_BITS, FIT_ROUNDS = 256, 20, 3
CROP, BATCH, RESCALE_SHARE = 192, 8, 0.3
# The mean of 2 x 2 interpolated latents keeps at least a quarter of any frequency, so 0.75^20 of the blur is left.
UNBLUR_ROUNDS = 20

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Variant:
    """One quantizer with its prior; `before` is what the encoder does to latents."""

    mode: str | None
    before: Change
    codec: Codec
    prior: StaticPrior

    def names(self) -> list[tuple[str, Change]]:
        """Return under which names files are counted, with what each decoder does to latents."""
        if self.mode is None:
            return [(STATIC, keep)]
        if self.before is not keep:
            return [(name_of(self.mode, ENCODER), keep)]
        return [(name_of(self.mode, AS_IT_IS), keep), (name_of(self.mode, DECODER), unblurred)]


class Shot(NamedTuple):
    """One test picture at one quality."""

    name: str
    picture: Picture
    quality: float
    z: Tensor

    def row(self, codec: str, size: float, pixels: npt.NDArray[np.uint8]) -> Row:
        """Return a row as curves.mean_curve reads it."""
        return {
            "codec": codec,
            "picture": self.name,
            "quality": self.quality,
            "bytes": size,
            "bpp": 8 * size / (pixels.shape[0] * pixels.shape[1]),
            "metrics": {"psnr": psnr(self.picture.pixels, pixels)},
        }


def name_of(mode: str, blur: str) -> str:
    return f"`{mode}`, blur {blur}"


def on_context(name: str) -> str:
    """Return the name of what was measured with the model's context prior."""
    bound = "lower bound of " if "conditional" in name else ""
    return name if name == CONTEXT else f"context prior, {bound}{name}"


def keep(z: Tensor) -> Tensor:
    return z


def interpolated(z: Tensor) -> Tensor:
    return F.interpolate(z, scale_factor=BETA, mode="bilinear", align_corners=False)


def unblurred(z: Tensor) -> Tensor:
    """Return latents that are z again when they have been interpolated and averaged."""
    sharp = z
    for _ in range(UNBLUR_ROUNDS):
        sharp = sharp + z - F.avg_pool2d(interpolated(sharp), BETA)
    return sharp


def training_latents(base: Codec, pictures: PictureSet, rows: int, crops: int, classes: int) -> Latents:
    """Return latents of random crops for each row, in classes by how much there is in them."""
    z, members = [], []
    for row in range(rows):
        generator = np.random.default_rng((0, row))
        quality = torch.full((BATCH,), row_quality(row, rows))
        parts = [pictures.crops(generator, BATCH, CROP, Augmentation(RESCALE_SHARE)) for _ in range(-(-crops // BATCH))]
        z.append(torch.cat([base.network.analysis(x, quality) for x in parts]).half())
        activity = z[-1].float().abs().log1p().sum(1)
        share = activity.flatten().argsort().argsort().reshape(activity.shape) / activity.numel()
        members.append((share * classes).to(torch.uint8))
    return Latents(z, members)


def make_variant(base: Codec, latents: Latents, mode: str | None, before: Change, classes: int) -> Variant:
    """Fit a static prior of one mode (None: beta 1) and return it as a codec with the model's networks."""
    model = base.quantizer.settings
    settings = QuantizerSettings(
        "looc", model.K, model.m, model.d_star, 1, "all", depth=2, wide=min(WIDE, model.m), scale=model.scale
    )
    if mode is not None:
        settings = replace(settings, beta=BETA, mode=mode)
    quantizer = quantizers.build(settings).requires_grad_(False)
    quantizer.codebook.copy_(hexagonal_codebook(model.K, SPACING))
    own = Latents([before(z.float()).half() for z in latents.z], [members.clone() for members in latents.classes])
    fitter = PriorFitter(quantizer, len(own.z), classes, TABLES, TABLE_BITS)
    prior = fitter.fit(own, FIT_ROUNDS, learn_codebook=False)
    arrays = {NETWORK_PREFIX + key: value.numpy() for key, value in base.network.state_dict().items()}
    arrays |= prior.arrays()
    arrays["codebook"] = quantizer.codevectors().detach().numpy()
    metadata = Metadata(mode or "beta-1", base.metadata.network, base.metadata.stride, settings.as_dict(), TABLE_BITS)
    codec = Codec(replace(metadata, fingerprint=fingerprint(metadata, arrays)), arrays)
    return Variant(mode, before, codec, prior)


def shown(base: Codec, z: Tensor, shot: Shot) -> npt.NDArray[np.uint8]:
    """Return the pixels that the synthesis makes of latents [1, d, h, w]."""
    height, width = shot.picture.pixels.shape[:2]
    x = base.network.synthesis(z, torch.tensor([shot.quality]))[0, :, :height, :width]
    pixels: npt.NDArray[np.uint8] = (x * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels


def static_rows(variant: Variant, base: Codec, shot: Shot) -> tuple[list[Row], float]:
    """Make a real file and return its rows, and the bits of the indices beside the base indices."""
    height, width = shot.picture.pixels.shape[:2]
    codec = variant.codec
    z = variant.before(shot.z)[0].numpy()
    chosen = StaticEncoder(variant.prior, codec.quantizer).choose(z, shot.quality, RATE_WEIGHT)
    data = codec.pack(PictureChoice(chosen, Size(width, height, shot.quality)))
    rows = []
    for name, after in variant.names():
        if after is keep:
            pixels = codec.decompress(data).pixels
        else:
            decoded = codec.quantizer.decode(torch.from_numpy(chosen.indices.astype(np.int64))[None])
            pixels = shown(base, after(decoded), shot)
        rows.append(shot.row(name, len(data), pixels))
    bits = variant.prior.index_bits(chosen.indices, chosen.classes, shot.quality)
    return rows, float(bits.sum() - bits[:, ::BETA, ::BETA].sum())


def context_rows(base: Codec, shot: Shot) -> list[Row]:
    """Make real files with the model's own context prior and return rows, as they are and with `smooth` on top."""
    prior = base.prior
    assert isinstance(prior, ContextPrior)
    height, width = shot.picture.pixels.shape[:2]
    rows = []
    for before, ways in ((keep, {AS_IT_IS: keep, DECODER: unblurred}), (unblurred, {ENCODER: keep})):
        encoder = ContextEncoder(prior)
        chosen = encoder.choose(before(shot.z)[0].numpy(), shot.quality, RATE_WEIGHT)
        encoded = PictureChoice(chosen, Size(width, height, shot.quality))
        size = len(base.pack(encoded))
        if before is keep:
            rows.append(shot.row(CONTEXT, size, base.decode(encoded)))
        # Every unit has a coarse index, so this is the nearest point of the lattice of coarse and fine codevectors.
        again = base.quantizer.encode(interpolated(torch.from_numpy(encoder.latents(chosen.codes))[None]))
        z = F.avg_pool2d(base.quantizer.decode(again), BETA)
        rows += [shot.row(name_of("smooth", blur), size, shown(base, after(z), shot)) for blur, after in ways.items()]
    return [row | {"codec": on_context(row["codec"])} for row in rows]


def bound_rows(base: Codec, variant: Variant, rows: list[Row], neighbor_bits: float, shot: Shot) -> list[Row]:
    """Return rows whose base indices cost what the context prior says, the others what the static one does."""
    prior = base.prior
    assert isinstance(prior, ContextPrior)
    first = interpolated(variant.before(shot.z))[:, :, ::BETA, ::BETA]
    chosen = ContextEncoder(prior).choose(first[0].numpy(), shot.quality, RATE_WEIGHT)
    bits = sum(prior.bits(chosen.indices, chosen.classes, shot.quality)) + neighbor_bits
    height, width = shot.picture.pixels.shape[:2]
    return [
        row | {"codec": on_context(row["codec"]), "bytes": bits / 8, "bpp": bits / (height * width)} for row in rows
    ]


def measure(base: Codec, variants: list[Variant], pictures: list[Path], qualities: list[float]) -> list[Row]:
    """Return rows of all pictures, qualities and codecs."""
    rows: list[Row] = []
    has_context = isinstance(base.prior, ContextPrior)
    for path in tqdm(pictures, unit="picture"):
        picture = read_picture(path)
        for quality in qualities:
            shot = Shot(path.name, picture, quality, base.analyze(picture.pixels, quality))
            for variant in variants:
                more, neighbor_bits = static_rows(variant, base, shot)
                rows += more
                if has_context and variant.mode == "conditional":
                    rows += bound_rows(base, variant, more, neighbor_bits, shot)
            if has_context:
                rows += context_rows(base, shot)
    return rows


def verdict(anchor: list[Row], test: list[Row]) -> str:
    """Return the BD-rate with its range, or why there is none."""
    first, second = mean_curve(anchor, "psnr", ""), mean_curve(test, "psnr", "")
    found = bd_rate(first, second, "psnr")
    if found is None:
        return f"none: {max(second.values):.1f} dB at most, the other has at least {min(first.values):.1f} dB"
    return f"{found.percent:+.1f} % ({found.low:.1f} to {found.high:.1f} dB)".replace("-", "−")


def show(rows: list[Row], anchor: str, others: list[str], qualities: list[float]) -> None:
    """Print one table: bytes and PSNR at each quality, and the BD-rate against the first line."""
    print(f"\n| bytes / PSNR at quality | {' | '.join(f'{q:g}' for q in qualities)} | BD-rate |")
    print("|---" * (len(qualities) + 2) + "|")
    reference = [row for row in rows if row["codec"] == anchor]
    for name in (anchor, *others):
        own = [row for row in rows if row["codec"] == name]
        cells = [cell([row for row in own if row["quality"] == quality]) for quality in qualities]
        print(f"| {name} | {' | '.join(cells)} | {'' if name == anchor else verdict(reference, own)} |")


def cell(rows: list[Row]) -> str:
    size, value = np.mean([row["bytes"] for row in rows]), np.mean([row["metrics"]["psnr"] for row in rows])
    return f"{size:,.0f} / {value:.2f}"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("training", type=Path, help="a folder of pictures, or a .tar of them")
    parser.add_argument("test", type=Path)
    parser.add_argument("--every", type=int, default=3, help="measure every so manieth test picture")
    parser.add_argument("--crops", type=int, default=24, help="training crops of 192 x 192 for each quality")
    parser.add_argument("--rows", type=int, default=5, help="rows of tables; all but the last are measured")
    parser.add_argument("--classes", type=int, default=16, help="classes of positions")
    options: Any = parser.parse_args()
    base = Codec.open(options.model)
    # Beyond the last but one the largest latents would leave the reach of a static prior's coarse index.
    qualities = [round(2 * row_quality(row, options.rows)) / 2 for row in range(options.rows - 1)]
    pictures = load_pictures([options.training], torch.device("cpu"))
    latents = training_latents(base, pictures, options.rows, options.crops, options.classes)
    modes = [(None, keep), *((mode, before) for mode in MODES for before in (keep, unblurred))]
    make = partial(make_variant, base, latents, classes=options.classes)
    variants = [make(mode, before) for mode, before in tqdm(modes, desc="fitting", unit="prior")]
    tests = find_pictures(options.test)[:: options.every]
    print(f"{base.metadata.name} {base.metadata.fingerprint}, {len(tests)} pictures, {len(pictures)} to fit to")
    rows = measure(base, variants, tests, qualities)
    ways = (AS_IT_IS, ENCODER, DECODER)
    show(rows, STATIC, [name_of(mode, blur) for mode in MODES for blur in ways], qualities)
    if isinstance(base.prior, ContextPrior):
        names = [on_context(name_of(mode, blur)) for mode in ("smooth", "conditional") for blur in ways]
        show(rows, CONTEXT, names, qualities)


if __name__ == "__main__":
    main()
