"""``bascule why``: the verdict, what is in the way, whose it is, and fixes that work when they are pasted."""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab, pings
from tests.patience import HUNG_S
from tests.real_hosts.firewalls import load

SITE = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {bridges: {br0: {uplink: none}}}}
guests:
  web: {host: h, nics: [{bridge: br0, mac: "52:54:00:00:00:01", address: 10.0.0.5/24, tap: web.0}]}
  db: {host: h, nics: [{bridge: br0, mac: "52:54:00:00:00:02", address: 10.0.0.6/24, tap: db.0}]}
  log: {host: h, nics: [{bridge: br0, mac: "52:54:00:00:00:03", address: 10.0.0.7/24, tap: log.0}]}
"""
GUESTS = {"web": 5, "db": 6, "log": 7}


class Stage:
    """A host with a bridge and three guests on it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.host = lab.namespace("h")
        self.guests = {name: lab.namespace(name) for name in GUESTS}
        self.site = folder / "site.yaml"
        self.site.write_text(SITE)
        lab.ip(self.host, "link add br0 type bridge")
        lab.ip(self.host, "link set br0 up")
        for name, number in GUESTS.items():
            lab.ip(self.host, f"link add {name}.0 type veth peer name e{number}")
            self._move(f"e{number}", self.guests[name])
            guest = self.guests[name]
            lab.ip(guest, f"link set e{number} name eth0 address 52:54:00:00:00:0{number - 4}")
            lab.ip(guest, "link set eth0 up")
            lab.ip(guest, f"address add 10.0.0.{number}/24 dev eth0")
            lab.ip(self.host, f"link set {name}.0 master br0 up")

    def _move(self, link: str, guest: Namespace) -> None:
        import os

        self.lab.ip(self.host, f"link set {link} netns /proc/{os.getpid()}/fd/{guest.fd}")

    def do(self, *commands: str) -> None:
        for command in commands:
            with self.host.entered():
                subprocess.run(shlex.split(command), check=True, capture_output=True)

    def nft(self, text: str) -> None:
        run(("nft", "-f", "-"), stdin=text, namespace=self.host)

    def why(self, *words: str) -> dict[str, Any]:
        done = self.lab.bascule(self.host, "why", *words, "--site", str(self.site), "--here", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found.get("result") == "yes" else 1), done.stderr
        return found

    def connects(self, source: str, target: str, port: int, *, seconds: float = HUNG_S) -> bool:
        """Whether a connection comes about. Who expects none says how many seconds without it are enough."""
        with self.guests[target].entered():
            server = socket.create_server(("", port))
        accepting = threading.Thread(target=self._accept, args=(server,), daemon=True)
        accepting.start()
        with self.guests[source].entered():
            client = socket.socket()
        client.settimeout(seconds)
        try:
            return client.connect_ex((f"10.0.0.{GUESTS[target]}", port)) == 0
        except OSError:
            return False
        finally:
            client.close()
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # which ends the waiting of the thread
            accepting.join()
            server.close()

    @staticmethod
    def _accept(server: socket.socket) -> None:
        try:
            server.accept()[0].close()
        except OSError:
            return


@pytest.fixture
def stage(lab: Lab, tmp_path: Path) -> Iterator[Stage]:
    yield Stage(lab, tmp_path)


DOCKER = (
    "sysctl -qw net.bridge.bridge-nf-call-iptables=1",
    "iptables-nft -P FORWARD DROP",
    "iptables-nft -N DOCKER-USER",
    "iptables-nft -N DOCKER-FORWARD",
    "iptables-nft -A FORWARD -j DOCKER-USER",
    "iptables-nft -A FORWARD -j DOCKER-FORWARD",
    "iptables-nft -A DOCKER-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "iptables-nft -A DOCKER-FORWARD -i docker0 -j ACCEPT",
)


