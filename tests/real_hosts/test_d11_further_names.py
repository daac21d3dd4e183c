"""D11: further things that know a NIC: raw and connected sockets, next hops, labels, groups, multicast routing."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.errors import BasculeError, Problem
from bascule.model.state import HostState
from bascule.plan.warnings.named_links import notes_of_ports
from bascule.system.run import Result, run
from bascule.topology.trace.rules.naming import GROUPS
from tests.lab import called, open_lab
from tests.real_hosts import xdp
from tests.real_hosts.field import BASE, ONE_NIC, Field, furnished

ALL_TYPES, EXPERIMENTAL, LLDP = 3, 0x88B5, 0x88CC  # linux/if_ether.h
MRT_INIT, MRT_ADD_VIF, IGMP = 200, 202, 2  # linux/mroute.h
RULES = """\
table inet f {
  chain input {
    type filter hook input priority 0; policy accept
    iifgroup 5 tcp dport 7777 accept
    iifgroup { 6, 7 } tcp dport 7778 accept
  }
}
"""
FURNITURE = """\
addr add 2001:db8:1::10/64 dev eth0 nodad
addr add 239.1.1.1/32 dev eth0 autojoin
addrlabel add prefix 2001:db8::/32 dev eth0 label 9
nexthop add id 7 via 192.168.1.1 dev eth0
route add 10.8.0.0/16 nhid 7
link set eth0 group 5
neigh add 2001:db8:1::88 lladdr 02:00:00:00:00:88 dev eth0 nud permanent router
neigh add 192.168.1.90 lladdr 02:00:00:00:00:90 dev eth0 nud permanent extern_learn
neigh add proxy 2001:db8:1::99 dev eth0 router
neigh add 192.168.1.91 lladdr 02:00:00:00:00:91 dev eth0 nud noarp
neigh add 2001:db8:1::91 lladdr 02:00:00:00:00:91 dev eth0 nud noarp router
neigh add 192.168.1.93 dev eth0 managed
"""
PARAMETERS = {"ipv4/conf/{}/arp_evict_nocarrier": "0", "ipv4/conf/{}/bootp_relay": "1",
              "ipv6/conf/{}/disable_policy": "1", "ipv6/conf/{}/enhanced_dad": "0",
              "ipv6/conf/{}/ndisc_evict_nocarrier": "0", "ipv6/conf/{}/mtu": "1400",
              "ipv6/conf/{}/router_solicitation_delay": "3"}  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        field = furnished(lab, tmp_path_factory.mktemp("known"))
        field.batch(FURNITURE)
        with field.host.entered():
            subprocess.run(("nft", "-f", "-"), input=RULES, text=True, check=True)
            for key, value in PARAMETERS.items():
                Path("/proc/sys/net", key.format("eth0")).write_text(value)
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 89)
            connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for sock in (raw, connected):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
                lab.keep(sock.close)
            connected.connect(("192.168.1.50", 51820))
            for kind in (ALL_TYPES, EXPERIMENTAL, LLDP):
                packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
                packets.bind(("eth0", kind))
                lab.keep(packets.close)
            program = subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)", "-ieth0"))
            lab.keep(program.wait)
            lab.keep(program.kill)
        yield field


@pytest.fixture(scope="module")
def mind(known: Field) -> str:
    notes = known.document("plan", known.site(ONE_NIC))["notes"]
    return "\n".join(f"{n['subject']} {n['text']}" for n in notes if n["kind"] == "warning")


@pytest.mark.parametrize("words", [
    "is connected to 192.168.1.50:51820 over this link only (udp): that connection breaks; let it use br0",
    "-ieth0)",
    "the next hop 7 (via 192.168.1.1 dev eth0) stays there",
    "run 'ip addrlabel add prefix 2001:db8::/32 label 9 dev br0'",
    "iifgroup 5 tcp dport 7777 accept, by its group 5, in which br0 is not",
])  # fmt: skip
def test_d11_it_is_said(mind: str, words: str) -> None:
    assert words in mind


def test_d11_a_raw_socket_is_said(known: Field, mind: str) -> None:
    if "%eth0" not in known.run("ss", "-H", "-n", "-a", "-w").stdout:
        pytest.skip("this kernel does not tell which link a raw socket is bound to (CONFIG_INET_RAW_DIAG)")
    assert "listens on this link alone (raw 89 0.0.0.0)" in mind


def test_d11_a_packet_socket_is_said_where_the_bridge_takes_its_frames(mind: str) -> None:
    """One for every type sees each frame before the bridge does, and what is for the NIC alone no bridge takes."""
    assert "listens on this link alone" in mind and "packet frames of type 0x88b5" in mind
    assert "every frame" not in mind and "0x88cc" not in mind


def test_d11_of_which_port_ssh_is_is_known_under_sudo(real_host: Field) -> None:
    """sudo drops SSH_CONNECTION; the session above it still has it."""
    with real_host.host.entered():
        rules = "table inet f { chain i { type filter hook input priority 0; policy drop; %s accept; }; }"
        text = rules % 'iifname "eth0" tcp dport 2222'
        subprocess.run(("nft", "-f", "-"), input=text, text=True, check=True)
        script = f"env -u SSH_CONNECTION {sys.executable} -m bascule plan {real_host.site(ONE_NIC)}; exit $?"
        with called("kvm"):
            env = real_host.env("192.168.1.50 40000 192.168.1.10 2222")
            done = subprocess.run(("sh", "-c", script), env=env, capture_output=True, text=True, check=False)
    assert "tcp/2222 (SSH, IPv4)" in " ".join(done.stdout.split()), done.stdout + done.stderr


def test_d11_what_is_not_about_it_is_not_said(mind: str) -> None:
    assert "7778" not in mind, "a rule about other groups"
    assert "239.1.1.1" not in mind, "it joins by itself wherever its address is"


@pytest.mark.parametrize("text", ["iifgroup 5 accept", "oifgroup != 5 drop", "iifgroup { 4, 5 } drop",
                                  "-A INPUT -m devgroup --src-group 5 -j DROP"])  # fmt: skip
def test_d11_a_rule_names_a_group(text: str) -> None:
    assert any("5" in found for found in GROUPS.findall(text))


def test_d11_flags_of_neighbours_and_rarer_parameters_go_along(known: Field) -> None:
    def there(link: str) -> list[str]:
        asked = ("neigh show nud permanent", "-6 neigh show proxy", "neigh show nud noarp")
        lines = [line for words in asked for line in known.ip(words).splitlines()]
        lines = [line for line in lines if "lladdr 01:" not in line and "lladdr 33:" not in line]  # groups
        lines += [
            line.split()[0] for line in known.ip(f"neigh show dev {link} nud all").splitlines() if "managed" in line
        ]
        with known.host.entered():
            kept = [Path("/proc/sys/net", key.format(link)).read_text().strip() for key in PARAMETERS]
        return sorted(line.replace(f"dev {link}", "dev NIC") for line in lines) + kept

    before = there("eth0")
    assert any("router" in line for line in before)
    done = known.bascule("apply", known.site(ONE_NIC), "--yes", "--confirm-within", "10m")
    assert done.returncode == 0, done.stderr
    assert there("br0") == before
    undone = known.bascule("undo")
    assert undone.returncode == 0
    assert there("eth0") == before
    assert "10.8.0.0/16 nhid 7 via 192.168.1.1 dev eth0" in known.ip("route show")
    assert "nhid" not in undone.stdout


def test_d11_next_hop_objects_come_back_with_their_routes(real_host: Field) -> None:
    """Of each kind, both families; one that somebody took away meanwhile is named."""
    real_host.batch(
        "addr add fd00:9::10/64 dev eth0 nodad\n"
        "nexthop add id 11 via 192.168.1.1 dev eth0\nnexthop add id 12 via 192.168.1.50 dev eth0\n"
        "nexthop add id 20 group 11/12\nnexthop add id 31 via fd00:9::1 dev eth0\n"
        "nexthop add id 41 via 192.168.1.50 dev eth0\n"
        "route add 10.60.0.0/16 nhid 11\nroute add 10.70.0.0/16 nhid 20 metric 5 table 9\n"
        "route add fd00:60::/48 nhid 31\nroute add 10.80.0.0/16 nhid 41\n"
    )

    def there() -> list[str]:
        lines = (real_host.ip(f"{family} route show table all").splitlines() for family in ("-4", "-6"))
        return sorted(line for some in lines for line in some if "nhid" in line)

    before = there()
    assert len(before) == 4
    done = real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--confirm-within", "10m")
    assert done.returncode == 0, done.stderr
    assert there() == []
    real_host.ip("nexthop del id 41")
    undone = real_host.bascule("undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert there() == [line for line in before if "nhid 41" not in line]
    said = "the route 10.80.0.0/16 is back by 192.168.1.50 alone: the next hop 41, which it used, is not there any more"
    assert " ".join(undone.stdout.split()).count(said) == 1
    assert "nhid" not in " ".join(undone.stdout.split()).replace("route replace … nhid", "")


def test_d11_a_route_of_several_next_hops_moves_once(real_host: Field) -> None:
    """Of both families, and where one of its links stays as it is."""
    real_host.batch(
        "addr add fd00:9::10/64 dev eth0 nodad\naddr add 10.1.0.1/24 dev eth1\n"
        "route add 10.50.0.0/16 nexthop via 192.168.1.1 nexthop via 192.168.1.50 weight 2\n"
        "route add fd00:50::/48 nexthop via fd00:9::1 nexthop via fd00:9::2\n"
        "route add 10.51.0.0/16 nexthop via 192.168.1.1 nexthop via 10.1.0.2\n"
    )
    said = real_host.document("plan", real_host.site(ONE_NIC))["own_line"]
    assert [line for line in said if line.startswith("the route")] == [
        "the route default via 192.168.1.1 moves from eth0 to br0",
        "the route 10.50.0.0/16 nexthop via 192.168.1.1 nexthop via 192.168.1.50 weight 2 moves from eth0 to br0",
        "the route 10.51.0.0/16 nexthop via 192.168.1.1 nexthop via 10.1.0.2 moves from eth0 and eth1 to br0 and eth1",
        "the route fd00:50::/48 nexthop via fd00:9::1 nexthop via fd00:9::2 moves from eth0 to br0",
    ]


def test_d11_an_interface_of_multicast_routing(known: Field) -> None:
    with known.host.entered():
        index = socket.if_nametoindex("eth0")
        router = socket.socket(socket.AF_INET, socket.SOCK_RAW, IGMP)
        with router:
            try:
                router.setsockopt(socket.IPPROTO_IP, MRT_INIT, 1)
                vif = struct.pack("=HBBIiI", 0, 8, 1, 0, index, 0)  # VIFF_USE_IFINDEX
                router.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, vif)
            except OSError as error:
                pytest.skip(f"this kernel has no multicast routing: {error}")
            notes = known.document("plan", known.site(ONE_NIC))["notes"]
    assert any("is an interface of multicast routing (IPv4)" in note["text"] for note in notes)


def test_d11_a_rule_that_asks_for_the_way_back_asks_for_it_after_the_change(real_host: Field) -> None:
    """rp_filter's rule of iptables: the way back leads by br0 then, so nothing of what comes in is lost."""
    rule = ("iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-m", "rpfilter", "--invert", "-j", "DROP")
    if (done := real_host.run(*rule)).returncode:
        pytest.skip(f"this kernel has no rpfilter: {done.stderr.strip()}")
    path = real_host.site(ONE_NIC)
    texts = [note["text"] for note in real_host.document("plan", path)["notes"]]
    assert not [text for text in texts if "new SSH connections" in text]


