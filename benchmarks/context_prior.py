"""What the context prior's integers cost: seconds beside the synthesis, bits beside arithmetic that does not round.

    python benchmarks/context_prior.py PICTURES/ [--model FILE] [--quality 50] [--runs 5]

Prints one JSON object. The twin that does not round has the same weights, but activations, means and
classes as they come, and pays fractions of bits under the tables' own probabilities.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vqcodec.codec import Codec
from vqcodec.exact import model_file
from vqcodec.exact.bitstream import container
from vqcodec.exact.priors.base import tensors_under
from vqcodec.exact.priors.context import PREFIX, ContextPrior
from vqcodec.exact.priors.integer_net import SIXTEENTHS
from vqcodec.image import find_pictures, read_picture
from vqcodec.training.rate.context_rate import code
from vqcodec.training.rate.context_tensors import float_parent
from vqcodec.training.rate.pair_tables import written_tables


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Return the median time of a call, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return round(statistics.median(times), 4)


def seconds(codec: Codec, path: Path, quality: float, runs: int) -> dict[str, float]:
    """Return seconds of decoding a file's indices and of the synthesis behind it."""
    encoded = codec.encode(read_picture(path).pixels, quality, 1)
    parsed = container.read(codec.pack(encoded))
    return {
        "indices_seconds": median_seconds(lambda: codec.unpack(parsed), runs),
        "synthesis_seconds": median_seconds(lambda: codec.decode(encoded), runs),
    }


@torch.no_grad()
def rounding_loss(codec: Codec, arrays: model_file.Arrays, folder: Path, quality: float) -> dict[str, float]:
    """Return the share of bits that rounding activations, means and classes adds, over a folder of pictures."""
    assert isinstance(codec.prior, ContextPrior)
    twin = float_parent(codec.metadata.prior_settings, tensors_under(PREFIX, arrays))
    rows = twin.rows_of(torch.tensor([quality]))
    codebook = torch.from_numpy(codec.prior.codebook.astype(np.float32)) / SIXTEENTHS
    assigner = written_tables(tensors_under(PREFIX, arrays)).assigner(codebook, float(codec.prior.scale))
    total, errors = np.zeros(2), np.zeros(2)
    for path in find_pictures(folder):
        z = codec.analyze(read_picture(path).pixels, quality).clone()
        for place, integer in enumerate((True, False)):
            twin.integer = integer
            coded = code(twin, assigner, z, rows)
            total[place] += coded.bits.item()
            errors[place] += (coded.z_q - z).square().sum().item()
    return {
        "bits_added": round(float(total[0] / total[1] - 1), 5),
        "squared_error_added": round(float(errors[0] / errors[1] - 1), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--quality", type=float, default=50)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    metadata, arrays = model_file.load(model_file.resolve(options.model))
    codec = Codec(metadata, arrays)
    result: dict[str, object] = {"model": metadata.fingerprint, "threads": torch.get_num_threads()}
    result |= seconds(codec, find_pictures(options.folder)[0], options.quality, options.runs)
    result |= rounding_loss(codec, arrays, options.folder, options.quality)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
