"""Bare QEMU guests as a value: what each was defined as, whether it runs, and where its taps are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct, convert, field, to_builtins

from bascule.model.domain import Domain, DomainNic
from bascule.model.guarding import Guarding, GuardLevel
from bascule.model.site import Guest, GuestNic, PlugKind, SwitchedNic
from bascule.model.values import IfName, bridge_name
from bascule.policy.guards.ports import is_guarded
from bascule.providers.guest_nics import DEFAULT_MEMORY


class QemuGuest(Struct, frozen=True, kw_only=True):
    """One guest. ``definition`` is its ``guest.json``; ``bridges`` has the bridge of each tap that is there, or "".

    ``halted`` is as in ``Domain``.
    """

    definition: Mapping[str, Any]
    running: bool = False
    halted: str = ""
    bridges: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The NICs of its definition."""
        rows: Sequence[Mapping[str, Any]] = self.definition["nics"]
        return rows


class QemuState(Struct, frozen=True, kw_only=True, dict=True):
    """The guests by name; ``folder`` has one folder for each. ``again`` are taps whose cable is pulsed once more."""

    folder: str
    guests: Mapping[str, QemuGuest] = field(default_factory=dict)
    again: tuple[str, ...] = ()

    @cached_property
    def seen_domains(self) -> tuple[Domain, ...]:
        """The same in the shape in which libvirt's domains are seen."""
        return tuple(domain(guest) for guest in self.guests.values())


OF_PORT = ("openvswitch", "isolated", "guard")  # keys of a NIC's row about the port that it becomes


def row(nic: GuestNic) -> dict[str, Any]:
    """A NIC as a definition keeps it, with what its port has from its first frame on."""
    own = {"index": nic.index, "plug": nic.plug.value, "into": nic.into, "mac": nic.mac, "tap": nic.tap}
    return own | port_facts(nic)


def port_facts(nic: GuestNic) -> dict[str, Any]:
    """What a definition keeps of a port: its guard, and on Open vSwitch its VLANs and whether it is kept apart."""
    guard = {"guard": nic.guarding.level.value} if is_guarded(nic) else {}
    if nic.switched is None:
        return guard
    return {"openvswitch": to_builtins(nic.switched), "isolated": nic.guarding.port_flag, **guard}


def switched(row: Mapping[str, Any]) -> SwitchedNic | None:
    """How a NIC of a definition stands on a bridge of Open vSwitch; None on another one."""
    return convert(row["openvswitch"], SwitchedNic) if "openvswitch" in row else None


def definition(guest: Guest) -> dict[str, Any]:
    """What ``guest.json`` says of a guest."""
    return {
        "name": guest.name,
        "memory": guest.memory or DEFAULT_MEMORY,
        "vcpus": guest.vcpus,
        "disks": list(guest.disks),
        "iso": guest.iso,
        "kernel": guest.kernel,
        "initrd": guest.initrd,
        "cmdline": guest.cmdline,
        "host": guest.host,
        "nics": [row(nic) for nic in guest.nics],
    }


def guest_of(facts: Mapping[str, Any]) -> Guest:
    """The guest as it was defined."""
    keys = ("name", "host", "memory", "vcpus", "iso", "kernel", "initrd", "cmdline")
    nics = tuple(nic_of(facts["name"], one) for one in facts["nics"])
    return Guest(**{key: facts[key] for key in keys}, disks=tuple(facts["disks"]), nics=nics)


def nic_of(guest: str, one: Mapping[str, Any]) -> GuestNic:
    """A NIC of a definition."""
    return GuestNic(
        guest=guest,
        index=one["index"],
        plug=PlugKind(one["plug"]),
        into=one["into"],
        mac=one["mac"],
        tap=IfName(one["tap"]),
        switched=switched(one),
        guarding=Guarding(isolated=one.get("isolated"), level=GuardLevel(one.get("guard", GuardLevel.OFF))),
    )


def domain(guest: QemuGuest) -> Domain:
    """A guest in the shape in which libvirt's domains are seen."""
    facts = guest.definition
    return Domain(
        name=facts["name"],
        driver="qemu",
        running=guest.running,
        halted=guest.halted,
        memory=facts["memory"],
        vcpus=facts["vcpus"],
        nics=tuple(_nic(one, guest.bridges) for one in guest.rows),
        next_nics=tuple(_nic(one, {}) for one in guest.rows),
    )


def plugged_into(one: Mapping[str, Any]) -> str:
    """The bridge of a NIC of a definition."""
    return bridge_name(one["into"]) if one["plug"] == PlugKind.NETWORK else str(one["into"])


def _nic(one: Mapping[str, Any], bridges: Mapping[str, str]) -> DomainNic:
    """A NIC where its tap is now; one whose tap is not there, where it will be plugged."""
    meant = plugged_into(one)
    master, switch = bridges.get(one["tap"], meant), switched(one)
    return DomainNic(
        index=one["index"],
        kind=one["plug"] if master == meant else PlugKind.BRIDGE.value,
        into=one["into"] if master == meant else master,
        mac=one["mac"],
        tap=one["tap"],
        bridge=master if one["tap"] in bridges else "",
        model="virtio",
        by_kernel=switch is None,
        vlans=switch.words if switch is not None else "",
    )
