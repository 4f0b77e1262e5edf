"""What fits into the same bytes at low rates: our models beside AVIF and WebP, by measures nearer to the eye.

    python benchmarks/perceptual.py PICTURES/ [--model NAME|FILE ...] [--bpp 0.075,0.1,0.2] [--every 1]
        [--effort 3] [--formats avif,webp] [--metrics psnr,ms-ssim,ssimulacra2,haarpsi,features] [--no-patch-fid]
        [--save FILE.json]

Every codec takes the quality whose file is the largest of at most so many bits per pixel, as `vqc compare` does. Where
even its lowest has more, that one is taken and counted as "too long": there the codec has more bytes than the others.
Prints a Markdown table of means over the pictures; the JSON has every picture.

`features` and `patch-fid` are by EfficientNet-lite2: vqcodec/evaluation/metrics/features.py says how far that is from
the EfficientNet-lite0 that perceptual models are trained with, and that patch-fid is no published FID.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from tqdm import tqdm

from vqcodec.choices import DEFAULT_EFFORT, check_effort
from vqcodec.errors import InputError, SettingsError, VqcError
from vqcodec.evaluation import metrics
from vqcodec.evaluation.codecs import EvalCodec, Vqc, open_codecs
from vqcodec.evaluation.compare import run as compare
from vqcodec.evaluation.metrics import features as features_metric
from vqcodec.evaluation.metrics import learned
from vqcodec.image import find_pictures, read_picture

METRICS = "psnr,ms-ssim,ssimulacra2,haarpsi,features"
PATCH_FID = "patch-fid"
Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]
Coded = tuple[EvalCodec, float, bytes]
Patches = Callable[[Pixels], Tensor]
Pairs = dict[tuple[float, str], list[tuple[Tensor, Tensor]]]


def largest_within(codec: EvalCodec, pixels: Pixels, limit: int, made: dict[float, bytes]) -> tuple[float, bytes]:
    """The quality whose file is the largest of at most `limit` bytes, else the lowest, and the file.

    `made` keeps the picture's files.
    """

    def encode(quality: float) -> bytes:
        if quality not in made:
            made[quality] = codec.encode(pixels, quality)
        return made[quality]

    qualities = compare.qualities_of(codec)
    try:
        return compare.largest_within(encode, qualities, limit)
    except compare.TooSmall:
        return qualities[0], encode(qualities[0])


def coded(codecs: Sequence[EvalCodec], pixels: Pixels, rates: Sequence[float]) -> Iterator[tuple[float, Coded]]:
    """The file of each codec within each rate in bits per pixel."""
    for codec in codecs:
        made: dict[float, bytes] = {}
        for bpp in rates:
            limit = int(bpp * pixels.shape[0] * pixels.shape[1] / 8)
            yield bpp, (codec, *largest_within(codec, pixels, limit, made))


def measured(original: Pixels, copy: Pixels, setting: float, size: int, names: Sequence[str]) -> Row:
    return {
        "setting": setting,
        "bytes": size,
        "bpp": 8 * size / (original.shape[0] * original.shape[1]),
        "metrics": metrics.compare(names, original, copy),
    }


def load_patches(wanted: bool) -> Patches | None:
    """What makes patches' features, or None and, if they were wanted, a sentence why."""
    if not wanted:
        return None
    try:
        return features_metric.load_patches()
    except Exception as error:  # what a library raises that is absent or without its weights
        print(f"{PATCH_FID} is left out: {learned.reason(error)}", file=sys.stderr)
        return None


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that there are."""
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def summary(rows: Sequence[Row], pairs: Pairs, names: Sequence[str]) -> list[Row]:
    """Means over the pictures of each rate and codec, in the order of rates and of the rows."""
    means = []
    for limit, codec in sorted(dict.fromkeys((row["limit_bpp"], row["codec"]) for row in rows), key=lambda key: key[0]):
        own = [row for row in rows if (row["limit_bpp"], row["codec"]) == (limit, codec)]
        found = {name: mean([row["metrics"][name] for row in own]) for name in names}
        if pairs:
            found[PATCH_FID] = features_metric.patch_fid(pairs[limit, codec])
        means.append(
            {
                "limit_bpp": limit,
                "codec": codec,
                "pictures": len(own),
                **{key: mean([row[key] for row in own]) for key in ("setting", "bpp")},
                "too_long": sum(row["bpp"] > limit for row in own),
                "metrics": found,
            }
        )
    return means


def run(
    codecs: Sequence[EvalCodec],
    paths: Sequence[Path],
    rates: Sequence[float],
    names: Sequence[str],
    patches: Patches | None,
) -> dict[str, Any]:
    """Measure all pictures and return what is saved."""
    rows: list[Row] = []
    pairs: Pairs = {}
    with tqdm(total=len(paths) * len(rates) * len(codecs), unit="file") as bar:
        for path in paths:
            original = read_picture(path).pixels
            own_patches = patches(original) if patches else None
            for limit, (codec, setting, data) in coded(codecs, original, rates):
                copy = codec.decode(data)
                row = measured(original, copy, setting, len(data), names)
                rows.append({"picture": path.name, "limit_bpp": limit, "codec": codec.name, **row})
                if patches:
                    pairs.setdefault((limit, codec.name), []).append((own_patches, patches(copy)))
                bar.update()
    return {
        "codecs": {codec.name: {"label": codec.label, "settings": codec.settings} for codec in codecs},
        "metrics": {**metrics.describe(names), **({PATCH_FID: features_metric.PATCH_FID} if patches else {})},
        "means": summary(rows, pairs, names),
        "rows": rows,
    }


def print_table(result: dict[str, Any]) -> None:
    names = list(result["metrics"])
    head = ["at most", "codec", "bpp", "too long", *names]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in result["means"]:
        cells = [f"{row['limit_bpp']:g}", result["codecs"][row["codec"]]["label"], f"{row['bpp']:.4f}"]
        cells.append(f"{row['too_long']} of {row['pictures']}")
        values = [row["metrics"][name] for name in names]
        print(f"| {' | '.join([*cells, *('' if value is None else f'{value:.4g}' for value in values)])} |")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=["photo"], help="shipped models' names or files; photo")
    parser.add_argument("--bpp", default="0.075,0.1,0.2")
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help="of our encoder")
    parser.add_argument("--formats", default="avif,webp", help="codecs of vqc eval")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture of the folder")
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--no-patch-fid", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE.json")
    return parser.parse_args(arguments)


def parse_rates(text: str) -> list[float]:
    """The rates in bits per pixel that a list of them says, the least first."""
    try:
        rates = sorted(map(float, text.split(",")))
    except ValueError:
        rates = []
    if not rates or not 0 < rates[0] <= rates[-1] <= 24:
        raise SettingsError(f"--bpp {text} is no list of rates; write bits per pixel above 0, such as 0.1,0.2")
    return rates


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Open what the options name and measure."""
    found, notes = metrics.usable(options.metrics.split(","))
    names = [metric.name for metric in found]
    if unfit := {*names} & {*learned.SET_METRICS}:
        raise SettingsError(f"{', '.join(unfit)} is of sets of pictures and not measured here; use `vqc eval`")
    for note in notes:
        print(note, file=sys.stderr)
    codecs = list(open_codecs([*options.model, *filter(None, options.formats.split(","))]).values())
    if options.every < 1:
        raise SettingsError(f"--every {options.every} takes no picture; choose 1 or more")
    paths = find_pictures(options.folder)[:: options.every]
    if not paths:
        raise InputError(f"there is no picture in {options.folder}; name a folder of pictures")
    for codec in codecs:
        if isinstance(codec, Vqc):
            codec.effort = check_effort(options.effort)
    rates = parse_rates(options.bpp)
    patches = load_patches(not options.no_patch_fid)
    return run(codecs, paths, rates, names, patches)


def main() -> None:
    options = parse()
    try:
        result = benchmark(options)
    except VqcError as error:
        raise SystemExit(str(error)) from error
    print_table(result)
    if options.save:
        options.save.parent.mkdir(parents=True, exist_ok=True)
        options.save.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
