"""What fits into the same bytes at low rates: our models beside AVIF and WebP, by measures nearer to the eye.

    python benchmarks/perceptual.py PICTURES/ [--model NAME|FILE ...] [--qualities 1,10,20,30] [--every 1]
        [--metrics psnr,ms-ssim,ssimulacra2,haarpsi,features] [--no-patch-fid] [--save FILE.json]

The first model's file of a picture at a quality is the limit for the formats: each takes the greatest of its own
qualities 0..100 whose file is no longer. Where even quality 0 is longer, that one is taken and counted as "too
long": there the format has more bytes than ours. Further models are measured at the same quality of ours, with the
bytes that they take. Prints a Markdown table of means over the pictures; the JSON has every picture.

`features` and `patch-fid` are by EfficientNet-lite2: vqcodec/evaluation/features_metric.py says how far that is from
the EfficientNet-lite0 that perceptual models are trained with, and that patch-fid is no published FID.
"""

from __future__ import annotations

import argparse
import bisect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from tqdm import tqdm

from vqcodec.errors import InputError, SettingsError, VqcError
from vqcodec.evaluation import features_metric, learned, metrics
from vqcodec.evaluation.codecs import EvalCodec, check_qualities, open_codecs
from vqcodec.image import find_pictures, read_picture

FORMATS = ("avif-444", "avif", "webp")
METRICS = "psnr,ms-ssim,ssimulacra2,haarpsi,features"
PATCH_FID = "patch-fid"
Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]
Coded = tuple[EvalCodec, float, bytes]
Patches = Callable[[Pixels], Tensor]
Pairs = dict[tuple[float, str], list[tuple[Tensor, Tensor]]]


def largest_within(codec: EvalCodec, pixels: Pixels, limit: int, made: dict[int, bytes]) -> tuple[int, bytes]:
    """The greatest quality 0..100 whose file has at most `limit` bytes, else 0, and the file.

    Lengths are taken to rise with the quality, as those of AVIF and WebP do. `made` keeps the picture's files.
    """

    def length(quality: int) -> int:
        if quality not in made:
            made[quality] = codec.encode(pixels, quality)
        return len(made[quality])

    chosen = max(0, bisect.bisect_right(range(101), limit, key=length) - 1)
    return chosen, made[chosen]


def coded(
    models: Sequence[EvalCodec], formats: Sequence[EvalCodec], pixels: Pixels, qualities: Sequence[float]
) -> Iterator[tuple[float, list[Coded]]]:
    """For each quality, the files of all models, then those of the formats within the first model's bytes."""
    made: dict[str, dict[int, bytes]] = {codec.name: {} for codec in formats}
    for quality in qualities:
        files: list[Coded] = [(model, quality, model.encode(pixels, quality)) for model in models]
        limit = len(files[0][2])
        files += [(codec, *largest_within(codec, pixels, limit, made[codec.name])) for codec in formats]
        yield quality, files


def measured(original: Pixels, copy: Pixels, setting: float, size: int, limit: int, names: Sequence[str]) -> Row:
    return {
        "setting": setting,
        "bytes": size,
        "bpp": 8 * size / (original.shape[0] * original.shape[1]),
        "of_limit": size / limit,
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


def summary(rows: Sequence[Row], pairs: Pairs, names: Sequence[str], formats: Sequence[str]) -> list[Row]:
    """Means over the pictures of each quality and codec, in the order of the rows."""
    means = []
    for quality, codec in dict.fromkeys((row["quality"], row["codec"]) for row in rows):
        own = [row for row in rows if (row["quality"], row["codec"]) == (quality, codec)]
        found = {name: mean([row["metrics"][name] for row in own]) for name in names}
        if pairs:
            found[PATCH_FID] = features_metric.patch_fid(pairs[quality, codec])
        means.append(
            {
                "quality": quality,
                "codec": codec,
                "pictures": len(own),
                **{key: mean([row[key] for row in own]) for key in ("setting", "bpp", "of_limit")},
                "too_long": sum(row["of_limit"] > 1 for row in own) if codec in formats else 0,
                "metrics": found,
            }
        )
    return means


def run(
    models: Sequence[EvalCodec],
    formats: Sequence[EvalCodec],
    paths: Sequence[Path],
    qualities: Sequence[float],
    names: Sequence[str],
    patches: Patches | None,
) -> dict[str, Any]:
    """Measure all pictures and return what is saved."""
    rows: list[Row] = []
    pairs: Pairs = {}
    with tqdm(total=len(paths) * len(qualities) * (len(models) + len(formats)), unit="file") as bar:
        for path in paths:
            original = read_picture(path).pixels
            own_patches = patches(original) if patches else None
            for quality, files in coded(models, formats, original, qualities):
                for codec, setting, data in files:
                    copy = codec.decode(data)
                    row = measured(original, copy, setting, len(data), len(files[0][2]), names)
                    rows.append({"picture": path.name, "quality": quality, "codec": codec.name, **row})
                    if patches:
                        pairs.setdefault((quality, codec.name), []).append((own_patches, patches(copy)))
                    bar.update()
    return {
        "codecs": {codec.name: {"label": codec.label, "settings": codec.settings} for codec in (*models, *formats)},
        "limit": f"the file of {models[0].name}",
        "metrics": {**metrics.describe(names), **({PATCH_FID: features_metric.PATCH_FID} if patches else {})},
        "means": summary(rows, pairs, names, [codec.name for codec in formats]),
        "rows": rows,
    }


def print_table(result: dict[str, Any]) -> None:
    names = list(result["metrics"])
    head = ["quality", "codec", "bpp", "of limit", "too long", *names]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in result["means"]:
        cells = [f"{row['quality']:g}", result["codecs"][row["codec"]]["label"], f"{row['bpp']:.4f}"]
        cells += [f"{row['of_limit']:.1%}", f"{row['too_long']} of {row['pictures']}"]
        values = [row["metrics"][name] for name in names]
        print(f"| {' | '.join([*cells, *('' if value is None else f'{value:.4g}' for value in values)])} |")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=["photo"], help="shipped models' names or files; photo")
    parser.add_argument("--qualities", default="1,10,20,30", help="of our models")
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture of the folder")
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--no-patch-fid", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE.json")
    return parser.parse_args(arguments)


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Open what the options name and measure."""
    found, notes = metrics.usable(options.metrics.split(","))
    names = [metric.name for metric in found]
    if unfit := {*names} & {*learned.SET_METRICS}:
        raise SettingsError(f"{', '.join(unfit)} is of sets of pictures and not measured here; use `vqc eval`")
    for note in notes:
        print(note, file=sys.stderr)
    models, formats = (list(open_codecs(wanted).values()) for wanted in (options.model, FORMATS))
    paths = find_pictures(options.folder)[:: options.every]
    if not paths:
        raise InputError(f"there is no picture in {options.folder}; name a folder of pictures")
    qualities = check_qualities(models[0], map(float, options.qualities.split(",")))
    patches = load_patches(not options.no_patch_fid)
    return run(models, formats, paths, qualities, names, patches)


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
