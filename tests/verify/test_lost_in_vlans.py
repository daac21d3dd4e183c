"""D15: what a lost probe is told of VLANs and of the spanning tree, from states as they are observed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge, BridgePort, Veth, Vlan
from bascule.model.site import Host
from bascule.model.state import HostState, Link, PortVlans
from bascule.model.values import IfName, Mac, Vid
from bascule.site import parse
from bascule.verify.wire.lost import OUTSIDE, UNKNOWN, LossReasons, SeenOn

SITE = parse(
    b"""\
site: aware
networks: {office: {subnet: 10.0.0.0/24}, red: {subnet: 10.30.0.0/24, vlan: 30}}
hosts:
  h:
    nics: {eth0: {network: office, address: 10.0.0.2/24}, eth1: {network: office}}
    bridges: {br0: {uplink: eth1, vlan_aware: true}}
guests:
  plain: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
  access: {host: h, nics: [{bridge: br0, vlan: 30, address: 10.30.0.5/24}]}
""",
    "site.yaml",
)
HOST = SITE.hosts["h"]


def vlans(words: str) -> tuple[PortVlans, ...]:
    """``1Pu 30``: the numbers, with P for the PVID and u for untagged."""
    return tuple(
        PortVlans(first=int(one.rstrip("Pu")), last=int(one.rstrip("Pu")), pvid="P" in one, untagged="u" in one)
        for one in words.split()
    )


def state(guest: str, tap: str, uplink: str = "1Pu 30", bridge: str = "1Pu", *, filtering: int = 1) -> HostState:
    """The host with one guest; each word says the VLANs of a port."""
    ports = [
        Link(name=IfName(name), options=Veth(), up=True, master=IfName("br0"), port=BridgePort(), vlans=vlans(words))
        for name, words in ((f"{guest}.0", tap), ("eth1", uplink))
    ]
    own = Link(name=IfName("br0"), options=Bridge(vlan_filtering=filtering), up=True, vlans=vlans(bridge))
    above = Link(name=IfName("br0.30"), options=Vlan(id=Vid(30)), up=True, parent=IfName("br0"), mac=Mac(""))
    alone = Link(name=IfName("eth0"), options=Veth(), up=True)
    return HostState.of([*ports, own, above, alone])


def told(
    guest: str,
    found: HostState,
    asked: str,
    replied: str = "",
    source: str = "eth0",
    *,
    host: Host = HOST,
    stp: str = "",
) -> str:
    """The sentence; ``asked`` and ``replied`` say where frames were seen: ``<eth1`` came in, ``>eth1`` left.

    ``stp`` is a port and its state.
    """
    (nic,) = SITE.guests[guest].nics
    came, left = (
        SeenOn(
            came=frozenset(one[1:] for one in words.split() if one[0] == "<"),
            left=frozenset(one[1:] for one in words.split() if one[0] == ">"),
        )
        for words in (asked, replied)
    )
    states = [stp.split()] if stp else []
    return LossReasons(host, found, stp=dict(states)).told(nic, "h", source, came, left, family="ip")


GOOD = {"plain": "1Pu", "access": "30Pu"}
IN, BACK = ">eth0 <eth1", "<access.0"
CASES = {
    "the guest is in another VLAN": (
        "access", state("access", "40Pu"), IN, "",
        "it never left br0 by access.0: eth1 puts it into VLAN 30, of which access.0 is no member"),
    "the uplink does not carry the VLAN": (
        "access", state("access", "30Pu", "1Pu 20"), IN, "",
        "it never left br0 by access.0: eth1 is not a member of VLAN 30"),
    "the uplink has no PVID": (
        "plain", state("plain", "1Pu", "30"), ">eth0 <eth1", "",
        "it never left br0 by plain.0: eth1 has no PVID, and takes no untagged frame"),
    "the uplink has another PVID": (
        "plain", state("plain", "1Pu", "7Pu"), ">eth0 <eth1", "",
        "it never left br0 by plain.0: eth1 puts it into VLAN 7, of which plain.0 is no member"),
    "the guest's port is in no VLAN": (
        "plain", state("plain", ""), ">eth0 <eth1", "",
        "it never left br0 by plain.0: plain.0 is a member of no VLAN"),
    "the guest gets it tagged": (
        "access", state("access", "30P"), IN + " >access.0", "",
        ("it went out by access.0, and its answer never left access: "
        "access.0 sends it to access tagged as VLAN 30, where the file means untagged")),
    "the guest's own frames have no PVID": (
        "access", state("access", "30u"), IN + " >access.0", BACK,
        "its answer came in by access.0 and never left br0: access.0 has no PVID, and takes no untagged frame"),
    "the uplink sends it untagged": (
        "access", state("access", "30Pu", "1Pu 30u"), IN + " >access.0", BACK + " >eth1",
        ("its answer left by eth1, and nothing came back by eth0: "
        "eth1 sends it untagged, where the file means tagged as VLAN 30")),
    "the uplink sends it tagged": (
        "plain", state("plain", "1Pu", "1P"), IN + " >plain.0", "<plain.0 >eth1",
        ("its answer left by eth1, and nothing came back by eth0: "
        "eth1 sends it tagged as VLAN 1, where the file means untagged")),
    "all VLANs are right, and the rest is outside": (
        "access", state("access", "30Pu"), IN + " >access.0", BACK + " >eth1",
        f"its answer left by eth1, and nothing came back by eth0: {OUTSIDE}"),
    "all VLANs are right, and nothing is known": (
        "access", state("access", "30Pu"), IN, "", f"it never left br0 by access.0: {UNKNOWN}"),
    "a bridge that knows no VLANs": (
        "plain", state("plain", "40Pu", filtering=0), IN, "", f"it never left br0 by plain.0: {UNKNOWN}"),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_d15_vlans(what: str) -> None:
    guest, found, asked, replied, words = CASES[what]
    assert told(guest, found, asked, replied) == words


ABOVE = {  # the host's own address on the bridge, or on a VLAN of it
    ("plain", "br0", "30Pu"): "it never left br0 by plain.0: br0 puts it into VLAN 30, of which plain.0 is no member",
    ("plain", "br0", ""): "it never left br0 by plain.0: br0 is a member of no VLAN",
    ("access", "br0.30", "1Pu"): "it never left br0 by access.0: br0.30 is not a member of VLAN 30",
    ("access", "br0.30", "1Pu 30"): f"it never left br0 by access.0: {UNKNOWN}",
}


@pytest.mark.parametrize(("guest", "source", "bridge"), ABOVE)
def test_d15_the_host_asks_by_the_bridge_itself(guest: str, source: str, bridge: str) -> None:
    found = state(guest, GOOD[guest], bridge=bridge)
    assert told(guest, found, f">{source}", source=source) == ABOVE[guest, source, bridge]


def test_d15_an_answer_that_the_bridge_itself_does_not_get() -> None:
    """It came in by the tap, and not by what the host asked with."""
    found = state("access", "30Pu", bridge="1Pu")
    words = told("access", found, ">br0.30 >access.0", "<access.0", source="br0.30")
    assert words == (
        "its answer came in by access.0 and never left br0: access.0 puts it into VLAN 30, of which br0.30 is no member"
    )


@pytest.mark.parametrize("port", ["eth1", "plain.0"])
@pytest.mark.parametrize("stp", ["disabled", "blocking", "listening", "learning"])
def test_d15_each_state_of_the_spanning_tree(port: str, stp: str) -> None:
    words = told("plain", state("plain", "1Pu"), IN, stp=f"{port} {stp}")
    assert words == f"it never left br0 by plain.0: {port} is {stp} (STP state of the port)"


def test_d15_the_flags_of_ports() -> None:
    found = state("plain", "1Pu")
    for flags, words in (
        ({"isolated": True}, "eth1 and plain.0 are both isolated (port flag)"),
        ({"flood": False}, "plain.0 takes no flooded frames (port flag flood or bcast_flood is off)"),
        ({"bcast_flood": False}, "plain.0 takes no flooded frames (port flag flood or bcast_flood is off)"),
        ({"locked": True}, "eth1 is locked (port flag), and the sender is not in its table"),
    ):
        links = [replace(x, port=replace(x.port, **flags)) if x.port else x for x in found.links.values()]
        assert told("plain", HostState.of(links), IN) == f"it never left br0 by plain.0: {words}"


TWO = parse(
    b"""\
