"""Looks for bytes that do anything but what `fuzz_targets.py` asks for, guided by what code they reach.

    python tests/fuzz.py files -runs=500000        # or models, or archives; options are those of libFuzzer

Bytes that fail are written to the working folder as crash-*, timeout-* or oom-*. Mended, they go into
tests/corpus/, whose files `test_fuzz.py` checks as well. What the run has learned stays in build/fuzz/.
"""

from __future__ import annotations

import sys
from collections import Counter

import atheris

with atheris.instrument_imports(include=["vqcodec", "reference_"]):
    from fuzz_mutators import MUTATORS
    from fuzz_targets import CHECKS, ROOT, VECTORS

REPORT = 10_000
LIMITS = ["-timeout=20", "-rss_limit_mb=700", "-max_len=20000", "-print_final_stats=1"]
SEEDS = {"files": [VECTORS / "good", VECTORS / "bad"], "models": [VECTORS / "models"], "archives": []}


def main() -> None:
    """Fuzz one kind of input until a run fails or -runs of them were done."""
    kind, *options = sys.argv[1:]
    learned = ROOT / "build" / "fuzz" / kind
    learned.mkdir(parents=True, exist_ok=True)
    folders = [learned, ROOT / "tests" / "corpus" / kind, *SEEDS[kind]]
    verdicts: Counter[str] = Counter()
    check, change = CHECKS[kind], MUTATORS[kind]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return change(bytes(data), most, seed, lambda part, size: bytes(atheris.Mutate(part, max(size, 1))))

    def judge(data: bytes) -> None:
        verdicts[check(data)] += 1
        if not verdicts.total() % REPORT:
            print(f"{kind}: {dict(verdicts)}", file=sys.stderr)

    atheris.Setup([sys.argv[0], *LIMITS, *options, *map(str, folders)], judge, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
