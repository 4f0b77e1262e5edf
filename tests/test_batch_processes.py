"""Batches in several processes: resumed after the worst, ended without a trace, and the model loaded once in each."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny import Run, picture

from vqcodec.cli.jobs import Job, Outcome
from vqcodec.cli.pool import in_processes
from vqcodec.cli.work import Work
from vqcodec.errors import InputError, VqcError
from vqcodec.exact.bitstream import container

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
benchmark: Any = importlib.import_module("batch")

PICTURES = 16
COUNTING = """
import os
from vqcodec.exact import model_file
load = model_file.load
def counted(path):
    with open(os.environ["VQC_LOADS"], "a") as file:
        print(os.getpid(), os.environ.get("OMP_WAIT_POLICY"), file=file)
    return load(path)
model_file.load = counted
"""
"""A sitecustomize that writes down each time that a model is loaded; workers run it too."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tiny pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(PICTURES):
        Image.fromarray(picture(64, 64, seed)).save(folder / f"{seed}.png")
    return folder


class Started:
    """`vqc compress -j 2` of a folder in a group of processes of its own."""

    def __init__(self, folder: Path, model: Path, *options: str) -> None:
        self.output, self.loads = folder.parent / "out", folder.parent / "loads"
        site = folder.parent / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(COUNTING)
        path = os.pathsep.join([str(site), str(Path(__file__).parent.parent)])
        environment = os.environ | {"PYTHONPATH": path, "VQC_LOADS": str(self.loads)}
        environment.pop("OMP_WAIT_POLICY", None)
        arguments = ["compress", "-r", str(folder), "-o", str(self.output), "-j", "2", "-e", "9", "--json", *options]
        # A shell starts what it runs in the background deaf to Ctrl-C, and so would be what is tested here.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vqcodec", *arguments, "--model", str(model)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)

    def wait_for(self, count: int) -> None:
        """Wait until so many files are there."""
        end = time.monotonic() + 300
        while len(self.made()) < count:
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.02)

    def made(self) -> dict[str, int]:
        """The files that are there, with the time when they were written."""
        found: dict[str, int] = benchmark.files_made(self.output)
        return found

    def left(self) -> list[str]:
        """What else is there."""
        return [path.name for path in self.output.iterdir() if path.suffix != ".vqc"]

    def has_processes(self) -> bool:
        """Whether any process of the group still runs."""
        return bool(benchmark.has_processes(self.process))

    def end(self) -> tuple[int, str, str]:
        """Wait for the end; return the exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


@pytest.fixture
def started(folder: Path, tiny_model: Path) -> Iterator[Started]:
    """A batch that runs; whatever is left of it at the end of the test is killed."""
    batch = Started(folder, tiny_model)
    yield batch
    if batch.has_processes():
        os.killpg(batch.process.pid, signal.SIGKILL)
    batch.process.communicate()


def all_ended(batch: Started) -> bool:
    """Whether all processes of a batch end: those of a loaded machine first end what they are at."""
    end = time.monotonic() + 300
    while batch.has_processes() and time.monotonic() < end:
        time.sleep(0.05)
    return not batch.has_processes()


@pytest.mark.slow
def test_a_batch_that_was_killed_goes_on(started: Started, folder: Path, tiny_model: Path) -> None:
    started.wait_for(4)
    started.process.kill()
    started.process.wait()
    assert all_ended(started), "workers outlive the process that started them"
    before = started.made()
    assert 4 <= len(before) < PICTURES and started.left() == []
    started.loads.unlink()

    again = Started(folder, tiny_model, "--skip-existing")
    code, out, err = again.end()
    assert code == 0, err
    after = again.made()
    assert len(after) == PICTURES and again.left() == []
    assert {name: after[name] for name in before} == before, "none is made twice"
    outputs = [json.loads(line)["output"] for line in out.splitlines()]
    assert sorted(Path(output).name for output in outputs) == sorted(after.keys() - before.keys())
    for path in again.output.iterdir():
        container.read(path.read_bytes())
    loads = [line.split() for line in again.loads.read_text().splitlines()]
    assert len(loads) == 2 == len({pid for pid, _ in loads}), "each of two processes loads the model once"
    assert {policy for _, policy in loads} == {"PASSIVE"} and str(again.process.pid) not in {pid for pid, _ in loads}
    assert f"{len(before)} skipped" in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_end_from_outside_ends_all_and_leaves_nothing_half(
    started: Started, number: signal.Signals, code: int
) -> None:
    started.wait_for(2)
    # Ctrl-C reaches every process of a terminal, SIGTERM the one that is named.
    (os.killpg if number == signal.SIGINT else os.kill)(started.process.pid, number)
    ended, _, err = started.end()
    assert (ended, "Traceback" in err) == (code, False), err
    assert all_ended(started) and started.left() == [] and len(started.made()) < PICTURES
    for path in started.output.iterdir():
        container.read(path.read_bytes())


@pytest.mark.slow
def test_errors_do_not_end_a_batch(run: Run, folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    result = run("compress", "-r", folder, "-o", tmp_path / "out", "-j", 2, "--model", tiny_model)
    assert result.code == 1 and len(list((tmp_path / "out").iterdir())) == PICTURES
    assert "bad.png" in result.err.splitlines()[0] and result.err.endswith("saved; 1 failed\n")
    result = run("decompress", "-r", tmp_path / "out", "-o", tmp_path / "back", "-j", 2, "--model", tiny_model)
    assert result.code == 0 and len(list((tmp_path / "back").iterdir())) == PICTURES


def note(folder: Path) -> None:
    """Leave a mark of this process."""
    with (folder / str(os.getpid())).open("a") as file:
        file.write("prepared\n")


def do(job: Job, folder: Path) -> Outcome:
    """Do what the job's name says."""
    if job.name == "die":
        os._exit(1)
    if job.name == "fail":
        raise InputError("this one fails")
    if job.name == "full":
        raise OSError(28, "No space left on device")
    if job.name == "bug":
        raise ZeroDivisionError("division by zero")
    return Outcome(job.name, {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]})


