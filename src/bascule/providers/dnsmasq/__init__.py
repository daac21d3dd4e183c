"""dnsmasq: the DHCP and name servers of a host's own virtual networks, and what makes these again at a start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Step
from bascule.providers.boot_files import MULTI_USER
from bascule.providers.files import SYMLINK
from bascule.providers.merging import changed
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, ThreeWay, Wanted

if TYPE_CHECKING:
    from bascule.providers.dnsmasq.state import DnsmasqState


class DnsmasqProvider(PlainProvider):
    """Where systemd starts the machine, each network is a unit of its own; elsewhere its dnsmasq is a plain daemon."""

    name: ClassVar[str] = "dnsmasq"
    state: ClassVar[str] = "DnsmasqState"
    tools: ClassVar[frozenset[str]] = frozenset({"dnsmasq", "pkill"})
    programs: ClassVar[frozenset[str]] = frozenset({"dnsmasq"})
    drifts: ClassVar[bool] = True

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The servers of declared networks, none of those whose bridge goes away."""
        from bascule.providers.dnsmasq.want import want

        by_libvirt = "libvirt" in observed.parts
        return want(site, host, self.part(observed), wanted, lasting=inputs.lasting, by_libvirt=by_libvirt)

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """Lines of dnsmasq and systemctl, and files."""
        old, new = self.part(before), self.part(after)
        if old == new:
            return ()
        from bascule.providers.dnsmasq.diff import steps

        return steps(old, new, before)

    def merge(self, change: ThreeWay) -> Merged:
        """Servers, scripts and units of the networks that the change touched as they were.

        After a restart of the machine, what a unit of the change has made of its network goes as well.
        """
        before, wanted, now, _ = self.parts(change)
        servers, unmade = dict(now.servers), []
        for name in {**before.servers, **wanted.servers}:
            old, new = before.servers.get(name), wanted.servers.get(name)
            if old == new:
                continue
            servers.pop(name, None)
            if old is not None:
                servers[name] = old
            if change.rebooted and new is not None and new.unit is not None and (old is None or old.unit is None):
                unmade.append(name)
        return Merged(part=replace(now, servers=servers, unmade=tuple(unmade)))

    def put_right(self, change: ThreeWay) -> DnsmasqState:
        """Those that the site file wanted as it wanted them."""
        from bascule.providers.dnsmasq.state import UNKNOWN

        seen: DnsmasqState = self.part(change.now)
        known = {name: one for name, one in self.part(change.wanted).servers.items() if one.arguments != UNKNOWN}
        return replace(seen, servers={**seen.servers, **known})

    def names(self, before: HostState, wanted: HostState) -> tuple[str, ...]:
        """The networks whose servers it changes."""
        some = changed(self.part(before).servers, self.part(wanted).servers)
        return (f"dnsmasq of {', '.join(some)}",) if some else ()

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Units do."""
        return self.files(before) != self.files(wanted)

    def files(self, state: HostState) -> Mapping[str, tuple[str, int]]:
        """Scripts and units, and the link by which a unit is enabled."""
        part: DnsmasqState | None = self.part(state)
        if part is None:
            return {}
        found: dict[str, tuple[str, int]] = {}
        for name, server in part.servers.items():
            if server.script is not None:
                found[part.file(name, "sh")] = (server.script, 0o700)
            if server.unit is not None:
                found[part.unit_path(name)] = (server.unit, 0o644)
            if server.starts:
                found[f"{part.units}/{MULTI_USER}.wants/{part.unit_name(name)}"] = (part.unit_path(name), SYMLINK)
        return found


DNSMASQ = DnsmasqProvider()
