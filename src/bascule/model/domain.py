"""libvirt's domains and networks as frozen values: what runs, what is defined, and where each NIC is plugged."""

from __future__ import annotations

from msgspec import Struct

from bascule.model.values import IpAddress, IpInterface, Mac

_UNITS = {  # libvirt.org/formatdomain.html, "Memory Allocation": b and KB are decimal, k and KiB binary
    "b": 1, "bytes": 1,
    "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    **dict.fromkeys(("k", "KiB"), 2**10), **dict.fromkeys(("M", "MiB"), 2**20),
    **dict.fromkeys(("G", "GiB"), 2**30), **dict.fromkeys(("T", "TiB"), 2**40),
}  # fmt: skip


def memory_bytes(number: str, unit: str) -> int:
    """An amount of memory in one of libvirt's units."""
    return int(number) * _UNITS.get(unit, 2**10)


# names of taps that begin so are libvirt's own choice: it takes them out of a definition again
CHOSEN_BY_LIBVIRT = ("vnet", "macvtap", "macvlan")


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
    by_kernel: bool = True  # False: its definition takes the bridge for one that the kernel does not make
    vlans: str = ""  # those that the definition gives its port: "10 untagged, 20"
    filter: str = ""  # the nwfilter that libvirt keeps at its tap

    @property
    def where(self) -> str:
        """The plug as it is printed: ``bridge br3``, ``network lab``, ``direct eth4``."""
        return f"{self.kind} {self.into}".strip()


class Domain(Struct, frozen=True, kw_only=True):
    """A virtual server that libvirt or Bascule's own QEMU driver knows.

    ``nics`` are those of now (of the definition while it is shut off), ``next_nics`` those of the next start.
    ``halted`` says why one that runs does nothing: ``paused``, ``crashed``, ``suspended``, or "" for one that goes.
    Memory is in bytes; ``hugepage`` is the page size in bytes where the memory is taken from huge pages;
    ``nodes`` are the NUMA nodes that its memory is bound to.
    """

    name: str
    uuid: str = ""
    driver: str = "libvirt"
    running: bool = False
    halted: str = ""
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
    mtu: int | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """An address that a DHCP server has given: ``expires`` is in seconds since the epoch."""

    mac: Mac
    address: IpAddress
    name: str = ""
    network: str = ""
    expires: int = 0


class DomainText(Struct, frozen=True, kw_only=True):
    """A domain as libvirt writes it.

    ``now`` is the live XML (the definition while shut off), ``next`` the definition that the next start takes; both
    are the same text for a domain without definition. ``halted`` is as in ``Domain``.
    """

    name: str
    running: bool
    persistent: bool
    autostart: bool
    now: str
    next: str
    halted: str = ""


class NetworkText(Struct, frozen=True, kw_only=True):
    """A network as libvirt writes it."""

    name: str
    active: bool
    persistent: bool
    autostart: bool
    now: str
    next: str


class LeaseText(Struct, frozen=True, kw_only=True):
    """A lease of a network of libvirt's; ``expires`` in seconds since the epoch."""

    mac: str
    address: str
    name: str
    expires: int
