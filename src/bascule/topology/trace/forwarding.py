"""What the host does to a packet above layer 2: is it for the host, may it go on, and by which link."""

from __future__ import annotations

from typing import Any

from bascule.model.kernel_parameters import conf, dotted
from bascule.topology.trace.answer import Code
from bascule.topology.trace.ends.wire_ends import AddressOwner
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import key, text_of
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.routing import REFUSING, AwaitedRoutes, NextHop
from bascule.topology.trace.rules.values import address, prefix

LOOPBACK = 127


class HostRouting:
    """The host's own routing for one packet."""

    def __init__(self, passage: PacketPath) -> None:
        self.passage = passage
        self.network = passage.network

    def owner(self, link: str, version: int, number: int) -> AddressOwner | None:
        """Who has an address behind a link, as the passage's ends have it."""
        end = self.passage.ends.at(link, version, number)
        return AddressOwner(end.port, end.mac, end) if end is not None else None

    def begun(self, version: int, hop: NextHop, to: int, source: int, protocol: str) -> NextHop:
        """The way of what the host begins, for which TCP asks again with its source (ip_route_connect()).

        Of UDP that depends on the program: with a connected socket the kernel asks again as well.
        """
        if protocol not in {"tcp", "udp"}:
            return hop
        again = self.outwards(version, to, source=source)
        if protocol == "tcp" or again == hop:
            return again
        ways = f"{_way(version, to, again)} where the program connects its socket, else {_way(version, to, hop)}"
        self.passage.unsure.append(f"UDP of the host: {ways}")
        return hop

    def inwards(self, link: str, *, record: bool = True) -> NextHop | None:
        """Where a packet that came in by a link goes on to; ``record``: what is against it is written down.

        None where it goes nowhere at all.
        """
        passage, version = self.passage, self.passage.version
        source, target = passage.fields[key(version, "saddr")], passage.fields[key(version, "daddr")]
        mark = passage.routed_mark if passage.routed else passage.fields.get("meta mark", 0)
        hop = self.network.routes(version).find(target, source, iif=link, mark=mark if isinstance(mark, int) else None)
        if not record:
            if hop.refuses or (hop.kind == "unicast" and not self.network.forwards(version, link)):
                return None
            return hop
        if self.awaits(version, target, hop):
            return None
        words = f"{text_of(version, target)} is the host's own" if hop.kind == "local" else _way(version, target, hop)
        passage.note("routing", words, where=link)
        self._doubt(hop)
        if self._martian(version, source, target, link):
            return hop if hop.kind != "none" else None
        if hop.kind == "none":
            text = f"the host has no route to {text_of(version, target)}"
            sure = not hop.doubt
            passage.stop(Code.NO_ROUTE, text_of(version, target), text, name="routing", where=link, certain=sure)
            return None
        if hop.kind in REFUSING:
            text, sure = f"a route of the host refuses {text_of(version, target)} ({hop.kind})", not hop.doubt
            passage.stop(Code.BLACKHOLE, text_of(version, target), text, name="routing", where=link, certain=sure)
            return None
        if hop.kind == "unicast" and not self.network.forwards(version, link):
            self._no_forwarding(version, link)
        if version == 4:
            self._reverse_path(source, target, link, hop.link if hop.kind == "unicast" else "lo")
        return hop

    def _doubt(self, hop: NextHop) -> None:
        if hop.doubt:
            self.passage.unsure.append(f"routing depends on {hop.doubt}")

    def _no_forwarding(self, version: int, link: str) -> None:
        name = dotted(conf(version, link if version == 4 else "all", "forwarding"))
        text = f"the host does not forward what comes in by {link}: {name} = 0"
        self.passage.stop(Code.NOT_FORWARDING, name, text, name="routing", where=link)

    def _martian(self, version: int, source: int, target: int, link: str) -> bool:
        if version != 4:
            return False
        why = ""
        if source >> 28 == 0xE or source == 0xFFFFFFFF or source >> 24 == 0:
            why = f"no packet may come from {text_of(4, source)}"
        elif LOOPBACK in {source >> 24, target >> 24} and not self.network.largest(link, "route_localnet"):
            why = f"a loopback address comes in by {link}"
        elif self.network.own_addresses.get((4, source)) and not self.network.largest(link, "accept_local"):
            why = f"its source {text_of(4, source)} is an address of the host itself"
        if why:
            self.passage.stop(Code.MARTIAN, link, f"the host drops it: {why}", name="routing", where=link)
        return bool(why)

    def _reverse_path(self, source: int, target: int, link: str, out: str) -> None:
        """Whether the kernel's rp_filter lets the packet in (fib_validate_source in net/ipv4/fib_frontend.c)."""
        back = self.distrusted(source, target, link, out)
        if back is None:
            return
        strength = self.network.largest(link, "rp_filter")
        where = f"by {back.link}" if back.kind == "unicast" else "nowhere"
        text = (
            f"rp_filter = {strength} on {link}: the way back to {text_of(4, source)} leads {where}, "
            f"so what comes from it by {link} is dropped"
        )
        self.passage.stop(Code.RP_FILTER, link, text, name="routing", where=link)

    def distrusted(self, source: int, target: int, link: str, out: str = "lo") -> NextHop | None:
        """The way back to a source by which rp_filter does not let it in by a link; None where it does.

        What goes on by ``out`` is asked for as if it came in there, so that rules of policy routing by ``iif`` count.
        """
        strength = self.network.largest(link, "rp_filter")
        if not strength:
            return None
        by_mark = self.network.largest(link, "src_valid_mark")
        mark = self.passage.fields.get("meta mark", 0) if by_mark else 0
        back = self.network.routes(4).find(source, target, iif=out, mark=mark if isinstance(mark, int) else None)
        self._doubt(back)
        if awaited := self._awaited(4, source, back):
            self.passage.unsure.append(f"the way back to {text_of(4, source)}: {_awaited_words(awaited)}")
            return None
        found = self.network.link(link)
        has_address = found is not None and any(not one.is_ipv6 for one in found.addresses)
        good = back.kind == "unicast" and (link in {back.link, *back.more})
        if not good and back.kind == "unicast" and strength == 2 and has_address:
            good = True
        return None if good else back

    def awaits(self, version: int, target: int, hop: NextHop) -> bool:
        """Say that nobody knows the way, where a lease or a router may bring another one."""
        awaited = self._awaited(version, target, hop)
        if awaited is not None:
            text = f"the way to {text_of(version, target)} is not known: {_awaited_words(awaited)}"
            self.passage.stop(Code.AWAITED, text_of(version, target), text, name="routing", where=awaited.link)
        return awaited is not None

    def _awaited(self, version: int, target: int, hop: NextHop) -> AwaitedRoutes | None:
        awaited = (one for one in self.network.awaited if one.version == version)
        return next((one for one in awaited if one.may_lead(target, hop)), None)

    def leads_nowhere(self, version: int, target: int, hop: NextHop) -> bool:
        """Whether the host itself has no way to an address, or nobody knows it: that is said."""
        if self.awaits(version, target, hop):
            return True
        if not hop.refuses:
            return False
        code = Code.NO_ROUTE if hop.kind == "none" else Code.BLACKHOLE
        text = f"the host has no route to {text_of(version, target)}"
        self.passage.stop(code, text_of(version, target), text, name="routing")
        return True

    def outwards(self, version: int, target: int, *, source: int = 0, mark: Any = 0) -> NextHop:
        """Where a packet of the host itself goes."""
        hop = self.network.routes(version).find(target, source, iif="lo", mark=mark if isinstance(mark, int) else None)
        self._doubt(hop)
        return hop


