"""A collection over Ray Data: the same files as without it, every one once, also when an actor is killed."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.cli.engines import ENGINES, RAY
from vqcodec.cli.work import Work
from vqcodec.errors import InputError, VqcError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray")
# Ray's own: of its settings, files and sockets.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True, scope="module")
def cluster() -> Iterator[None]:
    """Let the cluster that the first run makes on this machine know this module, and be gone behind the last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield
    ray.shutdown()
    gc.collect()  # what it leaves open warns here, and not in the test that is next


in_ray = ENGINES[RAY]


def squared(number: int) -> int:
    if number % 10 == 3:
        raise InputError(f"{number} is not liked")
    return number * number


def refused() -> None:
    raise VqcError("this cannot be prepared")


def pid_kept(number: int, folder: Path) -> int:
    """Leave the number of the process in a folder; once one was killed, wait until another is there in its place."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 120
    time.sleep(0.05)
    while (folder / "killed").exists() and len(list(folder.iterdir())) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    return number


def test_items_come_once_with_what_came_of_them() -> None:
    came = dict(in_ray(Work(squared), iter(range(40)), 2))
    assert sorted(came) == list(range(40)) and came[5] == 25 and str(came[13]) == "13 is not liked"
    with pytest.raises(VqcError, match="this cannot be prepared"):
        list(in_ray(Work(squared, refused), iter([1]), 1))


def test_an_actor_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            for pid in (int(path.name) for path in tmp_path.iterdir()):
                os.kill(pid, signal.SIGKILL)
                (tmp_path / "killed").touch()
                killed.append(pid)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    numbers = [item for item, _ in in_ray(Work(partial(pid_kept, folder=tmp_path)), iter(range(160)), 2)]
    assert killed and sorted(numbers) == list(range(160))
    assert len(list(tmp_path.iterdir())) >= 4, "two, one in the place of what was killed, and a mark"


def fatal(number: int) -> int:
    if number == 7:
        os._exit(1)
    return number


def test_an_item_that_takes_its_process_with_it_does_not_stop_the_others() -> None:
    came = dict(in_ray(Work(fatal), iter(range(20)), 2))
    assert [number for number in range(20) if came[number] != number] == [7] and "its process ended" in str(came[7])


def test_files_are_those_of_the_other_engine(tmp_path: Path, run: Run, tiny_model: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(5):
        Image.fromarray(picture(40, 56, seed)).save(photos / f"{seed}.png")
    made: list[dict[str, bytes]] = []
    for engine in ("processes", "ray"):
        words: list[Any] = ["--model", tiny_model, "--manifest", tmp_path / f"{engine}.jsonl", "--engine", engine]
        done = run("compress", photos, "-o", tmp_path / engine, "-e", 1, *words)
        assert done.code == 0, done.err
        made.append({path.name: path.read_bytes() for path in (tmp_path / engine).iterdir()})
    said = [json.loads(line)["name"] for line in (tmp_path / "ray.jsonl").read_text().splitlines()[1:]]
    assert made[0] == made[1] and sorted(said) == [f"{seed}.png" for seed in range(5)]


def test_an_evaluation_has_the_same_figures(tmp_path: Path, run: Run, tiny_model: Path) -> None:
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        Image.fromarray(picture(48, 64, seed)).save(tmp_path / f"photos/{seed}.png")
    figures = []
    for engine in ("processes", "ray"):
        words = ["--codec", tiny_model, "--codec", "jpeg", "--quality", "30,60", "--metrics", "psnr"]
        done = run("eval", tmp_path / "photos", "-o", tmp_path / engine, *words, "--jobs", 1, "--engine", engine)
        assert done.code == 0, done.err
        rows = json.loads((tmp_path / engine / "results.json").read_text())["rows"]
        figures.append({(r["picture"], r["codec"], r["quality"]): (r["bytes"], r["metrics"]["psnr"]) for r in rows})
    assert len(figures[0]) == 8 and figures[0] == figures[1]
