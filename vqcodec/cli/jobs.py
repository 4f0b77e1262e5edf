"""What compress and decompress share: from names to jobs, and through them in spite of bad ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from vqcodec.cli.console import STANDARD, AnyPath, name_of, print_error, print_note, write_stdout
from vqcodec.errors import InputError, OutputError, SettingsError, VqcError
from vqcodec.files import (
    Identities,
    atomic_write,
    check_input,
    check_not_input,
    check_output,
    identities,
    keep_time,
    read_file,
    read_stream,
)
from vqcodec.folders import Found, left_out_note
from vqcodec.names import notes_on

Report = tuple[str, ...]
FindFiles = Callable[[Path], Found]
C = TypeVar("C", bound=Callable[..., Any])
_STDIN, _STDOUT = Path("/dev/stdin"), ("/dev/stdout", "/dev/fd/1")


def takes_files(command: C) -> C:
    """Give a command what every one that makes files of files begins with: its inputs and -o."""
    command = click.option(
        "-o",
        "--output",
        metavar="OUT",
        type=AnyPath(None),
        help="Output file; for several inputs, a folder. '-' is stdout.",
    )(command)
    kind = AnyPath(None)
    return click.argument("inputs", metavar="IN...", nargs=-1, required=True, type=kind)(command)


def batch_flags(command: C) -> C:
    """Give a command the flags that they all end with: -r, -f and --json."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per file.")(command)
    command = click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist.")(command)
    return click.option("-r", "--recursive", is_flag=True, help="Take folders, with all that is in them.")(command)


def keeping_flags(command: C) -> C:
    """Give a command the flags that say what of a picture is kept: --background and --preserve."""
    command = click.option("--preserve", is_flag=True, help="Give outputs the time of change of their inputs.")(command)
    return click.option(
        "--background", metavar="COLOR", callback=_color,
        help="Lay what is transparent over a color (white, #204060 ...) instead of keeping it so.",
    )(command)  # fmt: skip


