"""Who else on a host knows a link by its name, told before the host's addresses leave it. Pure.

What can move, moves with the addresses (see :mod:`bascule.plan.address_migration`); this is what stays behind.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import pairwise

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.links import Other
from bascule.model.ruleset.owners import owner_words
from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.plan.leases import AddressMove
from bascule.topology.trace.any_frame.passages import FramePassage, into_host
from bascule.topology.trace.any_frame.ways import FAMILY_OF
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import Decision
from bascule.topology.trace.rules.naming import NamingRule, rules_naming, rules_naming_group

ROUTED_TUNNELS = {  # kinds of links whose own packets take a route of the host's
    *("gre", "gretap", "erspan", "ipip", "sit", "vti", "xfrm"),
    *("ip6gre", "ip6gretap", "ip6erspan", "ip6tnl", "vti6"),
}


EVERY_FRAME = "every frame"  # as it comes in, before a bridge takes it (packet(7))
TO_THE_NIC = {"frames of type 0x88cc", "frames of type 0x888e", "frames of type 0x8809"}  # LLDP, 802.1X, LACP


class BoundProgram(Struct, frozen=True, kw_only=True):
    """A program that takes connections or packets on a port; ``link`` is the one that its socket is bound to.

    ``peer`` is who it is connected with, empty where it takes what comes.
    """

    program: str
    protocol: str  # tcp, udp, raw, packet
    address: str
    port: int = 0
    link: str = ""
    peer: str = ""

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port} ({self.program})" if self.port else f"{self.protocol} ({self.program})"


class LinkUses(Struct, frozen=True, kw_only=True):
    """What runs on a host and names links.

    ``programs`` and ``traffic_control`` are by link: lines such as ``dnsmasq (/etc/dnsmasq.conf:3: interface=eth0)``
    and ``qdisc tbf 1:``; ``ssh_port`` is where new SSH connections come in, ``groups`` are the multicast
    groups that programs have joined on a link, ``endpoints`` those of MPTCP that are bound to it, ``ipsec`` the
    policies and offloads that are for it alone, ``tokens`` the second halves that somebody set for the IPv6 addresses
    that a link makes (ip-token(8)), ``others`` what else ip(8) has for one link alone, with a line that says what comes
    of it; ``gaps`` what could not be asked.
    """

    network: HostNetwork
    listeners: tuple[BoundProgram, ...] = ()
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    traffic_control: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    chains_at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ipsec: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ssh_port: int = 22
    gaps: tuple[str, ...] = ()


def leaving(moves: Iterable[AddressMove]) -> tuple[AddressMove, ...]:
    """The moves by which a link loses addresses of the host."""
    return tuple(move for move in moves if move.addresses)


def ports_of_bridges(moves: Iterable[AddressMove], wanted: HostState, nics: Container[str]) -> tuple[AddressMove, ...]:
    """The moves by which one of the host's NICs that gives no address away becomes a port of a bridge."""
    bridges = {name for name, link in wanted.links.items() if link.is_bridge}
    return tuple(
        move for move in moves if move.link in nics and not move.addresses and wanted.links[move.link].master in bridges
    )


def notes_of_ports(
    moves: Iterable[AddressMove],
    observed: HostState,
    traffic_control: Mapping[str, tuple[str, ...]],
    gaps: Iterable[str],
) -> Iterator[Note]:
    """What stands on a link that becomes a port: it is about guests from then on. ``gaps`` could not be asked."""
    for gap in dict.fromkeys(gaps):
        links = ", ".join(traffic_control)
        yield Note(kind="warning", subject="not asked", text=f"{gap}: what acts on frames of {links} is not known")
    for move in moves:
        if kept := (*traffic_control.get(move.link, ()), *_xdp(move, observed)):
            verb = "stays on it, and acts" if len(kept) == 1 else "stay on it, and act"
            yield _warning(move, f"{', '.join(kept)} {verb} on the guests' frames from now on")


def _xdp(move: AddressMove, observed: HostState) -> Iterator[str]:
    return (f"the XDP program {name}" for name in observed.links[move.link].facts.xdp)


