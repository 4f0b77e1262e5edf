"""What the shipped model must hold on a folder of test pictures, from real files.

    python benchmarks/photo_checks.py KODAK/ [--model FILE]

Prints, as one JSON object: how far file sizes are from what the tables predict, the share
of codevectors used and their perplexity, and each picture's lead over JPEG (Pillow, 4:2:0,
optimized, progressive) at equal bytes, read both ways: at the bytes of our file of quality
80, and at the bytes of a JPEG of quality 80.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from vqcodec.codec import Codec
from vqcodec.evaluation.metrics import psnr
from vqcodec.exact.bitstream import container
from vqcodec.exact.indices import prior_of
from vqcodec.image import find_pictures, read_picture

Pixels = npt.NDArray[np.uint8]
QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
QUALITY = 80
JPEG_QUALITIES = range(5, 96, 5)


def jpeg(pixels: Pixels, quality: int) -> tuple[int, float]:
    """Return bytes and PSNR of Pillow's JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return buffer.tell(), psnr(pixels, np.asarray(Image.open(buffer)))


def ours(codec: Codec, pixels: Pixels, counts: npt.NDArray[np.int64]) -> list[tuple[int, float, float]]:
    """Return bytes, PSNR and predicted bytes for each quality; add up the use of codevectors."""
    rows = []
    for quality in QUALITIES:
        encoded = codec.encode(pixels, quality)
        coded = codec.prior.index_bits(encoded.choice.indices, encoded.choice.classes, quality) > 0
        counts += np.bincount(encoded.choice.indices[coded], minlength=len(counts))
        data = codec.pack(encoded)
        used = prior_of(container.read(data).header, codec.prior)
        predicted = sum(used.bits(encoded.choice.indices, encoded.choice.classes, quality)) / 8
        rows.append((len(data), psnr(pixels, codec.decode(encoded)), predicted))
    return rows


def at_bytes(curve: list[tuple[int, float]], size: int) -> float:
    """Interpolate PSNR over the logarithm of the size; outside of the curve there is no answer."""
    sizes, values = zip(*sorted(curve), strict=True)
    if not sizes[0] <= size <= sizes[-1]:
        return float("nan")
    return float(np.interp(np.log(size), np.log(sizes), values))


def lead_over_jpeg(mine: list[tuple[int, float]], pixels: Pixels) -> tuple[float, float]:
    """Return our PSNR less JPEG's at the bytes of our quality 80 and of JPEG's quality 80."""
    jpegs = [jpeg(pixels, q) for q in JPEG_QUALITIES]
    size, value = mine[QUALITIES.index(QUALITY)]
    jpeg_size, jpeg_value = jpegs[list(JPEG_QUALITIES).index(QUALITY)]
    return value - at_bytes(jpegs, size), at_bytes(mine, jpeg_size) - jpeg_value


def check(codec: Codec, folder: Path) -> dict[str, object]:
    counts = np.zeros(codec.quantizer.K, dtype=np.int64)
    leads, beyond = {}, []
    for path in tqdm(find_pictures(folder), unit="picture"):
        pixels = read_picture(path).pixels
        rows = ours(codec, pixels, counts)
        beyond += [size - 1.01 * predicted for size, _, predicted in rows]
        mine = [(size, value) for size, value, _ in rows]
        leads[path.stem] = tuple(round(lead, 2) for lead in lead_over_jpeg(mine, pixels))
    share = counts / counts.sum()
    entropy = -(share * np.log(share + 1e-300)).sum()
    return {
        "model": codec.metadata.fingerprint,
        "worst_bytes_beyond_entropy_plus_1_percent": round(max(beyond), 1),
        "codevectors_used": float((counts > 0).mean()),
        "perplexity": round(float(np.exp(entropy)), 2),
        "least_lead_over_jpeg_db": [round(min(lead[i] for lead in leads.values()), 2) for i in (0, 1)],
        "lead_over_jpeg_db": leads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    print(json.dumps(check(Codec.open(arguments.model), arguments.folder), indent=1))


if __name__ == "__main__":
    main()
