"""Whether `--max-bytes` is kept: every picture of a folder at several limits.

    python benchmarks/max_bytes.py PICTURES/ [--model FILE] [--limits 5000,10000,20000] [--effort 3] [--every 1]

Prints one JSON object: files made, the largest share of a limit that was used, the least, files beyond their
limit (there must be none), and the limits that no quality reaches, with what was said.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from vqcodec import api
from vqcodec.codec import Codec
from vqcodec.errors import TargetError
from vqcodec.image import find_pictures, read_picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--limits", default="5000,10000,20000,40000,80000")
    parser.add_argument("--effort", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture of the folder")
    options = parser.parse_args()
    codec = Codec.open(options.model)
    limits = [int(limit) for limit in options.limits.split(",")]
    jobs = [(path, limit) for path in find_pictures(options.folder)[:: options.every] for limit in limits]
    shares, beyond, unreachable = [], 0, []
    for path, limit in tqdm(jobs, unit="file"):
        try:
            data = api.compress(read_picture(path).pixels, model=codec, effort=options.effort, max_bytes=limit)
        except TargetError as error:
            unreachable.append(f"{path.stem}, {limit}: {error}")
            continue
        shares.append(len(data) / limit)
        beyond += len(data) > limit
    print(
        json.dumps(
            {
                "model": codec.metadata.fingerprint,
                "files": len(shares),
                "beyond_limit": beyond,
                "share_used": [round(min(shares), 4), round(max(shares), 4)],
                "unreachable": unreachable,
            }
        )
    )


if __name__ == "__main__":
    main()
