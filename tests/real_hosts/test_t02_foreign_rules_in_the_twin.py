"""T2 and point 19: others' rules stand in the twin as on the host, and real frames meet them there."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from bascule.observe.foreign_rules import ForeignRules, RulesText, read_foreign_rules
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.twin.foreign_rules import load_foreign_rules
from tests.lab import pings
from tests.real_hosts.field import BASE, Field
from tests.real_hosts.firewalls import clear, feed, load

pytestmark = pytest.mark.kernel

ALLOWS = "*filter\n:FORWARD DROP\n-A FORWARD -i br0 -o br0 -j ACCEPT\nCOMMIT\n"
DROPS = "*filter\n:FORWARD DROP\nCOMMIT\n"
SET = "create bad hash:net family inet\nadd bad 192.168.1.1\ncreate every list:set\nadd every bad\n"
ASKS = "*filter\n:FORWARD ACCEPT\n-A FORWARD -m set --match-set every src -j DROP\nCOMMIT\n"
ARP = "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -s 192.168.1.21 -j DROP\n"
BRIDGED = "*filter\n:FORWARD ACCEPT\n-A FORWARD -p ARP --arp-ip-src 192.168.1.77 -j DROP\n"
OWNED = """\
add table inet fedora { flags owner; }
add chain inet fedora f { type filter hook forward priority 0; policy drop; }
"""
KINDS = {  # of nft's words: objects of a table, and a rule of its chain
    "interval": (
        "set s { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0-10.0.0.9, 10.1.0.0/16 }; }",
        "ip saddr @s drop",
    ),
    "vmap": ("map m { type ipv4_addr : verdict; elements = { 10.0.0.1 : drop }; }", "ip saddr vmap @m"),
    "concatenation": (
        "set s { typeof ip daddr . tcp dport; flags interval; elements = { 10.0.0.0/8 . 80-90 }; }",
        "ip daddr . tcp dport @s drop",
    ),
    "counted elements": (
        "set s { type ether_addr; counter; elements = { 02:00:00:00:00:99 }; }",
        "ether saddr @s drop",
    ),
    "names of links": ('set s { type ifname; flags interval; elements = { "vnet*", "eth0" }; }', "iifname @s drop"),
    "meter": ("", "tcp dport 22 meter ssh { ip saddr limit rate 3/minute } accept"),
    "dynamic": (
        "set s { type ipv4_addr; size 100; flags dynamic,timeout; timeout 5m; }",
        "add @s { ip saddr limit rate over 9/second } drop",
    ),
    "quota": ("quota q { over 100 mbytes; }", 'quota name "q" drop'),
    "limit": ("limit l { rate 10/second burst 5 packets; }", 'limit name "l" drop'),
    "helper": ('ct helper h { type "ftp" protocol tcp; l3proto inet; }', 'tcp dport 21 ct helper set "h"'),
    "count": ("", "ct count over 20 reject with icmpx admin-prohibited"),
    "by number": ("", 'iif "eth1" oif "eth0" drop'),
    "words": ("", 'ip saddr 10.0.0.1 log prefix "table ip x { " drop comment "}"'),
    "raw": ("", "@nh,96,32 0x0a000001 drop"),
    "hash": ("", "jhash ip saddr mod 2 seed 0xdeadbeef 1 accept"),
}
ALL_LET = ("libvirt.v4", "libvirt.v6", "firewalld-zone-of-br0.nft")
CASES = [  # files, text for iptables-legacy-restore, whether router reaches web there, whose rules the note names
    ("docker", ("docker-networks.v4", "docker-networks.v6"), "", False, ("ip filter (Docker)", "ip6 nat (Docker)")),
    ("firewalld", ("firewalld-policies.nft",), "", False, ("inet firewalld (firewalld)",)),
    ("ufw", ("ufw-routed.v4", "ufw-routed.v6"), "", True, ("ip filter (ufw)",)),
    ("podman", ("podman.v4",), "", True, ("ip filter (Podman)", "ip nat (Podman)")),
    ("legacy", (), DROPS, False, ("rules of iptables-legacy",)),
    ("three that let it through", ALL_LET, ALLOWS, True, ("ip mangle (libvirt)", "firewalld", "iptables-legacy")),
]


@pytest.mark.parametrize(
    ("files", "legacy", "passes", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_t02_a_rehearsal_meets_the_rules_of_the_host(
    shared_host: Field, files: tuple[str, ...], legacy: str, passes: bool, words: tuple[str, ...]
) -> None:
    clear(shared_host.host)
    load(shared_host.host, *files)
    if legacy:
        feed(shared_host.host, legacy, "iptables-legacy-restore")
    said = shared_host.document("rehearse", shared_host.site(BASE))
    notes = [note["text"] for note in said["notes"]]
    (stand,) = [note for note in notes if "stand in the twin" in note]
    assert all(word in stand for word in words), stand
    assert not any("could not" in note for note in notes), notes
    router = next(one for one in said["expectations"] if one["from"] == "router")
    assert router["ok"] is passes, router
    firewall = [one for one in said["checks"] if one["id"] == "firewall" and one["ok"] is False]
    assert said["ok"] is not bool(firewall)
    assert bool(firewall) is (not passes or "ufw" in stand)  # which lets this one service through, and drops the rest


def test_t02_br_netfilter_that_is_off_stays_off_in_the_twin(shared_host: Field) -> None:
    clear(shared_host.host)
    load(shared_host.host, "ufw.v4", "ufw.v6")
    switches = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
    for key in switches:
        shared_host.run("sysctl", "-qw", f"{key}=0")
    try:
        said = shared_host.document("rehearse", shared_host.site(BASE))
    finally:
        for key in switches:
            shared_host.run("sysctl", "-qw", f"{key}=1")
    assert said["ok"], said
    assert any("ip6 filter (ufw)" in note["text"] for note in said["notes"])


def test_t02_what_cannot_be_loaded_is_named(shared_host: Field) -> None:
    clear(shared_host.host)
    texts = tuple(
        RulesText(words=words, program=("nft", "-f", "-"), text=f"table inet {words} {{ chain c {{ {rule}; }}; }}\n")
        for words, rule in (("theirs", 'iif "gone0" drop'), ("mine", 'iifname "gone0" drop'))
    )
    rules = ForeignRules(texts=texts, switches={"net/bridge/no-such-switch": "1"}, gaps=("arp filter was not listed",))
    notes = [note.text for note in load_foreign_rules("kvm", rules, shared_host.host)]
    clear(shared_host.host)
    missing = [note.partition(";")[0] for note in notes if note.endswith("what it does to frames was not rehearsed")]
    assert missing[0].startswith("theirs could not be loaded: /dev/stdin:1:")
    assert missing[1:] == [
        "net.bridge.no-such-switch = 1 could not be set: No such file or directory",
        "arp filter was not listed",
    ]
    assert notes[-1] == "others' firewall rules stand in the twin as here: mine"


def exported(field: Field) -> tuple[Namespace, list[str]]:
    """Another host of the same links, and what is told of loading the host's rules there."""
    with field.host.entered():
        rules = read_foreign_rules(observe())
    other = field.lab.host("eth0", "eth1")
    return other, [note.text for note in load_foreign_rules("kvm", rules, other)]