def test_what_an_ordinary_user_cannot_see_is_said_with_the_link(known: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bascule.observe.named_links.os.geteuid", lambda: 1000)
    notes = known.plan(ONE_NIC).notes
    (note,) = [note for note in notes if note.subject == "not asked" and "sockets" in note.text]
    assert note.text == "sockets and files of others are visible to root only: what else names eth0 is not known"


def test_what_cannot_be_asked_is_said_once(known: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two questions to a program that is not installed."""
    asked: list[tuple[str, ...]] = []

    def without_ss(argv: tuple[str, ...]) -> Result:
        if argv[0] == "ss":
            asked.append(argv)
            raise BasculeError(Problem(code="TOOL-MISSING", message="'ss' is not in PATH"))
        return run(argv)

    monkeypatch.setattr("bascule.observe.named_links.run", without_ss)
    said = [note.text for note in known.plan(ONE_NIC).notes if note.subject == "not asked"]
    assert len(asked) == 2
    assert said == ["'ss' is not in PATH: what else names eth0 is not known"]


def test_d11_an_xdp_program_is_said(known: Field, request: pytest.FixtureRequest) -> None:
    """It stays on the NIC, as what tc has there does, and sees what comes for the guests."""
    xdp.attach(known.host, "eth0", "edge", xdp.PASS, request)
    said = [note.text for note in known.plan(ONE_NIC).notes if note.subject == "eth0"]
    assert any("the XDP program edge" in text and "act" in text for text in said), said


def test_d11_what_acts_on_frames_of_a_nic_for_guests_alone_is_said(real_host: Field) -> None:
    """It has no address to give away, and what is on it was about nobody before."""
    for words in ("ingress", "root handle 1: pfifo limit 5"):
        assert real_host.run("tc", "qdisc", "add", "dev", "eth1", *words.split()).returncode == 0
    said = [note.text for note in real_host.plan(BASE).notes if note.subject == "eth1"]
    assert said == ["tc's pfifo 1:, tc's ingress ffff: stay on it, and act on the guests' frames from now on"]
    assert real_host.bascule("apply", real_host.site(BASE), "--yes", "--no-confirm").returncode == 0
    assert not [note for note in real_host.plan(BASE).notes if note.subject == "eth1"], "it is a port by now"
    assert not list(notes_of_ports((), HostState(), {}, ())), "nobody is told of what was not asked"
    (gap,) = notes_of_ports((), HostState(), {"eth1": ()}, ("'tc' is not in PATH", "'tc' is not in PATH"))
    assert gap.text == "'tc' is not in PATH: what acts on frames of eth1 is not known"
