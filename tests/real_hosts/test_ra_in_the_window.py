"""A bad day: the router announces another prefix while a change waits to be confirmed."""

from __future__ import annotations

import json
import socket
import struct
from functools import partial
from ipaddress import IPv6Address

from bascule.model.kernel_parameters import FORWARDING, conf, takes_token
from tests.apply.hosts import journal_of, time_is_up, wait_for
from tests.real_hosts.field import ONE_NIC, Field


def advertise(field: Field, prefixes: dict[str, int]) -> None:
    """One router advertisement (RFC 4861, 4.2) with prefixes and the seconds that each is valid and preferred."""
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    for prefix, valid_s in prefixes.items():
        body += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, valid_s, valid_s, 0) + IPv6Address(prefix).packed
    with field.router.entered(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("eth0"))
        sock.sendto(body, ("ff02::1", 0))


def global6(field: Field, link: str) -> set[str]:
    """The prefixes of a link's global IPv6 addresses that are preferred."""
    (entry,) = json.loads(field.ip(f"-j -6 addr show dev {link} scope global") or "[{}]")
    return {a["local"].rpartition(":ff")[0] for a in entry.get("addr_info", ()) if a and not a.get("deprecated")}


def test_another_prefix_comes_in_the_window_and_stays(real_host: Field) -> None:
    advertise(real_host, {"fd00:1::": 3600})
    assert wait_for(lambda: global6(real_host, "eth0"), bool), "the host heard no router"
    path = real_host.site(ONE_NIC)
    assert real_host.bascule("apply", path, "--yes", "--confirm-within", "10m").returncode == 0
    assert global6(real_host, "br0") == {"fd00:1:"}
    advertise(real_host, {"fd00:1::": 0, "fd00:2::": 3600})
    assert wait_for(lambda: global6(real_host, "br0"), lambda seen: seen == {"fd00:2:"}) == {"fd00:2:"}
    status = real_host.document("status")
    assert (status["status"], status["drift"]) == ("applied", [])
    assert real_host.bascule("confirm").returncode == 0
    assert real_host.document("plan", path)["changes"] == []
    undone = real_host.document("undo")
    assert undone["ok"], undone
    assert global6(real_host, "eth0") == {"fd00:2:"}, "what came meanwhile is not lost on the way back"
    assert "fd00:1:" not in real_host.ip("-6 route show default")


def test_another_prefix_comes_in_the_window_and_nobody_confirms(real_host: Field) -> None:
    advertise(real_host, {"fd00:1::": 3600})
    assert wait_for(lambda: global6(real_host, "eth0"), bool)
    path = real_host.site(ONE_NIC)
    assert real_host.bascule("apply", path, "--yes", "--confirm-within", "10m").returncode == 0
    advertise(real_host, {"fd00:1::": 0, "fd00:2::": 3600})
    time_is_up(journal_of(real_host.folder / "state"))
    back = wait_for(lambda: real_host.document("status")["words"], lambda words: "was taken back" in words)
    assert "nobody confirmed it in time" in back
    assert "br0" not in real_host.ip("-br link")
    assert "fd00:2:" in global6(real_host, "eth0")


def is_advertised(field: Field, link: str) -> bool:
    """Whether what the link has of fd00:3:: is the router's to take back."""
    (entry,) = json.loads(field.ip(f"-j -6 addr show dev {link} scope global") or "[{}]")
    return any(a.get("dynamic") for a in entry.get("addr_info", ()) if a.get("local", "").startswith("fd00:3:"))


def test_an_endless_prefix_stays_the_routers(real_host: Field) -> None:
    """Some routers advertise their prefix for ever: an address of it is nobody's own, here, there and back."""
    advertise(real_host, {"fd00:3::": 0xFFFFFFFF})
    assert wait_for(lambda: global6(real_host, "eth0"), bool), "the host heard no router"
    named = ONE_NIC.replace("eth0: {network: office}", "eth0: {network: office, address: 192.168.1.10/24}")
    named = named.replace("    bridges: {br0: {uplink: eth0, address: from-uplink}}\n", "")
    assert not [note for note in real_host.plan(named).notes if note.kind == "extra" and "fd00" in note.text]
    assert real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--confirm-within", "10m").returncode == 0
    assert is_advertised(real_host, "br0")
    advertise(real_host, {"fd00:3::": 0})
    assert wait_for(lambda: global6(real_host, "br0"), lambda seen: not seen) == set(), "the router took it back"
    assert real_host.bascule("undo").returncode == 0
    assert is_advertised(real_host, "eth0")


def test_a_token_goes_along_and_back(real_host: Field) -> None:
    """Without it the bridge makes one address more of its MAC, which stays on the NIC when the change is undone."""

    def made(link: str) -> set[str]:
        (entry,) = json.loads(real_host.ip(f"-j -6 addr show dev {link} scope global") or "[{}]")
        return {a["local"] for a in entry.get("addr_info", ()) if a}

    def token(link: str) -> str:
        return {str(row["ifname"]): str(row["token"]) for row in json.loads(real_host.ip("-j token"))}[link]

    real_host.ip("token set ::77 dev eth0")
    advertise(real_host, {"fd00:1::": 3600})
    assert wait_for(lambda: made("eth0"), bool) == {"fd00:1::77"}
    path = real_host.site(ONE_NIC)
    along = [note.text for note in real_host.plan(ONE_NIC).notes if note.kind == "along"]
    assert along == ["token ::77 (which no file of its says for the next boot): move to br0"]
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert real_host.document("plan", path)["changes"] == []
    renamed = real_host.site(ONE_NIC.replace("br0", "br7"), "renamed.yaml")
    assert real_host.bascule("apply", renamed, "--yes", "--no-confirm").returncode == 0
    for link in ("br7", "br0", "eth0"):
        assert token(link) == "::77"
        advertise(real_host, {"fd00:1::": 3600, "fd00:2::": 3600})
        assert wait_for(partial(made, link), lambda seen: len(seen) > 1) == {"fd00:1::77", "fd00:2::77"}
        if link != "eth0":
            assert real_host.bascule("undo").returncode == 0


def test_a_router_takes_no_token() -> None:
    """The kernel refuses it, and with it the change would fail."""
    key = conf(6, "br0", "accept_ra")
    assert takes_token("br0", {key: "1", FORWARDING[6]: "0"})
    assert takes_token("br0", {key: "2", FORWARDING[6]: "1"})
    assert takes_token("br0", {conf(6, "default", "accept_ra"): "1", FORWARDING[6]: "0"})
    assert not takes_token("br0", {key: "1", FORWARDING[6]: "1"})
    assert not takes_token("br0", {key: "0", conf(6, "default", "accept_ra"): "1", FORWARDING[6]: "0"})
