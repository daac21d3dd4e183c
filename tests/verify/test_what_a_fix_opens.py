"""What a fix of why opens is tried among some of those who are known, and says with how many it was not."""

from __future__ import annotations

from benchmarks.many_pairs import host

from bascule.model.values import Service
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.reading import Listings, with_saves
from bascule.verify.reachability.fixes import MOST_PARTIES, fixes
from bascule.verify.reachability.participant import Participant
from bascule.verify.reachability.question import ask

DROPS = with_saves(Rules({}), Listings(iptables_legacy="*filter\n:FORWARD DROP\nCOMMIT\n"))


def test_a_fix_says_with_how_many_it_was_not_tried() -> None:
    network, ends = host(MOST_PARTIES + 6, DROPS)
    known = {
        end.name: Participant(
            name=end.name, ends=(end,), addresses=tuple((version, number) for number, version, _ in end.addresses)
        )
        for end in ends
    }
    one, other, *_ = known.values()
    service = Service(protocol="tcp", first=80, last=80)
    asked = ask(network, known, one, other, service)
    found = fixes(network, known, asked, service)
    assert found
    assert all((fix.among, fix.untried) == (MOST_PARTIES * (MOST_PARTIES - 1), 6) for fix in found)
    assert (one.name, other.name) in found[0].opens
