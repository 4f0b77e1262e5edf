"""A method of another package in a table of its own: the example of docs/extending-quantizer.md, and mistakes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dataset_forms import made, write_strips
from PIL import Image
from tiny import Run, picture

from vqcodec import quantizers
from vqcodec.errors import SettingsError
from vqcodec.exact import model_file
from vqcodec.quantizers import packages, registry
from vqcodec.reproduction import own_tables, paper_tables
from vqcodec.reproduction.runs import choose, distinct, entries

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Path(__file__).parent.parent / "docs" / "extending-quantizer.md"
BROKEN = '''
from vqcodec.quantizers import Learned, register

@register("vq")
class Taken(Learned):
    """Of a name that there is."""
'''


def block(name: str) -> str:
    """The file of this name as the page shows it."""
    text = PAGE.read_text(encoding="utf-8")
    return next(part.split("```")[0] for part in text.split("```") if part.partition("\n")[2].startswith(f"# {name}\n"))


def shown(name: str) -> str:
    return block(name).partition("\n")[2]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the package of the page lies as if pip had installed it; afterwards nothing knows it."""
    folder = tmp_path / "site"
    project = tomllib.loads(shown("pyproject.toml"))["project"]
    information = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1\n")
    lines = [f"{name} = {place}" for name, place in project["entry-points"][packages.GROUP].items()]
    (information / "entry_points.txt").write_text("\n".join([f"[{packages.GROUP}]", *lines, ""]))
    (folder / "absolute_vq.py").write_text(shown("absolute_vq.py"))
    quantizers.names()
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(registry, "_METHODS", dict(registry._METHODS))
        yield folder
    for name in ("absolute_vq", "broken_vq", "plain_vq"):
        sys.modules.pop(name, None)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "absolute.toml"
    path.write_text(shown("absolute.toml"))
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few random pictures of CIFAR-10's form."""
    folder = tmp_path_factory.mktemp("sets")
    for split, count in (("train", 6), ("test", 3)):
        write_strips(folder, *made("cifar10", split, count), split, {"exact": np.ones(count, bool)})  # type: ignore[arg-type]
    return folder


def test_a_method_of_another_package_is_a_row_with_bytes(
    run: Run, package: Path, table: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, output = tmp_path / "work", tmp_path / "own.md"
    common = ("--table", table, "--work", work, "-o", output)
    listed = run("reproduce", "--list", *common)
    assert listed.code == 0, listed.err
    said = [line.split(": ")[0].split()[2:] for line in listed.out.decode().splitlines()]
    assert [" ".join(words) for words in said] == [
        "Absolute 256x4", "Absolute 256x4, quick", "LooC 256x4", "LooC 256x4, l2", "LooC 256x4, quick",
    ]  # fmt: skip
    done = run("reproduce", *common, "--data", sets, "--rows", "quick", "--budget", 0.002, "--json")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["row"] for line in lines] == ["Absolute 256x4, quick", "LooC 256x4, quick"]
    assert all(line["result"]["measured"]["bytes"] > 0 for line in lines)
    assert lines[0]["run"].startswith("cifar10-absolute-256x4-l2-b8-")
    text = output.read_text(encoding="utf-8")
    assert "## absolute: Absolute instead of squared differences\n\n### absolute on cifar10" in text
    assert "| Absolute, quick | 256 × 4 | 8 | 1 |" in text and "## looc-3:" in text, "LooC's run is that table's too"
    before = output.read_bytes()
    assert run("reproduce", "--report", *common).code == 0 and output.read_bytes() == before
    Image.fromarray(picture(32, 48, seed=1)).save(tmp_path / "a.png")
    model = work / f"{lines[0]['run']}.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_METHODS", {})
        patch.setattr(packages, "find", lambda _: pytest.fail("a file needs no package"))
        coded = run("compress", tmp_path / "a.png", "--model", model, "-o", tmp_path / "a.vqc")
        assert coded.code == 0, coded.err
        assert run("decompress", tmp_path / "a.vqc", "--model", model, "-o", tmp_path / "b.png").code == 0
    assert run("reproduce", "--report", "--work", work, "-o", output).code == 0
    assert "Absolute" not in output.read_text(encoding="utf-8"), "of the papers' tables alone"


