"""D11: rules, sockets, programs, parameters and neighbours that name a NIC which loses its address."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from bascule.system.run import find_tool
from tests.lab import Lab
from tests.real_hosts.field import ONE_NIC, Field, furnished

INPUT = """\
table inet filter {
  set lan { type ifname; elements = { "eth0", "eth9" }; }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname "lo" accept
    meta l4proto { icmp, ipv6-icmp } accept
    iifname "eth0" tcp dport 22 accept
    iifname @lan udp dport 53 accept
    iifname "eth1" tcp dport 25 accept
    iifname != "eth0" counter
  }
}
table netdev edge {
  chain in {
    type filter hook ingress device eth0 priority 0;
  }
}
"""
WRITTEN = ONE_NIC.replace("address: from-uplink", "address: 192.168.1.10/24, gateway: 192.168.1.1")
PARAMETERS = {"ipv4/conf/{}/proxy_arp": "1", "ipv4/conf/{}/rp_filter": "2", "ipv4/conf/{}/arp_announce": "2",
              "ipv6/conf/{}/proxy_ndp": "1", "ipv4/conf/{}/forwarding": "1"}  # fmt: skip


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Field:
    """A host on which much names eth0; all tests of this file look at it, and take back what they do."""
    from tests.lab import open_lab

    manager = open_lab()
    lab: Lab = manager.__enter__()
    request.addfinalizer(lambda: manager.__exit__(None, None, None))
    field = furnished(lab, tmp_path_factory.mktemp("named"))
    with field.host.entered():
        subprocess.run(("nft", "-f", "-"), input=INPUT, text=True, check=True)
        for key, value in PARAMETERS.items():
            Path("/proc/sys/net", key.format("eth0")).write_text(value)
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        bound.bind(("", 8080))
        bound.listen()
        config = field.folder / "lan.conf"
        config.write_text("# the office\ninterface=eth0\nbind-dynamic\nno-resolv\n")
        server = subprocess.Popen((find_tool("dnsmasq"), "--keep-in-foreground", f"--conf-file={config}",
                                   "--user=root", f"--pid-file={field.folder}/pid"))  # fmt: skip
    field.run("iptables-nft", "-N", "DOCKER-USER")
    field.run("iptables-nft", "-A", "DOCKER-USER", "-i", "eth+", "-j", "RETURN")
    field.run("iptables-nft", "-A", "FORWARD", "-i", "eth0", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    field.batch(
        "rule add iif eth0 lookup 77 priority 500\n"
        "neigh add 192.168.1.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent\n"
        "neigh add proxy 2001:db8::7 dev eth0\nlink property add dev eth0 altname enp3s0\n"
    )
    field.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    request.addfinalizer(bound.close)
    request.addfinalizer(server.wait)
    request.addfinalizer(server.terminate)
    return field


def mind(field: Field, site: str) -> str:
    notes = field.document("plan", field.site(site))["notes"]
    return "\n".join(f"{n['subject']} {n['text']}" for n in notes if n["kind"] == "warning")


@pytest.mark.parametrize("site", [ONE_NIC, WRITTEN], ids=["from-uplink", "written"])
def test_d11_everything_that_names_the_nic_is_said_with_its_owner_and_line(named: Field, site: str) -> None:
    said = mind(named, site)
    assert "new SSH connections to this host fail" in said
    assert "tcp/22 (SSH, IPv4)" in said
    for words in (
        "your own table inet filter: iifname eth0 tcp dport 22 accept",
        "iifname @lan udp dport 53 accept",
        "iifname != eth0 (which is about br0 from now on)",
        "table ip filter (Docker): -A DOCKER-USER -i eth+ -j RETURN",
        "-A FORWARD -i eth0",
        "tcp 0.0.0.0 port 8080",
        "lan.conf:2: interface=eth0",
        "clsact",
        "nft's chain in of table netdev edge",
        "enp3s0",
    ):
        assert words in said, words
    assert "eth1" not in said, "a rule about another NIC is none of this plan's"


def test_d11_what_can_go_along_goes_along_and_comes_back(named: Field) -> None:
    field, path = named, named.site(ONE_NIC)

    def there() -> tuple[str, str, list[str]]:
        (rule,) = (entry for entry in json.loads(field.ip("-j rule show")) if entry["priority"] == 500)
        (neighbour,) = json.loads(field.ip("-j neigh show nud permanent"))
        proxies = [entry["dev"] for entry in json.loads(field.ip("-j neigh show proxy"))]
        return rule["iif"], neighbour["dev"], proxies

    def parameters(link: str) -> dict[str, str]:
        with field.host.entered():
            return {key: Path("/proc/sys/net", key.format(link)).read_text().strip() for key in PARAMETERS}

    along = [n["text"] for n in field.document("plan", path)["notes"] if n["kind"] == "along"]
    assert any("rule 500" in text and "neighbour 192.168.1.77" in text for text in along)
    assert there() == ("eth0", "eth0", ["eth0"])
    done = field.bascule("apply", path, "--yes", "--confirm-within", "60s")
    assert done.returncode == 0, done.stderr
    assert there() == ("br0", "br0", ["br0"])
    assert parameters("br0") == PARAMETERS
    assert field.document("plan", path)["changes"] == []
    undone = field.bascule("undo")
    assert undone.returncode == 0, undone.stdout
    assert there() == ("eth0", "eth0", ["eth0"])
    assert parameters("eth0") == PARAMETERS


def test_d11_a_nic_without_an_address_takes_nothing_away(named: Field) -> None:
    site = ONE_NIC.replace("eth0: {network: office}}", "eth0: {network: office, address: 192.168.1.10/24}, eth1: {}}")
    assert "is named in chain" not in mind(named, site.replace("uplink: eth0, address: from-uplink", "uplink: eth1"))
