"""What the model says of a probe, beside what the kernel did with it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from msgspec.structs import replace

from bascule.model.sightings import fdb_entries
from bascule.observe.packet_path import learned_macs
from bascule.providers.kernel.observe import PROGRAMS, read
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import read_rows, run_all
from bascule.topology.trace.answer import Certainty, Code, Leg, Reachability, worst
from bascule.topology.trace.network import HostNetwork, KnownNeighbour, WireEnd
from bascule.topology.trace.packet import Traffic, text_of
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.topology.trace.rules.values import address, mac
from bascule.topology.trace.walk import Walks
from tests.oracle.asking import Probe, Seen, target_address
from tests.oracle.lab import GUESTS, SEGMENTS, Room, in_namespace
from tests.oracle.nft_library import HANDLE, JSON
from tests.oracle.random_host import RandomHost

SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    *(
        f"net/ipv4/conf/{link}/{name}"
        for link in ("all", *(link for link, _ in SEGMENTS))
        for name in ("rp_filter", "forwarding", "arp_ignore", "proxy_arp", "accept_local", "src_valid_mark")
    ),
)

ENDS = tuple(
    WireEnd(
        name=guest.name,
        port=guest.port,
        mac=mac(guest.mac),
        addresses=((address(guest.v4), 4, 24), (address(guest.v6), 6, 64)),
        gateways={4: address(guest.host4), 6: address(guest.host6)},
        static_neighbours=True,
        passes=(),
        mtu=1500,
    )
    for guest in GUESTS
)
SEARCHING = tuple(replace(end, static_neighbours=False) for end in ENDS)
DECIDED = {Certainty.YES, Certainty.NO}
FDB = ("bridge", "-j", "fdb", "show")
BY_END = {end.name: end for end in ENDS}


NEIGHBOURS = tuple(
    KnownNeighbour(address=address(text), link=guest.bridge or guest.port, mac=mac(guest.mac))
    for guest in GUESTS
    for text in (guest.v4, guest.v6)
)


def look(room: Room, calls: dict[str, frozenset[str]], host: RandomHost | None = None) -> HostNetwork:
    """The host as it stands, read by what reads real hosts; what no random host changes is asked for once."""
    with in_namespace(room.host):
        listing = room.nft.run("list ruleset", JSON)[0]
        words = room.nft.run("list ruleset", HANDLE)[0]
        if not room.texts:
            room.texts = list(run_all(PROGRAMS))
        else:
            places = range(len(PROGRAMS)) if room.routed else (0,)
            room.routed = bool(room.undo)
            for place, text in zip(places, run_all([PROGRAMS[place] for place in places]), strict=True):
                room.texts[place] = text
        fdb = tuple(learned_macs(fdb_entries(read_rows(run_all((FDB,))[0])))) if host is not None and host.fdb else ()
        wanted = host.saves if host is not None else {}
        listings = Listings(nft=listing, nft_text=words)
        if "iptables-nft" in wanted:
            listings = replace(listings, iptables_nft=run_all((("iptables-nft-save",),))[0])
        if "ebtables-nft" in wanted:
            listings = replace(listings, ebtables_nft=run_all((("ebtables-nft-save",),))[0])
        if "iptables-legacy" in wanted:
            listings = replace(listings, iptables_legacy=run_all((("iptables-legacy-save",),))[0])
    rules = read_rules(listings)
    return HostNetwork(
        state=read(lambda: room.texts, namespace=room.host),
        rules=rules,
        sysctls=read_sysctls(SYSCTLS, namespace=room.host),
        calls=calls,
        fdb=fdb,
        neighbours=() if host is not None and host.searches else NEIGHBOURS,
        passed_over=loaded_later(rules),
    )


def loaded_later(rules: Rules) -> dict[tuple[str, str, str], bool]:
    """That br_netfilter skips no chain of bridges, for its own hooks were there first: the lab's bridges are."""
    return {key: False for key, chain in rules.chains.items() if chain.family == "bridge"}


def predict(walks: Walks, probe: Probe, sender_port: int = 40000) -> Reachability:
    ends = {end.name: end for end in walks.ends.ends}
    source, target = ends.get(probe.source), ends.get(probe.target)
    number = address(target_address(probe))
    port = 0 if probe.kind == "icmp" else probe.port
    refused = probe.kind == "refused"
    traffic = Traffic(
        protocol="udp" if refused else probe.kind,
        port=port,
        sender_port=sender_port,
        size=probe.size,
        vlan=probe.vlan,
        whole=probe.whole,
        refused=refused,
    )
    spoofed = address(probe.spoofed) if probe.spoofed else 0
    return walks.ask(source, target, number, probe.version, traffic, spoofed)


@dataclass(frozen=True)
class Difference:
    probe: Probe
    seen: Seen
    answer: Reachability
    what: str

    def __str__(self) -> str:
        return f"{self.what}: {self.probe}\n  kernel: {self.seen}\n  model:  {words(self.answer)}"


