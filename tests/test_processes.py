"""Several processes train as one does: the same losses, one checkpoint, one sentence when one of them ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import TINY_CONTEXT, picture

from vqcodec import ranks
from vqcodec.exact import model_file
from vqcodec.training import checkpoint, checkpoint_path

PHOTO: dict[str, Any] = {"kind": "photo", "K": 32, "m": 12, "d": 24, "wide": 12, "width": 8, "batch": 4, "crop": 64}
PHOTO |= {"classes": 3, "table_rows": 3, "table_count": 24, "fit_crops": 4, "quantised_share": 0.3}
LOOC: dict[str, Any] = {"kind": "papers", "network": "vqvae", "quantizer": "looc", "K": 16, "m": 4, "batch": 4}
LOOC |= {"crop": 32, "steps": 100}
CONTEXT = PHOTO | {"synthesis_share": 0.3, "steps": 40, "checkpoint_minutes": 0.05} | TINY_CONTEXT
LONG = LOOC | {"steps": 10**6, "checkpoint_minutes": 0.05}
LISTED = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="children are listed in /proc"
)
METHODS = {
    "looc": LOOC,
    "cvq": LOOC | {"quantizer": "cvq", "m": 1},
    "adversarial": LOOC | {"adversarial": 0.8, "adversarial_from": 0.0, "discriminator_width": 4},
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(6):
        Image.fromarray(picture(96, 120, seed)).save(folder / f"{seed}.png")
    return folder


def recipe(path: Path, values: dict[str, Any]) -> Path:
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return path


def command(pictures: Path, output: Path, values: dict[str, Any], *more: str) -> list[str]:
    settings = recipe(output.with_suffix(".toml"), values)
    return [
        sys.executable,
        "-m",
        "vqcodec",
        "train",
        str(pictures),
        "--recipe",
        str(settings),
        "-o",
        str(output),
        *more,
    ]


def train(pictures: Path, output: Path, values: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command(pictures, output, values, *more), capture_output=True, text=True, env=environment)


def log(output: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = checkpoint.read(checkpoint_path(output))["progress"]["log"]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> list[dict[str, Any]]:
    """The log of a run of one process through all stages."""
    output = tmp_path_factory.mktemp("alone") / "run.safetensors"
    done = train(pictures, output, CONTEXT)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("trained") == 1
    return log(output)


def test_two_processes_have_the_losses_of_one(tmp_path: Path, pictures: Path, alone: list[dict[str, Any]]) -> None:
    output = tmp_path / "run.safetensors"
    done = train(pictures, output, CONTEXT, "--processes", "2")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("trained") == 1
    shared = log(output)
    assert len(alone) > 1 and [entry["stage"] for entry in alone] == [entry["stage"] for entry in shared]
    assert shared[0]["loss"] == pytest.approx(alone[0]["loss"], rel=1e-4)
    # Later a latent between two codevectors may go the other way for a rounding error.
    assert shared[-1]["loss"] == pytest.approx(alone[-1]["loss"], rel=1e-3)
    assert shared[-1]["psnr_db"] == pytest.approx(alone[-1]["psnr_db"], abs=2e-2)
    metadata, _ = model_file.load(output)
    assert metadata.training["machine"].count("2 processes") == 1


@pytest.mark.parametrize("name", METHODS)
def test_codebooks_learn_from_the_whole_batch(tmp_path: Path, pictures: Path, name: str) -> None:
    parts = []
    for processes in ("1", "2"):
        output = tmp_path / f"{processes}.safetensors"
        # One step: later a latent between two codevectors may go the other way for a rounding error.
        done = train(pictures, output, METHODS[name] | {"steps": 1}, "--processes", processes)
        assert done.returncode == 0, done.stderr
        found = checkpoint.read(checkpoint_path(output))
        learned = found.get("discriminator_optimizer", {"state": {}})["state"]
        # The gradient of a bias may be nothing but rounding errors, and Adam's first step is as long for these.
        moments = {f"moment {number}": 100 * values["exp_avg"] for number, values in learned.items()}
        parts.append(found["network"] | found["quantizer"] | moments)
        assert bool(moments) == (name == "adversarial")
    for key, value in parts[0].items():
        assert torch.allclose(value.float(), parts[1][key].float(), rtol=1e-3, atol=1e-4), key


@contextmanager
def started(words: list[str], output: Path) -> Iterator[subprocess.Popen[str]]:
    """A long run that has a checkpoint of some steps; what is left of it at the end is stopped."""
    run = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        path = checkpoint_path(output)
        wait_until(lambda: path.exists() and checkpoint.read(path)["progress"]["step"] > 0, run)
        yield run
    finally:
        stop(run)


def wait_until(is_so: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    """Wait for what a run is to do while it goes on."""
    deadline = time.monotonic() + 300
    while not is_so():
        assert run.poll() is None and time.monotonic() < deadline, "the run has ended, or does nothing"
        time.sleep(0.2)


def stop(run: subprocess.Popen[str]) -> None:
    """End a run and its processes, which are in sessions of their own, if they have not ended."""
    run.terminate()
    try:
        run.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        for pid in [*children(run), run.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def children(run: subprocess.Popen[str]) -> list[int]:
    """The processes of a run; those of a launcher are two."""
    found: list[int] = []
    deadline = time.monotonic() + 30
    while len(found) < 2 and time.monotonic() < deadline:
        with suppress(FileNotFoundError, ProcessLookupError):
            listed = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            found = [int(pid) for pid in listed if b"\0-m\0vqcodec\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        time.sleep(0.05)
    return found


@LISTED
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_run_with_one_sentence(tmp_path: Path, pictures: Path, killed: int) -> None:
    output = tmp_path / "run.safetensors"
    with started(command(pictures, output, LONG, "--processes", "2"), output) as run:
        os.kill(children(run)[killed], signal.SIGKILL)
        said = run.communicate(timeout=120)[1]
    assert run.returncode == 1 and said.count("\n") == 1 and "--resume" in said
    assert checkpoint.read(checkpoint_path(output))["progress"]["step"] > 0 and not output.exists()


def test_ctrl_c_stops_all_and_another_number_goes_on(
    tmp_path: Path, pictures: Path, alone: list[dict[str, Any]]
) -> None:
    output = tmp_path / "run.safetensors"
    with started(command(pictures, output, CONTEXT, "--processes", "2"), output) as run:
        before = checkpoint.read(checkpoint_path(output))["progress"]["step"]
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=120)[1]
    assert run.returncode == 130 and "go on with: vqc train" in said and not output.exists()
    assert checkpoint.read(checkpoint_path(output))["progress"]["step"] >= before
    done = train(pictures, output, CONTEXT, "--resume")
    assert done.returncode == 0, done.stderr
    assert [(e["step"], e["stage"]) for e in log(output)] == [(e["step"], e["stage"]) for e in alone]
    # How many steps two processes took is chance, and so is which latents a rounding error has sent the other way.
    assert log(output)[-1]["loss"] == pytest.approx(alone[-1]["loss"], rel=0.05)


def test_another_number_of_processes_goes_on_as_one_does(tmp_path: Path, pictures: Path) -> None:
    found = []
    for processes in ("1", "2"):
        output = tmp_path / f"{processes}.safetensors"
        for steps, words in ((1, ("--processes", processes)), (2, ("--resume",))):
            output.unlink(missing_ok=True)
            done = train(pictures, output, LOOC | {"steps": steps}, *words)
            assert done.returncode == 0, done.stderr
        values = checkpoint.read(checkpoint_path(output))
        assert values["progress"]["step"] == 2
        found.append(values["network"] | values["quantizer"])
    for key, value in found[0].items():
        assert torch.allclose(value.float(), found[1][key].float(), rtol=1e-3, atol=1e-4), key


@LISTED
def test_torchrun_starts_a_run_again_from_its_checkpoint(tmp_path: Path, pictures: Path) -> None:
    output = tmp_path / "run.safetensors"
    words = command(pictures, output, LONG)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    with started([sys.executable, "-m", *torchrun, *words[1:]], output) as run:
        before = children(run)
        step = checkpoint.read(checkpoint_path(output))["progress"]["step"]
        os.kill(before[1], signal.SIGKILL)
        killed = time.time()
        wait_until(lambda: checkpoint_path(output).stat().st_mtime > killed + 1, run)
        # One that began anew would have kept its beginning, step 0.
        assert checkpoint.read(checkpoint_path(output))["progress"]["step"] > step
        assert not set(before) & set(children(run))


REACHED = """
import os
import torch
from vqcodec import ranks
with ranks.joined():
    a, b, c = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    (a if ranks.is_first() else b).sum().backward()
    ranks.average_gradients([a, b, c])
    assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5] and c.grad is None
os._exit(0)  # threads of the process group may abort an interpreter that ends
"""


def test_gradients_that_only_one_process_has_are_halved(tmp_path: Path) -> None:
    (tmp_path / "reached.py").write_text(REACHED)
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "reached.py")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_batch_that_cannot_be_divided(tmp_path: Path, pictures: Path) -> None:
    done = train(pictures, tmp_path / "run.safetensors", LOOC | {"batch": 3}, "--processes", "2")
    assert done.returncode == 1
    assert done.stderr == "vqc: a batch of 3 cannot be divided among 2 processes; choose a multiple\n"
    assert not checkpoint_path(tmp_path / "run.safetensors").exists()


def test_one_process_shares_nothing() -> None:
    x = torch.arange(6.0).view(3, 2)
    assert ranks.count() == 1 and ranks.is_first()
    assert ranks.part(x) is x and ranks.whole(x) is x and ranks.mean(x) is x
    assert ranks.from_first(lambda: 5) == 5
