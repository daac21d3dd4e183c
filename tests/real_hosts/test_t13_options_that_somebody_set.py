"""T13: what somebody sets on our bridges and their ports is drift: plan puts it right, verify and status name it."""

from __future__ import annotations

import pytest

from bascule.model.links import Bridge
from bascule.model.values import IfName
from bascule.persist.dialect import dialect
from tests.real_hosts.field import BASE, Field

SITE = BASE.partition("expect:")[0]
SET = {  # what somebody sets: the link, and the words that the plan has for putting it right
    "link set br0 type bridge group_fwd_mask 0x4008": ("br0", "set group_fwd_mask 0"),
    "link set br0 type bridge mcast_router 2": ("br0", "set mcast_router 1"),
    "link set br0 type bridge nf_call_iptables 1": ("br0", "set nf_call_iptables 0"),
    "link set br0 arp off": ("br0", "ARP on"),
    "link set eth1 type bridge_slave mcast_router 2": ("eth1", "port mcast_router 1"),
    "link set eth1 type bridge_slave proxy_arp on": ("eth1", "port proxy_arp off"),
}


@pytest.mark.parametrize(
    "line",
    ["echo 0x4008 > /sys/class/net/$IFACE/bridge/group_fwd_mask", "ip link set br0 type bridge group_fwd_mask 16392"],
)
def test_t13_what_a_line_of_interfaces_sets_is_read(line: str) -> None:
    """As Proxmox's forum has it, for LLDP and LACP through a bridge."""
    text = f"auto br0\niface br0 inet manual\n  bridge_ports eth1\n  post-up {line}\n"
    options = dialect("ifupdown").parse({"etc/network/interfaces": text}, {}).config.links[IfName("br0")].options
    assert isinstance(options, Bridge)
    assert options.group_fwd_mask == 0x4008


@pytest.fixture(scope="module")
def host(shared_host: Field) -> Field:
    assert shared_host.bascule("apply", shared_host.site(SITE), "--yes", "--no-confirm").returncode == 0
    return shared_host


def test_t13_what_somebody_sets_on_our_bridge_and_its_ports_is_drift(host: Field) -> None:
    path = host.site(SITE)
    assert host.document("plan", path)["changes"] == []
    for words in SET:
        host.ip(words)
    planned = {(x["subject"], x["action"]) for x in host.document("plan", path)["changes"]}
    said = " ".join(f"{subject}: {action};" for subject, action in planned)
    for subject, action in SET.values():
        assert any(x == subject and set(action.split()) <= set(y.split()) for x, y in planned), (action, said)
    failed = {x["subject"] for x in host.document("verify", path)["checks"] if x["ok"] is False}
    assert {"br0", "eth1"} <= failed
    drift = str(host.document("status"))
    for word in ("group_fwd_mask", "mcast_router", "nf_call_iptables", "ARP", "proxy_arp"):
        assert word in drift, (word, drift)
    assert host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert host.document("plan", path)["changes"] == []
    assert "NOARP" not in host.ip("link show br0")


def test_t13_arp_off_on_the_hosts_own_nic_is_told_and_left(host: Field) -> None:
    host.ip("link set eth0 arp off")
    try:
        document = host.document("plan", host.site(SITE))
        assert any(text.startswith("eth0: ARP is off") for text in document["mind"]), document["mind"]
        assert not [x for x in document["changes"] if x["subject"] == "eth0"]
    finally:
        host.ip("link set eth0 arp on")
