"""D11: rules, sockets, programs, parameters and neighbours that name a NIC which loses its address."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bascule.model.state import HostState
from bascule.plan.address_migration import moved_parameters
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
    field.ip("link add vx7 type vxlan id 7 dev eth0 remote 192.168.1.1 dstport 4789")
    ipsec = (
        "xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dev {} dir out tmpl src 192.168.1.10 dst 192.168.1.1 proto esp"
    )
    field.ip(ipsec.format("eth0"))
    field.ip(ipsec.format("eth1").replace("10.2.", "10.3."))
    endpoint = "mptcp endpoint add 192.168.1.10 dev eth0 id 3 subflow signal"
    mptcp = field.run("ip", *endpoint.split()).returncode == 0
    field.environment["HAS_MPTCP"] = "yes" if mptcp else ""
    with field.host.entered():
        for version, option, group in (
            (socket.AF_INET, socket.IP_ADD_MEMBERSHIP, "239.1.2.3"),
            (socket.AF_INET6, socket.IPV6_JOIN_GROUP, "ff02::5"),
        ):
            member = socket.socket(version, socket.SOCK_DGRAM)
            index = socket.if_nametoindex("eth0")
            rest = index.to_bytes(4, sys.byteorder) if version == socket.AF_INET6 else socket.inet_aton("192.168.1.10")
            level = socket.IPPROTO_IPV6 if version == socket.AF_INET6 else socket.IPPROTO_IP
            member.setsockopt(level, option, socket.inet_pton(version, group) + rest)
            request.addfinalizer(member.close)
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
        'your own table inet filter: iifname "eth0" tcp dport 22 accept',
        "iifname @lan udp dport 53 accept",
        'iifname != "eth0" (which applies to br0 from now on)',
        "table ip filter (Docker): -A DOCKER-USER -i eth+ -j RETURN",
        "-A FORWARD -i eth0",
        "tcp 0.0.0.0 port 8080",
        "lan.conf:2: interface=eth0",
        "clsact",
        "nft's chain in of table netdev edge",
        "enp3s0",
        "programs have joined 239.1.2.3, ff02::5 on it",
        "the tunnel vx7 (vxlan) sends over this link only",
        "IPsec's policy 10.1.0.0/24 → 10.2.0.0/24 is bound to this link, and does not apply to packets on br0",
        "192.168.1.10 (id 3, subflow, signal) is bound to it: it carries no subflow"
        if named.environment["HAS_MPTCP"]
        else "",
    ):
        assert words in said, words
    assert "eth1" not in said, "a rule about another NIC is none of this plan's"


def test_d11_how_it_looks_for_neighbours_goes_along_where_the_defaults_are_known() -> None:
    """Another namespace than the first one has no net/ipv4/neigh/default; lo is as the kernel made it in each."""
    own = {"net/ipv4/neigh/eth0/gc_stale_time": "99", "net/ipv6/neigh/eth0/retrans_time_ms": "1000"}
    defaults = {"net/ipv4/neigh/default/gc_stale_time": "60", "net/ipv6/neigh/default/retrans_time_ms": "1000"}
    moved = {"net/ipv4/neigh/br0/gc_stale_time": "99"}
    assert moved_parameters(HostState(sysctls=own | defaults), "eth0", "br0", {}) == moved
    in_others = {key.replace("/default/", "/lo/"): value for key, value in defaults.items()}
    assert moved_parameters(HostState(sysctls=own | in_others), "eth0", "br0", {}) == moved
    assert moved_parameters(HostState(sysctls=own), "eth0", "br0", {}) == {}


def test_d11_what_an_ordinary_host_hands_over_is_short(shared_host: Field) -> None:
    """Nothing that the kernel gives to every link by itself."""
    made = [one["action"] for one in shared_host.document("plan", shared_host.site(ONE_NIC))["changes"]]
    assert not [action for action in made if " = " in action and "autoconf" not in action], made


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
    changes = field.document("plan", path)["changes"]
    assert {one["reason"] for one in changes if one["subject"].startswith("rule ")} == {
        "eth0 gives its addresses to br0"
    }
    assert there() == ("eth0", "eth0", ["eth0"])
    done = field.bascule("apply", path, "--yes", "--confirm-within", "600s")
    assert done.returncode == 0, done.stderr
    assert there() == ("br0", "br0", ["br0"])
    assert parameters("br0") == PARAMETERS
    assert field.document("plan", path)["changes"] == []
    undone = field.bascule("undo")
    assert undone.returncode == 0, undone.stdout
    assert there() == ("eth0", "eth0", ["eth0"])
    assert parameters("eth0") == PARAMETERS


OWN_FILES = {  # of each dialect: the file for eth0 with a policy rule in it, as the distribution's manual has it
    "networkd": ("etc/systemd/network/20-lan.network", ("[Match]\nName=eth0\n[Network]\nAddress=192.168.1.10/24\n"
                 "Gateway=192.168.1.1\n[RoutingPolicyRule]\nFrom=10.9.0.0/16\nTable=88\nPriority=600\n")),
    "netplan": ("etc/netplan/01.yaml", ("network: {version: 2, ethernets: {eth0: {addresses: [192.168.1.10/24], "
                "routing-policy: [{from: 10.9.0.0/16, table: 88, priority: 600}]}}}\n")),
    "ifupdown": ("etc/network/interfaces", ("auto eth0\niface eth0 inet static\n  address 192.168.1.10/24\n"
                 "  up ip rule add from 10.9.0.0/16 table 88 priority 600\n")),
    "keyfile": ("etc/NetworkManager/system-connections/lan.nmconnection", ("[connection]\nid=lan\ntype=ethernet\n"
                "interface-name=eth0\n[ipv4]\nmethod=manual\naddress1=192.168.1.10/24\n"
                "routing-rule1=priority 600 from 10.9.0.0/16 table 88\n")),
    "ifcfg": ("etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nONBOOT=yes\nIPADDR=192.168.1.10\nPREFIX=24\n"),
}  # fmt: skip
SAYS = {  # how its files say the three for the next boot; None: a note says that they do not
    "networkd": ("IncomingInterface=br0", "LinkLayerAddress=02:00:00:00:00:77", "IPv6ProxyNDPAddress=2001:db8::7"),
    "netplan": ("IncomingInterface=br0", "LinkLayerAddress=02:00:00:00:00:77", "IPv6ProxyNDPAddress=2001:db8::7"),
    "ifupdown": ("up ip rule add priority 500 from all iif br0 table 77",
                 "up ip neigh replace 192.168.1.77 lladdr 02:00:00:00:00:77 dev br0 nud permanent",
                 "up ip neigh replace proxy 2001:db8::7 dev br0"),
    "keyfile": ("=priority 500 from all iif br0 table 77", None, None),
    "ifcfg": ("priority 500 from all iif br0 table 77", None, None),
}  # fmt: skip


@pytest.mark.parametrize("dialect", SAYS)
def test_d11_what_goes_along_is_written_for_the_next_boot_or_named(named: Field, tmp_path: Path, dialect: str) -> None:
    path, text = OWN_FILES[dialect]
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    named.ip("rule add from 10.9.0.0/16 lookup 88 priority 600")
    named.ip("rule add oif eth0 lookup 77 priority 501")
    try:
        site = named.site(ONE_NIC.replace("  kvm:\n", f"  kvm:\n    persist: {dialect}\n"), f"{dialect}.yaml")
        plan = named.document("plan", site, "--root", str(tmp_path))
    finally:
        named.ip("rule del priority 501")
        named.ip("rule del priority 600")
    written = "".join(one["diff"] for one in plan["files"] if one["action"] == "write")
    notes = [f"{note['subject']} {note['text']}" for note in plan["notes"] if note["kind"] == "along"]
    (kept,) = (note for note in notes if "rule 500" in note and "written for the next boot" in note)
    lost = "".join(note for note in notes if "does not support it" in note)
    assert "rule 501 (from all oif br0" in kept
    assert not lost or f"{dialect} does not support it" in lost
    told = ("rule 500 (from all iif br0", "permanent neighbour 192.168.1.77", "proxy NDP 2001:db8::7")
    for words, line in zip(told, SAYS[dialect], strict=True):
        assert words in (kept if line else lost)
        assert (line or "") in written
    if dialect != "ifcfg":  # whose rules stand in a file of their own, which stays
        assert "10.9.0.0/16" in written, "the rule of the file that goes aside"


def test_d11_a_nic_without_an_address_takes_nothing_away(named: Field) -> None:
    site = ONE_NIC.replace("eth0: {network: office}}", "eth0: {network: office, address: 192.168.1.10/24}, eth1: {}}")
    assert "is named in chain" not in mind(named, site.replace("uplink: eth0, address: from-uplink", "uplink: eth1"))
