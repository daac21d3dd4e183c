"""Whoever keeps bridges of his own says what is wrong with them: the doctor names nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from bascule.model.host_links import Bridge
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.providers.protocol import SwitchTrouble
from bascule.verify.doctor import switches
from bascule.verify.doctor.finding import DoctorFacts, Severity


class Keeper:
    """One who is no part of Bascule."""

    name = "ovn"

    def part(self, state: HostState) -> object:
        return state.parts.get(self.name)

    def troubles(self, state: HostState, declared: Mapping[str, bool]) -> Iterator[SwitchTrouble]:
        for bridge, by_keeper in declared.items():
            if not by_keeper:
                yield SwitchTrouble(id="ovn-late", subject=bridge, text="it is behind its database", is_problem=False)
        if self.part(state) is not None:
            yield SwitchTrouble(id="ovn-dead", subject="OVN", text="nobody answers", evidence=("as seen",), fix="start")


def facts(**given: object) -> DoctorFacts:
    host = Host(name="h", bridges={IfName("br0"): Bridge(name=IfName("br0"), uplink=None)})
    return DoctorFacts(site=Site(name="s", hosts={"h": host}), host="h", **given)  # type: ignore[arg-type]


def test_each_keeper_of_switches_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "SWITCH_PROVIDERS", (Keeper(),))
    late, dead = switches.look(facts(state=HostState(parts={"ovn": object()})))
    assert (late.id, late.severity, late.subject) == ("ovn-late", Severity.WARNING, "br0")
    assert (dead.id, dead.severity, dead.evidence, dead.fix) == ("ovn-dead", Severity.PROBLEM, ("as seen",), "start")


def test_of_switches_that_could_not_be_seen_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "SWITCH_PROVIDERS", (Keeper(),))
    assert list(switches.look(facts(state=HostState(), unseen=("ovn: it may not be asked",)))) == []
    assert list(switches.look(facts(state=None))) == []
