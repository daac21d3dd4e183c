"""What the doctor finds, and what it looks at. Every look is a pure function over ``Facts``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from bascule.model.domain import Domain, LibvirtNetwork
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.persist.manager import Managers


class Severity(StrEnum):
    """How bad it is: ``problem`` means that guests will not run or not be reached."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing: what it is about, what was seen (``evidence``), and what to do."""

    id: str
    severity: Severity
    subject: str
    text: str
    evidence: tuple[str, ...] = ()
    fix: str = ""

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


class BaseChain(Struct, frozen=True, kw_only=True):
    """An nftables or iptables chain that the kernel calls at a hook."""

    family: str
    table: str
    name: str
    hook: str
    policy: str

    def __str__(self) -> str:
        return f"chain {self.name} of table {self.family} {self.table} (hook {self.hook}, policy {self.policy})"


class Facts(Struct, frozen=True, kw_only=True):
    """Everything that the looks need, observed once. None means that it could not be seen."""

    distribution: str = ""  # ID of /etc/os-release
    like: tuple[str, ...] = ()
    tools: Mapping[str, bool] = field(default_factory=dict)
    guests_wanted: bool = True
    kvm_device: bool = False
    kvm_flags: tuple[str, ...] = ()  # vmx, svm
    kvm_works: bool | None = None
    kvm_reason: str = ""
    modules: frozenset[str] | None = None  # loaded ones
    sysctls: Mapping[str, str] = field(default_factory=dict)
    chains: tuple[BaseChain, ...] | None = None
    chain_names: frozenset[str] = frozenset()  # all chains, to know Docker's
    state: HostState | None = None
    libvirt_error: str = ""
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
    def bridges(self) -> tuple[str, ...]:
        """The host's bridges, and those that the site file declares for it."""
        there = [str(link.name) for link in self.state.links.values() if link.is_bridge] if self.state else []
        declared = [str(name) for name in self.site.hosts[self.host].bridges] if self.site and self.host else []
        return tuple(dict.fromkeys([*there, *declared]))