def notes_of(moves: Iterable[AddressMove], uses: LinkUses, observed: HostState, wanted: HostState) -> Iterator[Note]:
    """A line for each thing that still names a link on which the host will not speak any more."""
    moves = tuple(moves)
    for move in moves:
        yield from _lost(move, uses, wanted)
        for found in rules_naming(uses.network.rules, move.link, move.to or ""):
            yield _warning(move, _rule_words(found) + _applies(move, found, wanted))
        yield from _by_group(move, uses, observed)
        bound: dict[str, list[str]] = {}
        for one in uses.listeners:
            if one.link == move.link and not one.peer and one.address not in {EVERY_FRAME, *TO_THE_NIC}:
                bound.setdefault(one.program, []).append(f"{one.protocol} {_where(one)}")
        for program, sockets in bound.items():
            text = f"{program} listens on this link alone ({', '.join(dict.fromkeys(sockets))})"
            yield _warning(move, f"{text}: it receives nothing there any more{_rebind(move)}")
        for one in uses.listeners:
            if one.link == move.link and one.peer:
                text = f"{one.program} is connected to {one.peer} over this link only ({one.protocol})"
                yield _warning(move, f"{text}: that connection breaks{_rebind(move)}")
        for line in uses.programs.get(move.link, ()):
            yield _warning(move, f"is named by {line}{_rebind(move)}")
        kept = (*uses.traffic_control.get(move.link, ()), *_xdp(move, observed), *uses.chains_at.get(move.link, ()))
        if kept:
            verb = "stays on it, and acts" if len(kept) == 1 else "stay on it, and act"
            yield _warning(move, f"{', '.join(kept)} {verb} on the guests' frames as well from now on")
        along = {address.local for address in move.addresses}  # one that joins by itself (autojoin)
        if groups := [group for group in uses.groups.get(move.link, ()) if group not in along]:
            text = f"programs have joined {', '.join(groups)} on it: multicast to them is not received there any more"
            yield _warning(move, text + (f"; restart them, so that they join on {move.to}" if move.to else ""))
        for words in uses.endpoints.get(move.link, ()):
            text = f"the MPTCP endpoint {words} is bound to it: it carries no subflow then"
            yield _warning(move, text + (f"; create it again on {move.to} (ip mptcp endpoint)" if move.to else ""))
        for words in uses.ipsec.get(move.link, ()):
            text = f"IPsec's {words} is bound to this link, and does not apply to packets on {move.to or 'another one'}"
            yield _warning(move, text + (f"; write 'dev {move.to}' there" if move.to else ""))
        taken = wanted.links[move.to].facts.token if move.to is not None and move.to in wanted.links else ""
        if (token := uses.tokens.get(move.link)) and token != taken:
            text = f"has the IPv6 token {token}, which is not moved"
            then = f": {move.to} makes its own with the next advertisement, until 'ip token set {token} dev {move.to}'"
            yield _warning(move, text + (then if move.to else ""))
        for words in uses.others.get(move.link, ()):
            yield _warning(move, words.format(to=move.to or "another link"))
        for name in _tunnels(observed, move.link):
            text = f"the tunnel {name} sends over this link only, which has no route then"
            yield _warning(move, text + (f"; create it again on {move.to}" if move.to else ""))
        link = observed.links.get(move.link)
        if link is not None and link.altnames:
            text = f"is called {', '.join(link.altnames)} as well: that name still means the NIC"
            yield _warning(move, f"{text}{f', not {move.to}' if move.to else ''}")
    names = " and ".join(dict.fromkeys(str(move.link) for move in moves))
    for gap in uses.gaps if names else ():
        yield Note(kind="warning", subject="not asked", text=f"{gap}: what else names {names} is not known")


def _tunnels(observed: HostState, link: str) -> Iterator[str]:
    """Links of kinds that are only seen, whose packets go out by a link: ``link eth0`` or ``@eth0`` in ip(8)."""
    for name, other in observed.links.items():
        if not isinstance(other.options, Other):
            continue
        by_address = other.options.info_kind in ROUTED_TUNNELS and other.parent == link
        if by_address or ("link", link) in pairwise(other.facts.unread.split()):
            yield f"{name} ({other.options.info_kind})"


def _warning(move: AddressMove, text: str) -> Note:
    return Note(kind="warning", subject=move.link, text=text)


def _rebind(move: AddressMove) -> str:
    return f"; let it use {move.to}, and restart it" if move.to else ""


def _where(one: BoundProgram) -> str:
    return f"{one.address} port {one.port}" if one.port else one.address


def _rule_words(found: NamingRule) -> str:
    chain = found.chain
    targets = [part.target for part in found.line.parts if isinstance(part, Decision) and part.target]
    where = owner_words(chain.family, chain.table, chain.name, targets=targets)
    return f"is named in chain {chain.name} of {where}: {found.line.text}"


def _applies(move: AddressMove, found: NamingRule, wanted: HostState) -> str:
    """What becomes of a rule that names a link: one about bridged frames asks for ports, which that link may become."""
    link = wanted.links.get(move.link)
    if move.to is None:
        return ""
    if found.chain.family == "bridge" and link is not None and link.master == move.to:
        verb = "leaves out" if found.except_it else "applies to"
        return f" (which {verb} the frames that {move.link} passes as a port of {move.to} from now on)"
    return f" (which applies to {move.to} from now on)" if found.except_it else f" (does not apply to {move.to})"


def _by_group(move: AddressMove, uses: LinkUses, observed: HostState) -> Iterator[Note]:
    link = observed.links.get(move.link)
    if link is None or link.group in {"default", "0"}:
        return
    for found in rules_naming_group(uses.network.rules, link.group):
        text = f"{_rule_words(found)}, by its group {link.group}"
        then = f", in which {move.to} is not; put it there (ip link set {move.to} group {link.group})"
        yield _warning(move, f"{text}{then if move.to else ''}")


def _lost(move: AddressMove, uses: LinkUses, wanted: HostState) -> Iterator[Note]:
    """What comes in by the link today and would be lost by the other one, for every port that somebody listens on."""
    if move.to is None:
        return
    ports = {("tcp", uses.ssh_port): "SSH"}
    told = (one for one in uses.listeners if one.port and not (one.link or one.peer))
    ports |= {(one.protocol, one.port): one.program for one in told}
    later = replace(uses.network, state=wanted)  # rules may ask by which link the way back leads
    versions = {6 if address.is_ipv6 else 4 for address in move.addresses}
    lost: dict[str, list[str]] = {}
    for (protocol, port), program in sorted(ports.items()):
        for version in sorted(versions):
            family = FAMILY_OF[version]
            today = into_host(uses.network, move.link, family, protocol, port)
            then = into_host(later, move.to, family, protocol, port)
            if _passes(today) and not _passes(then):
                lost.setdefault(str(then.stops[0]), []).append(f"{protocol}/{port} ({program}, IPv{version})")
    for by, what in lost.items():
        ssh = "new SSH connections to this host fail" if any("(SSH" in one for one in what) else ""
        text = f"the host's firewall accepts it on {move.link} and drops it on {move.to}: "
        text += f"{', '.join(what)}, by {by}"
        yield _warning(move, f"{ssh}: {text}" if ssh else text)


def _passes(passage: FramePassage) -> bool:
    return not passage.stops
