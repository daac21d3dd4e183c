"""Wake-on-LAN: which packets wake the machine by a NIC, kept by the NIC's driver and set by ethtool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct, convert
from msgspec.structs import replace

from bascule.model.links.wake_on_lan import Modes, letters, wake_words
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Command, Note, Risk
from bascule.plan.step import Phase, Step, step
from bascule.providers.merging import merge_mapping
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted


class WakeOnLan(Struct, frozen=True):
    """What wakes the machine by a NIC now, and what could; None: its driver was asked and has no such thing."""

    now: Modes | None
    able: Modes = ()


class WakeOnLanProvider(PlainProvider):
    """By the name of a NIC; only those of which the file says something are asked."""

    name: ClassVar[str] = "wake_on_lan"
    tools: ClassVar[frozenset[str]] = frozenset({"ethtool"})
    programs: ClassVar[frozenset[str]] = tools
    drifts: ClassVar[bool] = True

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """What the file says, where the NIC can; a note where it cannot."""
        seen: Mapping[str, WakeOnLan] = self.part(observed)
        said = {name: nic for name, nic in host.nics.items() if nic.wol is not None}
        if not said:
            return Wanted(part=seen)
        part, notes = dict(seen), []
        reasons: dict[str, str] = {}
        for name, nic in said.items():
            have = seen.get(name, WakeOnLan(None))
            modes = nic.wol or ()
            if lacking := [word for word in modes if word not in have.able]:
                notes.append(Note(kind="unsupported", subject=name, text=_cannot(have, lacking)))
            elif have.now is not None:
                part[name] = replace(have, now=modes)
                reasons[name] = f"{name} has wol: {wake_words(modes)}{nic.place.bracketed}"
        return Wanted(part=part, reasons=reasons, notes=tuple(notes))

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """One call of ethtool for each NIC."""
        old, new = self.part(before), self.part(after)
        for name in sorted(old.keys() & new.keys()):
            modes = new[name].now
            if modes is not None and modes != old[name].now:
                words = f"wake-on-LAN {wake_words(modes)}" if modes else "wake-on-LAN off"
                command = Command("ethtool", ("-s", name, "wol", letters(modes)))
                yield step(Phase.SETTINGS, name, words, command, risk=Risk.ADDITION, about="wake-on-lan")

    def merge(self, change: ThreeWay) -> Merged:
        """As it was, unless somebody has altered it since."""
        kept: list[str] = []
        states = (change.before, change.wanted, change.now, change.applied or change.wanted)
        parts = [self.part(state) or {} for state in states]
        found = merge_mapping(*parts, kept=kept, words=_since)
        return Merged(part=found, kept=tuple(kept))

    def put_right(self, change: ThreeWay) -> Any:
        """As the change made it, where a NIC is still there."""
        seen: Mapping[str, WakeOnLan] = self.part(change.now)
        made: Mapping[str, WakeOnLan] = self.part(change.wanted)
        return {name: made.get(name, one) for name, one in seen.items()}

    def from_json(self, data: Any) -> Any:
        """The same back."""
        return convert(data, dict[str, WakeOnLan])


def _cannot(have: WakeOnLan, lacking: list[str]) -> str:
    if have.now is None:
        return "cannot be woken by the network: its driver has no wake-on-LAN; 'wol' has no effect there"
    able = wake_words(have.able) if have.able else "nothing"
    return f"wake-on-LAN {' '.join(lacking)} is not supported by its driver, which supports {able}"


def _since(name: str, have: WakeOnLan) -> str:
    return f"{name} has wake-on-LAN {wake_words(have.now or ())} by now"


WAKE_ON_LAN = WakeOnLanProvider()