def words(answer: Reachability) -> str:
    lines = [str(answer.result)]
    for leg in answer.legs:
        lines.append(f"    {leg.name}: {leg.result} at {leg.end}")
        for stage in leg.stages:
            hits = " ".join(f"{hit.chain}#{hit.line.handle}:{hit.verdict}" for hit in stage.hits)
            lines.append(f"      {stage.name:<20} {stage.where:<14} {stage.verdict:<8} {stage.words} {hits}")
            lines += [f"         ! {one.code} {one.subject} {one.text} certain={one.certain}" for one in stage.blockers]
    return "\n".join(lines)


def differences(probe: Probe, seen: Seen, answer: Reachability) -> list[str]:
    """Where model and kernel disagree; what the model leaves open cannot be wrong."""
    if probe.kind != "udp":
        return _exchanged(probe, seen, answer)
    first = next(leg for leg in answer.legs if leg.name == "new")
    arrives = arrival(answer)
    if arrives not in DECIDED:
        return []
    if (arrives is Certainty.YES) != bool(seen.receiver):
        return [f"model says the first packet {'arrives' if not seen.receiver else 'is lost'}"]
    if not seen.receiver:
        return _told(probe, seen, answer)
    found = _addresses(probe, seen, first)
    back = next((leg for leg in answer.legs if leg.name == "reply"), None)
    if back is None or probe.spoofed or back.delivered not in DECIDED:
        return found
    expected = BY_END.get(probe.source)
    searches = {leg.result for leg in answer.legs if leg.name == "l2"}
    if not searches <= DECIDED:
        return found
    searched = Certainty.NO not in searches
    returns = searched and back.delivered is Certainty.YES and back.end == (expected.name if expected else "the host")
    if returns != seen.replied and probe.vlan is None:  # who sends such a frame has no socket that would hear
        found.append(f"model says the answer {'arrives' if returns else 'is lost'}")
    elif returns and probe.vlan is None:
        came = text_of(probe.version, back.fields[f"ip{'' if probe.version == 4 else '6'} saddr"])
        if came != seen.reply_source:
            found.append(f"model says the answer comes from {came}")
    return found


def _told(probe: Probe, seen: Seen, answer: Reachability) -> list[str]:
    """Whether the sender hears that a packet was too big, if nothing but its size is in the way; and from whom."""
    leg = next((one for one in answer.legs if one.name == "too-big"), None)
    if not probe.whole or probe.spoofed or (seen.told_by and leg is None):
        return [] if not seen.told_by else [f"model says nobody tells {probe.source}"]
    first = next(one for one in answer.legs if one.name == "new")
    before = itertools.takewhile(lambda one: one.code is not Code.MTU, first.blockers)
    searches = [one.result for one in answer.legs if one.name == "l2"]
    if leg is None or leg.delivered not in DECIDED or first.unsure or any(before) or set(searches) - {Certainty.YES}:
        return []
    by = text_of(probe.version, leg.fields[f"ip{'' if probe.version == 4 else '6'} saddr"])
    expected = by if leg.delivered is Certainty.YES and leg.end == probe.source else ""
    return [f"model says that {expected or 'nobody'} says it is too big"] if expected != seen.told_by else []


def arrival(answer: Reachability) -> Certainty:
    """Whether somebody gets the first packet, be it whom it is for or not, after the search for its neighbours."""
    first = next(number for number, leg in enumerate(answer.legs) if leg.name == "new")
    return worst([*(leg.result for leg in answer.legs[:first]), answer.legs[first].delivered])


def _exchanged(probe: Probe, seen: Seen, answer: Reachability) -> list[str]:
    """Of TCP and of echoes only the whole exchange is seen."""
    if any(one.hit is not None and one.hit.verdict == "reject" for one in answer.blockers):
        return []  # whether a RST or a rule has refused it cannot be seen
    works = arrival(answer)
    back = next((number for number, leg in enumerate(answer.legs) if leg.name == "reply"), None)
    if works is Certainty.YES and back is not None:
        leg, expected = answer.legs[back], BY_END.get(probe.source)
        works = worst([*(one.result for one in answer.legs[:back] if one.name == "l2"), leg.delivered])
        came = text_of(probe.version, leg.fields[f"ip{'' if probe.version == 4 else '6'} saddr"])
        is_other = probe.kind in {"tcp", "refused"} and address(came) != address(target_address(probe))
        if works is Certainty.YES and (is_other or leg.end != (expected.name if expected else "the host")):
            works = Certainty.NO
    if works not in DECIDED or (works is Certainty.YES) == seen.replied:
        return []
    return [f"model says the exchange {'works' if not seen.replied else 'fails'}"]


def _addresses(probe: Probe, seen: Seen, first: Leg) -> list[str]:
    found = []
    receiver = "host" if first.end == "the host" else first.end
    if receiver != seen.receiver:
        found.append(f"model says {receiver} gets it")
    ip = "ip" if probe.version == 4 else "ip6"
    source, target = (text_of(probe.version, first.fields[f"{ip} {side}"]) for side in ("saddr", "daddr"))
    if (source, target) != (seen.source, seen.target):
        found.append(f"model says {source} → {target}")
    if first.fields["th dport"] != seen.target_port:
        found.append(f"model says port {first.fields['th dport']}")
    return found