site: two
networks: {office: {subnet: 10.0.0.0/24}}
hosts:
  h:
    nics: {eth0: {network: office, address: 10.0.0.2/24}, eth1: {network: office}, eth2: {}}
    bridges: {br0: {uplink: eth1, ports: [eth2]}}
guests: {plain: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}}
""",
    "site.yaml",
).hosts["h"]


@pytest.mark.parametrize(
    ("asked", "replied", "words"),
    [
        (">eth0 <eth2", "", "it never left br0 by plain.0: eth2 and plain.0 are both isolated (port flag)"),
        (">eth0", "", f"it left by eth0, and nothing of it came in by eth1 or eth2: {OUTSIDE}"),
        (
            ">eth0 <eth2 >plain.0",
            "<plain.0 >eth2",
            f"its answer left by eth2, and nothing came back by eth0: {OUTSIDE}",
        ),
        (
            ">eth0 <eth2 >plain.0",
            "<plain.0 >eth1",
            (
                "its answer left br0 by eth1, and not by eth2, where it was asked: "
                "plain.0 and eth2 are both isolated (port flag)"
            ),
        ),
        (">eth0 <other.0", "", "it never left br0 by plain.0: other.0 and plain.0 are both isolated (port flag)"),
        (
            ">eth0 <other.0 >plain.0",
            "<plain.0 >eth1",
            "its answer came in by plain.0 and never left br0: plain.0 and other.0 are both isolated (port flag)",
        ),
        (
            ">eth0 <eth2 >plain.0",
            "<plain.0",
            "its answer came in by plain.0 and never left br0: plain.0 and eth2 are both isolated (port flag)",
        ),
    ],
)
def test_d15_a_bridge_with_several_wires(asked: str, replied: str, words: str) -> None:
    isolated = {name: BridgePort(isolated=name != "eth1") for name in ("eth1", "eth2", "plain.0", "other.0")}
    links = [
        Link(name=IfName(name), options=Veth(), up=True, master=IfName("br0"), port=port)
        for name, port in isolated.items()
    ]
    own = Link(name=IfName("br0"), options=Bridge(), up=True)
    found = HostState.of([*links, own, Link(name=IfName("eth0"), options=Veth(), up=True)])
    assert told("plain", found, asked, replied, host=TWO) == words
