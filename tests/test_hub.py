"""Models on a hub: pushed with a card, fetched, checked, kept in a cache; every failure is one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_stand_in import Hub, serving

from vqcodec import hub as addresses
from vqcodec.card import model_card
from vqcodec.errors import InputError, SettingsError
from vqcodec.exact import model_file

pytest.importorskip("huggingface_hub")
Vqc = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def vqc(hub: Hub, tmp_path: Path) -> Iterator[Vqc]:
    """The command line, with the stand-in for its hub and a cache of its own."""
    with serving(hub) as endpoint:

        def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
            environment = inherited | {
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
                "HF_ENDPOINT": endpoint,
                "HF_HOME": str(tmp_path / "cache"),
                "HF_TOKEN": "hf_t",
            }
            environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"} | more
            command = [sys.executable, "-m", "vqcodec", *map(str, words)]
            return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)

        yield run


@pytest.fixture
def picture_path(tmp_path: Path) -> Path:
    from PIL import Image
    from tiny import picture

    path = tmp_path / "a.png"
    Image.fromarray(picture(64, 96, 1)).save(path)
    return path


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("vqc: "), done.stderr
    return done.stderr


def test_a_pushed_model_makes_and_reads_files(vqc: Vqc, hub: Hub, tiny_model: Path, picture_path: Path) -> None:
    pushed = vqc("push", tiny_model, "ann/garden")
    assert pushed.returncode == 0 and "use it with --model hf://ann/garden@" in pushed.stdout, pushed.stderr
    files = hub.repositories["ann/garden"]["main"]
    assert files["model.safetensors"] == tiny_model.read_bytes()
    card = files["README.md"].decode()
    metadata, _ = model_file.load(tiny_model)
    assert (
        card.startswith("---\nlibrary_name: vqcodec\n") and metadata.fingerprint in card and "hf://ann/garden" in card
    )
    address = pushed.stdout.split("--model ")[1].strip()
    for model in ("hf://ann/garden", address):
        assert vqc("compress", picture_path, "--model", model, "-f").returncode == 0
    assert vqc("decompress", "a.vqc", "-o", "b.png", "--model", "hf://ann/garden").returncode == 0
    # Without a network the cache has it.
    offline = vqc("info", "a.vqc", "--model", "hf://ann/garden", "--json", HF_HUB_OFFLINE="1")
    assert json.loads(offline.stdout)["model"], offline.stderr


def test_a_revision_stays_what_it_is(vqc: Vqc, tiny_model: Path, context_model: Path, picture_path: Path) -> None:
    first = vqc("push", tiny_model, "ann/garden").stdout.split("--model ")[1].strip()
    assert vqc("push", context_model, "ann/garden").returncode == 0
    for model, path in ((first, tiny_model), ("hf://ann/garden", context_model)):
        assert vqc("compress", picture_path, "--model", model, "-f").returncode == 0
        done = vqc("info", "a.vqc", "--model", path, "--json")
        assert done.returncode == 0, done.stderr


def test_servers_that_fail_now_and_then_are_asked_again(
    vqc: Vqc, hub: Hub, tiny_model: Path, picture_path: Path
) -> None:
    assert vqc("push", tiny_model, "ann/garden").returncode == 0
    hub.failures = 2
    done = vqc("compress", picture_path, "--model", "hf://ann/garden")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("hf://ann/nothing", "hf://ann/nothing does not exist or is private"),
        ("hf://ann/garden@old", "hf://ann/garden@old does not exist, but other revisions"),
        ("hf://ann/empty", "holds no model.safetensors"),
        ("hf://ann", "names no model on the hub"),
        ("hf://ann/damaged", "is not a model file"),
    ],
)
def test_models_that_are_not_there(
    vqc: Vqc, hub: Hub, tmp_path: Path, picture_path: Path, model: str, said: str
) -> None:
    hub.repositories |= {"ann/garden": {"main": {}}, "ann/empty": {"main": {"README.md": b"nothing"}}}
    hub.repositories["ann/damaged"] = {"main": {"model.safetensors": b"PK\3\4 and so on"}}
    assert said in sentence(vqc("compress", picture_path, "--model", model))
    assert not (tmp_path / "a.vqc").exists()


def test_a_server_that_is_not_there(vqc: Vqc, picture_path: Path, tiny_model: Path) -> None:
    away = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert "cannot be reached" in sentence(vqc("compress", picture_path, "--model", "hf://ann/garden", **away))
    assert "try again later" in sentence(vqc("push", tiny_model, "ann/garden", **away))


def test_what_is_no_model_is_not_pushed(vqc: Vqc, hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(tiny_model.read_bytes()[:-1] + b"?")
    assert "fingerprint" in sentence(vqc("push", damaged, "ann/garden"))
    assert "names no model" in sentence(vqc("push", tiny_model, "garden"))
    assert vqc("push", tiny_model, "ann/garden", "--dry-run").stdout.startswith("---\nlibrary_name")
    assert not hub.requests


RESULTS: dict[str, Any] = {
    "codecs": {"mine": {"settings": {"fingerprint": ""}}, "jpeg": {"settings": {}}},
    "metrics": {"psnr": {"axis": "PSNR RGB (dB)"}},
    "curves": {"psnr": {"mine": {"qualities": [20.0], "bpp": [0.25], "values": [30.5]}}},
    "pictures": [{"name": "a|b.png"}],
}


def test_the_card_has_what_was_measured_of_this_model(tiny_model: Path) -> None:
    metadata, _ = model_file.load(tiny_model)
    RESULTS["codecs"]["mine"]["settings"]["fingerprint"] = metadata.fingerprint
    assert "| 20 | 0.250 | 30.500 |" in model_card(metadata, 5, "ann/garden", RESULTS)
    RESULTS["codecs"]["mine"]["settings"]["fingerprint"] = "0" * 16
    with pytest.raises(InputError, match="of other models"):
        model_card(metadata, 5, "ann/garden", RESULTS)


@pytest.mark.parametrize(
    "odd",
    [
        {"codecs": {"mine": 1}},
        {"codecs": []},
        {"pictures": []},
        {"pictures": [1]},
        {"metrics": {}},
        {"curves": {"psnr": {"mine": {}}}},
        {"curves": {"psnr": {"mine": {"qualities": [20.0], "bpp": [], "values": [30.5]}}}},
        {"curves": {"psnr": {"mine": {"qualities": ["x"], "bpp": [1.0], "values": [30.5]}}}},
        {"curves": []},
    ],
)
def test_odd_results_are_one_sentence(tiny_model: Path, odd: dict[str, Any]) -> None:
    metadata, _ = model_file.load(tiny_model)
    codecs = {"mine": {"settings": {"fingerprint": metadata.fingerprint}}}
    with pytest.raises(InputError, match="give the results.json that vqc eval writes"):
        model_card(metadata, 5, "ann/garden", RESULTS | {"codecs": codecs} | odd)


@pytest.mark.parametrize("text", ["nothing", "[]", '{"codecs": 1}', 200_000 * "["])
def test_results_that_are_none(vqc: Vqc, tiny_model: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    assert "give the results.json" in sentence(vqc("push", tiny_model, "ann/x", "--results", "r.json", "--dry-run"))
    assert "cannot be read" in sentence(vqc("push", tiny_model, "ann/x", "--results", "none.json", "--dry-run"))


def test_addresses() -> None:
    assert addresses.address_of("hf://a/b") == addresses.address_of("hf:/a/b") == ("a/b", None)
    assert addresses.address_of("a/b@v1.0") == ("a/b", "v1.0")
    assert addresses.is_address("hf://a") and not addresses.is_address("a/b")
    for wrong in (
        "hf://",
        "hf://a",
        "hf://a/b/c",
        "hf://a/b@",
        "hf://../b@../c",
        "a/na--me",
        "a/x.git",
        "a/" + 120 * "b",
    ):
        with pytest.raises(SettingsError):
            addresses.address_of(wrong)
