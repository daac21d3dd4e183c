"""libvirt's domains and networks as frozen values: what runs, what is defined, and where each NIC is plugged."""

from __future__ import annotations

from msgspec import Struct

from bascule.model.values import IpAddress, IpInterface, Mac


class DomainNic(Struct, frozen=True, kw_only=True):
    """A NIC of a domain. ``kind`` is libvirt's (bridge, network, direct, ethernet, user, hostdev…).

    ``into`` is what the XML names: the bridge, the network or the NIC; ``bridge`` is the bridge behind it where it is
    known, ``tap`` the host's end (empty while the domain is shut off and the name is libvirt's choice), ``pci`` the
    address inside the guest.
    """

    index: int
    kind: str
    into: str
    mac: Mac | None = None
    tap: str = ""
    bridge: str = ""
    model: str = ""
    alias: str = ""
    pci: str = ""
    link_up: bool = True
    mtu: int | None = None
    switch: str = ""  # "openvswitch" where the virtual port says so

    @property
    def where(self) -> str:
        """The plug as it is printed: ``bridge br3``, ``network lab``, ``direct eth4``."""
        return f"{self.kind} {self.into}".strip()


class Domain(Struct, frozen=True, kw_only=True):
    """A virtual server that libvirt or Bascule's own QEMU driver knows.

    ``nics`` are those of now (of the definition while it is shut off), ``next_nics`` those of the next start.
    Memory is in bytes; ``hugepage`` is the page size in bytes where the memory is taken from huge pages;
    ``nodes`` are the NUMA nodes that its memory is bound to.
    """

    name: str
    uuid: str = ""
    driver: str = "libvirt"
    running: bool = False
    persistent: bool = True
    autostart: bool = False
    memory: int = 0
    vcpus: int = 1
    nics: tuple[DomainNic, ...] = ()
    next_nics: tuple[DomainNic, ...] = ()
    hugepage: int | None = None
    nodes: tuple[int, ...] = ()
    kind: str = ""  # kvm, qemu (TCG), test…
    video: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether the next start will plug a NIC elsewhere than it is plugged now."""
        return self.running and self.persistent and _plugs(self.nics) != _plugs(self.next_nics)


def _plugs(nics: tuple[DomainNic, ...]) -> tuple[tuple[Mac | None, str, str], ...]:
    return tuple((nic.mac, nic.kind, nic.into) for nic in nics)


class Reservation(Struct, frozen=True, kw_only=True):
    """A fixed address for a MAC in a virtual network, with its DNS name."""

    mac: Mac | None
    address: IpAddress
    name: str = ""


class LibvirtNetwork(Struct, frozen=True, kw_only=True):
    """A network that libvirt keeps. ``mode`` is its forward mode; no forward element is ``isolated``."""

    name: str
    mode: str
    bridge: str = ""
    active: bool = False
    persistent: bool = True
    autostart: bool = False
    addresses: tuple[IpInterface, ...] = ()
    ranges: tuple[tuple[IpAddress, IpAddress], ...] = ()
    reservations: tuple[Reservation, ...] = ()


class Lease(Struct, frozen=True, kw_only=True):
    """An address that a DHCP server has given: ``expires`` is in seconds since the epoch."""

    mac: Mac
    address: IpAddress
    name: str = ""
    network: str = ""
    expires: int = 0
