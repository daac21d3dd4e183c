"""libvirt's virtual networks brought to the site file.

They are updated live where libvirt can, and restarted otherwise; the guests that a restart cuts are named before and
plugged in again after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.model.domain import Domain, LibvirtNetwork, NetworkText
from bascule.plan.change import Change, Risk
from bascule.plan.step import Phase
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.providers.libvirt import domain_xml, network_xml
from bascule.providers.libvirt.network_xml import NetUpdate, NetworkDiff
from bascule.system.libvirt import Hypervisor
from bascule.system.net.iproute import batch
from bascule.system.net.netns import Namespace


class NetworkChange(Struct, frozen=True, kw_only=True):
    """How one virtual network gets where it shall be. ``guests`` run on it now; a restart cuts them."""

    resolved_network: ResolvedNetwork
    action: str  # define, update, restart, start
    diff: NetworkDiff
    guests: tuple[str, ...] = ()

    def as_change(self) -> Change:
        """The change as the plan prints it."""
        cuts = self.action == "restart"
        reasons = "; ".join(self.diff.redefine) or "; ".join(map(str, self.diff.updates))
        return Change(
            subject=f"network {self.resolved_network.name}",
            action={
                "define": f"defined in libvirt ({self.resolved_network.mode}), started, started with the host",
                "start": "started, and started with the host",
                "update": "changed while it runs",
                "restart": "stopped, defined anew and started; its guests are plugged in again",
            }[self.action],
            reason=reasons or f"the site file declares virtual network '{self.resolved_network.name}'",
            risk=Risk.DETACHES if cuts else Risk.ADDITION,
            guests=self.guests if cuts else (),
            cuts=self.guests if cuts else (),
            stage=Phase.HYPERVISOR,
            outage_s=2.0 if cuts and self.guests else 0.0,  # measured: 0.3 s for the network, the rest is the lease
        )


def plan_networks(
    networks: Iterable[LibvirtNetwork], domains: Iterable[Domain], resolved_networks: Iterable[ResolvedNetwork]
) -> tuple[NetworkChange, ...]:
    """What must change in libvirt's networks. Networks that the site file does not declare are left alone. Pure."""
    there = {network.name: network for network in networks}
    domains = tuple(domains)
    found = []
    for one in resolved_networks:
        now = there.get(one.name)
        if now is None:
            found.append(NetworkChange(resolved_network=one, action="define", diff=NetworkDiff()))
            continue
        diff = network_xml.diff(now, one)
        on_it = tuple(
            domain.name
            for domain in domains
            if domain.running and any(nic.kind == "network" and nic.into == one.name for nic in domain.nics)
        )
        if diff.redefine:
            action = "restart" if now.active else "define"
            found.append(
                NetworkChange(resolved_network=one, action=action, diff=diff, guests=on_it if now.active else ())
            )
        elif diff.updates:
            found.append(NetworkChange(resolved_network=one, action="update", diff=diff, guests=on_it))
        elif not (now.active and now.autostart):
            found.append(NetworkChange(resolved_network=one, action="start", diff=diff))
    return tuple(found)


def apply_networks(
    hypervisor: Hypervisor, changes: Sequence[NetworkChange], *, namespace: Namespace | None = None
) -> None:
    """Make the changes. If one fails, all networks go back; raises then.

    ``namespace`` is the one that libvirtd runs in, None for ours. The nft table of a network with forwards is the
    kernel's part of the plan.
    """
    before = {text.name: text for text in hypervisor.networks()}
    done: list[NetworkChange] = []
    try:
        for change in changes:
            done.append(change)
            _make(hypervisor, change, before.get(change.resolved_network.name), namespace=namespace)
    except BasculeError as error:
        problems = list(error.problems)
        for change in reversed(done):
            try:
                restore_network(
                    hypervisor,
                    change.resolved_network.name,
                    before.get(change.resolved_network.name),
                    namespace=namespace,
                )
            except BasculeError as worse:
                problems += [
                    Problem(
                        code="NETWORK-NOT-RESTORED",
                        message=f"network '{change.resolved_network.name}' is not as it was: {p.message}",
                        hint="look at it with `virsh net-dumpxml`",
                    )
                    for p in worse.problems
                ]
        raise BasculeError(*problems) from error


