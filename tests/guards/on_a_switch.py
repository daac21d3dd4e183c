"""What guards stop on Open vSwitch, counted: ``python -m tests.guards.on_a_switch`` (as root).

It sends every frame of the attack data by a guarded port of a real ovs-vswitchd, and says of each kind that gets
through why. ``ROWS`` are the attacks that are known of the field, by who described or made them first: of 63 frames of
theirs that were tried by hand rules of OpenFlow stopped 59, and let 29 legitimate ones pass. Those frames were not
kept; here stand the kinds of this data that are the same attack.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.frames.guarding.sample import Sample
from bascule.policy.guards.openflow_gaps import UNSEEN
from tests.guards.segment import PARTIES, site
from tests.guards.switch import Switch, switch

ROWS: Mapping[str, tuple[str, ...]] = {
    "MAC spoof": ("the MAC of the router", "ICMP and ICMPv6 errors with the router's MAC"),
    "MAC spoof to 01:80:c2:00:00:0x": ("control frames with the router's MAC",),
    "CAM flood": ("a flood of MACs",),
    "IPv4 and IPv6 spoof": ("somebody's IPv4 address", "somebody's IPv6 address"),
    "ARP as the router": ("an ARP reply as the router", "an ARP request as the router"),
    "ARP with another hardware address inside": ("ARP for its own address with another's MAC inside",),
    "RARP with another's MAC": ("a RARP announcement of another's MAC",),
    "neighbour advertisement": ("a neighbour advertisement for the router", "the same without an option"),
    "the same, second option or headers": ("the same with the option second", "the same behind a hop-by-hop header"),
    "neighbour solicitation with another's MAC": ("a neighbour solicitation with another's MAC",),
    "neighbour solicitation as the router": ("a neighbour solicitation as the router",),
    "DAD denial": ("an answer to another's duplicate address detection (DAD)",),
    "router advertisement": (
        "a router advertisement",
        "the same behind a hop-by-hop header",
        "the same behind destination options",
        "the same in an atomic fragment",
    ),
    "router advertisement split": ("the same split behind destination options",),
    "redirects": ("ICMP and ICMPv6 redirects",),
    "DHCP server": ("a DHCP server",),
    "DHCPv6 server": ("a DHCPv6 server",),
    "DHCP starvation": ("DHCP requests and a release in others' names",),
    "IGMP query and MRD": ("IGMP queries and multicast router discovery",),
    "PIM hello": ("PIM hellos",),
    "MLD query and MRD": ("MLD queries and multicast router discovery",),
    "VRRP": ("VRRP from its own MAC", "VRRP from the MAC of a group"),
    "VLAN 0": ("VLAN 0", "VLAN 0 twice"),
    "VLAN 5 and QinQ": ("VLAN 5", "two tags", "a priority tag of 802.1ad"),
    "LLC and SNAP": ("ARP and RA behind LLC and SNAP",),
    "STP, CDP, DTP, VTP, GVRP": ("spanning tree", "CDP, DTP, VTP and UDLD"),
    "LACP, pause, EAPOL, LLDP": ("GVRP, MVRP, EAPOL, LACP, PAUSE and LLDP",),
    "PPPoE, MACsec, ECTP, 88b5": (
        *("PPPoE discovery", "PPPoE", "MACsec", "loop test frames (ECTP)", "the EtherType for experiments (0x88b5)"),
    ),
    "IPv4 from nobody": ("IPv4 from 0.0.0.0 other than DHCP",),
    "jumbo and runts": ("jumbo frames with another's MAC", "runts"),
}


def through(one: Switch, samples: Sequence[Sample]) -> dict[Sample, tuple[int, int]]:
    """Of each kind how many frames there are, and how many of them left by another port."""
    found = {}
    for sample in samples:
        sent = one.send(sample.frames(PARTIES))
        found[sample] = len(sent), sum(bool(ports) for _, ports in sent)
    return found


def counted(rows: Mapping[Sample, tuple[int, int]], *, passed: bool) -> str:
    """Kinds and frames of which all were stopped, or passed."""
    right = [number == left if passed else not left for number, left in rows.values()]
    frames = sum(left if passed else number - left for number, left in rows.values())
    return f"{sum(right)} of {len(rows)} kinds, {frames} of {sum(number for number, _ in rows.values())} frames"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, switch(Path(folder)) as one:
        one.guard(site("strict"))
        one.greet()
        hostile, legitimate = through(one, ATTACKS), through(one, LEGITIMATE)
    print(f"hostile, stopped: {counted(hostile, passed=False)}")
    print(f"legitimate, passed: {counted(legitimate, passed=True)}")
    open_kinds = {sample.name for sample, (_, left) in hostile.items() if left}
    stopped = [row for row, names in ROWS.items() if not open_kinds & {*names}]
    print(f"attacks known of the field, stopped in every form: {len(stopped)} of {len(ROWS)}")
    for sample, (number, left) in hostile.items():
        if left:
            rows = [row for row, names in ROWS.items() if sample.name in names]
            where = f" ({', '.join(rows)})" if rows else ""
            print(f"  passes: {sample.name}{where}, {left} of {number} frames: {UNSEEN.get(sample.name, 'NOT KNOWN')}")


if __name__ == "__main__":
    main()
