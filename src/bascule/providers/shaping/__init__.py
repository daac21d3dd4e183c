"""shaping: how much a guest NIC may send and get, kept by tc at its tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from bascule.model.guarding import Bandwidth
from bascule.model.site import Host, PlugKind, Site
from bascule.model.state import HostState
from bascule.plan.change import Command
from bascule.plan.step import Phase, Step, step
from bascule.providers.boot_files import theirs
from bascule.providers.merging import changed
from bascule.providers.protocol import PlanInputs, Wanted
from bascule.providers.shaping.state import UDEV_FILE, Shaping, clearing, setting, udev_text
from bascule.providers.tap_settings import TapSettingsProvider


class ShapingProvider(TapSettingsProvider):
    """A tap that is not there gets its limit when its guest starts, or from udev."""

    name: ClassVar[str] = "shaping"
    tools: ClassVar[frozenset[str]] = frozenset({"tc"})
    programs: ClassVar[frozenset[str]] = frozenset({"tc"})
    state: ClassVar[str] = "Shaping"
    field: ClassVar[str] = "limits"
    udev_file: ClassVar[str] = UDEV_FILE
    boot: ClassVar[str] = "limits at boot"
    verb: ClassVar[str] = "set"

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The limits of the site file, on the taps that are there."""
        now: Shaping = self.part(observed)
        nics = [nic for nic in site.guest_nics(host.name) if nic.bandwidth and nic.by_kernel]
        declared = {str(nic.tap): nic for nic in nics if nic.plug is not PlugKind.DIRECT}
        limits = {name: nic.bandwidth for name, nic in declared.items() if name in observed.links}
        every = {str(nic.next_tap or name): nic.bandwidth for name, nic in declared.items()}
        text = udev_text(every) if inputs.lasting or not every else now.udev
        text = text or theirs(now.udev)
        reasons = {name: f"limit of {nic.guest} ({nic.bandwidth})" for name, nic in declared.items()}
        reasons |= {name: "the site file has no limit for it" for name in now.limits if name not in declared}
        return Wanted(
            part=Shaping(limits=limits, udev=text),
            reasons={**reasons, self.boot: "the kernel forgets limits with the tap"},
            guests={name: (nic.guest,) for name, nic in declared.items()},
        )

    def diff(self, before: HostState, after: HostState) -> Iterator[Step]:
        """What is set or taken away, tap by tap."""
        old, new = self.part(before), self.part(after)
        if old == new:
            return
        for name in changed(old.limits, new.limits):
            was, shall = old.limits.get(name), new.limits.get(name)
            calls = [*(clearing(name, was) if was is not None else ()), *(setting(name, shall) if shall else ())]
            if shall is None and name not in after.links:
                calls = [calls[-1]]  # with the tap its queues have gone
            words = f"limit to {shall}" if shall else "no limit any more"
            yield step(Phase.LATE_PORT, name, words, *(Command(call[0], call[1:]) for call in calls), about="options")
        yield from self.udev_steps(old, new)

    def since(self, tap: str, value: Bandwidth) -> str:
        """A limit that others have set."""
        return f"the limit of {tap} is now {value}"


SHAPING = ShapingProvider()
