"""What a guard lets through when the file says so, what reaches a guarded guest, and how it is kept."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from msgspec.structs import replace

from bascule.frames.codecs.ethernet import BROADCAST, mac_bytes
from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.build import Party
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.model.ruleset.text import replacing_text
from bascule.model.state import HostState
from bascule.model.values import Mac, link_local
from bascule.observe.guards import stopped_frames
from bascule.plan.diff import diff
from bascule.policy.guards.table import KEY
from bascule.site import parse
from bascule.system.run import run
from tests.backlog import drained
from tests.guards.segment import PARTIES, Segment, segment, site, site_text

pytestmark = pytest.mark.kernel
ME, OTHER, ROUTER = PARTIES.me, PARTIES.other, PARTIES.router
SAMPLES = {one.name: one for one in ATTACKS}


@pytest.fixture(scope="module")
def bridge() -> Iterator[Segment]:
    with segment() as one:
        yield one


@pytest.mark.parametrize("permission", ["router", "dhcp-server", "multicast-querier", "tags", "bpdu"])
def test_a_permission_opens_what_it_says_and_nothing_else(bridge: Segment, permission: str) -> None:
    bridge.guard(site("strict", f"may: [{permission}]"))
    bridge.greet()
    passed = {one.name for one in ATTACKS if any(ports for _, ports in bridge.send(one.frames(PARTIES)))}
    assert passed
    assert passed <= {one.name for one in ATTACKS if one.permission == permission}
    assert all(ports for one in LEGITIMATE for _, ports in bridge.send(one.frames(PARTIES)))


VIP, VMAC = IPv4Address("10.0.0.100"), mac_bytes("00:00:5e:00:01:09")


@pytest.mark.parametrize("protocol", ["vrrp", "carp"])
def test_a_declared_group_may_take_its_address_over(bridge: Segment, protocol: str) -> None:
    frames = [
        b.arp(ME.raw, 2, ME.raw, VIP, VIP),  # from its own MAC
        b.arp(VMAC, 1, VMAC, VIP, VIP),  # from that of the group
        b.ipv4(VMAC, OTHER.raw, VIP, OTHER.ip4, b.TCP, bytes(20)),
        *SAMPLES["VRRP from its own MAC"].frames(PARTIES),
        *SAMPLES["VRRP from the MAC of a group"].frames(PARTIES),
    ]
    bridge.guard(site("strict"))
    assert not any(ports for _, ports in bridge.send(frames))
    bridge.guard(site("strict", f"also: {{{protocol}: 9, address: {VIP}}}"))
    assert all(ports for _, ports in bridge.send(frames))
    assert not any(ports for _, ports in bridge.send([b.arp(ME.raw, 2, ME.raw, ROUTER.ip4, ROUTER.ip4)]))


def test_a_subnet_behind_a_guest_is_its_source_and_never_its_claim(bridge: Segment) -> None:
    bridge.guard(site("strict", "also: [10.8.0.0/24, 10.0.0.99]"))
    behind, beyond = IPv4Address("10.8.0.200"), IPv4Address("10.8.1.1")
    sent = [b.ipv4(ME.raw, OTHER.raw, x, OTHER.ip4, b.TCP, bytes(20)) for x in (behind, ip4("10.0.0.99"), beyond)]
    assert [bool(ports) for _, ports in bridge.send(sent)] == [True, True, False]
    assert not bridge.send([b.arp(ME.raw, 2, ME.raw, behind, behind)])[0][1]
    assert bridge.send([b.arp(ME.raw, 2, ME.raw, ip4("10.0.0.99"), ip4("10.0.0.99"))])[0][1]


def ip4(text: str) -> IPv4Address:
    found = ip_address(text)
    assert isinstance(found, IPv4Address)
    return found


def test_a_nested_guest_has_a_mac_of_its_own(bridge: Segment) -> None:
    inner = mac_bytes("52:54:00:00:11:11")
    bridge.guard(site("strict", 'macs: ["52:54:00:00:11:11"], also: [10.0.0.77]'))
    assert bridge.send([b.arp(inner, 1, inner, ip4("10.0.0.77"), ip4("10.0.0.1"))])[0][1]
    assert not bridge.send([b.ether(BROADCAST, mac_bytes("52:54:00:00:11:12"), b.IPV4, bytes(46))])[0][1]


INSIDE = [mac_bytes(f"52:54:00:00:22:0{number}") for number in range(4)]


@pytest.mark.parametrize("level", ["strict", "mac"])
def test_so_many_guests_inside_and_no_more_and_never_as_somebody_else(bridge: Segment, level: str) -> None:
    some = site(level, "macs: 3, also: [10.0.0.64/28, 10.0.0.77, '2001:db8::99']")
    assert bridge.guard(some) == bridge.loaded()
    bridge.greet()
    own4, own6 = ip4("10.0.0.70"), IPv6Address("2001:db8::99")
    asking = [b.arp(mac, 1, mac, own4, ROUTER.ip4) for mac in INSIDE]
    assert [bool(ports) for _, ports in bridge.send(asking)] == [True, True, True, False]
    one = INSIDE[0]
    to = b.solicited(own6)
    local = link_local(Mac("52:54:00:00:22:00"))
    probe = b.icmp6(b.UNSPECIFIED6, b.solicited(local), 135, b.solicitation(local, b.NONCE))
    legitimate = [
        b.arp(one, 1, one, b.UNSPECIFIED4, own4),
        b.ipv4(one, OTHER.raw, own4, OTHER.ip4, b.TCP, bytes(20)),
        b.ipv4(one, BROADCAST, b.UNSPECIFIED4, b.BROADCAST4, b.UDP,
               b.udp(b.UNSPECIFIED4, b.BROADCAST4, 68, 67, b.dhcp(1, one, 1))),
        b.ipv6(one, b.group_mac(to), b.UNSPECIFIED6, b.solicited(local), b.ICMPV6, probe),
        b.ipv6(one, OTHER.raw, own6, OTHER.ip6, b.ICMPV6,
               b.icmp6(own6, OTHER.ip6, 136, b.advertisement(own6, b.option(2, one)))),
        b.ipv6(one, OTHER.raw, own6, OTHER.ip6, b.TCP, bytes(20)),
        b.rarp(one, one),
    ]  # fmt: skip
    assert [bool(ports) for _, ports in bridge.send(legitimate)] == [True] * len(legitimate)
    for mac in (OTHER.raw, *(() if level == "mac" else (one,))):
        bad = [
            b.arp(mac, 2, mac, ROUTER.ip4, OTHER.ip4),
            b.ipv4(mac, OTHER.raw, ROUTER.ip4, OTHER.ip4, b.TCP, bytes(20)),
            b.ipv6(mac, OTHER.raw, OTHER.ip6, OTHER.ip6, b.TCP, bytes(20)),
            b.ipv6(mac, OTHER.raw, own6, OTHER.ip6, b.ICMPV6,
                   b.icmp6(own6, OTHER.ip6, 136, b.advertisement(ROUTER.ip6, b.option(2, mac)))),
        ]  # fmt: skip
        assert not any(ports for _, ports in bridge.send(bad))
    always = [
        b.arp(one, 2, OTHER.raw, own4, OTHER.ip4),
        b.tagged(b.arp(one, 1, one, own4, ROUTER.ip4), 0),
        b.ipv6(one, OTHER.raw, OTHER.local, OTHER.ip6, b.TCP, bytes(20)),
        b.ipv6(one, b.group_mac(b.ALL_NODES), local, b.ALL_NODES, b.ICMPV6,
               b.icmp6(local, b.ALL_NODES, 134, b.router_advertisement(one))),
        b.ipv4(one, OTHER.raw, own4, OTHER.ip4, b.UDP, b.udp(own4, OTHER.ip4, 67, 68, b.dhcp(2, OTHER.raw, 2))),
        b.ether(OTHER.raw, one, 0x88B5, bytes(46)),
    ]  # fmt: skip
    assert not any(ports for _, ports in bridge.send(always))
    ((_, ports),) = bridge.send([b.ipv4(ROUTER.raw, one, ROUTER.ip4, own4, b.TCP, bytes(20))], port="up.0")
    assert "web.0" in ports
    passed = [x.name for x in ATTACKS if any(ports for _, ports in bridge.send(x.frames(PARTIES)))]
    assert level == "mac" or passed == []
    wanted = bridge.loaded()
    assert "expires" in bridge.reloaded(), "none of what was learned is listed"
    assert bridge.loaded() == wanted
    assert [bool(ports) for _, ports in bridge.send(legitimate)] == [True] * len(legitimate)
    assert not any(ports for _, ports in bridge.send(always))


def test_a_guarded_guest_hears_only_what_is_meant_for_it(bridge: Segment) -> None:
    bridge.guard(site("strict"))
    stranger = mac_bytes("02:00:00:00:00:77")  # unknown to the bridge, so it floods what is for it
    for dst, reaches in ((ME.raw, True), (BROADCAST, True), (b"\x33\x33\0\0\0\1", True), (stranger, False)):
        frame = b.ether(dst, ROUTER.raw, b.ARP, bytes(46))
        ((_, ports),) = bridge.send([frame], port="up.0")
        assert ("web.0" in ports) is reaches


DECLARED = f"""
machines:
  gw: {{nics: [{{network: lan, address: [10.0.0.1/24, "2001:db8::1/64"], mac: "{PARTIES.router.mac}"}}],
       dhcp: {{network: lan, range: 10.0.0.100-10.0.0.120}}}}
