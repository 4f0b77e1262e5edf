"""What is to be done with every job of a command, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from vqcodec.cli.jobs import Job, Outcome
from vqcodec.errors import InputError, VqcError

T = TypeVar("T")
Done = tuple[Job, "Outcome | VqcError"]


def _nothing() -> None:
    """Be ready without doing anything."""


@dataclass(frozen=True)
class Work:
    """What to do with every job, for example Job -> Outcome, and once in a process before its first one.

    A pickle can hold both.
    """

    do: Callable[[Any], Any]
    prepare: Callable[[], object] = _nothing


def attempt(function: Callable[..., T], *arguments: Any) -> T | VqcError:
    """Return what a function returns, or the error that a user is to read and other files are done in spite of."""
    try:
        return function(*arguments)
    except VqcError as error:
        return error
    except MemoryError:
        return InputError("not enough memory for this picture; make it smaller first")


def attempt_anything(function: Callable[..., T], *arguments: Any) -> T | VqcError:
    """Do the same in another process, where an error that nobody expects would be lost with the process."""
    try:
        return attempt(function, *arguments)
    except Exception as error:
        return VqcError(f"an error that vqc does not expect: {type(error).__name__}: {error}; report it, please")
