"""The twin: the site played with real links, real frames and real daemons, inside a sandbox."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Self

from msgspec.structs import replace

from bascule.guests.plug import Plug
from bascule.model.kernel_parameters import FORWARDING
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Machine, Site
from bascule.model.state import HostState
from bascule.model.values import IfName, IpInterface, IpNetwork
from bascule.observe.spanning_tree import await_forwarding
from bascule.plan.change import Note
from bascule.plan.target.networks import set_aside
from bascule.plan.virtual_network import needs_server, resolved_networks
from bascule.policy.masquerade import router_table
from bascule.probe.dhcp_client import DhcpLease
from bascule.probe.domain import ProbeDomain
from bascule.system.clock import Progress, unseen
from bascule.system.closing import Closing
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import privilege
from bascule.system.process.workers import Daemon
from bascule.system.run import run
from bascule.topology.declared import guest_vlans
from bascule.twin import dnsmasq, fabric, leases, switches
from bascule.twin.backend import GuestBackend
from bascule.twin.backend_choice import BackendChoice
from bascule.twin.fabric import FABRIC
from bascule.twin.services import ServiceOffer, Services
from bascule.twin.view import look
from bascule.twin.wiring import wire

FOLDER = Path("/run/bascule-twin")  # private to the sandbox


def tools(site: Site) -> Iterator[str]:
    """The programs without which the twin of this site cannot be played."""
    yield from ("ip", "bridge")
    machines = site.machines.values()
    own = [one for host in site.hosts.values() for one in resolved_networks(site, host)]
    if own or any(machine.let_through or machine.forwards for machine in machines):
        yield "nft"
    if any(map(switches.has_switches, site.hosts.values())):
        yield from switches.TOOLS
    if any(map(needs_server, own)) or any(machine.dhcp for machine in machines):
        yield "dnsmasq"


class Twin(Closing):
    """Made by ``raise_``; a context manager that lets go of everything at its end.

    The order of use: ``raise_``, apply the plan in ``host(name)``, ``plug_guests``, ``start_guests``, ``probe_domain``.
    """

    backend: GuestBackend

    def __init__(
        self, site: Site, hosts: Iterable[str], observed: Mapping[str, HostState], guests: BackendChoice
    ) -> None:
        self.site = site
        self.guests = guests
        self.hosts = tuple(hosts)
        self.observed, aside = self._without_libvirts(observed)
        self.wiring = wire(site, self.hosts, self.observed)
        self.notes: list[Note] = [*self.wiring.notes, *aside]
        self.leases: dict[tuple[str, IfName], DhcpLease] = {}
        self.given: dict[tuple[str, IfName], tuple[IpInterface, ...]] = {}  # by us, and what guests say they got
        self._stack = contextlib.ExitStack()
        self._namespaces: dict[str, Namespace] = {}
        self._daemons: list[Daemon] = []

    @classmethod
    def raise_(
        cls,
        site: Site,
        *,
        hosts: Iterable[str] | None = None,
        observed: Mapping[str, HostState] | None = None,
        guests: BackendChoice | None = None,
    ) -> Self:
        """Build it: hosts with their NICs and nothing else, the building, the machines with all that they run.

        Must be called inside ``system.sandbox.sandboxed``. ``hosts`` are all of the site if not given. An observed
        host gets stand-ins for its taps and foreign links; its other state is the caller's to apply. ``guests`` says
        what they are, namespaces if not given.

        Raises MissingTool, NotPermitted or CommandFailed.
        """
        if privilege() is None:
            raise RuntimeError("a twin is raised inside of a sandbox only: it would be seen, and outlive us")
        twin = cls(site, site.hosts if hosts is None else hosts, observed or {}, guests or BackendChoice())
        try:
            twin._build()
        except BaseException:
            twin.close()
            raise
        return twin

    def _build(self) -> None:
        wiring = self.wiring
        FOLDER.mkdir(parents=True, exist_ok=True)
        names = (FABRIC, *self.hosts, *wiring.machines, *self.guests.namespaces(wiring))
        self._namespaces = fabric.make_namespaces(names)
        for namespace in self._namespaces.values():
            self._stack.callback(namespace.close)
        for name in (*self.hosts, *wiring.machines):
            fabric.trust_addresses(self._namespaces[name])
        switched = self._start_switches()
        self.backend = self.guests.play(self.site, wiring, self._namespaces, FOLDER)
        self._stack.callback(self.backend.close)
        fabric.lay(wiring, self._namespaces, self._lay_tags if switched else None)
        if switched:
            for name in (*self.hosts, *wiring.machines):
                links.write_checksums(self._namespaces[name])
        for host in self.hosts:
            self._furnish(host)
        for name, end in wiring.machines.items():
            machine = self.site.machines[name]
            fabric.settle(end, self._namespaces[name], routes=_routes(machine))
            if len(end.nics) > 1:
                self._make_router(name)
        self._daemons = dnsmasq.start(
            self.site,
            list(self.site.machines.values()),
            [wiring.machines[name] for name in self.site.machines],
            [self._namespaces[name] for name in self.site.machines],
            FOLDER,
        )
        for daemon in self._daemons:
            self._stack.callback(daemon.stop)
        self._serve(
            ServiceOffer(
                endpoint=machine.name,
                namespace=self._namespaces[machine.name],
                services=machine.serves,
                others=dnsmasq.PORTS if machine.dhcp is not None else frozenset(),
            )
            for machine in self.site.machines.values()
        )

    def _lay_tags(self, masters: Mapping[str, int]) -> None:
        """Tagged networks by Open vSwitch in the building: the kernel cannot."""
        folder = FOLDER / "building"
        for daemon in switches.lay_tags(self.wiring, self._namespaces[FABRIC], folder, masters):
            self._stack.callback(daemon.stop)

    def _start_switches(self) -> bool:
        """Open vSwitch on the hosts that have a bridge of it; whether there is one."""
        hosts = [name for name in self.hosts if switches.has_switches(self.site.hosts[name])]
        for number, host in enumerate(hosts):
            for daemon in switches.start(self._namespaces[host], FOLDER / f"switches{number}"):
                self._stack.callback(daemon.stop)
        return bool(hosts)

    def _without_libvirts(self, observed: Mapping[str, HostState]) -> tuple[dict[str, HostState], list[Note]]:
        """Observed hosts without the virtual networks that somebody else made there: the twin plays them by ours."""
        states, notes = dict(observed), []
        for name, state in observed.items():
            host = self.site.hosts[name]
            states[name], gone = set_aside(resolved_networks(self.site, host), switches.as_played(host, state))
            text = "is another program's virtual network here; in the twin a network of Bascule's own plays it"
            notes += [Note(kind="foreign", subject=link.name, text=text) for link in gone]
        return states, notes

    def _furnish(self, host: str) -> None:
        """What a host has that no plan makes: its loopback, standing taps of guests, and whether it forwards."""
        rtnetlink.change(self._namespaces[host], [rtnetlink.set_link("lo", up=True)])
        self.backend.create(host, [tap for tap in self.wiring.taps if tap.host == host])
        state = self.observed.get(host)
        seen = state.sysctls if state is not None else {}
        on = {version: seen.get(key) not in {None, "0"} for version, key in FORWARDING.items()}
        fabric.set_forwarding(self._namespaces[host], on)

    def _make_router(self, name: str) -> None:
        machine = self.site.machines[name]
        fabric.set_forwarding(self._namespaces[name], dict.fromkeys(FORWARDING, _routes(machine)))
        if _routes(machine):
            self._load_rules(machine, {})

    def _load_rules(self, machine: Machine, given: Mapping[str, list[IpNetwork]]) -> None:
        """What a router lets through, with the addresses that DHCP has given by then."""
        nics = self.wiring.machines[machine.name].nics
        links = [(str(nic.link), nic.network.name) for nic in nics if nic.network is not None]
        table = router_table(self.site, machine, links, given)
        if table is not None:
            run(["nft", "-f", "-"], stdin=replacing_text(table), namespace=self._namespaces[machine.name])

    def _serve(self, offers: Iterable[ServiceOffer]) -> None:
        services = Services(offers)
        self._stack.callback(services.stop)

    def host(self, name: str) -> Namespace:
        """The namespace of a host, where its plan is applied, of a machine, or of a guest that is one."""
        return self._namespaces[name]

    def plug_guests(self) -> None:
        """Make the taps of all guests, each on its bridge. Raises CommandFailed where a bridge is not there."""
        for host in self.hosts:
            bridges = self.site.hosts[host].bridges.values()
            others = {bridge.name for bridge in bridges if not bridge.by_kernel}
            aware = {bridge.name for bridge in bridges if bridge.vlan_aware} - others
            plugs = [
                Plug(
                    nic=plug,
                    bridge=bridge,
                    mtu=nic.mtu,
                    by_kernel=bridge not in others,
                    vlans=guest_vlans(plug) if bridge in aware else None,
                )
                for guest in self.site.guests_on(host)
                for plug, bridge, nic in self.wiring.guests[guest.name].plugs
            ]
            self.notes += self.backend.plug(host, plugs)
            if others:
                for guest in self.site.guests_on(host):
                    if (namespace := self._namespaces.get(guest.name)) is not None:
                        links.write_checksums(namespace)

    def start_guests(self, *, dhcp_timeout_s: float = 5.0, progress: Progress = unseen) -> None:
        """Addresses, leases and services of all guests; leases of hosts and machines that want one, too.

        The servers of the hosts' virtual networks come first: their bridges are there by now. A NIC that gets no
        lease becomes a note: the questions about it will fail and say so.
        """
        self.notes += self.backend.start()
        self._serve(
            ServiceOffer(endpoint=name, namespace=self._namespaces[name], services=self.site.hosts[name].serves)
            for name in self.hosts
        )
        for node, link in links.wait_until_running(self._ports()):
            text = f"{link} of {node} is up but does not run: no frame will pass there"
            self.notes.append(Note(kind="warning", subject=node, text=text))
        for name in self.hosts:  # the kernel's own timers: what is rehearsed takes as long as it will
            bridges = self.site.hosts[name].bridges
            settled = await_forwarding(bridges, namespace=self._namespaces[name], progress=progress)
            self.notes += [Note(kind="warning", subject="spanning tree", text=text) for _, _, text in settled.lines()]
        self._lease(dhcp_timeout_s)
        self._let_out()

    def probe_domain(self, states: Mapping[str, HostState] = MappingProxyType({})) -> ProbeDomain:
        """From where one can ask and where one can listen, with the addresses that the leases gave.

        ``states`` are those of its hosts by now.
        """
        found = look(self.site, self.hosts, self.wiring, self._namespaces, self.given, self.backend, states)
        return replace(found, unseen=frozenset(self.hosts) - self.observed.keys())

    def _ports(self) -> dict[Namespace, list[str]]:
        """Both ends of every cable whose host's end is up, and of every tap."""
        found: dict[Namespace, list[str]] = {namespace: [] for namespace in self._namespaces.values()}
        for cable in self.wiring.cables:
            if links.is_up(self._namespaces[cable.node], cable.link):
                found[self._namespaces[cable.node]].append(cable.link)
                found[self._namespaces[FABRIC]].append(cable.port)
        for namespace, link in self.backend.links():
            found[namespace].append(link)
        return found

    def _lease(self, timeout_s: float) -> None:
        askers = leases.askers(self.site, self.hosts, self.wiring, self._namespaces)
        for asker, lease in leases.acquire(self.site, self.wiring, askers, timeout_s=timeout_s).items():
            if lease is None:
                self.notes.append(leases.no_lease(asker))
            else:
                self.leases[asker.endpoint, asker.link] = lease
        leases.take(self.site, self.wiring, self._namespaces, self.leases)
        own, notes = self.backend.addresses()
        self.notes += notes
        self.given = {where: (lease.address,) for where, lease in self.leases.items()} | dict(own)

    def _let_out(self) -> None:
        """Tell the routers which addresses DHCP gave to those that may go out."""
        given: dict[str, list[IpNetwork]] = {}
        for (endpoint, _), addresses in self.given.items():
            given.setdefault(endpoint, []).extend(ip_network(address.ip) for address in addresses)
        for machine in self.site.machines.values():
            late = machine.let_through if len(machine.nics) > 1 else ()
            if any(given.get(name) for name in late):
                self._load_rules(machine, given)

    def close(self) -> None:
        """Let go of everything; what is in no other hand is gone."""
        self._stack.close()


def _routes(machine: Machine) -> bool:
    """Whether the file says of a machine that it hands anything on."""
    return machine.masquerade is not None or bool(machine.forwards)
