"""The net under work on the inside: tiny runs take the same steps, and codecs write the same files, as before.

`python tests/test_same_losses.py` writes tests/same_losses.json anew, for a change that is meant to change a
number. Only the public face of training is used, so that the inside can change: the losses are those that
check_loss sees, and the gradients those that any optimizer is handed. Floating point differs between processors
and versions of torch, so a record holds where it was made; elsewhere it says nothing and the tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import TINY_CONTEXT, picture, tiny_settings
from torch.optim.optimizer import register_optimizer_step_pre_hook

import vqcodec
from vqcodec import training

RECORD = Path(__file__).with_name("same_losses.json")


def processor() -> str:
    """What decides the kernels that torch and its libraries take, as far as the system says it."""
    said = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    facts = dict(line.split(":", 1) for line in said.split("\n\n")[0].splitlines() if ":" in line)
    facts = {name.strip(): value.split() for name, value in facts.items()}
    extensions = sorted({"avx512f", "avx512_bf16", "amx_tile"} & set(facts.get("flags", ())))
    return " ".join([*facts.get("vendor_id", ()), *extensions])


MACHINE = f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {processor()}"
LOOKS: dict[str, Any] = TINY_CONTEXT | {"losses": {"l2": 3.0}, "losses_weight": 20.0, "refine_steps": 0}
PAPERS: dict[str, Any] = {"network": "vqvae", "K": 16, "d": 16, "steps": 6, "batch": 2, "crop": 32, "threads": 1}
PAPERS |= {"table_bits": 12}
SMALL_DUAL = {"quantizer": "dual", "options": {"layers": 1, "heads": 2, "feedforward": 16}}
RUNS: dict[str, dict[str, Any]] = {
    "photo-static": {},
    "photo-context": TINY_CONTEXT,
    "photo-losses": LOOKS,
    "photo-masked": LOOKS | {"masking": True},
    "looks": {
        "objective": "perceptual",
        "losses": {"l1": 1.0, "structure": 0.5},
        "adversarial_from": 0.5,
        "matching": 0.1,
        "discriminator_width": 4,
        "steps": 6,
        "batch": 2,
        "crop": 64,
        "threads": 1,
        "effort": 2,
    },
    "papers-looc": PAPERS | {"quantizer": "looc", "m": 4, "standardised": True, "schedule": "cosine"},
    "papers-sq": PAPERS | {"quantizer": "sq"},
    "papers-dual": PAPERS | SMALL_DUAL,
}
FILES = [(name, effort) for name in ("photo-static", "photo-context", "papers-looc") for effort in (0, 1, 3)]


@contextmanager
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[float]]]:
    """Collect the loss of each step, and for each step of an optimizer its gradient's size and learning rates."""
    heard: dict[str, list[float]] = {"losses": [], "gradients": [], "rates": []}
    for module in [m for name, m in sys.modules.items() if name.startswith("vqcodec.training")]:
        if hasattr(module, "check_loss"):
            monkeypatch.setattr(module, "check_loss", lambda loss, *_: heard["losses"].append(loss))

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        learning = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        # Not the usual norm: where it is clipped it is 1 whatever the gradient.
        heard["gradients"].append(sum(float(gradient.abs().double().sum()) for gradient in learning))
        heard["rates"].append(sum(float(group["lr"]) for group in optimizer.param_groups))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield heard
    finally:
        handle.remove()


def settings_of(name: str, folder: Path) -> Any:
    """The settings of a run; one for looks starts from the model with a context prior."""
    if name.startswith("photo"):
        return tiny_settings(**RUNS[name])
    init = {"init": str(folder / "photo-context.safetensors")} if name == "looks" else {}
    return training.make_settings(None, RUNS[name] | init)


def measured(folder: Path) -> dict[str, Any]:
    """Make all runs in a folder, and return what they did."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for i in range(5):
        Image.fromarray(picture(96 + 8 * i, 120, seed=i)).save(pictures / f"{i}.png")
    found: dict[str, Any] = {}
    for name in RUNS:
        output = folder / f"{name}.safetensors"
        with pytest.MonkeyPatch.context() as monkeypatch, listening(monkeypatch) as heard:
            assert training.run([pictures], output, settings_of(name, folder), resume=False)
        fingerprint = vqcodec.load_model(output).metadata.fingerprint
        found[name] = heard | {"fingerprint": fingerprint}
    return found | {"files": files_of_one_thread(folder)}


def files(folder: Path) -> dict[str, str]:
    """Checksum of the file of a picture and of its pixels, for tiny models and the shipped ones."""
    models = {name: str(folder / f"{name}.safetensors") for name, _ in FILES}
    cases = [(name, models[name], effort) for name, effort in FILES]
    cases += [(name, name, effort) for name in ("photo", "perceptual") for effort in (1, 2)]
    found = {}
    for name, model, effort in cases:
        data = vqcodec.compress(picture(70, 101, seed=3), 40, model, effort=effort)
        shown = vqcodec.decompress(data, None if model == name else model)
        found[f"{name} {effort}"] = f"{len(data)} {zlib.crc32(data):08x} {zlib.crc32(shown.tobytes()):08x}"
    return found


def files_of_one_thread(folder: Path) -> dict[str, str]:
    """The same by a process with one thread: networks may round a pixel otherwise where there are more."""
    command = [sys.executable, __file__, str(folder)]
    said = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    found: dict[str, str] = json.loads(said.stdout)
    return found


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the runs do now."""
    return measured(tmp_path_factory.mktemp("runs"))


def recorded() -> dict[str, Any]:
    """What the runs did when they were recorded."""
    values: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    if values["machine"] != MACHINE:
        pytest.skip(f"recorded with {values['machine']}, this is {MACHINE}")
    return values


@pytest.mark.parametrize("name", RUNS)
def test_a_run_takes_the_same_steps(name: str, now: dict[str, Any]) -> None:
    before = recorded()[name]
    for kind in ("losses", "gradients", "rates"):
        assert len(now[name][kind]) == len(before[kind])
        assert now[name][kind] == pytest.approx(before[kind], rel=1e-5)
    assert now[name]["fingerprint"] == before["fingerprint"]


def test_files_are_the_same(now: dict[str, Any]) -> None:
    assert now["files"] == recorded()["files"]


if __name__ == "__main__" and len(sys.argv) == 2:
    print(json.dumps(files(Path(sys.argv[1]))))
elif __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        RECORD.write_text(json.dumps({"machine": MACHINE} | measured(Path(place)), indent=1) + "\n", encoding="utf-8")
