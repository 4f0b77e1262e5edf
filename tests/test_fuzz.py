"""What the fuzzer has found stays mended, and its changes get past checksums and fingerprints."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from fuzz_mutators import MUTATORS
from fuzz_targets import CHECKS, LARGE, RIGHT, VECTORS, WRONG, check_file

from vqcodec.errors import FormatError
from vqcodec.exact import indices

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*/*"))
MOST_BYTES = 300_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CORPUS).as_posix())
def test_what_is_in_the_corpus_is_judged_alike(path: Path) -> None:
    assert CHECKS[path.parent.name](path.read_bytes()) in (RIGHT, WRONG, LARGE)


def test_the_corpus_is_small_and_has_every_kind() -> None:
    assert {path.parent.name for path in FILES} == CHECKS.keys()
    assert sum(path.stat().st_size for path in FILES) < MOST_BYTES


@pytest.mark.parametrize("kind", CHECKS)
def test_changes_get_past_the_checksums(kind: str) -> None:
    """Among changed bytes there are right ones too, and these are not all the same."""
    seeds = {"files": "good/*.vqc", "models": "models/[!b]*"}
    found = sorted(VECTORS.glob(seeds[kind]) if kind in seeds else CORPUS.glob(f"{kind}/*.npz"))
    rng, right, verdicts = random.Random(1), set(), Counter[str]()

    def mutate(data: bytes, most: int) -> bytes:
        at = rng.randrange(len(data) + 1)
        return (data[:at] + rng.randbytes(1) + data[at + 1 :])[:most]

    for seed in range(120):
        data = MUTATORS[kind](rng.choice(found).read_bytes(), 20_000, seed, mutate)
        verdict = CHECKS[kind](data)
        verdicts[verdict] += 1
        right |= {data} if verdict == RIGHT else set()
    assert verdicts[WRONG] > 10
    assert len(right) > 4, verdicts


def test_what_goes_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = (VECTORS / "good" / "plain.vqc").read_bytes()
    assert check_file(data) == RIGHT

    def fails(*_: object) -> None:
        raise IndexError

    def refuses(*_: object) -> None:
        raise FormatError("no")

    with monkeypatch.context() as patched, pytest.raises(IndexError):
        patched.setattr(indices, "unpack", fails)
        check_file(data)
    with monkeypatch.context() as patched, pytest.raises(AssertionError, match="only the package"):
        patched.setattr(indices, "unpack", refuses)
        check_file(data)
