from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge as BridgeOptions
from bascule.model.links import Physical
from bascule.model.site import GuestNic
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.plan.change import Plan
from bascule.plan.make import make_plan
from bascule.probe.live import live_domain
from bascule.system.run import run
from bascule.verify.checks import Check
from bascule.verify.host import check_host
from bascule.verify.state import StateChecks, check_links
from tests import sites
from tests.domains import HOST, Builder, building, production, read_state

SITE = sites.production()


def link(
    name: str, *, master: str | None = None, mac: str = "52:54:00:aa:00:01", addresses: tuple[str, ...] = ()
) -> Link:
    return Link(
        name=IfName(name), options=Physical(), up=True, facts=LinkFacts(carrier=True), mac=Mac(mac),
        master=IfName(master) if master else None, addresses=tuple(Address(ip=ip) for ip in addresses),
    )  # fmt: skip


def good() -> HostState:
    """The host as the file wants it, with the guests' taps on their bridges."""
    links = [
        link("eth2", addresses=("192.168.1.10/24",)), link("eth3", addresses=("129.230.1.10/16",)),
        link("eth4", mac="52:54:00:aa:00:03"), link("eth5", mac="52:54:00:aa:00:04"),
        link("guest_01.0"), link("guest_02.0"), link("guest_03.0"),
    ]  # fmt: skip
    return make_plan(SITE, SITE.hosts[HOST], HostState.of(links))[1]


def wrong(change: str = "eth2", without: str = "", **values: Any) -> list[tuple[str, str, str]]:
    """What does not hold when one link is otherwise."""
    state = good()
    links: dict[IfName, Link] = {**state.links, IfName(change): replace(state.links[IfName(change)], **values)}
    links.pop(IfName(without), None)
    seen = replace(state, links=links)
    facts = StateChecks(make_plan(SITE, SITE.hosts[HOST], seen)[0])
    checks = [*check_links(SITE, SITE.hosts[HOST], seen, facts), *facts.rest()]
    return [(check.id, check.subject, check.detail) for check in checks if check.ok is not True]


def test_a_good_host_is_all_green() -> None:
    assert wrong() == []


CHANGE_MAC = "to do: change MAC from 52:54:00:aa:00:99 to 52:54:00:aa:00:03"
STP = BridgeOptions(stp_state=1, forward_delay=1500, mcast_snooping=0)


