"""Words of iptables that programs and their manuals write: what the kernel does, and what the model says.

Docker's manual has ``--ctorigdstport`` for DOCKER-USER, ufw writes ``-m rt``, ``-m recent`` and limits before LOG, and
CrowdSec, fail2ban and shorewall ask for sets of ipset. Each question has what was measured (Linux 6.18); with ``?``
the model leaves it open.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from bascule.observe.packet_path import read_network
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.rules.iptables.ip_sets import read_sets
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.topology.trace.rules.tests import Test, UncertainTest
from bascule.topology.trace.rules.words import rule_words
from bascule.topology.trace.walk import Walks
from tests.lab import open_lab
from tests.oracle.asking import ask
from tests.oracle.compare import ENDS, differences, look, predict, words
from tests.oracle.lab import Room, in_namespace, load, opened, restore, write_all
from tests.oracle.test_rules_of_programs import QUIET_S, came, read
from tests.oracle.test_traps import NORMAL

PUBLISHED = "*nat\n:PREROUTING ACCEPT\n-A PREROUTING -p udp --dport 53 -d 10.9.2.1 -j DNAT --to-destination 10.9.1.14:80\nCOMMIT\n"  # noqa: E501


def forward(*lines: str, policy: str = "ACCEPT", hook: str = "FORWARD") -> str:
    return "\n".join(("*filter", f":{hook} {policy}", *(f"-A {hook} {line}" for line in lines), "COMMIT", ""))


CASES = {
    "by the port that was asked for": (
        "iptables",
        PUBLISHED + forward("-m conntrack --ctorigdstport 53 --ctdir ORIGINAL -j DROP"),
        "x>10.9.2.1 udp/53: lost, x>d udp/80: answered, x>d udp/53: lost, d>x udp/80: answered",
    ),
    "by another port that was asked for": (
        "iptables",
        PUBLISHED + forward("-m conntrack --ctorigdst 10.9.2.1 --ctorigdstport 54 -j DROP"),
        "x>10.9.2.1 udp/53: answered, x>d udp/80: answered",
    ),
    "a state beside a status": (
        "iptables",
        PUBLISHED + forward("-m conntrack --ctstate DNAT,ESTABLISHED -j ACCEPT", policy="DROP"),
        "x>10.9.2.1 udp/53: answered, x>d udp/80: lost",
    ),
    "answers alone": (
        "iptables",
        forward("-m conntrack --ctdir REPLY -j DROP"),
        "x>d udp/80: arrives, a>b udp/80: answered",
    ),
    "by whom a frame is for": (
        "iptables",
        forward("-m pkttype --pkt-type broadcast -j DROP", "-p udp --dport 53 -m pkttype --pkt-type unicast -j DROP"),
        "x>d udp/80: answered, x>d udp/53: lost",
    ),
    "ufw: a limit before LOG, and headers of routing": (
        "ip6tables",
        forward("-m limit --limit 3/min -j LOG --log-prefix UFW", "-m rt --rt-type 0 -j DROP"),
        "x>d udp/80 IPv6: answered, d>x icmp/0 IPv6: answered",
    ),
    "headers that no packet has, without an option": (
        "ip6tables",
        forward("-m hbh -j DROP", "-m dst -j DROP", "-m frag -j DROP", "-m rt -j DROP"),
        "x>d udp/80 IPv6: answered, d>x icmp/0 IPv6: answered",
    ),
    "a type of address of IPv6 is read from the address itself": (
        "ip6tables",
        forward("-m addrtype ! --dst-type UNICAST -j DROP", "-m addrtype --src-type MULTICAST -j DROP"),
        "x>d udp/80 IPv6: answered",
    ),
    "and of two that are asked for it has never both": (
        "ip6tables",
        forward("-m addrtype --dst-type UNICAST,MULTICAST -j ACCEPT", policy="DROP"),
        "x>d udp/80 IPv6: lost",
    ),
    "ufw: a limit by the sender": (
        "iptables",
        forward(
            "-p udp --dport 53 -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource",
            "-p udp --dport 53 -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --rsource -j DROP",
        ),
        "x>d udp/53: answered?, x>d udp/80: answered",
    ),
}
SETS = """\
create bad hash:net family inet hashsize 1024 maxelem 65536
add bad 10.9.2.0/28
add bad 10.9.3.17
create open hash:ip,port family inet hashsize 1024 maxelem 65536
add open 10.9.1.14,udp:80
add open 10.9.1.15,tcp:80
create ports bitmap:port range 1-1000
add ports 50
add ports 51
add ports 53
create both list:set size 8
add both bad
"""
CASES_OF_SETS = {
    "a block list": (
        forward("-m set --match-set bad src -j DROP"),
        "x>d udp/80: answered, y>d udp/80: lost, a>d udp/80: answered, d>y udp/80: arrives",
    ),
    "one of several lists": (
        forward("-m set --match-set both src -j DROP"),
        "x>d udp/80: answered, y>d udp/80: lost",
    ),
    "all but a list": (
        forward("-m set ! --match-set bad src -j DROP"),
        "x>d udp/80: lost, y>d udp/80: arrives",
    ),
    "addresses with ports": (
        forward(
            "-m conntrack --ctstate ESTABLISHED -j ACCEPT", "-m set --match-set open dst,dst -j ACCEPT", policy="DROP"
        ),
        "x>d udp/80: answered, x>d udp/53: lost, x>e udp/80: lost, x>e tcp/80: answered, x>d icmp/0: lost",
    ),
    "ports alone": (
        forward("-m set --match-set ports dst -j DROP"),
        "x>d udp/80: answered, x>d udp/53: lost, x>d icmp/0: answered",
    ),
    "fewer sides than the set has": (
        forward("-m set --match-set open dst -j DROP"),
        "x>d udp/80: answered",
    ),
}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        write_all(built, NORMAL)
        yield built


def judge(room: Room, tool: str, rules: str, questions: str) -> None:
    """Load the rules by a program of iptables, ask with frames, and hold the model against what came of them."""
    told = [read(question) for question in questions.split(", ")]
    if not restore(room, f"{tool}-nft", rules):
        pytest.skip(f"{tool} or this kernel has not got what it takes")
    try:
        seen = ask(room, [probe for probe, _ in told], QUIET_S)
        walks = Walks(replace(look(room, {}), rules=read_network(room.host).rules), ENDS)
    finally:
        load(room, "flush ruleset\n")
    for (probe, truth), one in zip(told, seen, strict=True):
        answer = predict(walks, probe)
        assert came(one) == truth.rstrip("?"), probe
        assert differences(probe, one, answer) == [], words(answer)
        assert (answer.result in {Certainty.PERHAPS, Certainty.UNKNOWN}) is truth.endswith("?"), words(answer)


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES)
def test_the_model_says_what_the_kernel_does(room: Room, name: str) -> None:
    judge(room, *CASES[name])


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES_OF_SETS)
def test_sets_of_ipset_are_read_as_the_kernel_holds_them(room: Room, name: str) -> None:
    if shutil.which("ipset") is None:
        pytest.skip("ipset is not installed")
    with in_namespace(room.host):
        subprocess.run(("ipset", "-exist", "restore"), input=SETS, text=True, check=True)
    judge(room, "iptables", *CASES_OF_SETS[name])


def asked_of(line: str, sets: str = SETS) -> list[object]:
    saved = f"*filter\n:FORWARD ACCEPT\n-A FORWARD {line}\nCOMMIT\n"
    rules = read_rules(Listings(iptables_legacy=saved, ipset=sets))
    return list(rules.chains["legacy ip", "filter", "FORWARD"].lines[0].parts)


def test_what_a_set_does_not_tell_stays_a_doubt_that_names_it() -> None:
    for line, sets in (
        ("-m set --match-set nowhere src -j DROP", SETS),
        ("-m set --match-set bad src -j DROP", SETS + "add bad 10.9.2.3 nomatch\n"),
        ("-m set ! --match-set ports dst -j DROP", SETS),  # an echo has no ports, and is in no set of them
        (
            "-m set --match-set odd src,src -j DROP",
            "create odd hash:net,iface family inet\nadd odd 10.0.0.0/8,physdev:eth0\n",
        ),
        ("-m set --match-set bad src -j DROP", ""),
    ):
        unsure, _ = asked_of(line, sets)
        assert isinstance(unsure, UncertainTest)
        assert "of ipset" in unsure.reason


def test_a_set_that_rules_add_to_is_open() -> None:
    saved = "*filter\n:FORWARD ACCEPT\n-A FORWARD -p tcp -j SET --add-set bad src\n-A FORWARD -m set --match-set bad src -j DROP\nCOMMIT\n"  # noqa: E501
    rules = read_rules(Listings(iptables_legacy=saved, ipset=SETS))
    test = rules.chains["legacy ip", "filter", "FORWARD"].lines[1].parts[0]
    assert isinstance(test, Test)
    assert test.moving


def test_a_listing_of_ipset_has_options_timeouts_and_comments() -> None:
    sets = read_sets(
        'create k hash:ip family inet hashsize 1024 maxelem 65536 timeout 60 counters comment netmask 24\n'
        'add k 9.9.9.0 timeout 59 packets 0 bytes 0 comment "x nomatch y"\n'
    )  # fmt: skip
    assert sets["k"].parts == ("ip",)
    assert sets["k"].options["netmask"] == "24"
    assert sets["k"].entries == ("9.9.9.0",)
    assert sets["k"].whole


def test_what_exists_or_is_missing_is_told_in_nfts_words() -> None:
    fib = {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}
    for right, word in ((False, "missing"), (True, "exists")):
        assert rule_words([{"match": {"op": "==", "left": fib, "right": right}}, {"drop": None}]) == (
            f"fib saddr . iif oif {word} drop"
        )
