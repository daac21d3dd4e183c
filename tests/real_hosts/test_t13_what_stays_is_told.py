"""T13: what somebody did by hand and no plan takes away is told by plan and verify, with what comes of it."""

from __future__ import annotations

from pathlib import Path

from tests.real_hosts.field import Field

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
    "bridge link set dev vnet0 state 0": ("vnet0", "the port is disabled and passes no frame"),
    "tc qdisc add dev vnet0 root tbf rate 1mbit burst 10k latency 50ms": ("vnet0", "the queue 'tbf'"),
    "ip link set vnet0 address {web}": ("vnet0", "wears the guest's own MAC"),
    "ip neigh replace 192.168.1.1 lladdr 02:66:00:00:00:01 dev br0 nud permanent": ("br0", "192.168.1.1 is fixed to"),
    "ip neigh add proxy 192.168.1.21 dev br0": ("br0", "answers for 192.168.1.21 (proxy), which is guest web's"),
    "ip route add blackhole 10.9.3.0/24": ("route", "10.9.3.0/24 goes blackhole, within 10.9.0.0/16"),
    "ip route change 10.9.0.0/16 via 192.168.1.50 mtu 1300": ("br0", "'mtu 1300' of the route 10.9.0.0/16"),
    "ip route del local 192.168.1.10 table local": ("br0", "the kernel's own route local 192.168.1.10 was taken away"),
    "ip -6 route del fd00::/64 dev br0": ("br0", "the kernel's own route fd00::/64 was taken away"),
    "ip addr change 192.168.1.10/24 dev br0 preferred_lft 0": ("br0", "192.168.1.10/24 is deprecated"),
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
