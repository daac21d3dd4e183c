"""shaping: how much a guest NIC may send and get, kept by tc at its tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from bascule.model.site import Host, PlugKind, Site
from bascule.model.state import HostState
from bascule.plan.change import Command
from bascule.plan.step import Phase, Step, step
from bascule.providers.files import remove, write
from bascule.providers.merging import changed, merge_mapping
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted
from bascule.providers.shaping.state import UDEV_FILE, Shaping, clearing, setting, udev_text

if TYPE_CHECKING:
    from bascule.providers.effects import Effects

SUBJECT = "limits at boot"


class ShapingProvider(PlainProvider):
    """A tap that is not there gets its limit when its guest starts, or from udev."""

    name: ClassVar[str] = "shaping"
    tools: ClassVar[frozenset[str]] = frozenset({"tc"})
    programs: ClassVar[frozenset[str]] = frozenset({"tc"})
    drifts: ClassVar[bool] = True

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, surroundings: PlanInputs) -> Wanted:
        """The limits of the site file, on the taps that are there."""
        now: Shaping | None = self.part(observed)
        if now is None:
            return Wanted()
        nics = [nic for nic in site.guest_nics(host.name) if nic.bandwidth and nic.openvswitch is None]
        declared = {str(nic.tap): nic for nic in nics if nic.plug is not PlugKind.DIRECT}
        limits = {name: nic.bandwidth for name, nic in declared.items() if name in observed.links}
        every = {str(nic.next_tap or name): nic.bandwidth for name, nic in declared.items()}
        text = udev_text(every) if surroundings.lasting or not every else now.udev
        reasons = {name: f"limit of {nic.guest} ({nic.bandwidth})" for name, nic in declared.items()}
        reasons |= {name: "the site file has no limit for it" for name in now.limits if name not in declared}
        return Wanted(
            part=Shaping(limits=limits, udev=text),
            reasons={**reasons, SUBJECT: "the kernel forgets limits with the tap"},
            guests={name: (nic.guest,) for name, nic in declared.items()},
        )

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """What is set or taken away, tap by tap."""
        old, new = self.part(before), self.part(after)
        if old is None or new is None or old == new:
            return
        for name in changed(old.limits, new.limits):
            was, shall = old.limits.get(name), new.limits.get(name)
            calls = [*(clearing(name, was) if was is not None else ()), *(setting(name, shall) if shall else ())]
            if shall is None and name not in after.links:
                calls = [calls[-1]]  # with the tap its queues have gone
            words = f"limit to {shall}" if shall else "no limit any more"
            yield step(Phase.LATE_PORT, name, words, *(Command(call[0], call[1:]) for call in calls), about="options")
        if old.udev != new.udev:
            command = remove(UDEV_FILE) if new.udev is None else write(UDEV_FILE, new.udev)
            words = "none are set any more" if new.udev is None else "are set whenever a tap appears"
            yield step(Phase.LATE_PORT, SUBJECT, words, command, about="options")

    def merge(self, change: ThreeWay) -> Merged:
        """Tap by tap."""
        before, wanted, now = self.part(change.before), self.part(change.wanted), self.part(change.now)
        if before is None or now is None:
            return Merged(part=now)
        kept: list[str] = []
        after = self.part(change.applied) if change.applied is not None else wanted
        limits = merge_mapping(
            before.limits, wanted.limits if wanted else {}, now.limits, (after or now).limits, kept=kept,
            words="the limit of {} is now {}".format,
        )  # fmt: skip
        limits = {name: one for name, one in limits.items() if name in change.now.links}
        return Merged(part=Shaping(limits=limits, udev=before.udev), kept=tuple(kept))

    def put_right(self, before: HostState, wanted: HostState, now: HostState) -> Shaping:  # by marks
        """The limits of taps that are there."""
        shall, part = self.part(wanted), self.part(now)
        return Shaping(limits={name: one for name, one in shall.limits.items() if name in now.links}, udev=part.udev)

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Whether udev's rule is another one."""
        old, new = self.part(before), self.part(wanted)
        return (old.udev if old else None) != (new.udev if new else None)

    def files(self, state: HostState) -> dict[str, tuple[str, int]]:
        """Udev's rule."""
        part: Shaping | None = self.part(state)
        return {} if part is None or part.udev is None else {UDEV_FILE: (part.udev, 0o644)}

    def to_json(self, part: Any) -> Any:
        """Rates by tap."""
        return msgspec.to_builtins(part)

    def from_json(self, data: Any) -> Any:
        """The same back. Raises ValueError for what is none."""
        return msgspec.convert(data, Shaping)

    def effects(self) -> Effects:
        """Tc tells all queues in one call."""
        from bascule.providers.shaping.effects import ShapingEffects

        return ShapingEffects()


SHAPING = ShapingProvider()
