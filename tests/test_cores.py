"""Work among threads: in order, bounded, ended early, and the same for every number of threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY_CONTEXT, Run, picture, shaken, tiny_settings, trained

from vqcodec import coder as module
from vqcodec.coder import quick_coder
from vqcodec.cores import NotWantedError, beside, check_wanted, cores, in_order, in_parts, threads
from vqcodec.decoder import showing
from vqcodec.exact import model_file
from vqcodec.image import Picture


def test_threads_are_what_the_environment_says_or_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    for said in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert threads() == cores()
        assert 1 <= threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_order_and_few_wait(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    begun, most, lock = 0, 0, threading.Lock()
    yielded = 0

    def work(item: int) -> int:
        nonlocal begun, most
        with lock:
            begun += 1
            most = max(most, begun - yielded)
        time.sleep(0.001 * (item % 3))
        return item * item

    for number, result in enumerate(in_order(work, range(40))):
        assert result == number * number
        yielded = number + 1
    assert begun == 40 and most <= count + 1  # one is begun just before its place is free


@pytest.mark.parametrize("count", [1, 3])
def test_errors_come_in_their_turn(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))

    def work(item: int) -> int:
        if item >= 4:
            raise ValueError(f"item {item}")
        time.sleep(0.01)
        return item

    found = []
    with pytest.raises(ValueError, match="item 4"):
        for result in in_order(work, range(10)):
            found.append(result)
    assert found == [0, 1, 2, 3]


def test_who_leaves_waits_only_for_what_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    ended: list[int] = []
    begun = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            begun.set()
        try:
            while item:
                check_wanted()
                time.sleep(0.001)
        except NotWantedError:
            ended.append(item)
            raise
        return item

    results = in_order(work, range(10))
    assert next(results) == 0 and begun.wait(60)
    results.close()  # type: ignore[attr-defined]
    assert sorted(ended) in ([1], [1, 2])
    check_wanted()  # in this thread everything is wanted


@pytest.mark.parametrize("count", [1, 2])
def test_work_beside_the_making_of_the_next_item(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two threads the second item is not made before the work at the first has begun, and waits for nothing."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    done: list[int] = []
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        if count == 1:
            assert done == [0]
        made.set()
        yield from range(1, 5)
        raise ValueError("no more")

    def work(item: int) -> None:
        assert count == 1 or made.wait(60)
        done.append(item)

    with pytest.raises(ValueError, match="no more"):
        beside(work, items())
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("length", [4, 9])
def test_errors_of_work_beside_are_raised(count: int, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    done: list[int] = []

    def work(item: int) -> None:
        if item == 3:
            raise ValueError("item 3")
        done.append(item)

    with pytest.raises(ValueError, match="item 3"):
        beside(work, iter(range(length)))
    assert done == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 100])
def test_parts_are_few_and_make_the_whole_in_order(count: int, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(count))
    whole = list(range(length))
    parts = in_parts(lambda part: (whole[part], threading.get_ident()), length, 5)
    assert [item for part, _ in parts for item in part] == whole
    assert len(parts) == max(1, min(count, length // 5))
    assert all(len(part) >= 5 for part, _ in parts) or len(parts) == 1
    assert len(parts) == 1 or {ident for _, ident in parts} != {threading.get_ident()}


def test_a_thread_of_in_order_does_all_its_work_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert list(in_order(lambda _: in_parts(lambda part: part, 100, 5), range(3))) == 3 * [[slice(0, 100)]]


def test_errors_of_parts_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def work(part: slice) -> None:
        if part.start:
            raise ValueError("the second part")

    with pytest.raises(ValueError, match="the second part"):
        in_parts(work, 10, 5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that needs no torch, its weights shaken, so that each of them counts."""
    return shaken(trained(tmp_path_factory.mktemp("cores") / "model.safetensors", tiny_settings(**TINY_CONTEXT)))


@pytest.mark.parametrize("effort", [1, 3])
@pytest.mark.parametrize("tiled", [100, 10_000])
def test_files_and_pictures_are_the_same_for_every_number_of_threads(
    model: Path, effort: int, tiled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TILE", 16), ("TILED_LATENTS", tiled)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(showing, "SYNTHESIS_TILE", 16)
    coder, pixels = quick_coder(*model_file.load(model)), picture(300, 550, seed=4)
    files, shown = set(), []
    for count in (1, 2, 3, 8):
        monkeypatch.setenv("OMP_NUM_THREADS", str(count))
        data = coder.compress(Picture(pixels), 60, effort)
        files.add(data)
        shown.append(coder.decompress(data).pixels)
    assert len(files) == 1
    for other in shown[1:]:
        np.testing.assert_array_equal(shown[0], other)


def test_the_command_line_says_how_many(
    run: Run, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run("compress", photo, "--model", tiny_model, "--threads", 3).code == 0
    assert threads() == 3
    assert run("decompress", photo.with_suffix(".vqc"), "--model", tiny_model, "--threads", 2, "-o", "-").code == 0
    assert threads() == 2
    assert run("compress", photo, "--threads", 0).code == 2