def test_a_class_is_named_by_its_place_too(run: Run, package: Path, table: Path, tmp_path: Path) -> None:
    (package / "absolute_vq-0.1.dist-info" / "entry_points.txt").write_text("")
    with pytest.raises(SettingsError, match="'absolute' is unknown; choose one of .*, or name module:Class"):
        own_tables.read([table])
    table.write_text(table.read_text().replace('"absolute"', '"absolute_vq:Absolute"'))
    (own,) = own_tables.read([table])
    runs = list(distinct(choose([], pattern="absolute", own=[own])))
    assert [name.rpartition("-")[0] for name in runs] == [
        "cifar10-absolute-256x4-l2-b128",
        "cifar10-absolute-256x4-l2-b8",
    ]
    Image.fromarray(picture(64, 64, seed=1)).save(tmp_path / "a.png")
    command = ("train", tmp_path, "--quantizer", "absolute_vq:Absolute", "-K", 16, "-m", 2, "--steps", 2, "--crop", 32)
    trained = run(*command, "--threads", 1, "-o", tmp_path / "m.safetensors")
    assert trained.code == 0, trained.err
    assert model_file.read_metadata(tmp_path / "m.safetensors").quantizer["name"] == "absolute"


def test_a_broken_package_is_in_nobody_else_s_way(package: Path) -> None:
    (package / "absolute_vq.py").write_text("raise OSError('no such card')")
    assert "absolute" in quantizers.names() and "absolute" not in quantizers.names_by_rate()
    assert quantizers.method("vq").name == "vq"
    with pytest.raises(
        SettingsError, match=r"'absolute' cannot be imported from absolute_vq:Absolute \(OSError: no such"
    ):
        quantizers.method("absolute")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("broken_vq:Taken", BROKEN, "there is a quantizer 'vq' already"),
        ("broken_vq:Nothing", "", "has no attribute 'Nothing'"),
        ("nowhere_vq:Class", "", "No module named 'nowhere_vq'.* name the folder of its module in PYTHONPATH"),
        ("plain_vq:Plain", "class Plain: pass", "is not a quantizer of that name; register the class"),
    ],
)
def test_names_that_stand_for_no_quantizer(package: Path, name: str, text: str, words: str) -> None:
    (package / f"{name.partition(':')[0]}.py").write_text(text) if "nowhere" not in name else None
    with pytest.raises(SettingsError, match=words):
        quantizers.method(name)


def test_an_entry_point_must_be_of_the_name_it_has_and_the_only_one(package: Path) -> None:
    points = package / "absolute_vq-0.1.dist-info" / "entry_points.txt"
    points.write_text(f"[{packages.GROUP}]\nother = absolute_vq:Absolute\n")
    with pytest.raises(SettingsError, match="'other' stands for .*not a quantizer of that name"):
        quantizers.method("other")
    twin = package / "twin_vq-0.1.dist-info"
    twin.mkdir()
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: twin-vq\nVersion: 0.1\n")
    (twin / "entry_points.txt").write_text(f"[{packages.GROUP}]\nother = twin_vq:Twin\n")
    with pytest.raises(SettingsError, match="several packages offer a quantizer 'other'"):
        quantizers.method("other")


TABLE = """
title = "Mine"
datasets = ["mnist"]
[[rows]]
label = "one"
settings = { quantizer = "vq", K = 16 }
"""


