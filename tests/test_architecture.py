"""Rules about the code itself: who imports whom, sizes, docstrings, public names, documented commands."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import vqcodec
from vqcodec.cli import COMMANDS, vqc

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vqcodec"
VECTORS = ROOT / "bitstream" / "vectors"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [
    path
    for folder in ("vqcodec", "bitstream", "tests", "samples", "benchmarks", "examples")
    for path in ROOT.glob(f"{folder}/**/*.py")
]
MAX_FILE_LINES, MAX_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 300, 60, 10

MAP = ROOT / "docs" / "architecture.md"
NO_TORCH = {
    "errors",
    "names",
    "choices",
    "cores",
    "heap",
    "transform",
    "files",
    "folders",
    "hub",
    "stores",
    "tars",
    "cluster",
    "exact",
    "card",
    "image",
    "runtime",
    "decoder",
    "coder",
    "scores",
    "goals",
    "rate_control",
    "api",
    "pillow",
    "cli",
    "__main__",
    "__init__",
}
# evaluation/codecs.py measures Pillow's own encoders, pictures/drawn.py draws: no business of image/.
ONLY_USER = {
    "constriction": {"exact/bitstream/rans.py"},
    "PIL": {
        "image",
        "api.py",
        "pillow.py",
        "evaluation/codecs.py",
        "evaluation/pillow_codec.py",
        "training/pictures/drawn.py",
    },
    "click": {"cli"},
    "jinja2": {"evaluation/pages.py"},
    "braceexpand": {"stores.py"},
    "fsspec": {"stores.py"},
    "onnxruntime": {"runtime/transform.py"},
    "ray": {"cluster.py"},
}


def relative(path: Path) -> str:
    """A path as tests print it."""
    return path.relative_to(ROOT).as_posix()


def part(path: Path) -> str:
    """The first name below vqcodec of a module: "bitstream" for vqcodec/bitstream/rans.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The full names of all that a module imports, wherever it does so."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms() -> dict[str, set[str]]:
    """The map: each room, a folder or a module, with those that it imports from, in the order of the page."""
    block = MAP.read_text(encoding="utf-8").split("## Who may import whom")[1].split("```")[1]
    lines = [line.split("\N{LEFTWARDS ARROW}") for line in block.strip().splitlines()]
    return {line[0].strip(): set(line[1].split()) if len(line) > 1 else set() for line in lines}


ROOMS = rooms()


def room_of(name: str) -> str:
    """The smallest room of a module, given as "exact/bitstream/rans"."""
    found = [room for room in ROOMS if f"{name}/".startswith(f"{room}/")]
    assert found, f"{name} has no line on the map in {relative(MAP)}"
    return max(found, key=len)


def rooms_imported(path: Path) -> set[str]:
    """The rooms that a module imports from, other than its own and the error tree, which all may use."""
    names = {name.removeprefix("vqcodec.").replace(".", "/") for name in imports(path) if name.startswith("vqcodec.")}
    own = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return {room_of(name) for name in names} - {room_of(own), "errors"}


def covers(allowed: set[str], room: str) -> set[str]:
    """The entries of a line of the map that allow a room; an entry stands for the rooms inside it too."""
    return {entry for entry in allowed if f"{room}/".startswith(f"{entry}/")}


def test_the_map_is_what_the_code_does() -> None:
    imported: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in MODULES:
        if path != PACKAGE / "__init__.py":
            imported[room_of(path.relative_to(PACKAGE).with_suffix("").as_posix())] |= rooms_imported(path)
    for room, allowed in ROOMS.items():
        used = {entry for other in imported[room] for entry in covers(allowed, other)}
        assert {other for other in imported[room] if not covers(allowed, other)} == set(), (
            f"{room} may not import these"
        )
        assert allowed - used == set(), f"the map says that {room} imports these"


def test_arrows_point_to_lines_above() -> None:
    seen: set[str] = set()
    for room, allowed in ROOMS.items():
        assert {entry for entry in allowed if not covers(seen, entry)} == set(), f"{room} stands too high on the map"
        seen.add(room)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_foreign_libraries_stay_in_their_place(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)}
    assert "torch" not in foreign or part(path) not in NO_TORCH
    for library, users in ONLY_USER.items():
        assert library not in foreign or {part(path), path.relative_to(PACKAGE).as_posix()} & users


def modules_after(code: str) -> set[str]:
    """The top-level modules that a new interpreter has loaded after running some code."""
    script = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stderr.split())


def run_cli(*arguments: str) -> str:
    """Code that runs the command line and must end well."""
    return (
        f"from vqcodec.cli import main\ntry: main({list(arguments)!r})\nexcept SystemExit as end: assert not end.code"
    )


@pytest.mark.parametrize("code", ["import vqcodec", run_cli("--help"), *(run_cli(name, "--help") for name in COMMANDS)])
def test_help_loads_nothing_slow(code: str) -> None:
    assert modules_after(code) & {"torch", "numpy", "PIL", "safetensors", "constriction", "tqdm"} == set()


@pytest.mark.parametrize("code", [run_cli("models"), run_cli("info", str(VECTORS / "good" / "context.vqc"))])
def test_what_only_describes_needs_no_numpy(code: str) -> None:
    """It takes longer to import than all the rest."""
    assert modules_after(code) & {"torch", "numpy", "PIL", "constriction", "tqdm"} == set()


@pytest.mark.parametrize(("given", "left"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(
    given: str | None, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    assert left in modules_after(
        run_cli("--version") + "\nimport os; print(os.environ['OMP_WAIT_POLICY'], file=sys.stderr)"
    )


def test_info_and_models_load_neither_torch_nor_pillow() -> None:
    entry = json.loads((VECTORS / "vectors.json").read_text())["good"][0]
    model = VECTORS / "models" / f"{entry['model']}.safetensors"
    for code in (run_cli("info", str(VECTORS / entry["file"]), "--model", str(model)), run_cli("models")):
        assert modules_after(code) & {"torch", "PIL", "tqdm"} == set()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """All functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def lines(function: ast.FunctionDef) -> int:
    """How many lines a function has, from its `def` to its end."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_functions_are_short(path: Path) -> None:
    assert [function.name for function in functions(path) if lines(function) > MAX_FUNCTION_LINES] == []


def test_most_functions_are_very_short() -> None:
    lengths = sorted(lines(function) for path in MODULES for function in functions(path))
    assert lengths[len(lengths) // 2] <= MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_whatever_is_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    found = [*tree.body, *(node for top in tree.body if isinstance(top, ast.ClassDef) for node in top.body)]
    public = [node for node in found if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_public_names() -> None:
    assert vqcodec.__all__ == dir(vqcodec) == ["Codec", "VqcError", "compress", "decompress", "load_model"]
    for name in vqcodec.__all__:
        assert getattr(vqcodec, name).__name__ == name
    with pytest.raises(AttributeError):
        vqcodec.something  # noqa: B018


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__main__.py"], ids=relative)
def test_lists_of_public_names_are_right(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    if listed is None:
        return
    assert [missing for missing in listed if not hasattr(module, missing)] == []
    own = {
        key
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == name and inspect.isroutine(value)
    }
    assert {key for key in own if key[0] != "_"} <= set(listed)


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    context = click.Context(vqc)
    for name in vqc.list_commands(context):
        command = vqc.get_command(context, name)
        assert command is not None
        assert command.help
        assert f"vqc {name}" in readme
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not option.help and option.name != "output"] == []


def test_nothing_outside_the_package_is_importable_by_name() -> None:
    assert not list(ROOT.glob("train/__init__.py")) + list(ROOT.glob("bitstream/__init__.py"))
