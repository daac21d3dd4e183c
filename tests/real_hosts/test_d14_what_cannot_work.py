"""D14: what cannot work is said before it is tried, with the reason and with whose it is."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.model.links import Bond, Bridge, Physical, read_kind
from bascule.model.state import HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.observe.held import whose
from bascule.plan.target.unbridgeable import refuse_unbridgeable
from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests.patience import wait_until
from tests.real_hosts.field import BASE, ONE_NIC, Field

MAC = Mac("02:00:00:00:00:11")
TWO = """\
site: two
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    nics:
      eth0: {network: office, address: 192.168.1.10/24}
      eth1: {network: office, address: 192.168.1.11/24}
"""


def kinds_made(field: Field) -> list[tuple[str, str]]:
    """Links of kinds that no bridge takes, as far as this kernel makes them."""
    tried = {
        "tun0": "tuntap add tun0 mode tun",
        "ipip0": "link add ipip0 type ipip remote 192.0.2.1 local 192.168.1.10",
        "sit9": "link add sit9 type sit remote 192.0.2.2 local 192.168.1.10",
        "gre9": "link add gre9 type gre remote 192.0.2.3 local 192.168.1.10",
        "wg0": "link add wg0 type wireguard",
        "ipv0": "link add link eth1 name ipv0 type ipvlan",
        "mv0": "link add link eth1 name mv0 type macvlan mode bridge",
    }
    made = [(name, words) for name, words in tried.items() if field.run("ip", *words.split()).returncode == 0]
    assert made, "the kernel makes none of them"
    return made


def test_d14_what_carries_no_ethernet_frames_is_named_by_the_plan(real_host: Field) -> None:
    field = real_host
    for name, _ in kinds_made(field):
        text = BASE.replace("eth1", name)
        said = field.document("plan", field.site(text), hostname="kvm")
        assert [problem["code"] for problem in said["problems"]] == ["NOT-BRIDGEABLE"], (name, said)
        if name != "mv0":  # of a macvlan the kernel takes it, and no guest's frame comes up through it
            field.ip("link add brx type bridge")
            assert field.run("ip", "link", "set", name, "master", "brx").returncode != 0, name
            field.ip("link del brx")
        field.ip(f"link del {name}")


KINDS = ("wireguard", "ipip", "sit", "gre", "vti", "xfrm", "ip6tnl", "ipvlan", "macvlan", "vrf", "gtp", "ovpn")


@pytest.mark.parametrize("kind", KINDS)
def test_d14_every_kind_that_no_bridge_takes(kind: str) -> None:
    site = parse(BASE.encode(), "site.yaml")
    host = site.hosts["kvm"]
    link = Link(name=IfName("eth1"), options=read_kind(kind, {}), facts=LinkFacts(index=7))
    with pytest.raises(Exception, match="NOT-BRIDGEABLE"):
        refuse_unbridgeable(site, host, HostState.of([link]))
    for fine in ("vxlan", "gretap", "geneve", "dummy", "veth", "macsec", "dsa", "team", "batadv"):
        there = Link(name=IfName("eth1"), options=read_kind(fine, {}), mac=MAC, facts=LinkFacts(index=7))
        refuse_unbridgeable(site, host, HostState.of([there]))


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (Link(name=IfName("eth1"), options=Bridge(), mac=MAC), "it is a bridge itself"),
        *(
            (Link(name=IfName("eth1"), options=Bond(mode=mode), mac=MAC), f"it is a bond of mode {mode}: ")
            for mode in ("balance-alb", "balance-tlb", "balance-rr")
        ),
        (
            Link(name=IfName("eth1"), options=Physical(), mac=MAC),
            "it is the CPU port of the switch chip with the ports lan1",
        ),
    ],
)
def test_d14_what_has_its_reason_elsewhere(link: Link, words: str) -> None:
    """A bridge under a bridge; a bond that the file does not name; the NIC through which a switch chip is fed."""
    site = parse(BASE.encode(), "site.yaml")
    links = [link]
    if isinstance(link.options, Physical):
        links.append(Link(name=IfName("lan1"), options=read_kind("dsa", {}), mac=MAC, parent=link.name))
    with pytest.raises(BasculeError, match=words):
        refuse_unbridgeable(site, site.hosts["kvm"], HostState.of(links))
    for mode in ("active-backup", "802.3ad", "balance-xor", "broadcast"):
        fine = Link(name=IfName("eth1"), options=Bond(mode=mode), mac=MAC)
        refuse_unbridgeable(site, site.hosts["kvm"], HostState.of([fine]))


def test_d14_a_containers_macvlan_is_in_the_way_with_its_name(real_host: Field) -> None:
    field = real_host
    container = field.lab.namespace("container")
    field.ip("link add link eth1 name mac0 type macvlan mode bridge")
    with container.entered():
        sleeper = subprocess.Popen(("sleep", "60"))
    try:
        field.ip(f"link set mac0 netns {sleeper.pid}")
        said = field.document("plan", field.site(BASE))
    finally:
        sleeper.kill()
        sleeper.wait()
    messages = [problem["message"] for problem in said["problems"] if problem["code"] == "NIC-SHARED"]
    expected = f"the macvlan mac0 in the network namespace of process {sleeper.pid} (sleep)"
    assert messages == [f"eth1 cannot become a port of br0 while {expected} sits on it"], said


def test_d14_a_macvlan_of_the_hosts_own_is_no_guests(real_host: Field) -> None:
    """A hand or a manager made it: no guest that is shut down takes it away."""
    real_host.ip("link add link eth1 name mac0 type macvlan mode bridge")
    done = real_host.bascule("plan", real_host.site(BASE))
    assert "eth1 cannot become a port of br0 while the macvlan mac0 sits on it" in done.stderr
    assert "hint: remove it (ip link del mac0), and create it again on br0" in done.stderr


def test_d14_whose_a_namespace_is_by_its_control_group(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "comm").write_text("sh\n")
    for group, words in {
        "0::/system.slice/docker-" + "a1" * 32 + ".scope": "Docker container a1a1a1a1a1a1",
        "0::/machine.slice/libpod-" + "b2" * 32 + ".scope/container": "Podman container " + "b2" * 32,
        "0::/lxc.payload.web/init.scope": "LXC container web",
        "0::/machine.slice/machine-build.scope": "machine build",
    }.items():
        (folder / "cgroup").write_text(group + "\n")
        assert whose(folder, folder / "ns/net") == words


def test_d14_two_addressed_links_of_one_subnet_answer_for_their_own_only(real_host: Field) -> None:
    field = real_host
    path = field.site(TWO)
    checked = field.document("check", path)
    assert checked["ok"]
    assert "sends to that subnet by one of them only" in checked["mind"][0]["text"]
    said = field.document("plan", path)
    assert any("eth0 and eth1 both have an address in 192.168.1.0/24" in text for text in said["mind"])
    for parameter in ("eth1/arp_ignore=1", "eth0/arp_announce=2"):
        assert f"sysctl -q -w net/ipv4/conf/{parameter}" in said["commands"]
    field.ip("addr add 192.168.1.11/24 dev eth1")  # before the change either NIC answers for both
    wait_until(lambda: answered_by(field.pc, "192.168.1.50", "192.168.1.10") == 2, 5, "both to answer")
    done = field.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: answered_by(field.pc, "192.168.1.50", "192.168.1.10") > 0, 5, "an answer")
    assert answered_by(field.pc, "192.168.1.50", "192.168.1.10") == 1


def test_d14_two_addressed_links_of_one_ipv6_subnet(shared_host: Field) -> None:
    """Each answers for its own address by itself; the host sends by one of them all the same."""
    text = TWO.replace("192.168.1.0/24", "fd00::/64").replace("192.168.1.10/24", "'fd00::10/64'")
    path = shared_host.site(text.replace("192.168.1.11/24", "'fd00::11/64'").replace(", gateway: 192.168.1.1", ""))
    (said,) = shared_host.document("check", path)["mind"]
    assert "eth0 and eth1 both have an address in fd00::/64 on office" in said["text"]
    assert "ARP" not in said["text"]
    assert not [line for line in shared_host.document("plan", path)["commands"] if "arp_ignore" in line]


def answered_by(where: Namespace, asker: str, address: str) -> int:
    """How many MACs answer an ARP request that is heard by all NICs of the wire."""
    with where.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as sock:
        sock.bind(("eth0", 0x0806))
        own = sock.getsockname()[4]
        ends = own + socket.inet_aton(asker), bytes(6) + socket.inet_aton(address)
        sock.send(b"\xff" * 6 + own + bytes.fromhex("0806000108000604") + b"\0\1" + b"".join(ends))
        sock.settimeout(1)
        found = set()
        with contextlib.suppress(TimeoutError):
            while True:
                frame = sock.recv(64)
                if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(address):
                    found.add(frame[22:28])
    return len(found)


def test_d14_a_wireless_uplink_is_told_by_check(shared_host: Field) -> None:
    said = shared_host.document("check", shared_host.site(BASE.replace("eth1", "wlp3s0")))
    assert said["ok"]
    assert "in station mode no guest is ever answered" in said["mind"][0]["text"]


def test_d14_the_nic_that_led_to_a_subnet_of_two_leads_there_after_the_change_and_after_undo(real_host: Field) -> None:
    """The kernel goes by the first of its routes to a subnet, and puts that of a new address behind the others."""
    field = real_host
    field.batch("addr add 192.168.1.11/24 dev eth1\naddr add 10.0.0.1/24 dev eth1\naddr add 10.0.0.2/24 dev eth0\n")

    def led() -> list[tuple[str, str]]:
        return [(one["dst"], one["dev"]) for one in json.loads(field.ip("-j route show proto kernel"))]

    before = led()
    assert before == [("10.0.0.0/24", "eth1"), ("10.0.0.0/24", "eth0"),
                      ("192.168.1.0/24", "eth0"), ("192.168.1.0/24", "eth1")]  # fmt: skip
    path = field.site(ONE_NIC)
    assert field.bascule("apply", path, "--yes", "--confirm-within", "10m").returncode == 0
    assert led() == [(subnet, "br0" if dev == "eth0" else dev) for subnet, dev in before]
    assert field.document("plan", path)["changes"] == []
    renamed = field.site(ONE_NIC.replace("br0", "br7"), "renamed.yaml")
    assert field.bascule("confirm").returncode == 0
    assert field.bascule("apply", renamed, "--yes", "--no-confirm").returncode == 0
    assert led() == [(subnet, "br7" if dev == "eth0" else dev) for subnet, dev in before]
    assert field.bascule("undo").returncode == field.bascule("undo").returncode == 0
    assert led() == before
