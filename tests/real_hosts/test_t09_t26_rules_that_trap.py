"""Rules that do not do what they say, as the kernel was measured: the doctor names each kind, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.observe.firewall import read_firewall
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.verify.doctor.finding import DoctorFacts, Finding
from bascule.verify.doctor.firewall import traps
from tests.lab import Lab, open_lab
from tests.real_hosts.firewalls import clear, feed

pytestmark = pytest.mark.kernel


class Case(Struct, frozen=True):
    """Rules, switches beside them, and what is found: the finding's id and a word of its evidence, fix or text."""

    name: str
    rules: str
    found: tuple[str, str] | None
    calls: str = "1"
    vlan_tagged: str = "0"
    legacy: str = ""


def chain(family: str, hook: str, priority: int, *lines: str, policy: str = "accept", kind: str = "filter") -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
    return f"table {family} mine {{ chain c {{ {head} {'; '.join(lines)}{'; ' if lines else ''}}}; }}\n"


DROPPING = chain("bridge", "forward", 0, "ether type ip ip daddr 10.9.0.12 drop")
FILTERED = chain("ip", "forward", 0, "ip daddr 10.9.0.12 tcp dport 22 drop")
HIDING = chain("ip", "postrouting", 100, "ip saddr 10.9.0.0/24 masquerade", kind="nat")
LEGACY = "*filter\n:FORWARD ACCEPT\n-A FORWARD -p tcp --dport 25 -j DROP\nCOMMIT\n"
STATES = ("ct state established,related accept", "ct state established accept", "tcp dport 20-30 drop")

CASES = [
    Case("T9: a bridge chain at 0", DROPPING, ("bridge-chain-order", "priority filter")),
    Case("T9: nobody calls the IP chains", DROPPING, None, calls="0"),
    Case("T9: at -1", DROPPING.replace("priority 0", "priority -200"), None),
    Case("T10: VLAN 0 goes past a rule", FILTERED, ("vlan-0", "tcp dport 22 drop")),
    Case("T10: the switch closes it", FILTERED, None, vlan_tagged="1"),
    Case("T10: a rule that drops nothing", FILTERED.replace("drop", "accept"), None),
    Case("T14: masquerading without a device", HIDING, ("bridged-masquerade", 'oifname != "br0"')),
    Case("T14: with the device", HIDING.replace("ip saddr", 'oifname != "br0" ip saddr'), None),
    Case("T14: of other addresses", HIDING.replace("10.9.0.0/24", "172.17.0.0/16"), None),
    Case("T14: nobody calls the IP chains", HIDING, None, calls="0"),
    Case(
        "T25: a link that was made again",
        chain("inet", "input", 0, 'iif "gone0" drop'),
        ("rules-of-a-lost-link", "drop"),
    ),
    Case(
        "T25: one rule is one rule, in a chain of another family",
        chain("ip", "forward", 10, 'oif "gone0" tcp dport 22 drop', "tcp dport 23 drop"),
        ("rules-of-a-lost-link", "1 rule with the number of a link"),
        calls="0",
    ),
    Case(
        "T9: a chain of another hook has no such priority, a forward chain by MAC has",
        chain("bridge", "postrouting", 0, "ether saddr 02:00:00:00:00:01 drop"),
        None,
    ),
    Case(
        "T9: by MAC", chain("bridge", "forward", 0, "ether saddr 02:00:00:00:00:01 drop"), ("bridge-chain-order", "0")
    ),
    Case(
        "T14: SNAT of a set of addresses",
        chain("inet", "postrouting", 100, "ip saddr { 10.9.0.11, 10.9.0.12 } snat ip to 172.31.0.1", kind="nat"),
        ("bridged-masquerade", "snat"),
    ),
    Case("T25: by name", chain("inet", "input", 0, 'iifname "gone0" drop'), None),
    Case(
        "T26: legacy beside nft",
        chain("inet", "input", 0, "tcp dport 25 drop"),
        ("two-firewalls", "ip filter"),
        legacy=LEGACY,
        calls="0",
    ),
    Case("T26: legacy alone", "", None, legacy=LEGACY, calls="0"),
    Case(
        "a state that was taken already",
        chain("inet", "input", 0, *STATES),
        ("rule-never-matches", "ct state established accept"),
    ),
    Case(
        "a port within a range",
        chain("inet", "input", 0, "tcp dport 20-30 drop", "tcp dport 22 accept", "tcp dport 31 accept"),
        ("rule-never-matches", "1 of its 3"),
    ),
    Case(
        "an address within a prefix, with one test more",
        chain(
            "inet", "input", 0, "ip saddr 10.0.0.0/8 drop", 'iifname "br0" ip saddr { 10.1.0.0/16, 10.2.0.1 } accept'
        ),
        ("rule-never-matches", "10.2.0.1"),
    ),
    Case("the narrower first", chain("inet", "input", 0, "tcp dport 22 accept", "tcp dport 20-30 drop"), None),
    Case(
        "what only counts takes nothing", chain("inet", "input", 0, "tcp dport 22 counter", "tcp dport 22 drop"), None
    ),
    Case("a limit takes not all", chain("inet", "input", 0, "limit rate 5/second accept", "tcp dport 22 accept"), None),
    Case(
        "a mark that is set between",
        chain("inet", "input", 0, "meta mark 1 drop", "meta mark set 1", "meta mark 1 drop"),
        None,
    ),
]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Lab, Namespace]]:
    with open_lab() as lab:
        host = lab.host("pa", "pb")
        lab.ip(host, "link add br0 type bridge forward_delay 0")
        for name in ("pa", "pb"):
            lab.ip(host, f"link set {name} master br0 up")
        lab.ip(host, "link set br0 up")
        lab.ip(host, "addr add 10.9.0.1/24 dev br0")
        yield lab, host


def findings(host: Namespace) -> list[Finding]:
    with host.entered():
        state = observe()
        return list(traps.look(DoctorFacts(state=state, network=read_firewall(state))))


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.name)
def test_t09_t10_t14_t25_t26_the_doctor_names_rules_that_do_not_do_what_they_say(
    place: tuple[Lab, Namespace], case: Case
) -> None:
    lab, host = place
    clear(host)
    lab.ip(host, "link add gone0 type bridge")
    with host.entered():
        values = {"call-iptables": case.calls, "call-ip6tables": "0", "filter-vlan-tagged": case.vlan_tagged}
        for name, value in values.items():
            Path(f"/proc/sys/net/bridge/bridge-nf-{name}").write_text(value)
    feed(host, case.rules)
    if case.legacy:
        feed(host, case.legacy, "iptables-legacy-restore")
    lab.ip(host, "link del gone0")
    found = findings(host)
    if case.found is None:
        assert not found, found
        return
    (one,) = found
    name, words = case.found
    assert one.id == name
    assert words in " ".join((one.text, *one.evidence, one.fix))