def test_t02_every_kind_of_rule_and_set_is_exported_whole(real_host: Field) -> None:
    tables = (
        f"table inet t{number} {{\n{objects}\nchain f {{\ntype filter hook forward priority 0;\n{rule}\n}}\n}}\n"
        for number, (objects, rule) in enumerate(KINDS.values())
    )
    feed(real_host.host, "".join(tables))
    feed(real_host.host, ARP, "arptables-nft-restore")
    feed(real_host.host, BRIDGED, "ebtables-nft-restore")
    other, notes = exported(real_host)
    assert not [note for note in notes if "not" in note], notes
    for words in (("nft", "-s", "list", "tables"), ("arptables-nft", "-L", "-n")):
        assert real_host.run(*words, where=other).stdout == real_host.run(*words).stdout
    for number in range(len(KINDS)):
        listed = ("nft", "-s", "list", "table", "inet", f"t{number}")
        assert real_host.run(*listed, where=other).stdout == real_host.run(*listed).stdout
    assert "--arp-ip-src 192.168.1.77 -j DROP" in real_host.run("ebtables-nft-save", where=other).stdout


def test_t02_sets_of_ipset_go_along_with_the_rules_that_ask_for_them(real_host: Field) -> None:
    if shutil.which("ipset") is None:
        pytest.skip("ipset is not installed")
    feed(real_host.host, SET, "ipset", "restore")
    feed(real_host.host, ASKS, "iptables-nft-restore")
    other, notes = exported(real_host)
    assert notes == ["others' firewall rules stand in the twin as here: sets of ipset, ip filter"]
    assert "--match-set every src" in real_host.run("iptables-nft-save", where=other).stdout
    assert "add bad 192.168.1.1" in real_host.run("ipset", "save", where=other).stdout


def test_t02_a_table_that_ends_with_its_program_stays_in_the_twin(real_host: Field) -> None:
    """firewalld 2.1 and later own their table: the kernel removes it with the program that loaded it."""
    with real_host.host.entered():
        firewall = subprocess.Popen(("nft", "-i"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    with firewall:
        assert firewall.stdin is not None
        firewall.stdin.write(OWNED)
        firewall.stdin.flush()
        while "chain f" not in real_host.run("nft", "list", "ruleset").stdout:
            time.sleep(0.02)
        other, notes = exported(real_host)
        firewall.kill()
    assert notes == ["others' firewall rules stand in the twin as here: inet fedora"]
    assert "policy drop" in real_host.run("nft", "list", "ruleset", where=other).stdout


def test_t02_plan_apply_and_verify_say_what_the_doctor_says(real_host: Field) -> None:
    load(real_host.host, "docker.v4", "docker.v6")
    path = real_host.site(BASE)
    planned = real_host.document("plan", path)
    assert any("by the rules of Docker" in note["text"] and "DOCKER-USER" in note["text"] for note in planned["notes"])
    web = real_host.guest("web", "web.0", "192.168.1.21/24")
    done = real_host.bascule("apply", path, "--yes", "--no-confirm")
    assert "by the rules of Docker" in " ".join(done.stdout.split())
    assert not pings(web, "192.168.1.1", seconds=1)
    said = real_host.document("verify", path)
    (check,) = [one for one in said["checks"] if one["id"] == "firewall"]
    assert (check["subject"], check["ok"]) == ("br0", False)
    assert not said["ok"]
    fix = check["detail"].partition("fix: ")[2]
    assert real_host.run("bash", "-ec", fix).returncode == 0
    assert pings(web, "192.168.1.1")
    assert not [note for note in real_host.document("plan", path)["notes"] if "Docker" in note["text"]]
