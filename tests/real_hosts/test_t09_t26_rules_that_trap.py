"""Rules that do not do what they say, as the kernel was measured: the doctor names each kind, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.observe.firewall import read_firewall
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.doctor.firewall import bridge_filter, traps
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
    calls6: str = "0"
    tool: str = "iptables-legacy-restore"


def chain(family: str, hook: str, priority: int, *lines: str, policy: str = "accept", kind: str = "filter") -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy {policy};"
    return f"table {family} mine {{ chain c {{ {head} {'; '.join(lines)}{'; ' if lines else ''}}}; }}\n"


DROPPING = chain("bridge", "forward", 0, "ether type ip ip daddr 10.9.0.12 drop")
FILTERED = chain("ip", "forward", 0, "ip daddr 10.9.0.12 tcp dport 22 drop")
HIDING = chain("ip", "postrouting", 100, "ip saddr 10.9.0.0/24 masquerade", kind="nat")
LEGACY = "*filter\n:FORWARD ACCEPT\n-A FORWARD -p tcp --dport 25 -j DROP\nCOMMIT\n"
LEGACY_NAT = "*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
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
        ("rules-of-a-lost-link", "1 rule with the index of a link"),
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


NUMBER = "the index of a link that is gone"
LISTED = (
    "table inet mine { set s { type ipv4_addr; %s }; chain c { type filter hook input priority 0; ip saddr @s drop; "
    "ip saddr 10.9.0.7 accept; }; }"
)
GUARD = chain("bridge", "forward", -200, "ether type arp accept")
FURTHER = [
    Case("T9: what only counts and lets pass", chain("bridge", "forward", 0, "ether type ip counter", "accept"), None),
    Case(
        "T9: a drop behind a jump by a map",
        "table bridge mine { chain shut { ip daddr 10.9.0.12 drop; }; chain c { type filter hook forward priority 0; "
        'iifname vmap { "pa" : jump shut }; }; }',
        ("bridge-chain-order", "chain c of table bridge mine"),
    ),
    Case(
        "T9: a mark, for IPv6 alone is called",
        chain("bridge", "forward", 0, 'iifname "pb" meta mark set 7'),
        ("bridge-chain-order", "hook forward"),
        calls="0",
        calls6="1",
    ),
    Case(
        "T10: the policy of an inet chain",
        chain("inet", "forward", 5, "ct state established accept", policy="drop"),
        ("vlan-0", "policy DROP in chain c of table inet mine"),
    ),
    Case(
        "T10: ip6, before it is forwarded",
        chain("ip6", "prerouting", -300, "ip6 daddr fd00::5 drop"),
        ("vlan-0", "ip6 daddr fd00::5 drop"),
        calls="0",
        calls6="1",
    ),
    Case("T10: legacy", "", ("vlan-0", "table ip filter (legacy)"), legacy=LEGACY),
    Case(
        "T10: the bridge family stops the tag",
        FILTERED + chain("bridge", "forward", -200, "vlan id 0 drop").replace("mine", "own"),
        None,
    ),
    Case("T10: what other links forward", chain("inet", "forward", 0, 'iifname "eth0" oifname "eth1" drop'), None),
    Case("T14: the host's own", HIDING.replace("ip saddr 10.9.0.0/24", "fib saddr type local"), None),
    Case(
        "T14: by a map",
        chain("ip", "postrouting", 100, "snat to ip saddr map { 10.9.0.11 : 192.168.9.1 }", kind="nat"),
        ("bridged-masquerade", "snat"),
    ),
    Case("T14: legacy, whoever sends", "", ("bridged-masquerade", "-j MASQUERADE"), legacy=LEGACY_NAT),
    Case("T14: legacy, out of the subnet", "", None, legacy=LEGACY_NAT.replace("ING -j", "ING ! -d 10.9.0.0/24 -j")),
    Case(
        "T25: by a map of decisions",
        chain("inet", "input", 0, 'iif vmap { "gone0" : drop, "lo" : accept }'),
        ("rules-of-a-lost-link", NUMBER),
    ),
    Case(
        "T25: a mark by a map",
        chain("ip6", "prerouting", -150, 'meta mark set iif map { "gone0" : 1, "lo" : 2 }'),
        ("rules-of-a-lost-link", NUMBER),
    ),
    Case(
        "T25: every other link",
        chain("inet", "input", 0, 'iif != "gone0" tcp dport 22 drop'),
        ("rules-of-a-lost-link", "'!=' matches every packet"),
    ),
    Case("T25: links that are there", chain("inet", "input", 0, 'iif { "lo", "pa" } drop'), None),
    Case(
        "T26: ip6, a policy alone",
        chain("ip", "input", 0, "tcp dport 25 drop"),
        ("two-firewalls", "ip6tables-legacy"),
        legacy="*filter\n:INPUT DROP\nCOMMIT\n",
        tool="ip6tables-legacy-restore",
        calls="0",
    ),
    Case(
        "T26: NAT", GUARD, ("two-firewalls", "ip nat"), legacy=LEGACY_NAT.replace("ING -j", "ING -o eth0 -j"), calls="0"
    ),
    Case("T26: beside our own guards", GUARD.replace("mine", "bascule_guard"), None, legacy=LEGACY, calls="0"),
    Case(
        "all of a protocol",
        chain("inet", "input", 0, "meta l4proto tcp drop", "tcp dport 22 accept"),
        ("rule-never-matches", "'tcp dport 22 accept' after 'meta l4proto tcp drop'"),
    ),
    Case(
        "all but one port",
        chain("ip", "output", 0, "udp dport != 53 drop", "udp dport 67-68 accept"),
        ("rule-never-matches", "udp dport 67-68 accept"),
    ),
    Case("and that one", chain("ip", "output", 0, "udp dport != 53 drop", "udp dport 50-60 accept"), None),
    Case(
        "who is translated goes on",
        chain(
            "ip",
            "postrouting",
            100,
            'oifname "eth0" masquerade',
            'ip saddr 10.1.0.5 oifname "eth0" snat to 192.0.2.7',
            kind="nat",
        ),
        ("rule-never-matches", "snat"),
    ),
    Case("an element whose time passes", LISTED % "flags timeout; elements = { 10.9.0.7 timeout 1h };", None),
    Case("one that stays", LISTED % "elements = { 10.9.0.7 };", ("rule-never-matches", "@s drop")),
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


@pytest.mark.parametrize("case", [*CASES, *FURTHER], ids=lambda one: one.name)
def test_t09_t10_t14_t25_t26_the_doctor_names_rules_that_do_not_do_what_they_say(
    place: tuple[Lab, Namespace], case: Case
) -> None:
    lab, host = place
    clear(host)
    lab.ip(host, "link add gone0 type bridge")
    with host.entered():
        values = {"call-iptables": case.calls, "call-ip6tables": case.calls6, "filter-vlan-tagged": case.vlan_tagged}
        for name, value in values.items():
            Path(f"/proc/sys/net/bridge/bridge-nf-{name}").write_text(value)
    feed(host, case.rules)
    if case.legacy:
        feed(host, case.legacy, case.tool)
    lab.ip(host, "link del gone0")
    found = findings(host)
    if "*nat" in case.legacy:
        feed(host, "*nat\nCOMMIT\n", case.tool)
    if case.found is None:
        assert not found, found
        return
    (one,) = found
    name, words = case.found
    assert one.id == name
    assert words in " ".join((one.text, *one.evidence, one.fix))


REVERSE = [  # chains that ask for the way back to the sender, and what is said of frames
    ("inet", 10, "meta nfproto ipv6 fib saddr . mark . iif oif missing drop", "IPv6"),
    ("ip6", -300, "fib saddr . iif oif 0 drop", "IPv6"),
    ("ip", -300, "fib saddr . iif oif missing drop", "IPv4"),
]


@pytest.mark.parametrize(("family", "priority", "rule", "words"), REVERSE)
def test_t11_whom_the_host_has_a_way_back_to_is_let_through_and_all_others_are_lost_for_certain(
    family: str, priority: int, rule: str, words: str
) -> None:
    with open_lab() as lab:
        host = lab.host("pa", "pb", "eth0")
        lab.ip(host, "link add br0 type bridge forward_delay 0")
        for name in ("pa", "pb"):
            lab.ip(host, f"link set {name} master br0 up")
        lab.ip(host, "link set br0 up")
        lab.ip(host, "link set eth0 up")
        lab.ip(host, "addr add 192.168.9.1/24 dev eth0")
        lab.ip(host, "-6 addr add fe80::1/64 dev br0 nodad")
        with host.entered():
            for name in ("call-iptables", "call-ip6tables"):
                Path(f"/proc/sys/net/bridge/bridge-nf-{name}").write_text("1")
        feed(host, chain(family, "prerouting", priority, rule))

        def said() -> Finding:
            with host.entered():
                state = observe()
                found = bridge_filter.look(DoctorFacts(state=state, network=read_firewall(state)))
                return next(one for one in found if rule in " ".join(one.evidence))

        lost = said()
        assert lost.severity is Severity.PROBLEM
        # to senders of its link alone every host with IPv6 has a way back
        which = "from and to 2000::/3 are dropped" if words == "IPv6" else "between its ports are dropped"
        assert lost.text.startswith(f"{words} frames {which}")
        assert "the host has no route back to the sender over br0" in lost.text
        lab.ip(host, "addr add 10.9.0.1/24 dev br0")
        lab.ip(host, "-6 addr add 2001:db8::1/64 dev br0 nodad")
        passed = said()
        assert passed.severity is Severity.WARNING  # for senders from beyond: of them the host may know another way
        own = {"IPv6": "2001:db8::/64", "IPv4": "10.9.0.0/24"}[words]
        assert f"those from and to {own} do, and of others some may be dropped" in passed.text
        lab.ip(host, "addr add 10.9.0.129/25 dev eth0")  # a narrower way to some of them
        lab.ip(host, "-6 route add 2001:db8::80/121 dev eth0")
        assert "those from and to" not in said().text
        lab.ip(host, "addr del 10.9.0.129/25 dev eth0")
        lab.ip(host, "-6 route del 2001:db8::80/121 dev eth0")
        lab.ip(host, "route add default via 10.9.0.254")
        lab.ip(host, "-6 route add default via 2001:db8::fe")
        with host.entered():
            state = observe()
            found = bridge_filter.look(DoctorFacts(state=state, network=read_firewall(state)))
            assert {one.severity for one in found} == {Severity.NOTE}
