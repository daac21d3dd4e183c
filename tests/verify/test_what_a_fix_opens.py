"""What a fix of why opens is tried among some of those who are known, and says with how many it was not."""

from __future__ import annotations

from benchmarks.many_pairs import host
from msgspec.structs import replace

from bascule.model.kernel_parameters import conf
from bascule.model.values import IfName, Service
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.reading import Listings, with_saves
from bascule.verify.reachability.fixes import MOST_PARTIES, fixes
from bascule.verify.reachability.participant import Participant
from bascule.verify.reachability.question import ask

DROPS = with_saves(Rules({}), Listings(iptables_legacy="*filter\n:FORWARD DROP\nCOMMIT\n"))


def _participant(end: WireEnd) -> Participant:
    return Participant(
        name=end.name, ends=(end,), addresses=tuple((version, number) for number, version, _ in end.addresses)
    )


def test_a_fix_says_with_how_many_it_was_not_tried() -> None:
    network, ends = host(MOST_PARTIES + 6, DROPS)
    known = {end.name: _participant(end) for end in ends}
    one, other, *_ = known.values()
    service = Service(protocol="tcp", first=80, last=80)
    asked = ask(network, known, one, other, service)
    found = fixes(network, known, asked, service)
    assert found
    assert all((fix.among, fix.untried) == (MOST_PARTIES * (MOST_PARTIES - 1), 6) for fix in found)
    assert (one.name, other.name) in found[0].opens


def test_a_parameter_of_a_link_with_a_point_in_its_name_is_named_as_sysctl_takes_it() -> None:
    network, ends = host(2, Rules({}))
    name, old = IfName("br0.30"), IfName("br0")
    links = {
        (own := name if link.name == old else link.name): replace(
            link, name=own, master=name if link.master == old else link.master
        )
        for link in network.state.links.values()
    }
    neighbours = tuple(replace(one, link=name if one.link == old else one.link) for one in network.neighbours)
    given = replace(
        network,
        state=replace(network.state, links=links),
        neighbours=neighbours,
        sysctls={**network.sysctls, conf(4, name, "forwarding"): "0"},
    )
    known = {end.name: _participant(end) for end in ends}
    service = Service(protocol="tcp", first=80, last=80)
    asked = ask(given, known, known["guest_0"], known["guest_1"], service)
    assert [one.commands for one in fixes(given, known, asked, service)] == [
        ("sysctl -w net.ipv4.conf.br0/30.forwarding=1",)
    ]
