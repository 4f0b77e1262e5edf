"""What commands that make files of files share: from names to jobs. How jobs are done is batch.py's affair."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from vqcodec.cli.console import STANDARD, AnyPath, name_of, write_stdout
from vqcodec.errors import InputError, OutputError, SettingsError, VqcError
from vqcodec.files import (
    Identities,
    are_one_file,
    atomic_write,
    check_input,
    check_not_input,
    check_output,
    identities,
    keep_time,
    read_file,
    read_stream,
    spelling,
)
from vqcodec.folders import Found, left_out_note

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
class Outcome:
    """What came of a job: a line for people, facts for programs, and notes on what the output does not keep.

    `fault`: what is wrong all the same, so that the command fails. `aside`: whether stdout carries the output itself,
    so that the line goes to stderr.
    """

    line: str
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    fault: str = ""
    aside: bool = False


@dataclass
class Plan:
    """The jobs that can be tried, those done before, the errors of bad inputs, and what was left out of folders.

    hint: what some of the left out would need, see folders.Found.
    """

    jobs: list[Job] = field(default_factory=list)
    done_before: list[Job] = field(default_factory=list)
    errors: list[VqcError] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    hint: str = ""

    def __len__(self) -> int:
        """How many files the plan is about."""
        return len(self.jobs) + len(self.done_before) + len(self.errors)


@dataclass(frozen=True)
class Naming:
    """Where outputs go: the suffix of their names, the -o option, and whether they may replace files.

    `may_be_original`: whether a file that has an output's name already may be what its input was once made from. Such
    a file is replaced only where -o names it, since nothing says whether it came from this very input.
    `renamed`: how an input's name becomes its output's, where the suffix is not just replaced. `skip_existing`: whether
    an output that is there was made before; `dry_run`: whether folders are only going to be made. `clash` is the advice
    on two inputs with one output.
    """

    suffix: str
    output: str | None
    force: bool
    may_be_original: bool = False
    renamed: Callable[[Path], Path] | None = None
    skip_existing: bool = False
    dry_run: bool = False
    clash: str = "rename one of them"

    def target(self, source: Path, folder: Path | None, single: bool) -> Path:
        """Return the output of a file; `folder` is the input folder that it was found in, if any."""
        name = source.with_suffix(self.suffix) if self.renamed is None else self.renamed(source)
        if self.output is None:
            return name
        output = Path(self.output)
        if single and not os.path.isdir(output) and not self.output.endswith(("/", "\\")):
            return output
        return output / (name.relative_to(folder) if folder else name.name)

    def was_made(self, target: Path) -> bool:
        """Whether a target is there from an earlier run and is to be left as it is."""
        return self.skip_existing and os.path.isfile(target)

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
        return _stream_plan(inputs, naming)
    plan = Plan()
    single = len(inputs) == 1 and not os.path.isdir(inputs[0])
    found = _expand_all(inputs, recursive, find, plan)
    known = _Known(identities(source for source, _ in found))
    for job in _once(Job(source, naming.target(source, folder, single)) for source, folder in found):
        try:
            was_made = _check(job, known, naming)
        except VqcError as error:
            plan.errors.append(error)
        else:
            (plan.done_before if was_made else plan.jobs).append(job)
    return plan


def read_input(job: Job) -> bytes:
    """Return the bytes of a job's input."""
    if job.source is None and sys.stdin is None:
        raise InputError("stdin is closed; name a file")
    if job.source is None:
        return read_stream(sys.stdin.buffer, job.name)
    return read_file(job.source)


def write_output(job: Job, data: bytes, force: bool, preserve: bool = False) -> None:
    """Write the bytes of a job's output as a whole or not at all; `preserve`: with its input's time of change."""
    with opened_output(job, force, preserve) as file:
        file.write(data)


@contextmanager
def opened_output(job: Job, force: bool, preserve: bool = False) -> Iterator[BinaryIO]:
    """Open what becomes a job's output once the block has ended well; `preserve` as above."""
    if job.target is None:
        made = BytesIO()
        yield made
        write_stdout(made.getvalue())
        return
    with atomic_write(job.target, force) as file:
        yield file
    if preserve and job.source is not None:
        keep_time(job.source, job.target)


def _stream_plan(inputs: tuple[str, ...], naming: Naming) -> Plan:
    if len(inputs) != 1:
        raise SettingsError("'-' stands for one file; it cannot be combined with other files")
    source = None if inputs[0] == STANDARD else Path(inputs[0])
    if naming.output in (None, STANDARD):
        return Plan([Job(source, None)])
    target = Path(str(naming.output))
    check_not_input(target, identities([_STDIN if source is None else source]))
    if naming.was_made(target):
        return Plan(done_before=[Job(source, target)])
    naming.check(target)
    return Plan([Job(source, target)])


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
                plan.hint = plan.hint or inside.hint
            else:
                why = left_out_note(inside.left_out, inside.hint) if inside.left_out else "check the path"
                plan.errors.append(InputError(f"{name_of(path)} holds no files to work on; {why}"))
    return found


def _once(jobs: Iterable[Job]) -> list[Job]:
    """Return jobs without those of the same input and output, whatever links to their folders lead to either."""
    first: dict[tuple[Path, Path], Job] = {}
    for job in jobs:
        first.setdefault((_in_folder(job.source), _in_folder(job.target)), job)
    return list(first.values())


def _in_folder(path: Path | None) -> Path:
    """Return a path by its real folder; a link to a file is an input of its own, with an output of its name."""
    assert path is not None
    return Path(os.path.realpath(path.parent), path.name)


@dataclass(frozen=True)
class _Known:
    """The inputs of a run by their files, and its jobs by the spelling of their outputs."""

    inputs: Identities
    by_spelling: dict[str, list[Job]] = field(default_factory=dict)

    def add(self, job: Job, naming: Naming) -> None:
        """Remember a job; OutputError where the output of another input is the same file."""
        assert job.target is not None
        others = self.by_spelling.setdefault(spelling(job.target), [])
        for other in others:
            if other.source != job.source and _is_one_target(other, job, naming):
                raise OutputError(f"{job.name} and {other.name} would both become {job.target_name}; {naming.clash}")
        others.append(job)


def _is_one_target(one: Job, other: Job, naming: Naming) -> bool:
    """Whether two jobs of one spelling have one output; a dry run, which may write nothing, compares the names."""
    assert one.target is not None
    assert other.target is not None
    if naming.dry_run:
        return os.path.realpath(one.target) == os.path.realpath(other.target)
    return are_one_file(one.target, other.target)


def _check(job: Job, known: _Known, naming: Naming) -> bool:
    """Return whether a job was done before; raise where its target is an input, another's, or cannot be written.

    The target's folder is made under -o.
    """
    source, target = job.source, job.target
    assert source is not None
    assert target is not None
    check_input(source)
    known.add(job, naming)
    check_not_input(target, known.inputs)
    if naming.was_made(target):
        return True
    if naming.output is not None and target != Path(naming.output):
        if naming.dry_run and not target.parent.exists():
            return False
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{name_of(target.parent)} cannot be made a folder: {error.strerror}") from error
    naming.check(target)
    return False
