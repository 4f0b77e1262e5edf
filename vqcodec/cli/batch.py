"""Many files: the flags of commands that take them, and the way through all jobs in spite of bad ones."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, fields
from typing import Any

import click

from vqcodec.cli.console import no_bars, print_error, print_note, print_result
from vqcodec.cli.devices import device_option, use_device
from vqcodec.cli.jobs import C, Job, Naming, Outcome, Plan
from vqcodec.cli.work import Done, Work, attempt
from vqcodec.cores import THREADS_VARIABLE, threads
from vqcodec.errors import VqcError
from vqcodec.folders import left_out_note
from vqcodec.names import notes_on


@dataclass(frozen=True)
class Batch:
    """What the flags say that all commands have which make files of many files."""

    recursive: bool = False
    force: bool = False
    as_json: bool = False
    jobs: int = 1
    skip_existing: bool = False
    keep_suffix: bool = False
    dry_run: bool = False
    quiet: bool = False

    def naming(self, suffix: str, output: str | None, **more: Any) -> Naming:
        """Return where outputs go."""
        return Naming(suffix, output, self.force, skip_existing=self.skip_existing, dry_run=self.dry_run, **more)


_RECURSIVE = click.option("-r", "--recursive", is_flag=True, help="Take folders, with all that is in them.")
_FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per file.")
_MORE = (
    click.option("--skip-existing", is_flag=True, help="Leave outputs that exist; so a batch that was ended goes on."),
    click.option(
        "--keep-suffix", is_flag=True, help="Keep suffixes in names: a.png and a.jpg become a.png.vqc and a.jpg.vqc."
    ),
    click.option(
        "-j", "--jobs", metavar="N", type=click.IntRange(1), default=1, show_default=True,
        help="Files at a time, each in a process of its own; they share the processor's cores.",
    ),
    click.option(
        "--threads", metavar="N", type=click.IntRange(1, 1024),
        help="How many threads work at a time, all processes together; the cores there are, if not said.",
    ),
    device_option,
    click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing."),
    click.option("--quiet", is_flag=True, help="Print errors only; with --json, results too."),
)  # fmt: skip


def batch_flags(command: C) -> C:
    """Give a command the flags that all have which make files of files: -r, -f and --json."""
    return _RECURSIVE(_FORCE(_JSON(command)))


def batch_options(command: C) -> C:
    """Give a command the flags of a Batch, which it gets as `batch`."""

    @functools.wraps(command)
    def with_batch(**values: Any) -> None:
        if count := values.pop("threads"):
            os.environ[THREADS_VARIABLE] = str(count)
        use_device(values.pop("device"), quiet=values["quiet"])
        batch = Batch(**{field.name: values.pop(field.name) for field in fields(Batch)})
        if batch.force and batch.skip_existing:
            raise click.UsageError("--force and --skip-existing exclude one another; give one of them")
        command(batch=batch, **values)

    for option in reversed((_RECURSIVE, _FORCE, *_MORE, _JSON)):
        option(with_batch)
    return with_batch  # type: ignore[return-value]


def run_plan(plan: Plan, work: Work, batch: Batch, sums: bool = False) -> None:
    """Do every job, name those that fail on stderr, and exit with 1 if there were any.

    A bar on stderr shows progress through several jobs; with `sums` a line says at their end how many bytes became
    how many.
    """
    report = _Report(plan, batch)
    if batch.dry_run:
        report.add_all(map(_planned, plan.jobs))
    else:
        with no_bars() if batch.quiet else nullcontext(), closing(_do(plan.jobs, work, batch.jobs)) as done:
            report.add_all(_with_bar(done, plan.jobs))
    report.end(sums)


class _Report:
    """What is said of jobs, at once or at the end."""

    def __init__(self, plan: Plan, batch: Batch) -> None:
        self.plan, self.batch = plan, batch
        self.failed, self.came = len(plan.errors), list[Outcome]()
        self.notes: dict[str, list[str]] = {}
        for error in plan.errors:
            print_error(error)
        if plan.left_out and not batch.quiet:
            print_note(left_out_note(plan.left_out, plan.hint))

    def add_all(self, done: Iterable[Done]) -> None:
        """Say what came of jobs."""
        for job, came in done:
            if isinstance(came, VqcError):
                self.failed += 1
                print_error(came if job.name in str(came) else f"{job.name}: {came}")
            else:
                self._add(job, came)

    def _add(self, job: Job, came: Outcome) -> None:
        self.came.append(came)
        if self.batch.as_json:
            print_result(came.facts, came.aside)
        elif not self.batch.quiet:
            print_result(came.line, came.aside)
            for note in came.notes:
                self.notes.setdefault(note, []).append(job.name)
        if came.fault:
            self.failed += 1
            print_error(f"{job.name}: {came.fault}")

    def end(self, sums: bool) -> None:
        """Say what came of all, and exit with 1 if any failed."""
        for note in notes_on(self.notes):
            print_note(note)
        if sums and len(self.plan) > 1 and not self.batch.quiet:
            print_error(self._summary())
        if self.failed:
            raise click.exceptions.Exit(1)

    def _summary(self) -> str:
        came, read_bytes = len(self.came), self._sum("input_bytes")
        text = f"{came} file{'s' * (came != 1)}, {read_bytes:,} bytes"
        if self.batch.dry_run:
            text += " to do"
        elif came:
            written_bytes = self._sum("bytes")
            text = f"{text} became {written_bytes:,}"
            if written_bytes < read_bytes:
                text += f", {1 - written_bytes / read_bytes:.1%} saved"
        counts = {"skipped, since their outputs exist": len(self.plan.done_before), "failed": self.failed}
        return "; ".join([text, *(f"{count} {what}" for what, count in counts.items() if count)])

    def _sum(self, fact: str) -> int:
        return sum(came.facts[fact] for came in self.came)


def _planned(job: Job) -> Done:
    """Return what is said of a job that is not done."""
    size = _size_bytes(job)
    facts = {"input": job.name, "output": job.target_name, "input_bytes": size}
    return job, Outcome(f"{job.name} -> {job.target_name}: {size:,} bytes to do", facts, aside=job.target is None)


def _do(jobs: Sequence[Job], work: Work, count: int) -> Generator[Done]:
    """Yield jobs with what came of them, done in this process or in several."""
    count = min(count, len(jobs))
    if count > 1:
        from vqcodec.cli.pool import in_processes  # nobody else needs what starts and joins processes

        yield from in_processes(work, jobs, count, max(1, threads() // count))
    elif jobs:
        work.prepare()
        for job in jobs:
            yield job, attempt(work.do, job)


def _with_bar(done: Iterable[Done], jobs: Sequence[Job]) -> Iterator[Done]:
    """Yield what is done, and show on stderr how much of the bytes of several inputs that is."""
    if len(jobs) < 2:
        yield from done
        return
    from tqdm import tqdm

    sizes_bytes = {job: _size_bytes(job) for job in jobs}
    with tqdm(total=sum(sizes_bytes.values()), unit="B", unit_scale=True, disable=None) as bar:
        for count, (job, came) in enumerate(done, 1):
            yield job, came
            bar.set_description_str(f"{count} of {len(jobs)} files", refresh=False)
            bar.update(sizes_bytes[job])


def _size_bytes(job: Job) -> int:
    """Return the size of a job's input, as far as it has one that can be read."""
    with suppress(OSError):
        return 0 if job.source is None else job.source.stat().st_size
    return 0