def _make(
    hypervisor: Hypervisor, change: NetworkChange, before: NetworkText | None, *, namespace: Namespace | None
) -> None:
    name = change.resolved_network.name
    if change.action == "update":
        for update in change.diff.updates:
            _update(hypervisor, name, update, live=before is not None and before.active)
        return
    if change.action != "start":
        xml = (
            network_xml.build(change.resolved_network)
            if before is None
            else network_xml.edited(before.next, change.resolved_network)
        )
        hypervisor.define_network(xml)
    if change.action == "restart":
        hypervisor.stop_network(name)
    hypervisor.start_network(name)
    hypervisor.set_autostart(name, on=True)
    if change.action == "restart":
        plug_in_again(hypervisor, name, namespace=namespace)


def _update(hypervisor: Hypervisor, name: str, update: NetUpdate, *, live: bool) -> None:
    hypervisor.update_network(name, update.command, update.section, update.xml, parent=update.parent, live=live)


def plug_in_again(hypervisor: Hypervisor, network: str, *, namespace: Namespace | None = None) -> tuple[str, ...]:
    """Put the taps of running guests back on a network's bridge after it was made anew; the guests' names.

    libvirt itself does so only when libvirtd starts, and an update of the NIC does nothing while the bridge has the
    same name. The cable is pulled for a moment, so that guests renew.
    """
    (bridge,) = (text for text in hypervisor.networks() if text.name == network)
    name = domain_xml.parse(bridge.now).find("bridge")
    taps: list[tuple[str, domain_xml.Element, str]] = []
    for domain in hypervisor.domains():
        for element in domain_xml.interfaces(domain_xml.parse(domain.now)) if domain.running else ():
            target = element.find("target")
            if domain_xml.plug_of(element) == ("network", network) and target is not None:
                taps.append((domain.name, element, target.get("dev", "")))
    lines = [f"link set dev {tap} master {name.get('name')}" for _, _, tap in taps] if name is not None else []
    wrong = batch("ip", "\n".join(lines) + "\n", namespace=namespace) if lines else None
    if wrong is not None:
        line = lines[wrong.line] if wrong.line is not None else lines[0]
        raise CommandFailed(Problem(code="GUEST-NOT-PLUGGED", message=f"'ip {line}' failed: {wrong.reason}"))
    for guest, element, _ in taps:
        if domain_xml.is_up(element):
            hypervisor.update_device(guest, domain_xml.text(domain_xml.linked(element, up=False)), live=True)
            hypervisor.update_device(guest, domain_xml.text(element), live=True)
    return tuple(dict.fromkeys(guest for guest, _, _ in taps))


def restore_network(
    hypervisor: Hypervisor, name: str, before: NetworkText | None, *, namespace: Namespace | None = None
) -> None:
    """A network as it was: its definition, whether it runs, and whether it starts with the host.

    What was changed while it ran goes back while it runs; only what needed a restart needs one again.
    """
    now = {text.name: text for text in hypervisor.networks()}.get(name)
    if before is None:
        if now is not None and now.active:
            hypervisor.stop_network(name)
        if now is not None and now.persistent:
            hypervisor.undefine_network(name)
        return
    if now is not None and before.active and now.active and now.now != before.now:
        way = network_xml.updates(now.now, before.now)
        for update in way or ():
            _update(hypervisor, name, update, live=True)
        if way is None:
            hypervisor.stop_network(name)
            now = None
    if now is None or now.next != before.next:
        hypervisor.define_network(before.next)
    if not before.active and now is not None and now.active:
        hypervisor.stop_network(name)
    if before.active and (now is None or not now.active):
        hypervisor.start_network(name)
        plug_in_again(hypervisor, name, namespace=namespace)
    if before.persistent:
        hypervisor.set_autostart(name, on=before.autostart)
