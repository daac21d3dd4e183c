"""Guards of guest NICs: what a guard binds must be known, and what it lets through must belong to the guest."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.guarding import GROUPS, Fdb
from bascule.model.values import IpAddress
from bascule.site import document as d
from bascule.site.findings import Path
from bascule.site.wiring import DocumentWiring

LETS_THROUGH = ("also", "macs", "may")
Shared = tuple[str, int] | None  # the protocol and group by which routers share an address


def check_guards(wiring: DocumentWiring) -> None:
    """Each guest NIC by itself, and the further addresses of all of them together."""
    for name, guest in wiring.document.guests.items():
        for index, nic in enumerate(guest.nics):
            path: Path = ("guests", name, "nics", index)
            if guest.host in wiring.document.hosts:
                _guard(wiring, guest, nic, path)
    _further_addresses(wiring)


def guard_of(document: d.Document, host: str, nic: d.GuestNic) -> str:
    """The guard that a NIC names, else its bridge's or its host's: that of the MAC where no address is known."""
    if nic.guard or nic.direct:
        return nic.guard or "off"  # a macvtap is not a port of a bridge
    bridge = document.bridge_of(host, nic)
    found = (bridge and bridge.guard) or document.hosts[host].guard or "off"
    return "mac" if found == "strict" and not has_address(nic) else found


def fdb_of(document: d.Document, host: str, nic: d.GuestNic) -> Fdb | None:
    """How the bridge of a NIC knows its MACs: as the NIC says, or the bridge of those that have a guard."""
    bridge = document.bridge_of(host, nic)
    guarded = guard_of(document, host, nic) != "off"
    numbered = any(isinstance(one, int) for one in nic.macs)
    return nic.fdb or (bridge.fdb if bridge is not None and guarded and not numbered else None)  # type: ignore[return-value]  # one of the words, or it was refused


def has_address(nic: d.GuestNic) -> bool:
    """Whether the file knows an address of the NIC."""
    return any(not isinstance(each, str) for each in nic.address)


def _guard(wiring: DocumentWiring, guest: d.Guest, nic: d.GuestNic, path: Path) -> None:
    found = wiring.found
    if nic.direct and nic.limit is not None and (nic.limit.up or nic.limit.down):
        found.add(
            "GUARD", "a limit of bits is kept at a tap on a bridge, and a macvtap is none", (*path, "limit"),
            hint="write 'bridge:' instead of 'direct:', or remove 'limit'",
        )  # fmt: skip
    if nic.direct and (nic.guard or "off") != "off":
        found.add(
            "GUARD", "a guard needs a port of a bridge, and a macvtap is none", (*path, "guard"),
            hint="write 'bridge:' instead of 'direct:', or remove 'guard'",
        )  # fmt: skip
    elif nic.guard == "strict" and not has_address(nic):
        found.add(
            "GUARD-ADDRESS", "a strict guard binds addresses, and the file knows none of this NIC", (*path, "guard"),
            hint="write 'guard: mac', which binds the MAC alone, or give the NIC its address",
        )  # fmt: skip
    elif guard_of(wiring.document, guest.host, nic) == "off":
        if isinstance(nic.isolated, str):
            found.add(
                "GUARD", f"the port flag has no groups, and this NIC has no guard to keep it to '{nic.isolated}'",
                (*path, "isolated"), hint="add 'guard: strict' or 'guard: mac', or write 'isolated: true'",
            )  # fmt: skip
        for keys in _for_a_guard(nic):
            found.add(
                "GUARD", f"'{keys[-1]}' says what a guard lets through, and this NIC has none", (*path, *keys),
                hint=f"add 'guard: strict' or 'guard: mac', or remove '{keys[-1]}'",
            )  # fmt: skip
    _fdb(wiring, guest, nic, path)
    numbers = [index for index, one in enumerate(nic.macs) if isinstance(one, int)]
    if len(numbers) > 1:
        message = "the number of MACs is said more than once"
        found.add("GUARD", message, (*path, "macs", numbers[1]), hint="write one number; MACs may stand beside it")
    for index, each in enumerate(nic.also):
        named = [key for key in GROUPS if getattr(each, key) is not None]
        if len(named) > 1:
            message = f"one address cannot be shared by {' and '.join(named)} at once"
            found.add("GUARD", message, (*path, "also", index), hint="write one entry for each")
        elif not named and not each.address:
            found.add("GUARD", "a further address without an address", (*path, "also", index), hint="add 'address'")
        _in_network(wiring, guest, nic, each, (*path, "also", index))


def _fdb(wiring: DocumentWiring, guest: d.Guest, nic: d.GuestNic, path: Path) -> None:
    """Static entries need MACs that are known, a guard that keeps to them, and a bridge of the kernel."""
    if nic.fdb != "static":
        return
    bridge = wiring.document.bridge_of(guest.host, nic)
    why, hint = "", "remove 'fdb'"
    if bridge is None or not bridge.by_kernel:
        why = "static FDB entries need a Linux bridge of the file, and this NIC is on none"
    elif guard_of(wiring.document, guest.host, nic) == "off":
        why, hint = "a port that learns nothing needs a guard to tell its MACs", "add 'guard: mac', or remove 'fdb'"
    elif any(isinstance(one, int) for one in nic.macs):
        why, hint = "MACs of guests inside that are not known cannot be static entries", "name them, or remove 'fdb'"
    if why:
        wiring.found.add("GUARD", why, (*path, "fdb"), hint=hint)


def _for_a_guard(nic: d.GuestNic) -> Iterator[tuple[str, ...]]:
    """The keys that say what only a guard heeds; a limit of bits needs none."""
    yield from ((key,) for key in LETS_THROUGH if getattr(nic, key))
    if nic.limit is not None:
        yield from (("limit", key) for key in ("broadcast", "multicast") if getattr(nic.limit, key))


def _in_network(wiring: DocumentWiring, guest: d.Guest, nic: d.GuestNic, each: d.Also, path: Path) -> None:
    """A single further address is used on the segment itself, so it lies in a subnet of it; a subnet lies behind."""
    segment = wiring.of_guest_nic(guest, nic)
    if segment is None or not segment.subnets:
        return
    for address in each.address:
        if address.num_addresses > 1 or address.is_link_local:
            continue
        if not any(address.version == s.version and address.network_address in s for s in segment.subnets):
            wiring.found.add(
                "ADDRESS-SUBNET",
                f"further address {address.network_address} is outside the subnet of {segment.label}",
                path,
                hint="an address of the segment itself; write a subnet behind the guest with its prefix length",
            )


def _further_addresses(wiring: DocumentWiring) -> None:
    """Two guests may share an address by one group of one protocol only."""
    owners = {
        (speaker.segment.key, address.ip): (speaker.label, path)
        for speaker in wiring.speakers
        if speaker.segment is not None
        for address, path in speaker.addresses
    }
    claimed: dict[tuple[tuple[str, ...], IpAddress], tuple[str, Shared, Path]] = {}
    for name, key, address, shared, path in _claims(wiring):
        if (key, address) in owners:
            label, first = owners[key, address]
            words = f"further address {address} of guest '{name}' is the address of {label}"
            wiring.found.add(
                "GUARD-SHARED", words, path, hint="remove it; a guard keeps others off it", also=[("the first", first)]
            )
        elif (key, address) in claimed:
            other, group, first = claimed[key, address]
            if other != name and (shared is None or shared != group):
                wiring.found.add(
                    "GUARD-SHARED",
                    f"guests '{other}' and '{name}' would both use {address}, and share no group of routers",
                    path,
                    hint="write it as {vrrp: ID, address: …} with one ID at both, or at one of them alone",
                    also=[("the first", first)],
                )
        else:
            claimed[key, address] = name, shared, path


def _claims(wiring: DocumentWiring) -> Iterator[tuple[str, tuple[str, ...], IpAddress, Shared, Path]]:
    for name, guest in wiring.document.guests.items():
        if guest.host not in wiring.document.hosts:
            continue
        for index, nic in enumerate(guest.nics):
            segment = wiring.of_guest_nic(guest, nic) if nic.also else None
            for at, each in enumerate(nic.also if segment else ()):
                path: Path = ("guests", name, "nics", index, "also", at)
                shared = next(((key, group) for key in GROUPS if (group := getattr(each, key)) is not None), None)
                for address in each.address:
                    if segment is not None and address.num_addresses == 1:
                        yield name, segment.key, address.network_address, shared, path