"""


def test_routers_and_dhcp_servers_reach_a_guest_only_where_the_file_names_them(bridge: Segment) -> None:
    """From whatever port, for the wire has no guard; what only looks like DHCP in a later fragment is none."""
    bridge.guard(parse((site_text() + DECLARED).encode(), "site.yaml"))
    bridge.greet()
    stranger = replace(ROUTER, mac=Mac("02:00:00:00:00:77"), ip4=ip4("10.0.0.66"), local=IPv6Address("fe80::66"))

    def answers(who: Party) -> list[bytes]:
        found = []
        for source, target in ((67, 68), (67, 4000), (4000, 68)):
            for four, dst in ((ME.ip4, ME.raw), (b.BROADCAST4, BROADCAST)):
                body = b.udp(who.ip4, four, source, target, b.dhcp(2, ME.raw, 2))
                found.append(b.ipv4(who.raw, dst, who.ip4, four, b.UDP, body))
        for source, target in ((547, 546), (547, 4000), (4000, 546)):
            body = b.udp(who.local, ME.local, source, target, b"\x07\0\0\1")
            found.append(b.ipv6(who.raw, ME.raw, who.local, ME.local, b.UDP, body))
        for to, dst in ((b.ALL_NODES, b.group_mac(b.ALL_NODES)), (ME.local, ME.raw)):
            body = b.icmp6(who.local, to, 134, b.router_advertisement(who.raw))
            found.append(b.ipv6(who.raw, dst, who.local, to, b.ICMPV6, body))
        return found

    for who, reaches in ((ROUTER, True), (stranger, False)):
        assert {"web.0" in ports for _, ports in bridge.send(answers(who), port="up.0")} == {reaches}, who
    told = {str(one.reason): one for one in stopped_frames(bridge.host) if one.port == "web.0"}["undeclared"]
    assert told.frames == len(answers(stranger))
    assert dict(told.claims)[stranger.mac] == told.frames
    later = b.ipv4(stranger.raw, ME.raw, stranger.ip4, ME.ip4, b.UDP, b"\0\x43\0\x44" * 8, fragment=0x2008)
    assert "web.0" in bridge.send([later], port="up.0")[0][1]


def test_isolated_guests_meet_neither_directly_nor_by_a_router(bridge: Segment) -> None:
    some = site("strict", "isolated: true")
    other = replace(some.guests["db"].nics[0], guarding=replace(some.guests["db"].nics[0].guarding, isolated=True))
    some = replace(some, guests={**some.guests, "db": replace(some.guests["db"], nics=(other,))})
    bridge.guard(some)
    by_router = b.ipv4(ME.raw, ROUTER.raw, ME.ip4, OTHER.ip4, b.TCP, bytes(20))
    asking = b.arp(ME.raw, 1, ME.raw, ME.ip4, OTHER.ip4)
    fine = b.ipv4(ME.raw, ROUTER.raw, ME.ip4, ip4("198.51.100.1"), b.TCP, bytes(20))
    assert [bool(ports) for _, ports in bridge.send([by_router, asking, fine])] == [False, False, True]


@pytest.mark.parametrize(("mine", "others", "meet"), [("a", "a", True), ("a", "b", False), ("a", "true", False)])
def test_isolated_groups_meet_their_own_and_nobody_else(bridge: Segment, mine: str, others: str, meet: bool) -> None:
    some = site("strict", f"isolated: {mine}", f"isolated: {others}")
    bridge.guard(some)
    sent = [
        b.ipv4(ME.raw, OTHER.raw, ME.ip4, ip4("198.51.100.1"), b.TCP, bytes(20)),  # by its MAC alone
        b.arp(ME.raw, 1, ME.raw, ME.ip4, ME.ip4),  # to everybody
        b.ipv4(ME.raw, ROUTER.raw, ME.ip4, OTHER.ip4, b.TCP, bytes(20)),  # by way of a router
    ]
    reached = [ports for _, ports in bridge.send(sent)]
    assert ["db.0" in ports for ports in reached[:2]] == [meet, meet]
    assert bool(reached[2]) is meet
    assert some.guests["web"].nics[0].guarding.port_flag is False


def test_a_storm_is_held_to_its_limit(bridge: Segment) -> None:
    bridge.guard(site("strict", "limit: {broadcast: 100/s}"))
    frame = b.arp(ME.raw, 1, ME.raw, ME.ip4, OTHER.ip4)
    bridge.drain()
    passed = 0
    for _ in range(20):
        for _ in range(50):
            os.write(bridge.taps["web.0"], frame)
        passed += len(bridge.drain()["db.0"])
    assert 100 <= passed < 500  # of 1,000: the burst, and what the rate gives while they are sent


def test_a_tap_that_goes_and_comes_again_is_guarded_from_its_first_frame(bridge: Segment) -> None:
    """Unplugged and plugged in again, or its guest moved away and back: then it announces itself by RARP."""
    bridge.guard(site("strict"))
    bridge.lab.ip(bridge.host, "link del web.0")
    bridge.taps["web.0"] = fd = bridge.lab.tap(bridge.host, "web.0")
    os.set_blocking(fd, False)
    bridge.lab.ip(bridge.host, "link set web.0 addrgenmode none master br0 up")
    poison, hello = b.arp(ME.raw, 2, ME.raw, ROUTER.ip4, OTHER.ip4), b.rarp(ME.raw, ME.raw)
    assert [bool(ports) for _, ports in bridge.send([poison, hello, b.rarp(ME.raw, ROUTER.raw)])] == [
        False,
        True,
        False,
    ]
    assert bridge.where(ME.mac) == "web.0"


def test_what_is_stopped_is_counted_by_port_and_by_what_it_claimed(bridge: Segment) -> None:
    bridge.guard(site("strict"))
    bridge.send(SAMPLES["an ARP reply as the router"].frames(PARTIES))
    listing = run(("nft", "list", "set", *KEY.split(), "claimed_arp"), namespace=bridge.host).stdout
    assert '"web.0" . 10.0.0.1 counter packets 2' in listing


def test_a_guest_more_is_elements_more_and_the_rules_stay(bridge: Segment) -> None:
    """So no rule is loaded anew when a guest comes or goes, and its elements stand before its port joins."""
    two = site("strict")
    one = replace(two, guests={"web": two.guests["web"]})
    bridge.guard(one)
    tables = [HostState(tables={KEY: bridge.guard(some)}) for some in (two, one)]
    grown, shrunk = (diff(a, z) for a, z in ((tables[1], tables[0]), (tables[0], tables[1])))
    for plan, word in ((grown, "add"), (shrunk, "delete")):
        (change,) = plan.changes
        assert change.action.startswith(f"{word} elements of ports")
        text = "".join(command.stdin for command in change.commands)
        assert "chain" not in text
        run(("nft", "-f", "-"), stdin=text, namespace=bridge.host)
        assert bridge.loaded() == tables[0 if word == "add" else 1].tables[KEY]


def test_a_table_that_is_replaced_under_load_leaks_and_loses_nothing(bridge: Segment) -> None:
    text = replacing_text(bridge.guard(site("strict")))
    spoofed = b.arp(ME.raw, 2, ME.raw, ROUTER.ip4, OTHER.ip4)
    own = b.arp(ME.raw, 2, ME.raw, ME.ip4, OTHER.ip4, dst=OTHER.raw, target=OTHER.raw)
    bridge.greet()
    sent = leaked = arrived = 0
    for _ in range(20):
        with bridge.host.entered():
            swap = subprocess.Popen(["nft", "-f", "-"], stdin=subprocess.PIPE, text=True)
        assert swap.stdin is not None
        swap.stdin.write(text)
        swap.stdin.close()
        while swap.poll() is None:
            os.write(bridge.taps["web.0"], spoofed)
            os.write(bridge.taps["web.0"], own)
            sent += 1
            got = bridge.drain()
            leaked += sum(frame == spoofed for frames in got.values() for frame in frames)
            arrived += got["db.0"].count(own)
        assert swap.returncode == 0
        drained()  # a busy kernel passes frames on a little later
        got = bridge.drain()
        leaked += sum(frame == spoofed for frames in got.values() for frame in frames)
        arrived += got["db.0"].count(own)
    assert sent > 20
    assert (leaked, arrived) == (0, sent)