@pytest.mark.kernel
def test_docker_cuts_bridged_guests_and_each_pasted_fix_opens_exactly_the_pairs_that_it_prints(stage: Stage) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    load(stage.host, "docker.v4")  # made by Docker itself
    found = stage.why("web", "db", "tcp/5432")
    assert found["result"] == "no"
    blockers = [(one["code"], one["owner"], one["chain"]) for one in found["blockers"]]
    assert blockers == [("policy", "Docker", "FORWARD"), ("reply-filtered", "Docker", "FORWARD")]
    assert not stage.connects("web", "db", 5432, seconds=1)
    assert [len(fix["opens"]) for fix in found["fixes"]] == [1, 6, 6]
    assert sum("DOCKER-USER" in fix["words"] for fix in found["fixes"]) == 2
    for fix in found["fixes"]:
        load(stage.host, "docker.v4")
        stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1", *fix["commands"])
        opened = {(one["from"], one["to"]) for one in fix["opens"]}
        for source, target in itertools.permutations(GUESTS, 2):
            passes = (source, target) in opened
            connected = stage.connects(source, target, 5432, seconds=HUNG_S if passes else 1)
            assert connected is passes, (fix, source, target)


@pytest.mark.kernel
def test_what_ufw_drops_is_opened_in_ufws_own_words(stage: Stage) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    load(stage.host, "ufw.v4")
    found = stage.why("web", "db", "tcp/5432")
    assert {one["owner"] for one in found["blockers"]} == {"ufw"}
    exact, wide, *_ = [fix["words"] for fix in found["fixes"]]
    assert exact == "ufw route allow in on br0 out on br0 proto tcp from 10.0.0.5 to 10.0.0.6 port 5432"
    assert wide == "ufw route allow in on br0 out on br0"


@pytest.mark.kernel
def test_what_the_administrator_denied_in_ufw_is_opened_before_it_and_what_ufw_itself_drops_by_no_words_of_its(
    stage: Stage,
) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    load(stage.host, "ufw.v4")
    stage.do("iptables-nft -A ufw-user-forward -i br0 -d 10.0.0.6 -j DROP")
    words = [fix["words"] for fix in stage.why("web", "db", "tcp/5432")["fixes"][:2]]
    assert words == [
        "ufw route prepend allow in on br0 out on br0 proto tcp from 10.0.0.5 to 10.0.0.6 port 5432",
        "ufw route prepend allow in on br0 out on br0",
    ]
    stage.do("iptables-nft -I ufw-before-forward -s 10.0.0.5 -j DROP")  # of before.rules
    words = [fix["words"] for fix in stage.why("web", "db", "tcp/5432")["fixes"]]
    assert not any("ufw" in one for one in words)
    line = next(one for one in words if one.startswith("iptables -I FORWARD"))
    stage.do(line.replace("iptables", "iptables-nft"))
    assert stage.connects("web", "db", 5432)


