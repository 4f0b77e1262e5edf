"""Write README.md's results section from docs/results/kodak.json, which benchmarks/kodak.py --save makes.

python benchmarks/readme_results.py            # write
python benchmarks/readme_results.py --check    # exit 1 if README.md differs from the JSON
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results" / "kodak.json"
README = ROOT / "README.md"
START = "<!-- results: written by benchmarks/readme_results.py, do not edit -->"
END = "<!-- end of results -->"


def render(results: dict[str, Any]) -> str:
    """Return the section in Markdown, between and without its markers."""
    bd, count = results["bd_rate"], len(results["pictures"])
    reference = results["codecs"][bd["reference"]]["label"]
    lines = [
        f"Bits for the same quality on Kodak's {count} photographs, against {reference} (BD-rate; less is better):",
        "",
        "| | "
        + " | ".join(results["metrics"][metric]["label"].removesuffix(" (dB)") for metric in bd["against"])
        + " |",
        "|---" * (1 + len(bd["against"])) + "|",
        *(row(name, label, results) for name, label in bd["labels"].items()),
        "",
        *note(results),
        "",
        *(f"![{metric} over bits per pixel](docs/results/kodak-{metric}.svg)" for metric in bd["against"]),
    ]
    return "\n".join(lines)


def row(name: str, label: str, results: dict[str, Any]) -> str:
    ours = results["codecs"].get(name, {}).get("settings", {}).get("format") == "VQC"
    cells = [percent(found.get(name)) for found in results["bd_rate"]["against"].values()]
    return "| " + " | ".join(f"**{text}**" if ours else text for text in (label.replace("*", r"\*"), *cells)) + " |"


def percent(found: dict[str, float] | None) -> str:
    return "" if found is None else f"{found['percent']:+.1f} %".replace("-", "−")


def note(results: dict[str, Any]) -> list[str]:
    """Return the lines that say what was compared and where it was made."""
    lines = [
        "Whole files, averaged over pictures at one quality setting, PCHIP over the range that both curves cover.",
        "Ranges, points and settings are in [docs/results/kodak.json](docs/results/kodak.json); the command is",
        "`python benchmarks/kodak.py FOLDER_OF_KODAK --save docs/results`.",
    ]
    if results["published"]:
        names = ", ".join(anchor["name"] for anchor in results["published"].values())
        lines.append(f"Curves with an asterisk ({names}) were published by others.")
    return lines


def replaced(readme: str, section: str) -> str:
    """Return a README with its section between the markers replaced; ValueError where they are missing."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"there is no {START} ... {END}")
    return f"{before}{START}\n\n{section}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where README.md differs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=README)
    options = parser.parse_args()
    if not options.results.is_file():
        raise SystemExit(f"{options.results} does not exist; make it with benchmarks/kodak.py --save")
    readme = options.readme.read_text(encoding="utf-8")
    try:
        wanted = replaced(readme, render(json.loads(options.results.read_text(encoding="utf-8"))))
    except ValueError as error:
        raise SystemExit(f"{options.readme}: {error}") from error
    if not options.check:
        options.readme.write_text(wanted, encoding="utf-8")
    elif wanted != readme:
        raise SystemExit(f"{options.readme} differs from {options.results}; run python benchmarks/readme_results.py")


if __name__ == "__main__":
    main()
