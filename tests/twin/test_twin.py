"""The production scenario played for real, asked with plain sockets."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import pytest

from bascule.model.values import IfName
from bascule.twin import Twin
from tests.twin import ask
from tests.twin.sites import production
from tests.twin.stage import apply, inside, ip

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """All questions in one twin: what came back, by name."""

    def work() -> dict[str, Any]:
        with Twin.raise_(production()) as twin:
            links = {x["ifname"]: x["address"] for x in ip(twin.host("vmserver"), "link show")}
            apply(twin)
            twin.plug_guests()
            twin.start_guests()
            probe_domain = twin.probe_domain()
            g1, g2, g3, desk, customer = (
                twin.host(x) for x in ("guest_01", "guest_02", "guest_03", "desk", "customer")
            )
            lease = twin.leases["guest_02", IfName("eth0")]
            leased = str(lease.address.ip)
            return {
                "nics": links,
                "taps": {x["ifname"]: x for x in ip(twin.host("vmserver"), "-d link show type veth")},
                "guest": ip(g3, "addr show eth0")[0],
                "routes": {name: ip(twin.host(name), "route show default") for name in ("guest_02", "guest_03", "dmz")},
                "routes6": ip(g3, "-6 route show default"),
                "switches": ip(twin.host("the building"), "-d link show type bridge"),
                "lease": lease,
                "attachments": {
                    name: [(f.link, f.mac, tuple(map(str, f.addresses)), f.network) for f in attachments]
                    for name, attachments in probe_domain.attachments.items()
                },
                "points": [
                    (p.node, p.link, p.master, bool(ip(p.namespace, f"link show {p.link}")))
                    for p in probe_domain.points
                ],
                "notes": twin.notes,
                "desk to guest_02 tcp": ask.tcp(desk, leased, 8042),
                "desk to guest_02 closed": ask.tcp(desk, leased, 81),
                "desk to guest_02 udp": ask.udp(desk, leased, 7),
                "desk to guest_03 ipv6": ask.tcp(desk, "fd00:1::33", 502),
                "customer to guest_01": ask.tcp(customer, "129.230.1.21", 80),
                "customer to guest_02": ask.tcp(customer, leased, 3389, wait_s=ask.SILENT_S),
                "customer pings guest_02": ask.ping(customer, leased, wait_s=ask.SILENT_S),
                "guest_02 to customer": ask.tcp(g2, "129.230.200.9", 9000),
                "guest_02 to customer udp": ask.udp(g2, "129.230.200.9", 9000),
                "guest_02 pings customer": ask.ping(g2, "129.230.200.9"),
                "guest_03 to customer": ask.tcp(g3, "129.230.200.9", 9000, wait_s=ask.SILENT_S),
                "guest_03 pings customer": ask.ping(g3, "129.230.200.9", wait_s=ask.SILENT_S),
                "guest_03 pings its gateway": ask.ping(g3, "192.168.1.1"),
                "guest_01 to guest_03": ask.tcp(g1, "192.168.1.33", 502, wait_s=ask.SILENT_S),
                "the address asked answers": ask.udp(customer, "129.230.200.9", 9000),
                "names": {x: ask.resolve(g3, "192.168.1.1", x) for x in ("guest_01", "desk", "guest_02", "nobody")},
                "names from outside": ask.resolve(customer, "129.230.0.1", "desk"),
                "ftp": ask.tcp(g3, "192.168.1.1", 21),
            }

    found: dict[str, Any] = inside(work)
    return found


def test_the_host_starts_with_its_nics_and_nothing_else(played: dict[str, Any]) -> None:
    assert set(played["nics"]) == {"lo", "eth2", "eth3", "eth4", "eth5"}
    assert len({*played["nics"].values()}) == 5


def test_taps_have_the_declared_name_and_a_mac_that_starts_with_fe(played: dict[str, Any]) -> None:
    tap = played["taps"]["guest_02.0"]
    assert tap["address"] == "fe:54:00:28:23:af"
    assert tap["master"] == "br3"
    assert tap["inet6_addr_gen_mode"] == "none"
    assert played["taps"]["guest_01.0"]["master"] == "br4"


def test_a_guest_has_its_mac_and_its_addresses_at_once(played: dict[str, Any]) -> None:
    assert played["guest"]["address"] == played["attachments"]["guest_03"][0][1]
    addresses = {(a["local"], a.get("tentative", False)) for a in played["guest"]["addr_info"]}
    assert addresses == {("192.168.1.33", False), ("fd00:1::33", False)}


def test_default_routes_lead_to_the_gateway_except_for_the_gateway_itself(played: dict[str, Any]) -> None:
    assert [r["gateway"] for r in played["routes"]["guest_03"]] == ["192.168.1.1"]
    assert [r["gateway"] for r in played["routes6"]] == ["fd00:1::1"]
    assert played["routes"]["dmz"] == []


def test_switches_forward_at_once(played: dict[str, Any]) -> None:
    assert {s["ifname"] for s in played["switches"]} == {"internal", "internet"}
    for switch in played["switches"]:
        data = switch["linkinfo"]["info_data"]
        assert (data["stp_state"], data["forward_delay"], data["mcast_snooping"]) == (0, 0, 0)


def test_dhcp_gives_a_lease_of_the_range(played: dict[str, Any]) -> None:
    lease = played["lease"]
    assert lease.address in ip_interface("192.168.1.0/24").network
    assert 100 <= int(str(lease.address.ip).rpartition(".")[2]) <= 199
    assert [str(r) for r in lease.routers] == ["192.168.1.1"]
    assert [r["gateway"] for r in played["routes"]["guest_02"]] == ["192.168.1.1"]
    assert lease.lease_s == 12 * 3600


def test_services_say_whose_address_they_saw(played: dict[str, Any]) -> None:
    assert played["desk to guest_02 tcp"].startswith("bascule 192.168.1.50 ")
    assert played["desk to guest_02 udp"][0].startswith("bascule 192.168.1.50 ")
    assert played["desk to guest_02 udp"][0].endswith(" hello")
    assert played["desk to guest_03 ipv6"].startswith("bascule fd00:1::50 ")
    assert played["customer to guest_01"].startswith("bascule 129.230.200.9 ")
    assert played["ftp"].startswith("bascule 192.168.1.33 ")
    assert played["the address asked answers"][1] == "129.230.200.9"


def test_a_port_that_nobody_serves_is_closed(played: dict[str, Any]) -> None:
    assert played["desk to guest_02 closed"] == "ECONNREFUSED"


def test_who_may_go_out_is_masqueraded(played: dict[str, Any]) -> None:
    assert played["guest_02 to customer"].startswith("bascule 129.230.0.1 ")
    assert played["guest_02 to customer udp"][0].startswith("bascule 129.230.0.1 ")
    assert played["guest_02 pings customer"]


def test_everything_else_is_not_forwarded(played: dict[str, Any]) -> None:
    assert played["customer to guest_02"] == "timeout"
    assert not played["customer pings guest_02"]
    assert played["guest_03 to customer"] == "timeout"
    assert not played["guest_03 pings customer"]
    assert played["guest_01 to guest_03"] == "timeout"
    assert played["guest_03 pings its gateway"]  # it is alive, so the silence means something


def test_dns_knows_the_names(played: dict[str, Any]) -> None:
    assert played["names"] == {
        "guest_01": ["129.230.1.21"],
        "desk": ["192.168.1.50"],
        "guest_02": [str(played["lease"].address.ip)],
        "nobody": [],
    }
    assert played["names from outside"] == ["192.168.1.50"]  # dmz declares udp/53, so it serves it on both sides


def test_the_world_has_a_foot_for_everybody_and_a_point_on_every_link(played: dict[str, Any]) -> None:
    assert set(played["attachments"]) == {"vmserver", "guest_01", "guest_02", "guest_03", "dmz", "desk", "customer"}
    assert [(f[0], f[2]) for f in played["attachments"]["vmserver"]] == [
        ("eth2", ("192.168.1.10/24",)),
        ("eth3", ("129.230.1.10/16",)),
    ]
    assert played["attachments"]["guest_02"][0][2] == (str(played["lease"].address),)
    points = {(node, link): master for node, link, master, _ in played["points"]}
    assert points["vmserver", "eth4"] == "br3"
    assert points["vmserver", "guest_03.0"] == "br3"
    assert points["internal", "dmz.0"] == "internal"
    assert ("guest_03", "eth0") in points
    assert all(exists for *_, exists in played["points"])
    assert played["notes"] == []
