"""What a tunnel makes of a frame is the host's own rules' to decide as well, which are not asked: it is perhaps."""

from __future__ import annotations

import pytest

from bascule.model.links import Bridge
from bascule.model.links.plain import Other, Tap, Veth
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork, LearnedMac, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.walk import Walks

NUMBERS = {"host": 0x0A070001, "web": 0x0A07000B, "far": 0x0A07000C}


def network(options: Other | Veth) -> HostNetwork:
    """A bridge with a guest and a further port, behind which somebody else is."""
    bridge = IfName("br0")
    links = {
        bridge: Link(
            name=bridge, options=Bridge(), up=True, mac=Mac("02:00:00:00:00:01"), addresses=(Address(ip="10.7.0.1/24"),)
        )
    }
    for number, (name, kind) in enumerate({"web.0": Tap(type="tap"), "over0": options}.items(), 10):
        facts = LinkFacts(index=number, carrier=True, stp_port_state="forwarding")
        links[IfName(name)] = Link(name=IfName(name), options=kind, up=True, master=bridge, facts=facts)
    learned = LearnedMac(mac=0x020000000000 | NUMBERS["far"], port="over0", bridge="br0")
    return HostNetwork(state=HostState(links=links), fdb=(learned,))


def end(name: str, port: str) -> WireEnd:
    own = ((NUMBERS[name], 4, 24),)
    return WireEnd(name=name, port=port, mac=0x020000000000 | NUMBERS[name], addresses=own, outside=name == "far")


@pytest.mark.parametrize("way", [("web", "far"), ("far", "web"), ("host", "far"), ("far", "host")])
@pytest.mark.parametrize("kind", ["", "vxlan", "gretap", "geneve"])
def test_it_is_not_sure_whether_a_frame_in_a_tunnel_arrives(way: tuple[str, str], kind: str) -> None:
    given = network(Other(info_kind=kind) if kind else Veth())
    ends = {"web": end("web", "web.0"), "far": end("far", "over0")}
    source, target = (ends.get(name) for name in way)
    answer = Walks(given, list(ends.values())).ask(source, target, NUMBERS[way[1]], 4, Traffic())
    swept = Sweep(given, list(ends.values()), [Traffic()]).answer(source, target, 4, NUMBERS[way[1]], Traffic())
    assert swept == exchange_of(answer)
    assert answer.result is (Certainty.PERHAPS if kind else Certainty.YES)
    assert any("over0" in words for leg in answer.legs for words in leg.unsure) is bool(kind)
