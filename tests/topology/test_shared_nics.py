"""Who shares a NIC by macvtap reaches whom: as the kernel had it with macvlan, which is the same driver."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Physical
from bascule.model.links.plain import Macvtap
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.walk import Walks

NIC = IfName("eth4")
NUMBERS = {"host": 0x0A070001, "out": 0x0A070009, "one": 0x0A07000B, "other": 0x0A07000C}
YES, NO, UNKNOWN = Certainty.YES, Certainty.NO, Certainty.UNKNOWN


def network(mode: str, *, up: bool = True) -> HostNetwork:
    """A NIC with an address of the host's own, which two guests share."""
    facts = LinkFacts(index=2, carrier=up)
    address = (Address(ip="10.7.0.1/24"),)
    links = {
        NIC: Link(name=NIC, options=Physical(), up=True, mac=Mac("02:00:00:00:00:04"), addresses=address, facts=facts)
    }
    for number, name in enumerate(("one", "other"), 10):
        tap = IfName(f"{name}.0")
        facts = LinkFacts(index=number, carrier=True)
        links[tap] = Link(name=tap, options=Macvtap(mode=mode), up=True, parent=NIC, facts=facts)
    return HostNetwork(state=HostState(links=links))


def end(name: str) -> WireEnd:
    outside = name == "out"
    port = str(NIC) if outside else f"{name}.0"
    own = ((NUMBERS[name], 4, 24),)
    return WireEnd(name=name, port=port, mac=0x020000000000 | NUMBERS[name], addresses=own, outside=outside)


ENDS = {name: end(name) for name in ("one", "other", "out")}


def ask(given: HostNetwork, source: str, target: str) -> tuple[Certainty, str]:
    ends, traffic = list(ENDS.values()), Traffic()
    question = ENDS.get(source), ENDS.get(target)
    answer = Walks(given, ends).ask(*question, NUMBERS[target], 4, traffic)
    swept = Sweep(given, ends, [traffic]).answer(*question, 4, NUMBERS[target], traffic)
    assert swept == exchange_of(answer)
    return answer.result, "; ".join([one.text for one in answer.blockers])


@pytest.mark.parametrize(
    ("mode", "source", "target", "result"),
    [
        ("bridge", "one", "other", YES),
        ("private", "one", "other", NO),
        ("vepa", "one", "other", UNKNOWN),  # lost behind a cable; a switch may send it back
        *((mode, *way, result) for mode in ("bridge", "private", "vepa") for way, result in (
            (("one", "out"), YES), (("out", "one"), YES), (("one", "host"), NO), (("host", "one"), NO))),
    ],
)  # fmt: skip
def test_who_reaches_whom(mode: str, source: str, target: str, result: Certainty) -> None:
    found, words = ask(network(mode), source, target)
    assert found is result, words
    assert (result is NO and "host" in (source, target)) is ("passes nothing between the host and it" in words)


def test_a_nic_that_is_down_and_rules_at_it() -> None:
    found, words = ask(network("bridge", up=False), "one", "out")
    assert (found, words) == (NO, "eth4 is down, by which one is on the wire")
    found, words = ask(replace(network("bridge"), traffic_control={"eth4": "u32"}), "one", "out")
    assert found is UNKNOWN
    assert "rules at eth4 itself" in words
