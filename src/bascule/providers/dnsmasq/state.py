"""The dnsmasq of a host's own virtual networks, and what starts them with the machine, as a value."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from bascule.providers.boot_files import UNITS, UnitFile

UNKNOWN = ("unknown",)  # arguments that version 0.1.0 did not keep
UNIT = "bascule-network-"


def file_of(network: str, suffix: str, folder: str) -> str:
    """The ``pid``, ``leases`` or ``sh`` of a network."""
    return f"{folder}/{network}.{suffix}"


class Server(UnitFile, frozen=True, kw_only=True):
    """What belongs to one network: ``arguments`` are the words behind the name of its dnsmasq, None where none runs.

    ``script`` makes bridge and rules again, ``unit`` runs it (and the dnsmasq) when the machine starts; None where
    there is no such file.
    """

    arguments: tuple[str, ...] | None = None
    script: str | None = None


class DnsmasqState(Struct, frozen=True, kw_only=True):
    """The servers by the names of their networks.

    ``folder`` has their process ids, leases and scripts, ``units`` those of systemd; ``program`` is dnsmasq's path.
    ``unmade`` are networks that a unit made when the machine started, and that shall not be.
    """

    folder: str
    units: str = UNITS
    program: str = "/usr/sbin/dnsmasq"
    servers: Mapping[str, Server] = field(default_factory=dict)
    unmade: tuple[str, ...] = ()

    def file(self, network: str, suffix: str) -> str:
        """A file of a network's own."""
        return file_of(network, suffix, self.folder)

    def unit_name(self, network: str) -> str:
        """How systemd calls what starts a network."""
        return f"{UNIT}{network}.service"

    def unit_path(self, network: str) -> str:
        """Where that stands."""
        return f"{self.units}/{self.unit_name(network)}"
