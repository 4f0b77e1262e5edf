"""Collections: folders and .tar shards of any size, here or in stores, of which a manifest says what was done.

A folder is listed while its files are done, so that nothing grows with it but the names that a manifest has. A file
becomes a file of the same name with a suffix more or less, a shard of files a shard of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vqcodec import stores
from vqcodec.cli.batch import Batch
from vqcodec.cli.console import STANDARD, AnyPath, print_error, print_note, print_result
from vqcodec.cli.engines import ENGINES, PROCESSES
from vqcodec.cli.jobs import C
from vqcodec.cli.work import Work
from vqcodec.errors import InputError, OutputError, VqcError
from vqcodec.folders import counted_note

if TYPE_CHECKING:
    from vqcodec.cli.items import Convert, Kind


@dataclass(frozen=True)
class Collection:
    """What is asked for: from where to where, the manifest, what does it, and the other flags."""

    source: str
    output: str
    manifest: Path
    engine: str
    batch: Batch

    @classmethod
    def asked(
        cls,
        inputs: tuple[str, ...],
        output: str | None,
        manifest: Path | None,
        engine: str,
        batch: Batch,
        preserve: bool,
    ) -> Collection | None:
        """Return what flags ask for, None where they ask for files one by one; UsageError for what does not fit."""
        if manifest is None:
            if engine != PROCESSES:
                raise click.UsageError("--engine is for collections; name their --manifest")
            if any(map(stores.is_address, (*inputs, output or ""))):
                raise click.UsageError("files in a store are done as a collection; name its --manifest")
            return None
        if output is None or len(inputs) != 1:
            raise click.UsageError("--manifest is of one folder, shard or address and the -o that it is converted to")
        flags = {name: getattr(batch, name) for name in ("skip_existing", "keep_suffix", "dry_run")}
        for flag, given in (flags | {"preserve": preserve}).items():
            if given:
                raise click.UsageError(f"--manifest leaves no room for --{flag.replace('_', '-')}; leave that out")
        if STANDARD in (str(manifest), output, *inputs) or stores.is_address(manifest):
            raise click.UsageError("a collection and its --manifest are files that a run goes on from; name them")
        from vqcodec.cli.places import place_of  # who converts files one by one needs no archives and no stores

        return cls(place_of(inputs[0]), place_of(output), manifest, engine, batch)

    def check(self) -> None:
        """Raise InputError without an input; OutputError where an output could replace what is there, or is refused."""
        from vqcodec.cli.manifest import is_begun
        from vqcodec.cli.places import check_apart, check_output, check_source, has_files

        check_apart(self.source, self.output)
        check_source(self.source)
        if not is_begun(self.manifest) and not self.batch.force and has_files(self.output):
            raise OutputError(
                f"{self.output} has files, and {self.manifest} does not exist that would say of what; "
                "name the manifest of the run that made them, or use -f to replace them"
            )
        check_output(self.output)


def collection_options(command: C) -> C:
    """Give a command the flags of a collection: --manifest and --engine."""
    manifest = click.option(
        "--manifest", metavar="FILE", type=AnyPath(),
        help="Take IN, a folder, .tar or address in a store, file by file, and write a line of JSON for each that was "
        "done to FILE, from which a run that was ended goes on. Names keep their suffixes.",
    )  # fmt: skip
    engine = click.option(
        "--engine", type=click.Choice(tuple(ENGINES)), default=PROCESSES, show_default=True,
        help="What does a collection: --jobs processes of this machine, or actors of a Ray cluster.",
    )  # fmt: skip
    return manifest(engine(command))


def run_collection(
    how: Collection, kind: Kind, convert: Convert, prepare: Callable[[], object], said: dict[str, Any]
) -> None:
    """Convert what the manifest does not have yet, add it there, say the sums, and exit with 1 if any file failed.

    `said` are the command and its settings, for which alone the manifest is.
    """
    from tqdm import tqdm

    from vqcodec.cli.items import Aside, done, items_of
    from vqcodec.cli.manifest import Manifest

    how.check()
    head = {**said, "input": how.source, "output": how.output}
    sums = _Sums(how)
    with Manifest(how.manifest, head) as manifest, tqdm(unit="file", disable=True if how.batch.quiet else None) as bar:
        sums.before = len(manifest.done)
        items = items_of(how.source, how.output, kind, Aside(sums.leave_out, sums.fail))
        new = (item for item in items if item.name not in manifest.done)
        work = Work(partial(done, kind=kind, convert=convert), prepare)
        for item, came in ENGINES[how.engine](work, new, how.batch.jobs):
            facts = [{"name": item.name, "error": str(came)}] if isinstance(came, VqcError) else came
            manifest.add(facts)
            sums.add(facts)
            bar.update(len(facts) - (len(facts) > 1))
    sums.end()


class _Sums:
    """What is said of a collection: errors at once, and a line at the end."""

    def __init__(self, how: Collection) -> None:
        self.how, self.before = how, 0
        self.left_out, self.first_left_out = 0, ""
        self.files = self.failed = self.input_bytes = self.output_bytes = 0

    def leave_out(self, place: str) -> None:
        """Count a file that is not wanted."""
        self.left_out += 1
        self.first_left_out = self.first_left_out or place

    def fail(self, name: str, error: VqcError | str) -> None:
        """Count and say an error."""
        self.failed += 1
        print_error(str(error) if name in str(error) else f"{name}: {error}")

    def add(self, all_facts: Iterable[dict[str, Any]]) -> None:
        """Count what came of an item, and say what failed."""
        for facts in all_facts:
            if self.how.batch.as_json:
                print_result(facts)
            if "error" in facts:
                self.fail(facts["name"], facts["error"])
            elif "files" in facts:
                self.left_out += facts["left_out"]
                self.first_left_out = self.first_left_out or f"one in {facts['name']}"
            else:
                self.files += 1
                self.input_bytes += facts["input_bytes"]
                self.output_bytes += facts["bytes"]

    def end(self) -> None:
        """Say what came of all, and exit with 1 if any failed; InputError where there was nothing."""
        if self.left_out and not self.how.batch.quiet:
            print_note(counted_note(self.left_out, self.first_left_out))
        if not self.how.batch.quiet:
            text = f"{self.files} files, {self.input_bytes:,} bytes became {self.output_bytes:,}"
            for count, what in ((self.before, "done before"), (self.failed, "failed")):
                text += f"; {count} {what}" if count else ""
            print_error(text)
        if self.failed:
            raise click.exceptions.Exit(1)
        if not self.files + self.before:
            raise InputError("there was nothing to do; check the input's name")
