"""Write docs/api.md from the docstrings of the public interface.

    python docs/make_api.py            # after a change of a signature or a docstring
    python docs/make_api.py --check    # exit 1 where the page differs; a test runs this

The sources are parsed and not imported, so the page is the same under every version of Python and needs no torch.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
HEAD = """# The Python interface

Look up here how a function is called, what it returns and which errors it raises. The first steps are in the
[README](../README.md#use) and the [tutorial](tutorial.md); words are in the [glossary](glossary.md).

<!-- written by docs/make_api.py, do not edit -->
"""
SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Pictures to files and back", "vqcodec/api.py", ("compress", "decompress", "load_model")),
    ("A model that is kept", "vqcodec/codec.py", ("Codec",)),
    ("What a codec does", "vqcodec/coder.py", ("Coder",)),
    ("Pictures", "vqcodec/image/picture.py", ("Picture",)),
    ("Reading pictures", "vqcodec/image/__init__.py", ("read_picture",)),
    ("Writing pictures", "vqcodec/image/writing.py", ("write_picture",)),
    ("Errors", "vqcodec/errors.py", ()),
    ("Training", "vqcodec/training/__init__.py", ("run", "checkpoint_path", "resumed_settings")),
    ("Settings of a run", "vqcodec/training/recipe.py", ("make_settings", "read_recipe")),
    ("Losses", "vqcodec/losses/__init__.py", ("build", "check")),
    ("Networks", "vqcodec/networks/base.py", ("Network",)),
)
"""A heading, a module, and the names of it that are shown; none means every class."""

LONGEST = 90
Documented = ast.FunctionDef | ast.ClassDef


def signature(function: ast.FunctionDef) -> str:
    """Return the call as it stands in the source, without `self`; a long one with a line for each argument."""
    returned = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    if any("property" in ast.unparse(decorator) for decorator in function.decorator_list):
        return f"{function.name}{returned}"
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(function.args))
    if len(arguments) + len(returned) > LONGEST:
        lines = re.split(r", (?=\w+: |\*)", arguments)
        arguments = "".join(f"\n    {line}," for line in lines) + "\n"
    return f"{function.name}({arguments}){returned}"


def prose(node: Documented) -> str:
    """Return a docstring as Markdown: asterisks are signs, and quoted code stays as it is."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    return re.sub(r"(`[^`]*`)|\*", lambda match: match[1] or r"\*", text)


def entries(node: Documented, level: int) -> Iterator[str]:
    """Yield a heading, the call and the text of a function, or of a class and its public methods."""
    yield f"{'#' * level} `{node.name}`"
    if isinstance(node, ast.FunctionDef):
        yield f"```python\n{signature(node)}\n```"
    yield prose(node)
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name[0] != "_" and ast.get_docstring(method):
                yield from entries(method, level + 1)


def section(heading: str, module: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the parts of a section; ValueError where a name is not in its module any more."""
    yield f"## {heading}"
    yield f"From `{module.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}`."
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    wanted = names or tuple(name for name, node in found.items() if isinstance(node, ast.ClassDef))
    if missing := sorted(set(wanted) - set(found)):
        raise ValueError(f"{module} has no {', '.join(missing)}; change SECTIONS in docs/make_api.py")
    for name in wanted:
        yield from entries(found[name], 3)


def page() -> str:
    """Return the whole page."""
    parts = [part for described in SECTIONS for part in section(*described)]
    return "\n\n".join([HEAD.strip(), *(part for part in parts if part)]) + "\n"


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page differs")
    options = parser.parse_args()
    if not options.check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        raise SystemExit(f"{PAGE} differs from the docstrings; run python docs/make_api.py")


if __name__ == "__main__":
    main()
