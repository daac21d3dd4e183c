"""T13: what somebody did by hand and no plan takes away is told by plan and verify, with what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.values import IfName
from bascule.plan.make import no_carrier
from bascule.providers.observe import observe
from bascule.site import parse
from tests.real_hosts.field import Field

pytestmark = pytest.mark.kernel

SITE = """\
site: t13
networks:
  office: {subnet: [192.168.1.0/24, 'fd00::/64'], gateway: 192.168.1.1}
hosts:
  kvm:
    nics: {eth0: {network: office}}
    bridges:
      br0:
        uplink: eth0
        address: [192.168.1.10/24, 'fd00::10/64']
        gateway: 192.168.1.1
        routes: [{to: 10.9.0.0/16, via: 192.168.1.50}]
      br1: {uplink: none}
    virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24}}
guests:
  web: {host: kvm, nics: [{bridge: br0, tap: vnet0, address: 192.168.1.21/24}]}
  db: {host: kvm, nics: [{bridge: br1, tap: vnet1}]}
"""
DONE = {  # by hand: who is named, and what is said of it
    "bridge link set dev vnet1 hairpin on": ("vnet1", "'hairpin on'"),
    "bridge link set dev vnet1 neigh_suppress on": ("vnet1", "'neigh_suppress on'"),
    "bridge link set dev vnet1 guard on": ("vnet1", "'guard on'"),
    "ip link set vnet1 type bridge_slave proxy_arp on": ("vnet1", "'proxy_arp on'"),
    "ip link set vnet1 type bridge_slave group_fwd_mask 8": ("vnet1", "'group_fwd_mask 8'"),
    "bridge link set dev vnet0 state 0": ("vnet0", "the port is in state disabled and passes no frame"),
    "tc qdisc add dev vnet0 root tbf rate 1mbit burst 10k latency 50ms": ("vnet0", "the queueing discipline 'tbf'"),
    "ip link set vnet0 address {web}": ("vnet0", "has the guest's own MAC"),
    "ip neigh replace 192.168.1.1 lladdr 02:66:00:00:00:01 dev br0 nud permanent": ("br0", "192.168.1.1 the MAC"),
    "ip neigh add proxy 192.168.1.21 dev br0": ("br0", "answers for 192.168.1.21 (proxy), which is guest web's"),
    "ip route add blackhole 10.9.3.0/24": ("route", "10.9.3.0/24 goes blackhole, within 10.9.0.0/16"),
    "ip route change 10.9.0.0/16 via 192.168.1.50 mtu 1300": ("br0", "'mtu 1300' of the route 10.9.0.0/16"),
    "ip route del local 192.168.1.10 table local": ("br0", "the kernel's own route local 192.168.1.10 was removed"),
    "ip -6 route del fd00::/64 dev br0": ("br0", "the kernel's own route fd00::/64 was removed"),
    "ip addr change 192.168.1.10/24 dev br0 preferred_lft 0": ("br0", "192.168.1.10/24 is deprecated"),
    "ip link set eth0 multicast off": ("eth0", "multicast is off, so programs that join groups on it receive nothing"),
    "ip rule del priority 32766": ("rule 32766", "the kernel's own is not there, so the routes of table main are"),
    "ip -6 rule del priority 32766": ("IPv6 rule 32766", "so the routes of table main are not used"),
    "sysctl net.ipv4.conf.br1.proxy_arp=1": ("br1", "with 'proxy_arp' the host answers there for every address"),
}


def test_t13_it_stays_and_is_told(real_host: Field) -> None:
    for tap in ("vnet0", "vnet1"):
        real_host.lab.tap(real_host.host, tap)
        real_host.ip(f"link set {tap} up")
    path = real_host.site(SITE)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    calm = real_host.plan(SITE)
    assert (calm.changes, [note for note in calm.notes if note.kind == "extra"]) == ((), [])
    web = "52:54:00:00:00:21"
    site = SITE.replace("tap: vnet0,", f"tap: vnet0, mac: '{web}',")
    for command in DONE:
        words = command.format(web=web).split()
        if words[0] == "sysctl":
            key, _, value = words[1].partition("=")
            with real_host.host.entered():
                Path("/proc/sys", key.replace(".", "/")).write_text(value)
        else:
            assert real_host.run(*words).returncode == 0, command
    plan = real_host.plan(site)
    assert plan.changes == ()
    checks = real_host.document("verify", real_host.site(site))["checks"]
    by_verb = {
        "plan": [(note.subject, note.text) for note in plan.notes if note.kind == "extra"],
        "verify": [(one["subject"], one["detail"]) for one in checks if one["ok"] is False],
    }
    unseen = [
        f"{verb}: {command}"
        for command, (subject, words) in DONE.items()
        for verb, lines in by_verb.items()
        if not any(who == subject and words in what for who, what in lines)
    ]
    assert unseen == []


def test_t13_a_written_address_has_no_end(real_host: Field) -> None:
    """It is there by a lease, which ends: without a client that renews it, the host would lose it then."""
    text = SITE
    nic = "eth0: {network: office, address: 192.168.1.10/24, gateway: 192.168.1.1}"
    text = text.replace("eth0: {network: office}", nic).split("    bridges:")[0]
    assert real_host.plan(text).changes == ()
    real_host.ip("addr change 192.168.1.10/24 dev eth0 valid_lft 500 preferred_lft 400")
    assert [one.action for one in real_host.plan(text).changes] == [
        "address 192.168.1.10/24, which does not end any more"
    ]
    assert real_host.plan(text.replace("address: 192.168.1.10/24, gateway: 192.168.1.1", "address: dhcp")).changes == ()
    path = real_host.site(text)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert "valid_lft forever" in real_host.ip("-4 addr show dev eth0")
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert "valid_lft forever" not in real_host.ip("-4 addr show dev eth0")


def test_t13_rules_of_the_kernels_own_that_others_stand_for(real_host: Field) -> None:
    """Cilium and others move the one of table local; one that is last and finds nothing is no loss."""
    real_host.batch("rule add priority 100 lookup local\nrule del priority 0\nrule del priority 32767\n")
    real_host.batch("rule add priority 32000 lookup main\nrule del priority 32766\n")
    assert real_host.bascule("apply", real_host.site(SITE), "--yes", "--no-confirm").returncode == 0
    assert not [note for note in real_host.plan(SITE).notes if note.subject.startswith("rule")]
    assert real_host.document("status")["drift"] == []
    real_host.ip("rule del priority 32000")
    assert [note.subject for note in real_host.plan(SITE).notes if note.subject.startswith("rule")] == ["rule 32766"]
    real_host.ip("rule add priority 32000 lookup main")  # without it the kernel takes no gateway
    assert real_host.bascule("undo", "--yes").returncode == 0
    left = real_host.ip("rule show")
    assert "32766" not in left, "nobody gave it back"
    assert "32767" not in left


def test_t13_what_is_ours_is_put_right(real_host: Field) -> None:
    """Flags, the MAC of a bridge without a wire; its mark is told, for nobody else could say whose the bridge is."""
    for tap in ("vnet0", "vnet1"):
        real_host.lab.tap(real_host.host, tap)
    path = real_host.site(SITE)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    made = real_host.ip("-br link show br1").split()[2]
    for words in ("br0 multicast off", "br1 multicast off", "br1 address 02:00:00:00:99:98"):
        real_host.ip(f"link set {words}")
    wanted = {("br0", "multicast on"), ("br1", "multicast on"), ("br1", f"change MAC from 02:00:00:00:99:98 to {made}")}
    assert {(one.subject, one.action) for one in real_host.plan(SITE).changes} == wanted
    assert set(real_host.document("status")["drift"]) == {f"{subject}: {action}" for subject, action in wanted}
    failed = [one for one in real_host.document("verify", path)["checks"] if one["ok"] is False]
    assert all(any(one["subject"] == who and action in one["detail"] for one in failed) for who, action in wanted)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert real_host.plan(SITE).changes == ()
    assert made in real_host.ip("link show br1")
    real_host.run("ip", "link", "set", "br1", "alias", "hello")
    told = [note.text for note in real_host.plan(SITE).notes if note.subject == "br1"]
    assert told[0].startswith("has lost Bascule's mark, its alias is 'hello': a removal of the bridge leaves it")
    assert told[0].endswith("(ip link set br1 alias bascule:t13)")
    failed = [one["detail"] for one in real_host.document("verify", path)["checks"] if one["subject"] == "br1"]
    assert any("has lost Bascule's mark" in one for one in failed)
    assert "br1: mark" in real_host.document("status")["drift"]


def test_t13_the_mac_of_a_guest_that_is_off_is_bound_to_another_port(real_host: Field) -> None:
    path = real_host.site(SITE)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    mac = parse(SITE.encode(), "site.yaml").guests["web"].nics[0].mac

    def said() -> list[str]:
        checks = real_host.document("verify", path)["checks"]
        return [one["detail"] for one in checks if (one["id"], one["subject"]) == ("mac-on-own-port", "web")]

    assert said() == []
    assert real_host.run("bridge", "fdb", "add", mac, "dev", "eth0", "master", "static").returncode == 0
    (words,) = said()
    assert words.startswith(f"somebody has bound {mac} to eth0 of br0 (a static entry): when it runs")


def test_t13_a_link_that_a_program_holds_down_says_so(real_host: Field) -> None:
    """FRR and switch daemons do it (protodown); no cable is missing."""
    real_host.ip("link add mv0 link eth1 type macvlan")
    real_host.ip("link set mv0 up")
    done = real_host.run("ip", "link", "set", "mv0", "protodown", "on")
    if done.returncode:
        pytest.skip(f"this kernel holds no macvlan down: {done.stderr.strip()}")
    with real_host.host.entered():
        held, free = (observe().links[IfName(name)] for name in ("mv0", "eth1"))
    assert no_carrier(held) == "a program holds it down (ip link set mv0 protodown off)"
    assert no_carrier(free) == "no cable, or its far end is down"
    assert not held.facts.carrier