def jobs(*names: str) -> list[Job]:
    return [Job(Path(name), None) for name in names]


def test_a_process_that_dies_costs_its_own_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    work = Work(partial(do, folder=tmp_path), partial(note, tmp_path))
    names = ["a", "fail", "b", "die", "c"]
    done = {job.name: came for job, came in in_processes(work, jobs(*names), 1, threads=3)}
    assert list(done) == names
    died, failed = done.pop("die"), done.pop("fail")
    assert isinstance(died, VqcError) and "fewer --jobs" in str(died)
    assert isinstance(failed, VqcError) and str(failed) == "this one fails"
    assert all(isinstance(came, Outcome) and came.facts["threads"] == "3" for came in done.values())
    marks = list(tmp_path.iterdir())
    assert len(marks) == 2 and {mark.read_text() for mark in marks} == {"prepared\n"}


def test_what_nobody_expects_is_said_and_costs_its_own_job(tmp_path: Path) -> None:
    work = Work(partial(do, folder=tmp_path), partial(note, tmp_path))
    done = {job.name: came for job, came in in_processes(work, jobs("a", "full", "bug", "b"), 1, threads=1)}
    full, bug = done.pop("full"), done.pop("bug")
    assert isinstance(full, VqcError) and "OSError: [Errno 28] No space left on device" in str(full)
    assert isinstance(bug, VqcError) and "ZeroDivisionError: division by zero" in str(bug)
    assert all(isinstance(came, Outcome) for came in done.values())
    assert len(list(tmp_path.iterdir())) == 1, "the process goes on"


def stumble() -> None:
    raise OSError("cannot be read")


def test_what_nobody_expects_while_preparing_is_one_error() -> None:
    with pytest.raises(VqcError, match="OSError: cannot be read"):
        list(in_processes(Work(partial(do, folder=Path()), stumble), jobs("a"), 1, threads=1))


def refuse() -> None:
    raise InputError("cannot prepare")


def test_what_cannot_prepare_is_one_error() -> None:
    with pytest.raises(InputError, match="cannot prepare"):
        list(in_processes(Work(partial(do, folder=Path()), refuse), jobs("a", "b"), 2, threads=1))
    assert pickle.loads(pickle.dumps(InputError("kept"))).args == ("kept",)
