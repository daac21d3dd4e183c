"""Where a question is lost, and why: each test breaks one thing in a probe_domain of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest
from msgspec.structs import replace

from bascule.model.host_links import Bridge
from bascule.model.site import Expectation, MachineNic
from bascule.model.values import IfName
from bascule.probe.domain import ProbeDomain
from bascule.probe.live import live_domain
from bascule.system.run import run
from bascule.verify.expectations import Outcome, judge
from tests import sites
from tests.domains import HOST, Builder, building, production, read_state

pytestmark = pytest.mark.kernel


@pytest.fixture
def scene() -> Iterator[Builder]:
    with building() as builder:
        production(builder)
        yield builder


def outcome(scene: Builder, expected: Expectation) -> Outcome:
    return judge(sites.production(expected), scene.probe_domain)[0]


def test_a_dead_guest_is_no_isolation(scene: Builder) -> None:
    scene.ip("guest_02", "link set eth0 down")
    dead = outcome(scene, sites.expect("customer", "guest_02", "no-reach", "tcp/3389"))
    assert (dead.observed, dead.ok) == ("unproven", False)
    assert dead.witness.sentence.startswith("unproven: guest_02 does not answer its own network either (dmz, desk")


def test_a_guest_that_hears_and_is_silent(scene: Builder) -> None:
    scene.nft("guest_02", "table inet d { chain i { type filter hook input priority 0; tcp dport 3389 drop; }\n}\n")
    lost = outcome(scene, sites.expect("desk", "guest_02", "reach", "tcp/3389"))
    assert (lost.observed, lost.ok) == ("no-reach", False)
    assert lost.witness.sentence == "left desk, crossed eth4 and br3, arrived at guest_02, which did not answer"
    unproven = outcome(scene, sites.expect("customer", "guest_02", "no-reach", "tcp/3389"))
    assert (unproven.observed, unproven.ok) == ("unproven", False)


def test_isolated_ports_are_an_isolation_with_a_proof(scene: Builder) -> None:
    for tap in ("guest_02.0", "guest_03.0"):
        run(["bridge", "link", "set", "dev", tap, "isolated", "on"], namespace=scene.namespaces[HOST])
    apart = outcome(scene, sites.expect("guest_02", "guest_03", "no-reach", "tcp/502"))
    assert (apart.observed, apart.ok) == ("no-reach", True)
    assert apart.witness.control == "dmz reaches 192.168.1.33 by tcp/502"
    assert "guest_02 asked the wire for 192.168.1.33" in apart.witness.sentence
    assert apart.witness.sentence.endswith("never arrived at guest_03")


def test_a_filter_on_the_bridge_is_named_by_its_bridge(scene: Builder) -> None:
    assert outcome(scene, sites.expect("desk", "guest_03", "reach", "tcp/502")).ok  # everybody knows everybody
    scene.nft(HOST, "table bridge b { chain f { type filter hook forward priority 0; tcp dport 502 drop; }\n}\n")
    lost = outcome(scene, sites.expect("desk", "guest_03", "reach", "tcp/502"))
    assert lost.witness.sentence == "left desk, not passed on by br3"
    assert lost.witness.way[-1] == ("vmserver", "eth4")


@pytest.mark.parametrize("kind", ["icmpx admin-prohibited", "tcp reset"])
def test_a_router_that_rejects_is_an_isolation_too(scene: Builder, kind: str) -> None:
    scene.nft("dmz", "table inet r { chain f { type filter hook forward priority -1;"
                     f" ip saddr 129.230.200.9 meta l4proto tcp reject with {kind}; }}\n}}\n")  # fmt: skip
    rejected = outcome(scene, sites.expect("customer", "guest_02", "no-reach", "tcp/3389"))
    assert (rejected.observed, rejected.ok) == ("no-reach", True)
    assert rejected.witness.sentence.startswith("left customer, arrived at dmz, not forwarded (")


def test_an_answer_that_is_lost_on_its_way_back(scene: Builder) -> None:
    scene.nft("dmz", "table inet r { chain f { type filter hook forward priority -1;"
                     " ip saddr 129.230.200.9 icmp type echo-reply drop; }\n}\n")  # fmt: skip
    lost = outcome(scene, sites.expect("guest_02", "customer", "reach"))
    assert (lost.observed, lost.ok) == ("no-reach", False)
    assert lost.witness.sentence == (
        "left guest_02, crossed br3 and eth4, arrived at dmz, was forwarded by dmz, arrived at customer; "
        "its answer left customer, arrived at dmz, not forwarded"
    )


def test_no_route_never_leaves(scene: Builder) -> None:
    scene.ip("guest_03", "route del default")
    stuck = outcome(scene, sites.expect("guest_03", "customer", "no-reach"))
    assert (stuck.observed, stuck.ok) == ("no-reach", True)
    assert stuck.witness.sentence.startswith("never left guest_03: no route")


def test_the_wrong_bridge_is_found_and_named(scene: Builder) -> None:
    """guest_03 moved to br4: reached from outside, lost for the desk; both name the line of its NIC."""
    scene.ip(HOST, "link set guest_03.0 master br4")
    scene.settle()
    scene.ip("guest_03", "address flush dev eth0", "address add 129.230.1.33/16 dev eth0")
    scene.attachments["guest_03"] = [
        replace(scene.attachments["guest_03"][0], addresses=(ip_interface("129.230.1.33/16"),), network="internet")
    ]
    scene.points = [replace(p, master=IfName("br4")) if p.link == "guest_03.0" else p for p in scene.points]
    moved = sites.guest("guest_03", "52:54:00:00:00:05", "br4", "129.230.1.33/16", line=34, serves="tcp/502")
    site = sites.production(
        sites.expect("guest_03", "customer", "no-reach"), sites.expect("desk", "guest_03", "reach", "tcp/502")
    )
    site = replace(site, guests={**site.guests, "guest_03": moved})
    out, lost = judge(site, scene.probe_domain)
    assert (out.observed, out.ok) == ("reach", False)
    assert out.witness.sentence.startswith("left guest_03, crossed br4 and eth5, arrived at customer, reply from")
    assert out.witness.sentence.endswith("because of production.yaml:34:12 (guest_03 is plugged into br4)")
    assert out.witness.place is not None
    assert (lost.observed, lost.ok) == ("no-reach", False)
    assert "arrived at dmz, not forwarded" in lost.witness.sentence
    assert lost.witness.because == "desk is on internal and guest_03 is on internet"


def test_nobody_else_on_the_network_proves_nothing(scene: Builder) -> None:
    scene.bridge("br9")
    scene.guest("lonely", "br9", "10.9.9.9/24", network=None)
    lonely = sites.guest("lonely", "52:54:00:00:00:0b", "br9", "10.9.9.9/24", line=70)
    site = sites.production(sites.expect("customer", "lonely", "no-reach"))
    (name, host), *_ = site.hosts.items()
    host = replace(host, bridges={**host.bridges, IfName("br9"): Bridge(name=IfName("br9"), uplink=None)})
    site = replace(site, guests={**site.guests, "lonely": lonely}, hosts={**site.hosts, name: host})
    alone = judge(site, scene.probe_domain)[0]
    assert (alone.observed, alone.ok) == ("unproven", None)
    assert "nobody else on 10.9.9.0/24 can show that lonely answers at all" in alone.witness.sentence


def test_two_families_and_two_feet(scene: Builder) -> None:
    """The address on the common network is asked first; IPv6 counts like IPv4."""
    scene.ip("guest_02", "address flush dev eth0", "address add fd00::102/64 dev eth0 nodad")
    scene.ip("desk", "address add fd00::50/64 dev eth0 nodad")
    for name, address in (("guest_02", "fd00::102/64"), ("desk", "fd00::50/64")):
        attachment = scene.attachments[name][0]
        old = attachment.addresses if name == "desk" else ()
        scene.attachments[name] = [replace(attachment, addresses=(*old, ip_interface(address)))]
    six = outcome(scene, sites.expect("desk", "guest_02", "reach", "tcp/3389", seen_as="desk"))
    assert six.ok, six
    assert six.witness.seen_as == "fd00::50 (desk)"
    near = outcome(scene, sites.expect("customer", "dmz", "reach", "tcp/21"))
    assert "reply from 129.230.0.1" in near.witness.reply
    far = outcome(scene, sites.expect("desk", "dmz", "reach", "arp"))
    assert far.ok


def live(scene: Builder) -> ProbeDomain:
    site = sites.production()
    return live_domain(site, site.hosts[HOST], read_state(scene), scene.namespaces[HOST])


def test_a_live_host_asks_what_it_can(scene: Builder) -> None:
    site = sites.production(
        sites.expect("vmserver", "guest_01", "reach", "tcp/443"),
        sites.expect("vmserver", "guest_03", "reach"),
        sites.expect("customer", "guest_01", "reach", "tcp/80"),
        sites.expect("vmserver", "guest_02", "no-reach", "tcp/1"),
        sites.expect("vmserver", "guest_01", "no-reach", "tcp/80"),
        sites.expect("vmserver", "guest_01", "reach", seen_as="vmserver"),
    )
    outcomes = judge(site, live(scene))
    assert [(o.observed, o.ok) for o in outcomes] == [
        ("reach", True), ("reach", True), ("not asked", None), ("not asked", None), ("reach", False), ("reach", None),
    ]  # fmt: skip
    assert outcomes[1].witness.sentence.startswith("left vmserver by eth2, crossed eth4 and br3, reply from")
    assert outcomes[3].witness.sentence == (
        "not asked, because nobody on internal that we can ask from can show that guest_02 answers at all"
    )


def test_a_live_target_without_known_address_is_not_asked(scene: Builder) -> None:
    site = sites.production(sites.expect("vmserver", "phone", "reach"))
    phone = replace(sites.machine("phone"), nics=(MachineNic(network="internal", dhcp=True),))
    unknown = judge(replace(site, machines={**site.machines, "phone": phone}), live(scene))[0]
    assert (unknown.ok, unknown.witness.sentence) == (None, "not asked, because no address of phone is known here")


def test_a_live_udp_server_that_is_silent_proves_nothing(scene: Builder) -> None:
    program = "import socket,time; s=socket.socket(2,2); s.bind(('',4000)); print(1,flush=True); time.sleep(60)"
    with scene.namespaces["guest_01"].entered():
        server = subprocess.Popen(["python3", "-c", program], stdout=subprocess.PIPE)
    try:
        assert server.stdout
        server.stdout.readline()
        wishes = [sites.expect("vmserver", "guest_01", "reach", f"udp/{port}") for port in (4000, 4001)]
        mute, closed = judge(sites.production(*wishes), live(scene))
    finally:
        server.kill()
        server.communicate()
    assert (mute.observed, mute.ok) == ("unproven", None)
    assert (closed.observed, closed.ok) == ("no-reach", False)
    assert "port unreachable" in closed.witness.reply
