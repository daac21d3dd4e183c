"""What the model says of a probe, beside what the kernel did with it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from bascule.model.state import HostState
from bascule.providers.observe import observe
from bascule.system.net.sysctl import read_sysctls
from bascule.topology.trace.answer import Certainty, Reachability
from bascule.topology.trace.network import HostNetwork, KnownNeighbour, WireEnd
from bascule.topology.trace.packet import Traffic, text_of
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.topology.trace.rules.values import address, mac
from bascule.topology.trace.walk import Walks
from tests.oracle.lab import BY_NAME, GUESTS, Probe, Room, Seen, in_namespace, target_address

SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    *(
        f"net/ipv4/conf/{link}/{name}"
        for link in ("all", "br0", "br1", "px")
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
    )
    for guest in GUESTS
)
BY_END = {end.name: end for end in ENDS}


def look(room: Room, calls: dict[str, frozenset[str]], state: HostState | None = None) -> HostNetwork:
    """The host as it stands, read by the programs that read real hosts."""
    with in_namespace(room.host):
        listing = subprocess.run(("nft", "-j", "list", "ruleset"), capture_output=True, text=True, check=True).stdout
        words = subprocess.run(("nft", "-a", "list", "ruleset"), capture_output=True, text=True, check=True).stdout
    state = state or observe(namespace=room.host)
    neighbours = tuple(
        KnownNeighbour(address=address(text), link=guest.bridge or guest.port, mac=mac(guest.mac))
        for guest in GUESTS
        for text in (guest.v4, guest.v6)
    )
    return HostNetwork(
        state=state,
        rules=read_rules(Listings(nft=listing, nft_text=words)),
        sysctls=read_sysctls(SYSCTLS, namespace=room.host),
        calls=calls,
        neighbours=neighbours,
        bridge_first=True,
    )


def predict(walks: Walks, probe: Probe, sender_port: int = 40000) -> Reachability:
    source = BY_END.get(probe.source)
    target = BY_END.get(probe.target)
    number = address(target_address(probe))
    traffic = Traffic(protocol="udp", port=probe.port, sender_port=sender_port, size=probe.size)
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
    first = next(leg for leg in answer.legs if leg.name == "new")
    found = []
    arrives = first.delivered is Certainty.YES
    if first.delivered not in {Certainty.YES, Certainty.NO}:
        return []
    if arrives != bool(seen.receiver):
        return [f"model says the first packet {'arrives' if arrives else 'is lost'}"]
    if not arrives:
        return []
    receiver = "host" if first.end == "the host" else first.end
    if receiver != seen.receiver:
        found.append(f"model says {receiver} gets it")
    ip = "ip" if probe.version == 4 else "ip6"
    source, target = (text_of(probe.version, first.fields[f"{ip} {side}"]) for side in ("saddr", "daddr"))
    if (source, target) != (seen.source, seen.target):
        found.append(f"model says {source} → {target}")
    if first.fields["th dport"] != seen.target_port:
        found.append(f"model says port {first.fields['th dport']}")
    back = next((leg for leg in answer.legs if leg.name == "reply"), None)
    if back is None or probe.spoofed or back.delivered not in {Certainty.YES, Certainty.NO}:
        return found
    expected = BY_END.get(probe.source)
    returns = back.delivered is Certainty.YES and back.end == (expected.name if expected else "the host")
    if returns != seen.replied:
        found.append(f"model says the answer {'arrives' if returns else 'is lost'}")
    elif returns:
        came = text_of(probe.version, back.fields[f"{ip} saddr"])
        if came != seen.reply_source:
            found.append(f"model says the answer comes from {came}")
    return found


__all__ = ["BY_NAME", "Difference", "differences", "look", "predict", "words"]
