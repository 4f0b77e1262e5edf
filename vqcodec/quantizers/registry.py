"""The methods: each registers itself where its class stands, and no other place names it.

    @register("mine", options=Options, units=4096, defaults={"m": 32})
    class Mine(Learned): ...

A module of this folder is found by being there; one elsewhere registers when it is imported, by its own program or by
its name (packages.py).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from vqcodec.errors import SettingsError
from vqcodec.quantizers import packages
from vqcodec.quantizers.base import Quantizer
from vqcodec.quantizers.layout.settings import QuantizerSettings
from vqcodec.quantizers.learning.options import parse_options

Kind = TypeVar("Kind", bound=type[Quantizer])
Values = Mapping[str, Any]
_METHODS: dict[str, Method] = {}


@dataclass(frozen=True)
class Method:
    """What is known of a method before it is made.

    kind: its class, made from settings and, unless it has none, its options; layout: how its indices stand for
    latents, `shared`, `own` or `stages`; units, beta, depth: the most that it can have of each; match: the only one
    it can do, or None for any; by_rate: whether rate and distortion can train it: its one codebook is then moved by
    clustering and coded by tables that make far codevectors rare. defaults: settings of a training that are not the
    usual ones; sizes: a function of a training's settings that gives those which follow from them. What a user says
    wins over both. first: settings of a training without a recipe on a few photographs; remedy: what helps where its
    codebook collapses, as the end of a sentence.
    """

    name: str
    kind: type[Quantizer]
    options: type[Any] | None = None
    layout: str = "shared"
    units: int = 1
    beta: int = 1
    depth: int = 1
    match: str | None = None
    by_rate: bool = False
    defaults: Values = field(default_factory=dict)
    sizes: Callable[[Values], Values] | None = None
    first: Values = field(default_factory=dict)
    remedy: str = "a smaller K, or a lower learning rate"

    def check(self, settings: QuantizerSettings) -> None:
        """Raise SettingsError for settings that this method cannot have."""
        if settings.layout != self.layout:
            raise SettingsError(
                f"quantizer {self.name!r} has the layout {self.layout!r}, not {settings.layout!r}; use settings_of()"
            )
        settings.check_ranges(self.units, self.beta, self.depth)
        if self.match is not None and settings.match != self.match:
            raise SettingsError(
                f"quantizer {self.name!r} cannot match by {settings.match!r}; choose match={self.match!r}"
            )

    def completed(self, values: Values) -> dict[str, Any]:
        """Return settings of a training with those that the method chooses unless they are said."""
        values = {**self.defaults, **values}
        return {**self.sizes(values), **values} if self.sizes else values


def register(name: str, **facts: Any) -> Callable[[Kind], Kind]:
    """Return a decorator that makes a class the method of this name; `facts` are further fields of Method.

    SettingsError where the name is taken.
    """

    def add(kind: Kind) -> Kind:
        if name in _METHODS:
            raise SettingsError(f"there is a quantizer {name!r} already; choose another name")
        _METHODS[name] = Method(name, kind, **facts)
        return kind

    return add


def names() -> tuple[str, ...]:
    """Return the names of all methods in alphabetical order, with those that installed packages offer."""
    _import_all()
    return tuple(sorted({*_METHODS, *packages.offered()}))


def names_by_rate() -> tuple[str, ...]:
    """Return the names of the methods that rate and distortion can train, of other packages those in use."""
    _import_all()
    return tuple(sorted(name for name, found in _METHODS.items() if found.by_rate))


def method(name: str) -> Method:
    """Return a method by its name or as module:Class; SettingsError for an unknown one."""
    _import_all()
    if name in _METHODS:
        return _METHODS[name]
    # Looking through the installed packages takes hundredths of a second, so it comes last.
    if not packages.is_place(name) and name not in packages.offered():
        raise SettingsError(f"quantizer {name!r} is unknown; choose one of {', '.join(names())}, or name module:Class")
    return _of_package(name)


def settings_of(name: str, K: int, m: int, d_star: int, **others: Any) -> QuantizerSettings:
    """Return the settings of a method, in its layout; SettingsError for what it cannot have."""
    found = method(name)
    settings = QuantizerSettings(found.name, K, m, d_star, layout=found.layout, **others)
    found.check(settings)
    return settings


def build(settings: QuantizerSettings, options: Values | None = None) -> Quantizer:
    """Return a new quantizer of the method settings.name, to be trained.

    `options` are those that it registered; SettingsError for what it does not know. A trained one is Fixed, whatever
    its method.
    """
    found = method(settings.name)
    found.check(settings)
    parsed = parse_options(found.options or object, options or {}, found.name)
    return found.kind(settings, parsed) if found.options else found.kind(settings)  # type: ignore[call-arg]


def _of_package(name: str) -> Method:
    kind = packages.find(name)
    for found in _METHODS.values():
        if found.kind is kind and (packages.is_place(name) or found.name == name):
            return found
    raise SettingsError(
        f"quantizer {name!r} stands for {kind!r}, which is not a quantizer of that name; "
        "register the class with @vqcodec.quantizers.register(NAME)"
    )


@cache
def _import_all() -> None:
    # Only now, since a codec decodes without any method, and since its modules import this one.
    package = importlib.import_module("vqcodec.quantizers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