@pytest.mark.parametrize(
    ("broken", "values", "expected"),
    [
        ("br3", {"up": False}, ("bridge-up", "br3", "is down; to do: bring up")),
        (
            "eth4",
            {"facts": LinkFacts(carrier=False)},
            ("nic-up", "eth4", "is up, but has no carrier: no cable, or its far end is down"),
        ),
        (
            "eth4",
            {"addresses": (Address(ip="192.168.1.11/24"),)},
            ("no-address", "eth4", "192.168.1.11/24; to do: remove address 192.168.1.11/24"),
        ),
        (
            "br3",
            {"mac": Mac("52:54:00:aa:00:99")},
            (
                "bridge-mac",
                "br3",
                "52:54:00:aa:00:99, but eth4 has 52:54:00:aa:00:03; " + CHANGE_MAC,
            ),
        ),
        ("eth4", {"master": None}, ("uplink-on-bridge", "eth4", "port of nothing; to do: become a port of br3")),
        (
            "guest_03.0",
            {"master": None, "port": None},
            ("tap-on-bridge", "guest_03.0", "port of nothing; to do: become a port of br3"),
        ),
        (
            "br4",
            {"options": STP},
            ("stp", "br4", "STP on, forward delay 15 s; to do: set stp_state 0 forward_delay 0"),
        ),
        ("eth2", {"addresses": ()}, ("address", "eth2", "192.168.1.10/24 is missing; to do: address 192.168.1.10/24")),
        ("br3", {"mtu": 1400}, ("as-declared", "br3", "to do: change MTU from 1400 to 1500 bytes")),
    ],
)
def test_each_fault_is_named_with_what_the_plan_would_do(
    broken: str, values: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert wrong(broken, **values) == [expected]


def test_a_port_that_nobody_declared_is_told() -> None:
    state = good()
    seen = replace(state, links={**state.links, IfName("other"): link("other", master="br3")})
    checks = check_links(SITE, SITE.hosts[HOST], seen, StateChecks(Plan()))
    found = [(check.subject, check.ok, check.detail) for check in checks if check.id == "other-ports"]
    assert found == [("br3", None, "not in the file, left alone: other")]


def test_what_is_not_there_is_named() -> None:
    missing = "is not there; to do: create bridge with MAC 52:54:00:aa:00:03; bring up"
    assert ("bridge-up", "br3", missing) in wrong(without="br3")
    assert ("tap-on-bridge", "guest_02.0", "is not there; should be a port of br3") in wrong(without="guest_02.0")


@pytest.fixture(scope="module")
def scene() -> Iterator[Builder]:
    with building() as builder:
        production(builder)
        yield builder


def guests(scene: Builder, site: object = None, **probe_domain: object) -> dict[tuple[str, str], Check]:
    used = site or SITE
    assert isinstance(used, type(SITE))
    where = replace(scene.probe_domain, **probe_domain)
    checks = check_host(used, used.hosts[HOST], read_state(scene), where, Plan())
    return {(check.id, check.subject): check for check in checks}


@pytest.mark.kernel
def test_proper_virtual_servers(scene: Builder) -> None:
    checks = guests(scene)
    assert [check for check in checks.values() if check.ok is not True] == []
    assert checks["arp-from-host", "guest_02"].detail == "192.168.1.102 ether 52:54:00:00:00:04 eth2"
    assert checks["mac-on-own-port", "guest_01"].detail == "52:54:00:00:00:03 learned on guest_01.0 of br4"
    traffic = checks["unrestricted-within", "guest_03"].detail
    assert traffic == (
        "dmz → guest_03: icmp, 1500 bytes, tcp/502, udp; guest_03 → dmz: icmp, 1500 bytes, tcp/21, udp/53"
    )
    assert json.dumps([check.as_json() for check in checks.values()])


@pytest.mark.kernel
def test_a_live_host_says_what_it_cannot_ask(scene: Builder) -> None:
    probe_domain = live_domain(SITE, SITE.hosts[HOST], read_state(scene), scene.namespaces[HOST])
    checks = {(c.id, c.subject): c for c in check_host(SITE, SITE.hosts[HOST], read_state(scene), probe_domain, Plan())}
    assert all(check.ok for check in checks.values())
    detail = checks["in-broadcast-domain", "guest_01"].detail
    assert detail.endswith("from guest_01 itself: not asked, because Bascule cannot send from it")


@pytest.mark.kernel
def test_alone_on_its_network_is_not_green(scene: Builder) -> None:
    attachments = {"guest_01": scene.probe_domain.attachments["guest_01"]}
    checks = guests(scene, attachments=attachments)
    for name in ("in-broadcast-domain", "like-any-nic", "unrestricted-within"):
        assert checks[name, "guest_01"].ok is None
        assert checks[name, "guest_01"].detail == "not asked, because nobody else stands on internet to ask from"
    assert checks["arp-from-host", "guest_01"].detail == "129.230.1.21 ether 52:54:00:00:00:03 br4"  # the bridge asks


@pytest.mark.kernel
def test_a_guest_behind_another_mac_is_found(scene: Builder) -> None:
    def claims(nic: GuestNic) -> GuestNic:
        return replace(nic, mac=Mac("52:54:00:de:ad:01"))

    guest = SITE.guests["guest_03"]
    site = replace(SITE, guests={**SITE.guests, "guest_03": replace(guest, nics=tuple(map(claims, guest.nics)))})
    attachments = {
        name: attachments for name, attachments in scene.probe_domain.attachments.items() if name != "guest_03"
    }
    checks = guests(scene, site, attachments=attachments)
    assert checks["mac-on-own-port", "guest_03"].ok is False
    assert checks["arp-from-host", "guest_03"].detail == (
        "192.168.1.33 ether 52:54:00:00:00:05 eth2, should be 52:54:00:de:ad:01"
    )
    assert checks["like-any-nic", "guest_03"].ok is False


@pytest.mark.kernel
def test_filters_and_small_mtus_are_restrictions() -> None:
    with building() as builder:
        production(builder)
        builder.nft(
            "guest_02", "table inet d { chain i { type filter hook input priority 0; udp dport 61000 drop; }\n}\n"
        )
        builder.ip("guest_03", "link set eth0 mtu 1400")
        run(["bridge", "link", "set", "dev", "guest_01.0", "learning", "off"], namespace=builder.namespaces[HOST])
        run(["bridge", "fdb", "flush", "dev", "br4"], namespace=builder.namespaces[HOST], check=False)
        run(["bridge", "fdb", "del", "52:54:00:00:00:03", "dev", "guest_01.0", "master"],
            namespace=builder.namespaces[HOST], check=False)  # fmt: skip
        checks = guests(builder)
    assert checks["unrestricted-within", "guest_02"].ok is False
    assert checks["unrestricted-within", "guest_02"].detail == (
        "dmz → guest_02 udp: no answer within 1.5 s: it went out by guest_02.0, and its answer never left guest_02"
    )
    assert "1500 bytes" in checks["unrestricted-within", "guest_03"].detail
    assert checks["unrestricted-within", "guest_03"].ok is False
    assert checks["mac-on-own-port", "guest_01"].ok is False
    assert checks["in-broadcast-domain", "guest_03"].ok is True
