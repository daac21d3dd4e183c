"""Somebody else's FORWARD chain that drops: a virtual network's own rules accept, and the guests get nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import Mode
from bascule.topology.trace.any_frame.passages import WORDS, FramePassage, Possibility, routed
from bascule.topology.trace.any_frame.ways import FAMILY_OF
from bascule.topology.trace.packet import ESTABLISHED, NEW
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.doctor.firewall.fixes import routed_fix, whose_rules


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each network whose packets have to pass such a chain: what one table accepts, another may still drop."""
    for one, bridge in facts.virtual_networks():
        if facts.network is None or one.mode is Mode.ISOLATED:
            continue
        back = ESTABLISHED if one.mode is Mode.NAT else NEW
        passages: list[tuple[str, FramePassage]] = []
        for family in dict.fromkeys(FAMILY_OF[subnet.version] for subnet in one.subnets):
            passages += [("-i", routed(facts.network, family, into=bridge)),
                         ("-o", routed(facts.network, family, out=bridge, state=back))]  # fmt: skip
        lost = [(way, one) for way, one in passages if one.stops or one.result is Possibility.NO]
        if not lost:
            continue
        stops = [stop for _, passage in lost for stop in passage.losing]
        owners = whose_rules(facts.network, stops)
        whose = f"{owners}, which drop" if owners else "a chain that drops"
        families = " and ".join(dict.fromkeys(WORDS[passage.family] for _, passage in lost))
        yield Finding(
            id="forward-policy",
            severity=Severity.PROBLEM,
            subject=one.name,
            text=f"what its guests send and receive over the host by {families} passes {whose} "
            "everything that no rule accepts; where it is accepted, the network's own rules still decide",
            evidence=tuple(dict.fromkeys(map(str, stops))),
            fix=routed_fix(facts, facts.network, bridge, lost),
            bridges=(bridge,),
        )