@pytest.mark.kernel
def test_what_libvirt_rejects_is_opened_by_its_forward_mode_and_libvirt_takes_the_edit(
    stage: Stage, tmp_path: Path
) -> None:
    stage.do(
        "sysctl -qw net.ipv4.ip_forward=1",
        "ip address add 10.0.0.1/24 dev br0",
        "ip link add virbr0 type bridge",
        "ip address add 192.168.122.1/24 dev virbr0",
        "ip link set virbr0 up",
        "ip link set log.0 master virbr0",
    )
    stage.lab.ip(stage.guests["log"], "address add 192.168.122.7/24 dev eth0")
    stage.lab.ip(stage.guests["log"], "route add default via 192.168.122.1")
    stage.lab.ip(stage.guests["web"], "route add 192.168.122.0/24 via 10.0.0.1")
    stage.lab.ip(stage.guests["web"], "address add 10.0.0.9/24 dev eth0")
    assert all(pings(stage.host, one) for one in ("10.0.0.9", "192.168.122.7"))  # the bridges learn where they are
    named = [line for line in SITE.splitlines() if not line.startswith(("  web:", "  log:"))]
    stage.site.write_text("\n".join(named))  # of the others the host itself knows where they are
    load(stage.host, "libvirt.v4")  # made by libvirt itself
    folder = tmp_path / "etc/libvirt/qemu/networks"
    folder.mkdir(parents=True)
    xml = "<network>\n<name>default</name>\n{}<bridge name='virbr0'/>\n</network>\n"
    words = ("10.0.0.9", "192.168.122.7", "tcp/80", "--root", str(tmp_path))
    for said, modes in (
        ("<forward mode='nat'/>\n", ["route", "open"]),
        ("", ["open"]),
        ("<forward mode='nat' dev='eth0'/>\n", []),  # which mode open does not take
    ):
        (folder / "default.xml").write_text(xml.format(said))
        found = stage.why(*words)
        assert {one["owner"] for one in found["blockers"]} == {"libvirt"}, found["blockers"]
        edits = [fix["commands"] for fix in found["fixes"] if "virsh" in fix["words"]]
        assert [mode for one in edits for mode in ("route", "open") if f"mode='{mode}'" in one[0]] == modes
        if said.endswith("'nat'/>\n"):
            for edit, *_ in edits:
                pasted = edit.replace("virsh", "virsh -c test:///default")  # libvirt's own driver for tests
                done = subprocess.run(("bash", "-ec", pasted), capture_output=True, text=True, check=True)
                assert "configuration edited" in done.stdout


@pytest.mark.kernel
def test_every_fix_that_is_printed_works_when_it_is_pasted(stage: Stage) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    rules = """
table inet own {
chain ahead {
type filter hook prerouting priority -310
tcp dport 80 ip saddr 10.0.0.5 drop
}
chain forward {
type filter hook forward priority 0
policy drop
ct state established accept
}
}
table bridge mine {
chain forward {
type filter hook forward priority -200
ether type ip tcp dport 80 drop
}
}
"""
    stage.do("bridge link set dev web.0 isolated on", "bridge link set dev db.0 isolated on")
    stage.nft(rules)
    found = stage.why("web", "db", "tcp/80")
    assert {one["code"] for one in found["blockers"]} == {"filtered", "isolated", "policy", "arp-filtered"} - {
        "arp-filtered"
    }
    assert {one["owner"] for one in found["blockers"] if one["code"] != "isolated"} == {"you"}
    assert found["fixes"]
    for fix in found["fixes"]:
        stage.nft(f"flush ruleset\n{rules}")
        stage.do("bridge link set dev web.0 isolated on", "bridge link set dev db.0 isolated on", *fix["commands"])
        assert stage.why("web", "db", "tcp/80")["result"] == "yes", fix
        assert stage.connects("web", "db", 80), fix


