"""Who stands between networks and may not route now: what depends on one of them is unproven.

Of machines and hosts nobody has said whether they route, and a guest that is off passes nothing on.

The twin plays such a machine without forwarding, and nobody where a gateway is declared that nobody has. A real one may
forward, so silence across it shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.site import Expectation, Mode, Site, virtual_segment
from bascule.model.values import IpAddress
from bascule.probe.capture import CapturedFrame
from bascule.verify.endpoints import Endpoints
from bascule.verify.path_trace import looked_for
from bascule.verify.power import GuestsOff


class UndeclaredRouters:
    """The machines, guests and unseen hosts of a site on several networks that we play, and that may or may not route.

    A host is met only: that it stands on two networks makes it nobody's gateway.
    """

    def __init__(self, site: Site, endpoints: Endpoints) -> None:
        self._site, self._endpoints = site, endpoints
        networks_of = {name: {nic.network for nic in one.nics} for name, one in site.machines.items() if one.may_route}
        guests = {name: {site.segment_of(nic) for nic in one.nics} for name, one in site.guests.items()}
        networks_of |= {name: {on for on in some if on} for name, some in guests.items() if len(some - {None}) > 1}
        unseen = (site.hosts[name] for name in endpoints.probe_domain.unseen)
        isolated = [one for one in unseen if all(x.mode is Mode.ISOLATED for x in one.virtual_networks.values())]
        networks = ((host.name, one) for host in site.hosts.values() for one in host.virtual_networks.values())
        self._closed = {virtual_segment(host, one.name) for host, one in networks if one.mode is Mode.ISOLATED}
        self._hosts = {
            one.name: {x.network for x in endpoints.attachments(one.name) if x.network} - self._closed
            for one in isolated
        }
        networks_of |= {name: on for name, on in self._hosts.items() if len(on) > 1}
        self._networks_of = {name: on for name, on in networks_of.items() if endpoints.attachments(name)}
        self._machines = frozenset(self._networks_of) & frozenset(site.machines)

    def met(self, expected: Expectation, captured: Iterable[CapturedFrame]) -> str:
        """The first of them that a question or its reply was sent to on its way; nothing where none was.

        Nor where an end stands on an isolated network: our own rules let nothing through, whoever forwards.
        """
        ends = (
            {one.network for one in self._endpoints.attachments(name)} for name in (expected.source, expected.target)
        )
        if any(on and on <= self._closed for on in ends):
            return ""
        for seen in captured:
            node = seen.point.node
            is_for_it = not seen.outgoing and seen.addressed and not int(seen.frame.dst[:2], 16) & 1
            if is_for_it and node in self._networks_of and node not in {expected.source, expected.target}:
                return node
        return ""

    def between(self, expected: Expectation) -> tuple[str, ...]:
        """The machines by which one end of an expectation may be led to the other, through whatever gateway."""
        ends = [
            {one.network for one in self._endpoints.attachments(name)} for name in (expected.source, expected.target)
        ]
        if expected.service.protocol == "arp" or ends[0] & ends[1]:
            return ()
        found: list[str] = []
        reached = set(ends[0])
        waiting = [name for name in self._networks_of if name in self._machines - {expected.source, expected.target}]
        while step := next((name for name in waiting if self._networks_of[name] & reached), None):
            waiting.remove(step)
            found.append(step)
            reached |= self._networks_of[step]
            if self._networks_of[step] & ends[1]:
                return tuple(found)
        return ()

    def absent(self, expected: Expectation) -> str:
        """The gateway by which the source would lead its packets to another network, where nobody plays it."""
        ends = [self._endpoints.attachments(name) for name in (expected.source, expected.target)]
        networks, theirs = ({one.network for one in some if one.network} - self._closed for some in ends)
        if self._endpoints.probe_domain.live or networks & theirs or expected.service.protocol == "arp":
            return ""
        versions = {address.version for one in ends[1] for address in one.addresses}
        gateways = [one for one in self._gateways(expected.source, networks) if one.version in versions]
        nobody = [str(one) for one in gateways if self._endpoints.owner(one) is None]
        if not nobody or not theirs or theirs - self._site.networks.keys():  # behind a host of ours its rules decide
            return ""
        words = f"nobody in the file has {' and '.join(nobody)}, the gateway of {expected.source}"
        return f"{words}, so what it forwards is not known (a machine with that address and 'forwards' says it)"

    def _gateways(self, name: str, networks: Iterable[str]) -> list[IpAddress]:
        if (host := self._site.hosts.get(name)) is not None:
            return [one for link in host.links() for one in link.gateways]
        known = (self._site.networks[network] for network in sorted(networks) if network in self._site.networks)
        return [one for network in known for one in network.gateways]

    def words(self, names: Iterable[str]) -> str:
        """What is not known of them, and what would say it."""
        names = tuple(names)
        where = " and ".join(f"{name} routes between {' and '.join(sorted(self._networks_of[name]))}" for name in names)
        machine = next((name for name in names if name in self._machines), None)
        hint = f" ('forwards' of {machine} says it)" if machine else ""
        if host := next((name for name in names if name in self._hosts), None):
            hint = f" (net.ipv4.ip_forward and net.ipv6.conf.all.forwarding of {host} say it: rehearse it there)"
        return f"the file does not say whether {where}{hint}"


class RoutersOff:
    """The guests of a site that are ``off``, by their addresses."""

    def __init__(self, site: Site, endpoints: Endpoints, off: GuestsOff) -> None:
        self._site, self._endpoints, self._off = site, endpoints, off
        self._owners = {goal.address.ip: name for name in off for goal in endpoints.addresses(name)}

    def gateway(self, expected: Expectation) -> str:
        """That an end of an expectation has no gateway but guests that are off, and the other is on another network.

        A host leads its packets where its own routes lead.
        """
        names = (expected.source, expected.target)
        ends = [{goal.network for goal in self._endpoints.addresses(name)} for name in names]
        if not self._owners or ends[0] & ends[1] or None in ends[0] | ends[1]:
            return ""
        for name, networks in zip(names, ends, strict=True):
            known = [
                self._site.networks[network] for network in sorted(map(str, networks & self._site.networks.keys()))
            ]
            gateways = [gateway for network in known for gateway in network.gateways]
            if gateways and name not in self._site.hosts and all(one in self._owners for one in gateways):
                owner = self._owners[gateways[0]]
                return f"{owner}, the gateway of {known[0].name}, is {self._off[owner]}"
        return ""

    def sought(self, expected: Expectation, captured: Iterable[CapturedFrame]) -> str:
        """That somebody looked for the address of a guest that is off, to hand a packet to it."""
        for seen in captured if self._owners else ():
            address = looked_for(seen)
            owner = self._owners.get(address) if address is not None else None
            if owner is not None and owner not in {expected.source, expected.target}:
                return f"{owner}, which has {address} and is to forward it, is {self._off[owner]}"
        return ""
