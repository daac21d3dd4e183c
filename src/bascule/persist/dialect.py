"""What a dialect is: the folder of one configuration system, with its parts under the same names in each.

``persist/NAME/`` is entered in :mod:`bascule.model.dialects`. Its ``__init__`` has one value, ``DIALECT``; its other
parts are imported when they are used:

* ``detect.py``: ``detect(root)`` yields the managers that read such files on a host
* ``render.py``: ``render(config)`` makes the files, or raises Inexpressible with all that it has no word for
* ``parse.py``: ``parse(files, hardware)`` says what files mean, and never raises for what stands in them
* ``includes.py``, where files name further files: ``includes(path, text)`` gives their patterns
* ``without.py``, where a file may speak for several links: ``without(files, names, hardware)`` gives what is left
* ``gateways.py``, where its manager ranks default routes without a metric: ``ranked(config)``, and what it did in words
* ``plugin.py``, where its manager may lack what bridges of Open vSwitch take: ``why_no_switch(root, beside=…)``
* ``takeover.py``: ``TAKEOVER``, how its manager takes over links that a change has made already
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, cast

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.model import dialects as registry
from bascule.model.site import Host
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig
from bascule.persist.manager import Manager, Root, Takeover
from bascule.persist.parsed import Below, Files, Hardware, Parsed

PACKAGE = "bascule.persist"


class Dialect(Struct, frozen=True, kw_only=True):
    """One configuration system and its files.

    ``reads`` are glob patterns below the root of all files that its parser understands, ``own`` of those that speak
    for this dialect and no other. ``scaffold`` are files that are written only where they are missing. ``files`` and
    ``readers`` say in the reference which files it writes and who reads them, ``notes`` what else is to be known.
    ``neighbours`` are the kinds of set neighbours that it has words for (persist.formats.neighbours). ``openvswitch``
    is what it has no words for of bridges of Open vSwitch, whose database keeps that; None where it has none at all.
    ``below`` are folders of packages and generators, whose files its manager reads besides those of ``reads``; each
    with the path that a file of it counts as, unless one stands there; those of ``shadows`` count even then. What
    matches ``made_up`` its manager has written there itself, of a link that it found configured. ``last_leads`` where
    its manager sets addresses in the order of the file: the host speaks with the newest IPv6 address, which the kernel
    lists first, and a configuration has them in the kernel's order.
    """

    name: str
    reads: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    scaffold: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: str = ""
    readers: str = ""
    notes: str = ""
    neighbours: frozenset[str] = frozenset()
    openvswitch: tuple[str, ...] | None = None
    below: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    shadows: tuple[str, ...] = ()
    made_up: str = r"\Z."
    last_leads: bool = False

    def detect(self, root: Root) -> Iterable[Manager]:
        """The managers that look after a host's network by such files."""
        found = self._function("detect", "detect")
        return found(root) if found else ()

    def render(self, config: NetworkConfig) -> dict[str, str]:
        """The files. Raises Inexpressible with everything that the dialect has no word for."""
        if self.openvswitch is None:
            from bascule.persist.formats.openvswitch import refuse

            refuse(config, self.name)
        said = config.with_ipv6_reversed() if self.last_leads else config
        return cast("dict[str, str]", self._part("render").render(said))

    def parse(self, files: Files, hardware: Hardware | None = None) -> Parsed:
        """The meaning of the files; never raises for what stands in them."""
        found = cast("Parsed", self._part("parse").parse(files, hardware))
        return replace(found, config=found.config.with_ipv6_reversed()) if self.last_leads else found

    def in_effect(self, files: Files, below: Below) -> dict[str, str]:
        """Its files and those of packages and generators, each where its manager goes by it."""
        said = {path: one for path, one in below.items() if not re.search(self.made_up, one[1], re.MULTILINE)}
        first = {path: text for path, (place, text) in said.items() if place.startswith(self.shadows or ("\0",))}
        return {**{path: text for path, (_, text) in said.items()}, **files, **first}

    def ranked(self, config: NetworkConfig) -> tuple[NetworkConfig, tuple[str, ...]]:
        """The configuration with the metrics that its manager gives where files say none, and those in words."""
        found = self._function("gateways", "ranked")
        return cast("tuple[NetworkConfig, tuple[str, ...]]", found(config)) if found else (config, ())

    def without(self, files: Files, names: Collection[IfName], hardware: Hardware) -> Mapping[str, str | None]:
        """The files that speak for these links, each with what is left of it without them; None where nothing is.

        A file of which not only that can be taken away is not among them. Without a part of its own a dialect has one
        link in each of its ``own`` files.
        """
        found = self._function("without", "without")
        if found:
            return cast("Mapping[str, str | None]", found(files, names, hardware))
        said = {path: self.parse({path: files[path]}, hardware).config.subjects for path in self.own_files(files)}
        return {path: None for path, subjects in said.items() if subjects & set(names)}

    def own_files(self, files: Files) -> list[str]:
        """Those that speak for this dialect and no other."""
        return [path for path in files if any(fnmatchcase(path, pattern) for pattern in self.own)]

    def check_switches(self, host: Host, config: NetworkConfig, root: str | None) -> None:
        """Raise Inexpressible for bridges of Open vSwitch that whoever reads its files cannot keep.

        That is on the host below ``root``; without, on any.
        """
        found = self._function("plugin", "why_no_switch")
        if found:
            from bascule.persist.formats.openvswitch import refuse_missing

            refuse_missing(host, config, self.name, lambda beside: found(root, beside=beside))

    @property
    def includes(self) -> Callable[[str, str], list[str]] | None:
        """Gives the patterns of the files that a file (its path, its text) includes; None where no file does."""
        return cast("Callable[[str, str], list[str]] | None", self._function("includes", "includes"))

    @property
    def takeover(self) -> Takeover:
        """How its manager takes links over; nothing is done where it has no part for that."""
        return cast("Takeover", self._function("takeover", "TAKEOVER") or Takeover())

    def _part(self, name: str) -> Any:
        return importlib.import_module(f"{PACKAGE}.{self.name}.{name}")

    def _function(self, part: str, name: str) -> Any:
        """What a part may have; None without it."""
        if importlib.util.find_spec(f"{PACKAGE}.{self.name}.{part}") is None:
            return None
        return getattr(self._part(part), name, None)


def dialect(name: str, known: Callable[[], tuple[str, ...]] = registry.readable) -> Dialect:
    """A dialect by its name.

    Raises UsageFault for a name that is none of ``known``.
    """
    if name not in known():
        words = ", ".join(known())
        hint = (
            "that of NetworkManager is keyfile" if name.lower() in {"networkmanager", "nm"} else f"use one of {words}"
        )
        raise UsageFault.of("DIALECT", f"'{name}' is not a dialect", hint=hint)
    return _load(name)


def dialects() -> Iterator[Dialect]:
    """All that there are."""
    return (_load(each.name) for each in registry.DIALECTS)


def _load(name: str) -> Dialect:
    return cast("Dialect", importlib.import_module(f"{PACKAGE}.{name}").DIALECT)