def _color(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from vqcodec.image import parse_color

        try:
            parse_color(value)
        except SettingsError as error:
            raise click.BadParameter(str(error)) from error
    return value


@dataclass(frozen=True)
class Job:
    """One file to make from another; None stands for stdin or stdout."""

    source: Path | None
    target: Path | None

    @property
    def name(self) -> str:
        """The input's name for messages."""
        return "stdin" if self.source is None else name_of(self.source)

    @property
    def target_name(self) -> str:
        """The output's name for messages."""
        return "stdout" if self.target is None else name_of(self.target)


@dataclass(frozen=True)
class Plan:
    """The jobs that can be tried, the errors of the inputs that cannot, and what was left out of folders."""

    jobs: list[Job] = field(default_factory=list)
    errors: list[VqcError] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Naming:
    """Where outputs go: the suffix of their names, the -o option, and whether they may replace files.

    `may_be_original`: whether a file that has an output's name already may be what its input was once made from. Such
    a file is replaced only where -o names it, since nothing says whether it came from this very input.
    """

    suffix: str
    output: str | None
    force: bool
    may_be_original: bool = False

    def target(self, source: Path, folder: Path | None, single: bool) -> Path:
        """Return the output of a file; `folder` is the input folder that it was found in, if any."""
        if self.output is None:
            return source.with_suffix(self.suffix)
        output = Path(self.output)
        if single and not os.path.isdir(output) and not self.output.endswith(("/", "\\")):
            return output
        inside = source.relative_to(folder) if folder else Path(source.name)
        return output / inside.with_suffix(self.suffix)

    def check(self, target: Path) -> None:
        """Raise OutputError where `target` cannot be written."""
        if self.may_be_original and self.output is None and os.path.isfile(target):
            other = target.with_name(f"{target.stem}.decoded{target.suffix}")
            raise OutputError(
                f"{name_of(target)} exists and may be the original; choose another name, as with -o {name_of(other)}"
            )
        check_output(target, self.force)


def make_plan(inputs: tuple[str, ...], naming: Naming, recursive: bool, find: FindFiles) -> Plan:
    """Return the jobs for inputs: files, folders that `find` searches, or "-" alone."""
    if naming.output in _STDOUT:
        naming = replace(naming, output=STANDARD)
    if STANDARD in inputs or naming.output == STANDARD:
        return Plan([_stream_job(inputs, naming)])
    plan = Plan()
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    found = _expand_all(inputs, recursive, find, plan)
    known = _Known(identities(source for source, _ in found), {})
    for source, folder in found:
        job = Job(source, naming.target(source, folder, single))
        try:
            _check(job, known, naming)
        except VqcError as error:
            plan.errors.append(error)
        else:
            plan.jobs.append(job)
    return plan


def run_plan(plan: Plan, work: Callable[[Job], Report]) -> None:
    """Do every job, name those that fail on stderr, and exit with 1 if there were any.

    `work` does a job and returns notes. A bar on stderr shows progress through several jobs.
    """
    failed = len(plan.errors)
    for error in plan.errors:
        print_error(error)
    if plan.left_out:
        print_note(left_out_note(plan.left_out))
    notes: dict[str, list[str]] = {}
    for job in _with_bar(plan.jobs):
        try:
            for note in work(job):
                notes.setdefault(note, []).append(job.name)
        except VqcError as error:
            failed += 1
            print_error(error if job.name in str(error) else f"{job.name}: {error}")
    for note in notes_on(notes):
        print_note(note)
    if failed:
        raise click.exceptions.Exit(1)


def read_input(job: Job) -> bytes:
    """Return the bytes of a job's input."""
    if job.source is None and sys.stdin is None:
        raise InputError("stdin is closed; name a file")
    if job.source is None:
        return read_stream(sys.stdin.buffer, job.name)
    return read_file(job.source)


def write_output(job: Job, data: bytes, force: bool, preserve: bool = False) -> None:
    """Write the bytes of a job's output as a whole or not at all; `preserve`: with its input's time of change."""
    if job.target is None:
        write_stdout(data)
        return
    with atomic_write(job.target, force) as file:
        file.write(data)
    if preserve and job.source is not None:
        keep_time(job.source, job.target)


def check_preserve(plan: Plan, preserve: bool) -> None:
    """Raise SettingsError where times are to be kept and an input or output is a stream, which has none."""
    if preserve and any(None in (job.source, job.target) for job in plan.jobs):
        raise SettingsError("--preserve needs files, since '-' has no time of change; leave it out")


def _stream_job(inputs: tuple[str, ...], naming: Naming) -> Job:
    if len(inputs) != 1:
        raise SettingsError("'-' stands for one file; it cannot be combined with other files")
    source = None if inputs[0] == STANDARD else Path(inputs[0])
    if naming.output in (None, STANDARD):
        return Job(source, None)
    target = Path(str(naming.output))
    check_not_input(target, identities([_STDIN if source is None else source]))
    naming.check(target)
    return Job(source, target)


def _expand_all(
    inputs: tuple[str, ...], recursive: bool, find: FindFiles, plan: Plan
) -> list[tuple[Path, Path | None]]:
    """Return the files that inputs name, each with the folder it was found in, if any; the rest goes to the plan."""
    found: list[tuple[Path, Path | None]] = []
    for path in map(Path, inputs):
        if not os.path.isdir(path):
            found.append((path, None))
        elif not recursive:
            plan.errors.append(InputError(f"{name_of(path)} is a folder; use -r to take the files in it"))
        else:
            inside = find(path)
            plan.errors.extend(inside.errors)
            found += [(source, path) for source in inside.files]
            if inside.files or inside.errors:
                plan.left_out.extend(inside.left_out)
            else:
                why = left_out_note(inside.left_out) if inside.left_out else "check the path"
                plan.errors.append(InputError(f"{name_of(path)} holds no files to work on; {why}"))
    return found


@dataclass(frozen=True)
class _Known:
    """The inputs of a run by their files, and by the outputs that they will become."""

    inputs: Identities
    by_target: dict[Path, Path]


def _check(job: Job, known: _Known, naming: Naming) -> None:
    """Refuse a target that exists, is an input or that another input of this run has; make its folder under -o."""
    source, target = job.source, job.target
    assert source is not None
    assert target is not None
    check_input(source)
    first = known.by_target.setdefault(target.absolute(), source)
    if first != source:
        raise OutputError(f"{job.name} and {name_of(first)} would both become {job.target_name}; rename one of them")
    if naming.output is not None and target != Path(naming.output):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{name_of(target.parent)} cannot be made a folder: {error.strerror}") from error
    check_not_input(target, known.inputs)
    naming.check(target)


def _with_bar(jobs: list[Job]) -> Iterable[Job]:
    if len(jobs) < 2:
        return jobs
    from tqdm import tqdm

    bar: Iterable[Job] = tqdm(jobs, unit="file", disable=None)
    return bar
