"""The whole graph: every host's links, who hangs on them, and what each cable carries. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, Self

from msgspec import Struct

from bascule.model.links import Bond, Macvtap, Physical, Veth, Vlan
from bascule.model.site import Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, bridge_name
from bascule.topology.declared import declared_links, networks_on
from bascule.topology.endpoints import (
    Endpoint,
    EndpointKind,
    EndpointNic,
    guest_endpoint,
    host_endpoint,
    machine_endpoint,
)
from bascule.topology.layer2 import Tags, inside, outside, passes
from bascule.topology.virtual_networks import existing_bridge


class FramePosition(NamedTuple):
    """Where a frame is: on a ``link`` of a host with tags, inside a ``switch``, in a ``network`` or at a ``machine``.

    In a network, ``name`` is the network, and ``host`` and ``link`` are where the frame came in: a switch does not send
    it back there. Inside a switch, ``isolated`` says that it came in by a port that is kept apart from others such.
    """

    kind: str
    host: str = ""
    link: str = ""
    tags: Tags = ()
    name: str = ""
    isolated: bool = False


class Topology(Struct, frozen=True, kw_only=True, dict=True):
    """Who is wired to whom. ``states`` has each host's links: as observed where somebody looked, else as declared."""

    site: Site
    states: Mapping[str, HostState]
    endpoints: Mapping[str, Endpoint]
    observed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, site: Site, observed: Mapping[str, HostState] | None = None) -> Self:
        """The graph of a site, with some of its hosts as they are."""
        seen = {name: state for name, state in (observed or {}).items() if name in site.hosts}
        endpoints = [host_endpoint(site, host, seen.get(host.name)) for host in site.hosts.values()]
        endpoints += [machine_endpoint(site, name) for name in site.machines]
        endpoints += [guest_endpoint(site, name, seen.get(guest.host)) for name, guest in site.guests.items()]
        return cls(
            site=site,
            states={host.name: seen.get(host.name) or declared_links(site, host) for host in site.hosts.values()},
            endpoints={endpoint.name: endpoint for endpoint in endpoints},
            observed=frozenset(seen),
        )

    @cached_property
    def virtual_bridges(self) -> Mapping[tuple[str, str], str]:
        """The virtual network that a bridge of a host carries, by host and bridge."""
        found: dict[tuple[str, str], str] = {}
        for host in self.site.hosts.values():
            for network in host.virtual_networks.values():
                link = existing_bridge(network, self.states[host.name])
                found[host.name, link.name if link is not None else bridge_name(network.name)] = network.name
        return found

    @cached_property
    def _upper(self) -> Mapping[tuple[str, str], tuple[Link, ...]]:
        """The VLAN links and macvtaps on each link."""
        found: dict[tuple[str, str], list[Link]] = {}
        for host, state in self.states.items():
            for link in state.links.values():
                if link.parent is not None and isinstance(link.options, Vlan | Macvtap):
                    found.setdefault((host, link.parent), []).append(link)
        return {key: tuple(links) for key, links in found.items()}

    @cached_property
    def _cables(self) -> Mapping[str, tuple[FramePosition, ...]]:
        """Where each network of the building comes in: NICs of hosts with the tags there, and machines."""
        found: dict[str, list[FramePosition]] = {name: [] for name in self.site.networks}
        for host in self.site.hosts.values():
            for nic in host.nics:
                native, tagged = networks_on(self.site, host, nic)
                if native is not None:
                    found[native.name].append(FramePosition("link", host.name, nic))
                for network in tagged:
                    found[network.name].append(FramePosition("link", host.name, nic, (int(network.vlan or 0),)))
        for machine in self.site.machines.values():
            for index, machine_nic in enumerate(machine.nics):
                if machine_nic.network in found:
                    found[machine_nic.network].append(FramePosition("machine", machine.name, f"eth{index}"))
        return {name: tuple(spots) for name, spots in found.items()}

    @cached_property
    def _network_at(self) -> Mapping[FramePosition, str]:
        return {spot: name for name, spots in self._cables.items() for spot in spots}

    def spot(self, endpoint: Endpoint, nic: EndpointNic) -> FramePosition:
        """Where an endpoint's NIC hangs: a guest's at its tap, a machine's in its network, a host's at the link."""
        if nic.plug is not None:
            return FramePosition("link", self.site.guests[endpoint.name].host, nic.plug.tap)
        return FramePosition("machine" if endpoint.kind is EndpointKind.MACHINE else "link", endpoint.name, nic.link)

    def reach(self, start: FramePosition) -> Mapping[FramePosition, FramePosition | None]:
        """Every spot that a frame from one comes to, each with the one before it: the whole broadcast domain."""
        came: dict[FramePosition, FramePosition | None] = {start: None}
        queue = deque([start])
        while queue:
            here = queue.popleft()
            for there in self.beside(here, first=here is start):
                if there not in came:
                    came[there] = here
                    queue.append(there)
        return came

    def beside(self, here: FramePosition, *, first: bool = False) -> Iterator[FramePosition]:
        """Where a frame goes on from a spot. ``first``: it was sent there, so it does not come up to a macvtap."""
        if here.kind == "network":
            for spot in self._cables.get(here.name, ()):
                if (spot.host, spot.link) != (here.host, here.link) and self.stopped(spot.host, spot.link) == "":
                    yield spot
        elif here.kind == "machine":
            if (network := self._network_at.get(here)) is not None:
                yield FramePosition("network", here.host, here.link, name=network)
        elif here.kind == "switch":
            yield from self._out_of_switch(here)
        elif here.link in self.states[here.host].links:
            yield from self._from_link(here, self.states[here.host].links[IfName(here.link)], first=first)

    def _from_link(self, here: FramePosition, link: Link, *, first: bool) -> Iterator[FramePosition]:
        host, tags, state = here.host, here.tags, self.states[here.host]
        if self.stopped(host, link.name):
            return
        if isinstance(link.options, Vlan) and link.parent is not None:
            yield FramePosition("link", host, link.parent, (link.options.id, *tags))
        elif isinstance(link.options, Macvtap | Veth) and link.parent is not None:
            yield FramePosition("link", host, link.parent, tags)
        for above in self._upper.get((host, link.name), ()):
            if isinstance(above.options, Vlan):
                if tags and tags[0] == above.options.id:
                    yield FramePosition("link", host, above.name, tags[1:])
            elif not first:
                yield FramePosition("link", host, above.name, tags)
        master = state.master_of(link)
        if master is not None and master.is_bridge:
            if passes(link, tags) and not self.held(host, link.name):
                apart = link.port is not None and link.port.isolated
                yield FramePosition("switch", host, master.name, inside(link, tags), isolated=apart)
        elif master is not None:
            yield FramePosition("link", host, master.name, tags)
        if link.is_bridge and passes(link, tags):
            yield FramePosition("switch", host, link.name, inside(link, tags))
        if isinstance(link.options, Bond):
            yield from (FramePosition("link", host, port.name, tags) for port in state.ports(link.name))
        if (network := self._network_at.get(here)) is not None:
            yield FramePosition("network", host, link.name, name=network)

    def _out_of_switch(self, here: FramePosition) -> Iterator[FramePosition]:
        state = self.states[here.host]
        for port in (*state.ports(here.link), state.links[IfName(here.link)]):
            tags = outside(port, here.tags)
            apart = here.isolated and port.port is not None and port.port.isolated
            if apart or self.held(here.host, port.name) or self.stopped(here.host, port.name):
                continue
            if passes(port, tags) and inside(port, tags) == here.tags:
                yield FramePosition("link", here.host, port.name, tags)

    def stopped(self, host: str, link: str) -> str:
        """Why nothing passes a link at the moment, or nothing; of a host that nobody looked at, all passes."""
        if host not in self.observed or (seen := self.states[host].links.get(IfName(link))) is None:
            return ""
        if not seen.up:
            return "is down"
        return "has no carrier" if not seen.facts.carrier and not seen.is_bridge else ""

    def held(self, host: str, port: str) -> str:
        """Why a switch takes nothing at a port at the moment, or nothing."""
        seen = self.states[host].links.get(IfName(port)) if host in self.observed else None
        held = {"blocking": "is blocked by STP", "listening": "waits for STP", "learning": "waits for STP"}
        return held.get(seen.facts.stp_port_state.lower(), "") if seen is not None else ""

    def networks_at(self, start: FramePosition) -> tuple[str, ...]:
        """The building's networks in a spot's broadcast domain."""
        return tuple(dict.fromkeys(spot.name for spot in self.reach(start) if spot.kind == "network"))

    def unwired(self, start: FramePosition) -> Iterator[tuple[str, IfName, Tags]]:
        """NICs by which a frame leaves for a wire of which the file says nothing, each with its host and tags there."""
        for spot in self.reach(start):
            link = self.states[spot.host].links.get(IfName(spot.link)) if spot.kind == "link" else None
            if link is not None and isinstance(link.options, Physical) and spot not in self._network_at:
                yield spot.host, link.name, spot.tags
