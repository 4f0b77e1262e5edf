"""Methods of other people's packages: offered by an entry point, or named as module:Class.

    [project.entry-points."vqcodec.quantizers"]
    hopping = "hopping_vq:Hopping"

Such a package is imported when its method is asked for by name, and never to list names: one that is broken is in
nobody else's way.
"""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from vqcodec.errors import SettingsError

GROUP = "vqcodec.quantizers"
"""The group of entry points in which a package offers its methods."""


def offered() -> set[str]:
    """Return the names of the methods that installed packages offer."""
    return set(entry_points(group=GROUP).names)


def is_place(name: str) -> bool:
    """Return whether a name says where a class is, as module:Class does."""
    return ":" in name


def find(name: str) -> object:
    """Return what the entry point of this name, or module:Class, stands for; SettingsError where that fails."""
    place = name if is_place(name) else _entry_point(name).value
    module, _, path = place.partition(":")
    try:
        return reduce(getattr, path.strip().split("."), import_module(module.strip()))
    # Whatever another package's first lines may raise.
    except Exception as error:
        raise SettingsError(
            f"quantizer {name!r} cannot be imported from {place} ({type(error).__name__}: {error}); "
            "install its package, or name the folder of its module in PYTHONPATH"
        ) from error


def _entry_point(name: str) -> EntryPoint:
    found = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if len(found) > 1:
        raise SettingsError(
            f"several packages offer a quantizer {name!r} ({', '.join(found)}); name one as module:Class"
        )
    return next(iter(found.values()))
