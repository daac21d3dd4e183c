"""What a dialect has no word for."""

from __future__ import annotations

import re

from bascule.errors import BasculeError, Problem
from bascule.persist.config import LinkConfig, NetworkConfig


class Inexpressible(BasculeError):
    """A dialect has no word for something that is wanted; nothing was written."""


class Gaps:
    """Collects what a dialect cannot say, so that all of it is told at once."""

    __slots__ = ("dialect", "problems")

    def __init__(self, name: str) -> None:
        self.dialect = name
        self.problems: list[Problem] = []

    def add(self, link: str, key: str, value: object, why: str = "") -> None:
        """``key`` of ``link`` has no word in this dialect."""
        reason = f": {why}" if why else ""
        self.problems.append(
            Problem(
                code="DIALECT-CANNOT",
                message=f"{self.dialect} does not support '{key}: {value}' of {link}{reason}",
                hint="remove the key, or choose another dialect; the reference page on dialects says what each can say",
            )
        )

    def check(self) -> None:
        """Raises Inexpressible if there was anything."""
        if self.problems:
            raise Inexpressible(*self.problems)

    def check_names(self, config: NetworkConfig, suffixes: tuple[str, ...] = ()) -> None:
        """Names with signs that mean something else in files, though the kernel takes them."""
        for link in config.links.values():
            if not _PLAIN.fullmatch(link.name) or link.name == "lo" or link.name.endswith(suffixes or ("\0",)):
                self.add(link.name, "name", link.name, "it would mean something else in its files")
            for other in (link.master, link.parent):
                if other is not None and other not in config.links:
                    self.add(link.name, "master" if other == link.master else "link", other, "it is not configured")
            for word in link.search:
                if not DOMAIN.fullmatch(word):
                    self.add(link.name, "search", word, "it is not a domain")
            if link.pin_path is not None and not PATH.fullmatch(link.pin_path):
                self.add(link.name, "path", link.pin_path, "it is not the path of a slot")
        if all(link.master is not None for link in config.links.values()):
            for rule in config.rules:
                self.add(
                    "the host",
                    "rule",
                    rule.action or f"table {rule.table}",
                    "there is no link with which it would be set up",
                )
            for route in config.routes:
                self.add("the host", "routes", route.to, "there is no link with which it would be set up")
        for pattern in config.unmanaged:
            if not _PATTERN.fullmatch(pattern):
                self.add("the host", "unmanaged", pattern, "a name, or the beginning of a name and '*'")

    def check_client_id(self, link: LinkConfig) -> None:
        """Dialects whose DHCP client puts its identifier together by itself."""
        if link.client_id is not None:
            self.add(link.name, "DHCP client identifier", link.client_id, "dhclient makes its own")


DOMAIN = re.compile(r"~?[A-Za-z0-9_][A-Za-z0-9_.-]*")
PATH = re.compile(r"[A-Za-z0-9_.:-]+")  # udev's ID_PATH: pci-0000:03:00.0
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*\*?")
