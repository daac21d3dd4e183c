"""T2 and point 19: others' rules stand in the twin as on the host, and real frames meet them there."""

from __future__ import annotations

import pytest

from bascule.observe.foreign_rules import ForeignRules, RulesText
from bascule.twin.foreign_rules import load_foreign_rules
from tests.real_hosts.field import BASE, Field
from tests.real_hosts.firewalls import clear, feed, load

pytestmark = pytest.mark.kernel

ALLOWS = "*filter\n:FORWARD DROP\n-A FORWARD -i br0 -o br0 -j ACCEPT\nCOMMIT\n"
DROPS = "*filter\n:FORWARD DROP\nCOMMIT\n"
ALL_LET = ("libvirt.v4", "libvirt.v6", "firewalld-zone-of-br0.nft")
CASES = [  # files, text for iptables-legacy-restore, whether router reaches web there, whose rules the note names
    ("docker", ("docker.v4", "docker.v6"), "", False, ("ip filter (Docker)", "ip6 nat (Docker)")),
    ("firewalld", ("firewalld.nft",), "", False, ("inet firewalld (firewalld)",)),
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
    assert said["ok"] is passes
    firewall = [one for one in said["checks"] if one["id"] == "firewall" and one["ok"] is False]
    assert bool(firewall) is not passes


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


def test_t02_plan_apply_and_verify_say_what_the_doctor_says(real_host: Field) -> None:
    load(real_host.host, "docker.v4", "docker.v6")
    path = real_host.site(BASE)
    planned = real_host.document("plan", path)
    assert any("by the rules of Docker" in note["text"] and "DOCKER-USER" in note["text"] for note in planned["notes"])
    web = real_host.guest("web", "web.0", "192.168.1.21/24")
    done = real_host.bascule("apply", path, "--yes", "--no-confirm")
    assert "by the rules of Docker" in " ".join(done.stdout.split())
    assert not real_host.pings(web, "192.168.1.1", 1)
    said = real_host.document("verify", path)
    (check,) = [one for one in said["checks"] if one["id"] == "firewall"]
    assert (check["subject"], check["ok"]) == ("br0", False)
    assert not said["ok"]
    fix = check["detail"].partition("fix: ")[2]
    assert real_host.run("bash", "-ec", fix).returncode == 0
    assert real_host.pings(web, "192.168.1.1", 5)
    assert not [note for note in real_host.document("plan", path)["notes"] if "Docker" in note["text"]]