def test_settings_as_vqgan_are_those_of_the_papers_tables(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TABLE.replace("K = 16", "K = 16, as_vqgan = true, adversarial = 0.5"))
    (run,) = [entry.run for entry in entries(own_tables.read([path])[0])]
    assert run is not None and run.settings.as_dict().items() >= (paper_tables.AS_VQGAN | {"adversarial": 0.5}).items()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "is not valid TOML"),
        ("title = " + "[" * 200_000, "is not valid TOML"),
        ('title = "x"', "lacks datasets, rows; add it"),
        (TABLE + "colour = 1", r"row 1 has the unknown key 'colour'; known keys: label"),
        (TABLE.replace('"one"', "1"), "row 1: label must be a str, not 1"),
        (TABLE.replace('"mnist"', '"minst"'), "names a data set 'minst'; choose from mnist"),
        (TABLE.replace("K = 16", "k = 16"), "row 1: settings has the unknown key 'k'"),
        (TABLE.replace("K = 16", 'K = "16"'), "row 1: settings: K must be a int"),
        (TABLE.replace("K = 16", "K = 1"), "row 'one': K=1 is outside 2..65536"),
        (TABLE.replace("K = 16", "steps = 9"), "unknown key 'steps'"),
        (TABLE.replace("K = 16", "K = 16, as_vqgan = 1"), "row 1: settings: as_vqgan must be a bool"),
        (
            TABLE.replace('"vq", K', '"vq", options = { speed = 1 }, K'),
            "row 'one': quantizer 'vq' has no option 'speed'",
        ),
        (TABLE + "on.fashion2 = { K = 8 }", "row 1: on names a data set 'fashion2'"),
        (TABLE + "variants.small = 3", "variants.small must be a table, not 3"),
        (TABLE + "published.mnist = { dB = 3 }", "published.mnist has the unknown key 'dB'"),
        (TABLE + 'like = { table = "looc-1" }', "row 1: like lacks label"),
        (TABLE + 'like = { table = "looc-1", label = "LoC" }', "table 'looc-1' has no row 'LoC'"),
        (
            TABLE + 'like = { table = "looc-3", label = "LooC" }',
            r"the label 'LooC' is ambiguous: table 'looc-3' has 5 such rows; .* \(they differ in m\)",
        ),
        (
            TABLE + 'like = { table = "looc-3", label = "LooC", settings = { m = 3 } }',
            "table 'looc-3' has no row 'LooC' of {'m': 3}",
        ),
        (TABLE + 'like = { table = "looc-3", label = "LooC", settings = { n = 3 } }', "like: settings has the unknown"),
        ("epochs = 0" + TABLE, "epochs is 0; choose 1 or more"),
        (TABLE + 'like = { table = "looc-99", label = "LooC" }', "there is no table 'looc-99'"),
    ],
)
def test_mistakes_in_a_table_are_named_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words) as found:
        own_tables.read([path])
    assert str(found.value).startswith(f"table {path}") and "\n" not in str(found.value)


def test_a_row_like_one_of_a_paper_s_table_is_its_run_on_each_data_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    head = TABLE.replace('"mnist"', '"cifar10", "photos"').partition("[[rows]]")[0]
    path.write_text(head + '[[rows]]\nlike = { table = "dual-2", label = "Dual, T-192 + S-64" }\n')
    (own,) = own_tables.read([path])
    mine, papers = (
        list(distinct(choose(names, pattern="t-192", own=tables))) for names, tables in (([], [own]), (["dual-2"], []))
    )
    assert mine == papers and {name.partition("-")[0] for name in mine} == {"cifar10", "photos"}


def test_tables_have_names_of_their_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "looc-1.toml").write_text(TABLE)
    failed = run("reproduce", "--list", "--table", tmp_path / "looc-1.toml")
    assert failed.code == 1 and "there is a table 'looc-1' already; give" in failed.err
    (tmp_path / "mine.toml").write_text(TABLE)
    (own,) = own_tables.read([tmp_path / "mine.toml"])
    with pytest.raises(SettingsError, match="table 'mine' already"):
        own_tables.read([tmp_path / "mine.toml"] * 2)
    assert {entry.table.name for entry in choose(["looc-7"], ["cifar10", "mnist"], "", [own])} == {"looc-7", "mine"}
    with pytest.raises(SettingsError, match="mine has no rows on fashion"):
        choose([], ["fashion"], "", [own])
    assert own.epochs == 500 and "mine" not in paper_tables.names()
