"""What the doctor finds, and what it looks at. Every look is a pure function over ``DoctorFacts``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct, field

from bascule.errors import Problem
from bascule.model.domain import Domain, LibvirtNetwork
from bascule.model.host_links import Bridge
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName, IpNetwork
from bascule.persist.manager import Managers
from bascule.plan.virtual_network import ResolvedNetwork, resolved_networks
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.virtual_networks import existing_bridge
from bascule.verify.doctor.own_bridges import own_bridges


class Severity(StrEnum):
    """How bad it is: ``problem`` means that guests will not run or not be reached."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing: what it is about, what was seen (``evidence``), and what to do.

    ``bridges`` are those that it concerns, where it is about the way of frames.
    """

    id: str
    severity: Severity
    subject: str
    text: str
    evidence: tuple[str, ...] = ()
    fix: str = ""
    bridges: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """All of it in one sentence, for verbs that have a line for it."""
        seen = f" ({'; '.join(self.evidence)})" if self.evidence else ""
        return f"{self.text}{seen}" + (f"; fix: {self.fix}" if self.fix else "")

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "subject": self.subject,
            "text": self.text,
            "evidence": list(self.evidence),
            "fix": self.fix,
        }


class DoctorFacts(Struct, frozen=True, kw_only=True):
    """Everything that the looks need, observed once. None means that it could not be seen."""

    distribution: str = ""  # ID of /etc/os-release
    like: tuple[str, ...] = ()
    tools: Mapping[str, bool] = field(default_factory=dict)
    kvm_device: bool = False
    kvm_flags: tuple[str, ...] = ()  # vmx, svm
    kvm_works: bool | None = None
    kvm_reason: str = ""
    kvm_forbidden: bool = False  # /dev/kvm is there, and this user may not open it
    kvm_group: str = ""  # whose members may; nothing: root only
    modules: frozenset[str] | None = None  # loaded ones
    unmade: tuple[tuple[str, str, str], ...] | None = None  # links that the kernel does not make: kind, words, module
    network: HostNetwork | None = None  # with the rules of others
    state: HostState | None = None
    unseen: tuple[str, ...] = ()  # PART: why it could not be seen
    libvirt_fault: Problem | None = None  # why it does not answer
    domains: tuple[Domain, ...] = ()
    networks: tuple[LibvirtNetwork, ...] = ()
    zones: Mapping[str, str] | None = None  # link → firewalld's zone; None where firewalld does not run
    default_zone: str = ""
    dns_sockets: tuple[tuple[str, str], ...] = ()  # (local address and port, process) of UDP 53 and 67
    wireless: frozenset[str] = frozenset()
    managers: Managers | None = None  # None in a network namespace of our own
    site: Site | None = None
    host: str = ""

    @property
    def declared(self) -> Host | None:
        """The host as the site file has it; None without a file."""
        return self.site.hosts.get(self.host) if self.site is not None else None

    @property
    def declared_nics(self) -> tuple[GuestNic, ...]:
        """The NICs of the guests that the file gives to the host."""
        return tuple(self.site.guest_nics(self.host)) if self.site is not None and self.host else ()

    @property
    def bridges(self) -> tuple[str, ...]:
        """The host's bridges, and those that the site file declares for it."""
        there = [str(link.name) for link in self.state.links.values() if link.is_bridge] if self.state else []
        return tuple(dict.fromkeys([*there, *self._declared_bridges]))

    @property
    def own_bridges(self) -> tuple[str, ...]:
        """The bridges of the file; without a file those of the host that no other program keeps for itself."""
        if self.declared is not None:
            return self._declared_bridges
        rules = self.network.rules if self.network is not None else Rules()
        return tuple(own_bridges(self.state, rules, self.networks)) if self.state else ()

    def virtual_networks(self) -> Iterator[tuple[ResolvedNetwork, str]]:
        """The host's own networks by the file, each with the bridge that it has, or will have."""
        if self.site is None or self.declared is None or self.state is None:
            return
        for one in resolved_networks(self.site, self.declared):
            link = existing_bridge(self.declared.virtual_networks[one.name], self.state)
            yield one, str(link.name if link else one.bridge)

    def subnets(self, bridge: str, version: int) -> tuple[IpNetwork, ...]:
        """The subnets that guests on a bridge have: as the file says, else those of the host's own addresses there."""
        declared = self._declared_as(bridge)
        host = self.declared
        network = self.site.network_of_link(host, declared.name) if self.site and host and declared else None
        found = network.subnets if network is not None else ()
        link = self.network.link(bridge) if self.network is not None else None
        own = (ipaddress.ip_interface(one.ip).network for one in (link.addresses if link is not None else ()))
        return tuple(dict.fromkeys(one for one in (*found, *own) if one.version == version))

    def leads_out(self, bridge: str) -> bool:
        """Whether frames of guests leave a bridge by a wire, for whoever is behind it: the file gives it an uplink."""
        declared = self._declared_as(bridge)
        return declared is not None and bool(declared.every_port)

    def _declared_as(self, bridge: str) -> Bridge | None:
        return self.declared.bridges.get(IfName(bridge)) if self.declared is not None else None

    @property
    def _declared_bridges(self) -> tuple[str, ...]:
        return tuple(map(str, self.declared.bridges)) if self.declared is not None else ()
