"""What is asked of all frames of a kind, and the walk of one: neither contradicts the other, on random hosts."""

from __future__ import annotations

import pytest

from bascule.topology.trace.answer import Code, Leg
from bascule.topology.trace.any_frame.passages import FramePassage, Possibility, between, bridged_frames
from bascule.topology.trace.any_frame.ways import FAMILY_OF
from bascule.topology.trace.walk import Walks
from tests.lab import Lab
from tests.oracle.compare import ENDS, look
from tests.oracle.lab import opened
from tests.oracle.random_host import Generator
from tests.oracle.run import Tally, calls_of, furnish
from tests.oracle.sweeping import questions

HOSTS = 40
BY_A_RULE = {Code.FILTERED, Code.POLICY}


def contradicted(told: FramePassage, leg: Leg) -> bool:
    """Whether a packet is stopped where all pass, or comes where none does; what NAT or a route leads on is another."""
    stopped = any(one.certain and not one.depends and one.code in BY_A_RULE for one in leg.blockers)
    led_on = any(stage.name in {"NAT", "routing", "router"} for stage in leg.stages)
    if told.result is Possibility.YES:
        return stopped and not led_on
    return told.result is Possibility.NO and leg.delivered.value == "yes" and not led_on


@pytest.mark.kernel
def test_all_frames_and_one_agree(lab: Lab) -> None:
    asked = {Possibility.YES: 0, Possibility.NO: 0, Possibility.PERHAPS: 0}
    with opened(lab) as room:
        for seed in range(8_200_000, 8_200_000 + HOSTS):
            host = Generator(seed).host()
            furnish(room, host, Tally())
            network = look(room, calls_of(host), host)
            walks = Walks(network, ENDS)
            for source, target, version, address, traffic in questions(network, ENDS):
                bridge = network.bridge_of(source.port) if source else ""
                if source is None or target is None or not bridge or network.bridge_of(target.port) != bridge:
                    continue
                legs = walks.ask(source, target, address, version, traffic).legs
                family = FAMILY_OF[version]
                all_ports = next(one for one in bridged_frames(network, bridge) if one.family == family)
                for told in (all_ports, between(network, bridge, family, source.port, target.port)):
                    asked[told.result] += 1
                    for leg in (one for one in legs if one.name == "new"):
                        assert not contradicted(told, leg), (seed, source.name, target.name, str(traffic), told, leg)
    assert asked[Possibility.YES] > 1000
    assert asked[Possibility.NO] > 100
