"""The wanted state of a host while it is being made, and what every part of the target adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.errors import Place
from bascule.model.kernel_parameters import conf
from bascule.model.links import BridgePort
from bascule.model.ruleset.rules import AnyTable
from bascule.model.site import Host, Site
from bascule.model.state import MARK, HostState, Link, Route
from bascule.model.values import IfName
from bascule.plan.address_migration import with_followers, without_link
from bascule.plan.change import Note, NoteKind
from bascule.plan.earlier import EarlierChanges


class TargetBuilder(Struct, kw_only=True):
    """What was asked (``site`` to ``by_libvirt``), which stays as it is, and what has been laid so far.

    ``altnames`` are the further names of links that are there, ``guarded`` the kernel's bridges that have ports with
    guards, ``guests`` those that a link shall carry, ``running`` those whose frames cross it now, ``moved`` the links
    that the host no longer speaks on, each with the one that it speaks on instead.
    """

    site: Site
    host: Host
    observed: HostState
    earlier: EarlierChanges
    by_libvirt: bool = False
    guarded: frozenset[IfName | None] = frozenset()
    altnames: Mapping[str, IfName] = field(default_factory=dict)

    links: dict[IfName, Link]
    routes: list[Route]
    sysctls: dict[str, str]
    tables: Mapping[str, AnyTable] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    guests: dict[str, list[str]] = field(default_factory=dict)
    running: dict[str, list[str]] = field(default_factory=dict)
    moved: dict[str, IfName] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    rivals: list[tuple[Route, str]] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """What links of ours carry for this site."""
        return MARK + self.site.name

    def made(self, link: Link) -> bool:
        """Whether a link is as we make it in what the file cannot say: ours, on a host that is not taken as found."""
        return link.alias == self.mark and not self.host.as_found

    def set(self, name: IfName, **values: Any) -> None:
        """A link with other values; the same object where it has them already, which is soon compared."""
        link = self.links[name]
        for key, value in values.items():
            if getattr(link, key) != value:
                self.links[name] = replace(link, **values)
                return

    def silence(self, name: IfName) -> None:
        """No address of its own and none that it makes by itself; its routes go.

        On a host that is taken as found it keeps what it has, but for what another link takes over.
        """
        if self.host.as_found and name in self.observed.links:
            taken = self.links[self.moved[name]].addresses if name in self.moved else ()
            ips = {address.ip for address in taken}
            kept = tuple(one for one in self.links[name].addresses if one.ip not in ips)
            if taken:
                self.routes = with_followers(self.routes, name, self.moved[name], taken, kept)
            if not taken or not all(one.is_link_local for one in kept):
                self.set(name, addresses=kept)
                return
        if self.observed.has_ipv6 and self.links[name].options.is_link:
            self.sysctls[conf(6, name, "accept_ra")] = "0"
        if any(route.dev == name or route.nexthops for route in self.routes):
            left = (without_link(route, name) for route in self.routes)
            self.routes = [route for route in left if route is not None]
        self.set(name, addresses=(), addrgenmode="none")

    def enslave(self, name: IfName, master: IfName, port: BridgePort | None) -> None:
        """Make a link a port, which is silent: what it hears is its master's. One that is a port already stays one."""
        link = self.links[name]
        before, after = self.observed.links.get(master), self.links.get(master)
        kinds = {type(one.options) for one in (before, after) if one is not None}
        stays = link.master == master and len(kinds) == 1  # a bridge of another kind under its name is another one
        self.silence(name)
        kept = (link.port if stays else None) or port
        as_found = link.vlans and stays and (self.host.as_found or not self._is_row_of_ours(name))
        self.set(name, up=True, master=master, port=kept, vlans=link.vlans if as_found else ())

    def _is_row_of_ours(self, name: str) -> bool:
        """Whether the site made a port of a switch; what others set at it that the file does not say goes."""
        rows = (getattr(part, "ports", {}).get(name) for part in self.observed.parts.values())
        return any(row is not None and row.site == self.site.name for row in rows)

    def because(self, name: str, text: str, place: Place) -> None:
        """Say why a link or a parameter is what it is, and which line of the file says so."""
        self.reasons[name] = text + place.bracketed

    def note(self, kind: NoteKind, subject: str, text: str, *, guest: str = "") -> None:
        """Say what the plan cannot or need not do."""
        self.notes.append(Note(kind=kind, subject=subject, text=text, guest=guest))
