"""The kernel: links with their addresses, routes, policy rules, and the kernel parameters that were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import Mac, derive_mac, tap_mac
from bascule.plan.step import Step
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted

OWN = ("links", "routes", "rules", "lost_rules", "neighbours", "sysctls")  # fields of a state


class KernelProvider(PlainProvider):
    """Its part stands flat in the state, since everything reads it."""

    name: ClassVar[str] = "kernel"
    programs: ClassVar[frozenset[str]] = frozenset({"ip", "bridge"})
    tools: ClassVar[frozenset[str]] = frozenset(
        {"ip", "ip -6", "bridge", "sysctl", "sysfs"}
    )  # the last two by ourselves

    def part(self, state: HostState) -> HostState:
        """The state, for all of it but the other providers' parts is the kernel's."""
        return state

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with the links, routes, rules and parameters of another one."""
        return replace(state, **{name: getattr(part, name) for name in OWN})

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """What the target has laid out."""
        return Wanted(part=wanted)

    def as_it_runs(self, site: Site, host: Host, observed: HostState) -> Site:
        """The site with the MACs of 0.1.0 where taps show that guests have them: there was no host's name in them."""
        nics = (nic for nic in site.guest_nics(host.name) if not nic.mac_given and nic.tap in observed.links)
        first = ((nic, derive_mac(site.name, nic.guest, nic.index)) for nic in nics)
        old = {nic.tap: mac for nic, mac in first if _has_mac(mac, nic, observed)}
        if not old:
            return site
        guests = {
            name: replace(guest, nics=tuple(replace(nic, mac=old.get(nic.tap, nic.mac)) for nic in guest.nics))
            for name, guest in site.guests.items()
        }
        return replace(site, guests=guests)

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """The steps of ``ip``, ``bridge`` and ``sysctl``: none for a host that is as it shall be, seen at one look."""
        if all(getattr(before, name) == getattr(after, name) for name in OWN):
            return ()
        from bascule.providers.kernel.diff import steps

        return steps(before, after)

    def merge(self, change: ThreeWay) -> Merged:
        """Facet by facet, link by link."""
        from bascule.providers.kernel.merge import merge

        return merge(change)

    def first_pass(self, goal: HostState, now: HostState) -> HostState:
        """A bridge that is not ours keeps its MAC and MTU until its ports are back."""
        from bascule.providers.kernel.settling import with_bridges_left

        return with_bridges_left(goal, now)

    def settle(self, goal: HostState, change: ThreeWay) -> HostState:
        """Links, addresses and routes that came meanwhile are left alone."""
        from bascule.providers.kernel.settling import settle

        return settle(goal, change.now, change.wanted)


def _has_mac(mac: Mac, nic: GuestNic, observed: HostState) -> bool:
    """Whether the host's end of a guest's NIC shows that the guest has a MAC; a macvtap has the same one."""
    seen = observed.links[nic.tap].mac  # None of a link that is only declared, which tells nothing of its guest
    return seen is not None and seen in {tap_mac(mac), mac if nic.shared_nic else None}


KERNEL = KernelProvider()
