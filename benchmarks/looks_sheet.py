"""Pictures side by side at equal bytes, one sheet a rate: the original, and what codecs make of it within so many bits.

    python benchmarks/looks_sheet.py PICTURES/ [-o local/sheets] [--count 16] [--codec NAME ...] [--bpp 0.1 0.25 0.5]

Whole pictures are compressed; the middle 288 x 192 of each is shown, in a JPEG of quality 95, 4:4:4. Every codec takes
the quality whose file is the largest of at most so many bits per pixel; where its lowest has more, the caption is red.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from perceptual import largest_within
from sheets import Cell, Pixels, Sheet
from tqdm import tqdm

from vqcodec.errors import VqcError
from vqcodec.evaluation.codecs import EvalCodec, open_codecs
from vqcodec.image import find_pictures, read_picture

CELL = Cell(width=288, height=192, caption=18, gap=6, letters=12)


def fill(sheets: dict[float, Sheet], row: int, name: str, pixels: Pixels, codecs: Sequence[EvalCodec]) -> None:
    """Show a picture in a row of each sheet, which are by bits per pixel."""
    made: list[dict[float, bytes]] = [{} for _ in codecs]
    for bpp, sheet in sheets.items():
        limit = int(bpp * pixels.shape[0] * pixels.shape[1] / 8)
        sheet.put(row, 0, pixels, name)
        for column, (codec, files) in enumerate(zip(codecs, made, strict=True), 1):
            _, data = largest_within(codec, pixels, limit, files)
            caption = f"{codec.label}: {len(data):,} bytes"
            sheet.put(row, column, codec.decode(data), caption, "black" if len(data) <= limit else "red")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("local/sheets"))
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--codec", nargs="+", default=["perceptual", "photo", "avif"])
    parser.add_argument("--bpp", nargs="+", type=float, default=[0.1, 0.25, 0.5])
    options = parser.parse_args(arguments)
    try:
        paths = find_pictures(options.pictures)[: options.count]
        codecs = list(open_codecs(options.codec).values())
        sheets = {bpp: Sheet(len(paths), 1 + len(codecs), CELL) for bpp in options.bpp}
        for row, path in enumerate(tqdm(paths, unit="picture", disable=None)):
            fill(sheets, row, path.stem, read_picture(path).pixels, codecs)
    except VqcError as error:
        raise SystemExit(str(error)) from error
    options.output.mkdir(parents=True, exist_ok=True)
    for bpp, sheet in sheets.items():
        sheet.image.save(options.output / f"{bpp:g}.jpg", quality=95, subsampling=0)


if __name__ == "__main__":
    main()
