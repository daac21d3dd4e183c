"""QEMU without libvirt: guests that Bascule starts itself, each with a file and a monitor of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Step
from bascule.providers.guests_provider import GuestsProvider
from bascule.providers.merging import changed
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted


class QemuProvider(GuestsProvider):
    """What is said to a monitor is printed as what socat would bring there."""

    name: ClassVar[str] = "qemu"
    state: ClassVar[str] = "QemuState"
    tools: ClassVar[frozenset[str]] = frozenset({"socat"})  # the words go over a socket of our own

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The file's guests and NICs over what is there."""
        from bascule.providers.qemu.want import want

        return want(site, host, observed, self.part(observed), inputs.learned.values())

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """Lines of ip, words to monitors, and files."""
        old, new = self.part(before), self.part(after)
        if old == new:
            return ()
        from bascule.providers.qemu.diff import steps

        return steps(old, new, after)

    def merge(self, change: ThreeWay) -> Merged:
        """Guest by guest."""
        from bascule.providers.qemu.merge import merge

        return merge(*self.parts(change))

    def put_right(self, change: ThreeWay) -> Any:
        """Guests that the change defined or altered, each NIC where the change plugged it."""
        from bascule.providers.qemu.merge import put_right

        return put_right(*self.parts(change)[:3])

    def settle(self, goal: HostState, change: ThreeWay) -> Any:
        """Decided anew; a cable that was pulsed once is not pulsed again."""
        return replace(self.merge(change).part, again=())

    def names(self, before: HostState, wanted: HostState) -> tuple[str, ...]:
        """The guests that it changes."""
        some = changed(self.part(before).guests, self.part(wanted).guests)
        return (f"guests {', '.join(some)}",) if some else ()


QEMU = QemuProvider()
