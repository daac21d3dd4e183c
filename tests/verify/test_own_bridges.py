"""Which bridges are an administrator's own: not those that a program makes, by the names that it gives them."""

from __future__ import annotations

from bascule.model.links import Bridge
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.topology.trace.rules.lines import Rules
from bascule.verify.doctor.own_bridges import own_bridges

OF_PROGRAMS = ("docker0", "br-0123456789ab", "virbr0", "mpqemubr0", "fwbr100i0", "qbr0123abcd-ef", "br-int", "podman1")
OWN = ("br0", "lan", "br-lan", "virbr-lan")


def test_those_of_programs_are_known_by_their_names() -> None:
    state = HostState.of(Link(name=IfName(name), options=Bridge()) for name in (*OF_PROGRAMS, *OWN))
    assert set(own_bridges(state, Rules())) == set(OWN)
