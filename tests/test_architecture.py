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
    for folder in ("vqcodec", "bitstream", "tests", "samples", "benchmarks")
    for path in ROOT.glob(f"{folder}/**/*.py")
]
MAX_FILE_LINES, MAX_FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 300, 60, 10

# From the bottom up; a module may import from its own layer and from those before it.
LAYERS = (
    {"errors", "names"},
    {"choices"},
    {"bitstream", "files", "folders"},
    {
        "networks",
        "quantizers",
        "losses",
        "priors",
        "image",
        "image_depth",
        "image_metadata",
        "image_colour",
        "image_jpeg",
        "image_kinds",
        "image_png",
        "image_samples",
        "model_file",
        "model_settings",
        "pinned",
        "indices",
        "storage",
        "tiles",
        "tokens",
    },
    {"encoder", "refine", "search", "codec", "api", "training", "evaluation"},
    {"reproduction"},
    {"cli"},
    {"__main__"},
)
MAY_IMPORT_TORCH = {
    "networks",
    "quantizers",
    "losses",
    "pinned",
    "encoder",
    "refine",
    "codec",
    "training",
    "evaluation",
    "reproduction",
}
# evaluation/codecs.py measures Pillow's own encoders, which image.py has no business to know.
ONLY_USER = {
    "constriction": {"bitstream/rans.py"},
    "PIL": {
        "image.py",
        "image_colour.py",
        "image_jpeg.py",
        "image_metadata.py",
        "image_png.py",
        "image_samples.py",
        "api.py",
        "evaluation/codecs.py",
    },
    "click": {"cli"},
}
NOT_EVEN_SIBLINGS = {
    "encoder": {"refine", "search", "codec", "training", "evaluation", "api"},
    "refine": {"encoder", "search", "codec", "training", "evaluation", "api"},
    "codec": {"search", "training", "evaluation", "api"},
    "search": {"training", "evaluation", "api"},
    "api": {"training", "evaluation"},
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


def parts_imported(path: Path) -> set[str]:
    """The parts of vqcodec that a module imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("vqcodec.")} - {part(path)}


def layer(name: str) -> int:
    """The number of a part's layer."""
    return next(number for number, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", [path for path in MODULES if path != PACKAGE / "__init__.py"], ids=relative)
def test_imports_point_down(path: Path) -> None:
    imported = parts_imported(path)
    assert {name for name in imported if layer(name) > layer(part(path))} == set()
    assert imported & NOT_EVEN_SIBLINGS.get(part(path), set()) == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_foreign_libraries_stay_in_their_place(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)}
    assert "torch" not in foreign or part(path) in MAY_IMPORT_TORCH
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
