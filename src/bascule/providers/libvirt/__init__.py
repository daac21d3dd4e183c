"""libvirt: its domains and virtual networks, each as libvirt writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Step
from bascule.providers.guests_provider import GuestsProvider
from bascule.providers.merging import changed
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted


class LibvirtProvider(GuestsProvider):
    """An XML parser is loaded only where libvirt was asked."""

    name: ClassVar[str] = "libvirt"
    state: ClassVar[str] = "LibvirtState"
    makes_networks: ClassVar[bool] = True
    tools: ClassVar[frozenset[str]] = frozenset({"virsh"})  # its binding does the same, so no program is needed

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The file's networks, guests and NICs over what is there."""
        from bascule.providers.libvirt.want import want

        return want(site, host, observed, self.part(observed), inputs.learned.values())

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """Lines of ``virsh``."""
        old, new = self.part(before), self.part(after)
        if old is new or old == new:
            return ()
        from bascule.providers.libvirt.diff import steps

        return steps(old, new)

    def merge(self, change: ThreeWay) -> Merged:
        """Domain by domain, NIC by NIC."""
        from bascule.providers.libvirt.merge import merge

        return merge(*self.parts(change), rebooted=change.rebooted)

    def put_right(self, change: ThreeWay) -> Any:
        """Domains and networks that the change altered as it left them; whether a guest runs is its own affair."""
        from bascule.providers.libvirt.drift import put_right

        before, wanted, now, applied = self.parts(change)
        return put_right(before, wanted, now, applied) if applied is not None else now

    def settle(self, goal: HostState, change: ThreeWay) -> Any:
        """Decided anew: what others did to their own domains meanwhile is left alone."""
        return self.merge(change).part

    def names(self, before: HostState, wanted: HostState) -> tuple[str, ...]:
        """The guests and networks that it changes."""
        old, new = self.part(before), self.part(wanted)
        found = {
            "guests": changed(old.domains, new.domains),
            "networks of libvirt": changed(old.networks, new.networks),
        }
        return tuple(f"{words} {', '.join(some)}" for words, some in found.items() if some)


LIBVIRT = LibvirtProvider()
