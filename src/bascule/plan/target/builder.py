"""The wanted state of a host while it is being laid over what is there, and the strokes that every part of it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.errors import Place
from bascule.model.links import BridgePort
from bascule.model.ruleset.rules import AnyTable
from bascule.model.site import Host, Site
from bascule.model.state import MARK, HostState, Link, Route
from bascule.model.values import IfName
from bascule.plan.change import Note
from bascule.plan.target.networks import accept_ra
from bascule.plan.virtual_network import ResolvedNetwork


class Layer(Struct):
    """Links, routes, sysctls and rules as they shall be, with the reasons; ``observed`` stays what it was."""

    site: Site
    host: Host
    observed: HostState
    added: Mapping[str, frozenset[str]]
    by_libvirt: bool = False
    links: dict[IfName, Link] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    tables: Mapping[str, AnyTable] = field(default_factory=dict)
    resolved_networks: tuple[ResolvedNetwork, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    guests: dict[str, list[str]] = field(default_factory=dict)
    running: dict[str, list[str]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """What links of ours carry for this site."""
        return MARK + self.site.name

    def _because(self, name: str, text: str, place: Place) -> None:
        where = f" ({place.file}:{place.line})" if place.file else ""
        self.reasons[name] = f"{text}{where}"

    def _silent(self, name: IfName) -> None:
        """No address of its own and none that it makes by itself."""
        self._set(name, **self._silence(name))

    def _silence(self, name: IfName) -> dict[str, Any]:
        """What the link then has; its routes go, and the parameter is set."""
        if self.host.as_found and name in self.observed.links:
            return {}
        if self.observed.has_ipv6:
            self.sysctls[accept_ra(name)] = "0"
        if any(route.dev == name for route in self.routes):
            self.routes = [route for route in self.routes if route.dev != name]
        return {"addresses": (), "addrgenmode": "none"}

    def _enslave(self, name: IfName, master: IfName, port: BridgePort | None) -> None:
        """A port, which is silent: what it hears is its master's."""
        link = self.links[name]
        stays = link.master == master
        kept = (link.port if stays else None) or port
        vlans = link.vlans if stays else ()
        self._set(name, **self._silence(name), up=True, master=master, port=kept, vlans=vlans)

    def _set(self, name: IfName, **values: Any) -> None:
        """A link with other values; the same object where it has them already, which is soon compared."""
        link = self.links[name]
        if any(getattr(link, key) != value for key, value in values.items()):
            self.links[name] = replace(link, **values)