def _awaited_words(awaited: AwaitedRoutes) -> str:
    return f"{awaited.link} gets its addresses and routes from a DHCP server or a router"


def _way(version: int, target: int, hop: NextHop) -> str:
    if hop.kind != "unicast":
        return f"{text_of(version, target)}: {hop.kind}"
    by = f"via {text_of(version, hop.gateway)} " if hop.gateway else ""
    table = f" (table {hop.table})" if hop.table not in {"main", ""} else ""
    return f"{text_of(version, target)} {by}by {hop.link}{table}"


def source_address(network: HostNetwork, version: int, hop: NextHop) -> int:
    """The address from which the host itself speaks on a way."""
    if hop.source:
        return hop.source
    link = network.link(hop.link)
    goal = hop.gateway
    for one in link.addresses if link is not None else ():
        text = one.local
        if (":" in text) == (version == 6) and goal:
            first, last = prefix(one.ip)
            if first <= goal <= last:
                return address(text)
    return network.address_of(version, hop.link)


def asks_as(passage: PacketPath, version: int, link: str) -> int:
    """From which address the host asks for a packet's next neighbour; 0 where it does not ask.

    From the packet's source where that is its own, else of IPv6 from a link-local address (ndisc_solicit()).
    """
    network, source = passage.network, passage.fields[key(version, "saddr")]
    if version == 4 or link in network.own_addresses.get((6, source), ()):
        return source if (version, source) in network.own_addresses else passage.network.address_of(version, link)
    found = network.link(link)
    local = (one.ip for one in found.addresses if one.is_link_local) if found is not None else ()
    return next((address(one.partition("/")[0]) for one in local), 0)
