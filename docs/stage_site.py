"""Copy what the documentation site shows into build/pages, each file where it lies in the repository.

    python docs/stage_site.py && mkdocs build --strict      # make docs

So a link between two pages is the same on the site, in a checkout and on a code host.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "pages"
PATTERNS = ("*.md", "docs/**/*", "train/**/*", "samples/*", "examples/*.py", "bitstream/*.md", "bitstream/*.py")


def stage(target: Path = PAGES) -> list[Path]:
    """Fill an emptied folder, and return the files relative to it."""
    shutil.rmtree(target, ignore_errors=True)
    found = {path for pattern in PATTERNS for path in ROOT.glob(pattern) if "__pycache__" not in path.parts}
    files = sorted(path.relative_to(ROOT) for path in found if path.is_file())
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target / file)
    return files


if __name__ == "__main__":
    print(f"{len(stage())} files in {PAGES}")
