"""vqc reproduce: the papers' tables again, in bytes of real files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqcodec.cli.console import EXIT_INTERRUPTED, AnyPath, name_of, print_error, print_result
from vqcodec.cli.eval import split
from vqcodec.errors import ModelError, TrainingError

if TYPE_CHECKING:
    from vqcodec.reproduction.results import Values
    from vqcodec.reproduction.runs import Entry as Choice
    from vqcodec.reproduction.workbench import Workbench


@click.command("reproduce")
@click.argument("tables", metavar="TABLE...", nargs=-1)
@click.option(
    "--table", "files", metavar="FILE", type=AnyPath(), multiple=True,
    help="A table of your own in TOML, beside TABLE... or alone; may be repeated. docs/extending-quantizer.md.",
)  # fmt: skip
@click.option("--data", metavar="FOLDER", type=AnyPath(), help="Folder with the data sets; none: where to get them.")
@click.option(
    "--work", metavar="FOLDER", type=AnyPath(), default="reproduction", show_default=True,
    help="Folder for models, checkpoints and what was measured of them; what is there is not done again.",
)  # fmt: skip
@click.option("--only", metavar="NAME,...", callback=split, help="Data sets, such as cifar10 or ffhq; see --list.")
@click.option("--rows", "pattern", metavar="REGEX", default="", help="Only rows whose text, see --list, has a match.")
@click.option(
    "--budget", metavar="X", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
    help="Share of the published epochs to train for: 0.02 of 500 is 10. A larger one later goes on from there, "
    "or anew where the learning rate falls towards the end.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.")
@click.option(
    "-o", "--output", metavar="FILE", type=AnyPath(), default="reproduction.md", show_default=True,
    help="The report, in Markdown; plots go into the folder results beside it.",
)  # fmt: skip
@click.option("--list", "wants_list", is_flag=True, help="Show tables and rows, and what is done of them.")
@click.option("--report", "wants_report", is_flag=True, help="Write the report of what is done, and train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per row of a table and data set.")
def command(
    tables: tuple[str, ...],
    files: tuple[Path, ...],
    data: Path | None,
    work: Path,
    threads: int | None,
    output: Path,
    wants_list: bool,
    wants_report: bool,
    as_json: bool,
    **selection: Any,
) -> None:
    """Train and measure rows of the papers' tables, and write them beside what was published.

    TABLE is one of those that --list shows, such as looc-1; --table names a file with rows of your
    own, of methods of your own too. Runs that several tables share are done
    once. Ctrl-C keeps what is done and a checkpoint of the rest; the same command goes on. The report
    has everything in the work folder, whatever was asked for last.

    \b
    vqc reproduce --list
    vqc reproduce looc-1 --data sets/ --only cifar10 --budget 0.02
    vqc reproduce looc-3 looc-5 --data sets/ --rows "looc .*x4, l2" --budget 0.02
    vqc reproduce --report -o docs/reproduction.md
    vqc reproduce --table mine.toml --data sets/ --budget 0.02
    """
    _check_usage(tables, files, wants_list, wants_report)
    from vqcodec.reproduction import own_tables, runs

    own = own_tables.read(files)
    chosen = runs.choose(tables, selection["only"], selection["pattern"], own)
    if wants_list:
        _print(chosen, work, as_json)
        return
    if data is None and not wants_report:
        raise click.UsageError(f"--data FOLDER is missing, a folder with {runs.origins(chosen)}")
    from vqcodec.evaluation.analyze import usage_plots
    from vqcodec.reproduction import report
    from vqcodec.reproduction.workbench import Workbench

    usage_plots.require()
    report.check_replaceable(output)
    failed = False
    if data is not None and not wants_report:
        failed = _bring(chosen, Workbench(data, work, selection["budget"], threads or 0), quiet=as_json)
    count = report.write(work, output, own)
    if as_json:
        _print(chosen, work, as_json)
    else:
        print_result(f"{name_of(output)}: {count} {'run' if count == 1 else 'runs'}")
    if failed:
        raise click.exceptions.Exit(1)


def _check_usage(tables: tuple[str, ...], files: tuple[Path, ...], wants_list: bool, wants_report: bool) -> None:
    if wants_list and wants_report:
        raise click.UsageError("--list and --report exclude one another")
    if wants_report and tables:
        raise click.UsageError("--report writes all that is in the work folder; leave the tables out")
    if wants_list or wants_report:
        return
    if not tables and not files:
        raise click.UsageError("name a table, or use --list to see which there are")


def _bring(chosen: list[Choice], bench: Workbench, quiet: bool) -> bool:
    """Train and measure what the work folder lacks; exit with 130 where that is interrupted.

    Return whether a run has diverged, which is said; the others are done all the same.
    """
    from vqcodec.reproduction.runs import distinct

    failed, needed = False, distinct(chosen)
    bench.load(needed.values())
    for run, epochs in needed.values():
        try:
            values = bench.bring(run, epochs)
        except (TrainingError, ModelError) as error:
            print_error(f"{run.name}: {error}")
            failed = True
            continue
        if values is None:
            print_error("interrupted; the same command goes on, and --report writes what is done")
            raise click.exceptions.Exit(EXIT_INTERRUPTED)
        bench.lossless(run.dataset)
        if not quiet:
            print_result(f"{run.name}: {_figures(values)}")
    return failed


def _print(chosen: list[Choice], work: Path, as_json: bool) -> None:
    from vqcodec.reproduction import results

    for choice in chosen:
        run = choice.run
        values = None if run is None else results.read_run(work, run.name)
        facts = {
            "table": choice.table.name,
            "dataset": choice.dataset,
            "row": choice.text,
            "run": run and run.name,
            "published": choice.row.published,
            "result": values,
        }
        line = f"{choice.table.name:<7} {choice.dataset:<8} {choice.text}: {_state(choice, values, work)}"
        print_result(facts if as_json else line)


def _state(choice: Choice, values: Values | None, work: Path) -> str:
    """Return in words what is done of a row."""
    if choice.run is None:
        return "not built here"
    if values is not None:
        return _figures(values)
    begun = (work / f"{choice.run.trained.name}.safetensors.checkpoint").exists()
    return "begun" if begun else "to do"


def _figures(values: Values) -> str:
    measured = values["measured"]
    return (
        f"{values['epochs']:.3g} epochs, {measured['lossless']['psnr_db']:.2f} dB, {measured['bytes']:,.0f} bytes a "
        f"picture, {measured['usage']:.0%} of its codevectors used"
    )