@pytest.mark.kernel
def test_a_rule_says_from_which_file_it_is(stage: Stage, tmp_path: Path) -> None:
    stage.do("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    text = """#!/usr/sbin/nft -f
table inet own {
    chain forward {
        type filter hook forward priority 0; policy accept;
        tcp dport { 22,23 } accept
        iifname "br0" tcp dport 80 counter drop
    }
}
"""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nftables.conf").write_text(text)
    stage.nft(text)
    found = stage.why("web", "db", "tcp/80", "--root", str(tmp_path))
    assert [one["place"] for one in found["blockers"]] == ["/etc/nftables.conf:6"]
    assert stage.why("web", "db", "tcp/80", "--root", "/nowhere")["blockers"][0]["place"] == "not from a known file"


@pytest.mark.kernel
def test_what_the_model_does_not_understand_is_perhaps_and_named(stage: Stage) -> None:
    stage.nft(
        "table bridge b {\nchain f {\ntype filter hook forward priority -200\nlimit rate over 5/second drop\n}\n}\n"
    )
    found = stage.why("web", "db", "udp/53")
    assert found["result"] == "perhaps"
    assert {one["code"] for one in found["blockers"] if one["code"] != "arp-filtered"} == {"limited"}
    assert "limit rate over 5/second" in str(found["blockers"])


@pytest.mark.kernel
def test_a_rule_of_ours_says_which_line_of_the_site_file_it_is_made_from(stage: Stage) -> None:
    chain = 'chain f {\ntype filter hook forward priority -200\niifname "web.0" tcp dport 80 drop\n}'
    stage.nft(f"table bridge bascule_guards {{\n{chain}\n}}\n")
    (found,) = stage.why("web", "db", "tcp/80")["blockers"]
    assert found["owner"] == "Bascule"
    assert found["place"] == f"{stage.site}:5"


@pytest.mark.kernel
def test_a_guest_that_is_off_is_unknown_and_not_unreachable(stage: Stage) -> None:
    stage.do("ip link del db.0")
    found = stage.why("web", "db", "tcp/80")
    assert found["result"] == "unknown"
    assert [(one["code"], one["subject"]) for one in found["blockers"]] == [("off", "db")]
    assert stage.why("web", "log", "tcp/80")["result"] == "yes"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("words", "code"),
    [(("nobody", "db"), "ENDPOINT"), (("web", "db", "tcp"), "USAGE"), (("web", "192.0.2.77"), "ENDPOINT")],
)
def test_a_wrong_question_is_one_clear_error(stage: Stage, words: tuple[str, ...], code: str) -> None:
    done = stage.lab.bascule(stage.host, "why", *words, "--site", str(stage.site), "--here")
    assert done.returncode == 64
    assert done.stderr.startswith(f"error[{code}]")
    assert "Traceback" not in done.stderr


@pytest.mark.kernel
def test_where_large_packets_die_that_small_ones_pass(stage: Stage) -> None:
    stage.lab.ip(stage.host, "link set db.0 mtu 1400")
    found = stage.why("web", "db", "tcp/5432")
    assert found["result"] == "yes"
    assert [
        (one["from"], one["bytes"], one["result"], one["told"]) for one in found["large_packets"]
    ] == []  # by its MSS
    found = stage.why("web", "db", "udp/53")
    told = [(one["from"], one["bytes"], one["result"], one["told"]) for one in found["large_packets"]]
    assert told == [("web", 1500, "no", None)]
    assert [one["code"] for one in found["large_packets"][0]["blockers"]] == ["mtu"]
    stage.lab.ip(stage.host, "link set db.0 mtu 1500")
    assert stage.why("web", "db", "udp/53")["large_packets"] == []


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("entry", "lost"),
    [
        ("bridge fdb replace 52:54:00:00:00:02 dev db.0 master permanent", {("web", "db"), ("db", "web")}),
        ("ip link set db.0 address 52:54:00:00:00:02", {("web", "db"), ("db", "web")}),  # as many set up a tap
        ("bridge fdb replace 52:54:00:00:00:02 dev db.0 master static", set()),
        ("bridge fdb flush dev br0", {("web", "h")}),
    ],
)
def test_frames_for_a_mac_of_the_bridge_go_up_to_the_host(stage: Stage, entry: str, lost: set[tuple[str, str]]) -> None:
    stage.do("ip address add 10.0.0.1/24 dev br0", entry)
    for source, target, address in (("web", "db", 6), ("db", "web", 5), ("web", "h", 1)):
        wanted, asked = "no" if (source, target) in lost else "yes", (stage.guests[source], f"10.0.0.{address}")
        answered = pings(*asked, seconds=1) if wanted == "no" else pings(*asked)
        found = stage.why(source, target, "icmp")
        assert (found["result"], answered) == (wanted, wanted == "yes"), (source, target)
        assert [one["code"] for one in found["blockers"]][:1] == (["fdb"] if wanted == "no" else [])
