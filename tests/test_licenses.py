"""The table of licenses names every package that pyproject.toml asks for, and agrees with what these say."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
# Another name that a package's own metadata have for a license of the table.
SAID = {"Apache-2.0": "Apache", "BSD-3-Clause": "BSD", "BSD-2-Clause": "BSD", "PSF-like": "matplotlib|Python Software"}


def table() -> dict[str, tuple[str, str]]:
    """Package -> what brings it, and its license."""
    rows = re.findall(r"^\| \**([\w.-]+)\** \| (.+?) \| (.+?) \|$", (ROOT / "docs/licenses.md").read_text(), re.M)
    return {name: (by, license.replace("*", "")) for name, by, license in rows if name != "package"}


def asked() -> dict[str, str]:
    """Package -> the extra that brings it first, or vqc."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"vqc": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, str] = {}
    for extra, requirements in groups.items():
        for requirement in requirements:
            name = re.split(r"[^\w.-]", requirement)[0]
            if name != "vqcodec":
                found.setdefault(name, extra)
    return found


def test_the_table_names_each_package_once_with_what_brings_it() -> None:
    listed = {name: by.split(",")[0].strip("`") for name, (by, _) in table().items()}
    assert listed == asked()


@pytest.mark.parametrize("name", asked())
def test_installed_packages_say_the_same(name: str) -> None:
    try:
        its = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    words = [its["License-Expression"], its["License"], *its.get_all("Classifier", [])]
    said = " ".join(word for word in words if word and word != "UNKNOWN" and not word.startswith(("Pr", "Op", "To")))
    license = table()[name][1].split()[0].rstrip(",;")
    if "License" in said or its["License-Expression"] or its["License"] not in (None, "UNKNOWN"):
        assert re.search(SAID.get(license, license), said), said[:300]


def test_what_everybody_gets_is_not_under_the_gpl() -> None:
    assert [name for name, (by, license) in table().items() if "GPL" in license and by.startswith("vqc")] == []
