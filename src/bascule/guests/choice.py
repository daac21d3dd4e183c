"""Which driver runs the guests of this host, and the same acts through either."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from bascule.errors import BasculeError, MissingTool, Problem
from bascule.guests.accel import accel
from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.paths import qemu_folder
from bascule.guests.plug import Plug
from bascule.guests.qemu import QemuDriver
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Attachment, Guest, GuestNic, PlugKind
from bascule.model.values import IfName, Mac, derive_mac, derive_tap
from bascule.plan.change import Note
from bascule.providers.qemu.state import guest_of
from bascule.system.libvirt import connect
from bascule.system.run import find_tool, run

Driver = LibvirtDriver | QemuDriver


def choose(name: str | None = None, *, uri: str | None = None, guests: Mapping[str, Guest] | None = None) -> Driver:
    """The driver that was asked for, or libvirt where it answers, else bare QEMU.

    ``guests`` are those of the site file; bare QEMU knows the ones that it was given before, too. Raises what the
    asked-for driver raises, or MissingTool where there is neither.
    """
    if name == "libvirt":
        return LibvirtDriver(connect(uri))
    if name is None:
        try:
            return LibvirtDriver(connect(uri))
        except BasculeError as error:
            if uri is not None:
                raise
            silent = error.problems[0]
    else:
        silent = None
    try:
        find_tool("qemu-system-x86_64")
    except MissingTool as missing:
        first = (silent,) if silent is not None else ()
        raise MissingTool(*first, *missing.problems) from missing
    return QemuDriver(qemu_folder(), known_guests() | dict(guests or {}), accel=accel().name)


def known_guests() -> dict[str, Guest]:
    """The bare QEMU guests that were defined on this host."""
    found = {}
    for path in sorted(qemu_folder().glob("*/guest.json")):
        guest = guest_of(json.loads(path.read_text()))
        found[guest.name] = guest
    return found


def find_domain(domains: tuple[Domain, ...], name: str) -> Domain:
    """The domain of this name. Raises BasculeError with the names that there are."""
    for domain in domains:
        if domain.name == name:
            return domain
    names = ", ".join(domain.name for domain in domains) or "none"
    raise BasculeError(
        Problem(code="GUEST-UNKNOWN", message=f"there is no guest '{name}' on this host", hint=f"there are: {names}")
    )


def find_nic(domain: Domain, word: str | None) -> DomainNic:
    """The NIC that is meant by index, MAC or tap; the only one if nothing is said. Raises BasculeError."""
    listed = "; ".join(
        f"{nic.index}: {nic.mac} ({nic.where}{', ' + nic.tap if nic.tap else ''})" for nic in domain.nics
    )
    if word is None:
        if len(domain.nics) == 1:
            return domain.nics[0]
        raise BasculeError(
            Problem(
                code="NIC-WHICH",
                message=f"'{domain.name}' has {len(domain.nics)} NICs, so say which",
                hint=f"by number, MAC or tap: {listed}" if domain.nics else "`bascule guest attach` gives it one",
            )
        )
    for nic in domain.nics:
        if word.lower() in {str(nic.index), nic.mac, nic.tap.lower()}:
            return nic
    raise BasculeError(
        Problem(code="NIC-MISSING", message=f"'{domain.name}' has no NIC '{word}'", hint=f"it has {listed or 'none'}")
    )


def replug(driver: Driver, domain: Domain, nic: DomainNic, to: Attachment) -> tuple[Note, ...]:
    """Move a NIC, or put its cable in again where it is already."""
    if isinstance(driver, LibvirtDriver):
        return driver.move(domain.name, _mac(nic), to)
    moved = replace(_guest_nic(domain, nic), plug=to.kind, into=to.into)
    notes = driver.replug([plug_for(moved)]) if domain.running else ()
    remember(driver, domain.name, lambda nics: tuple(moved if n.index == moved.index else n for n in nics))
    return notes


def unplug(driver: Driver, domain: Domain, nic: DomainNic) -> None:
    """Pull the cable. Raises BasculeError where nobody would remember it."""
    if isinstance(driver, QemuDriver) and not domain.running:
        hint = "it has a cable while it runs only; `bascule guest detach` takes the NIC out"
        raise BasculeError.of("GUEST-OFF", f"'{domain.name}' does not run", hint=hint)
    driver.unplug([_guest_nic(domain, nic)])


def attach(
    driver: Driver, domain: Domain, to: Attachment, *, mac: Mac | None, tap: IfName | None, model: str
) -> DomainNic:
    """Give a guest one more NIC; MAC and tap are derived where they are not given."""
    index = max((nic.index for nic in domain.nics), default=-1) + 1
    made = DomainNic(
        index=index,
        kind=to.kind.value,
        into=to.into,
        mac=mac or derive_mac("", domain.name, index),
        tap=tap or derive_tap(domain.name, index),
        model=model,
    )
    if isinstance(driver, LibvirtDriver):
        driver.add(domain.name, _mac(made), to, tap=IfName(made.tap), model=model)
        return made
    nic = replace(_guest_nic(domain, made), plug=to.kind, into=to.into)
    driver.attach([plug_for(nic)])
    remember(driver, domain.name, lambda nics: (*nics, nic))
    return made


def detach(driver: Driver, domain: Domain, nic: DomainNic) -> None:
    """Take a NIC away."""
    driver.detach([_guest_nic(domain, nic)])
    if isinstance(driver, QemuDriver):
        remember(driver, domain.name, lambda nics: tuple(n for n in nics if n.index != nic.index))


def define(driver: Driver, guest: Guest, *, nic_model: str = "virtio") -> tuple[Note, ...]:
    """Write a guest's definition."""
    if isinstance(driver, LibvirtDriver):
        return driver.define(guest, accel=accel().name, nic_model=nic_model)
    driver.define(guest)
    return ()


def start(driver: Driver, name: str) -> None:
    """Start a guest; a bare QEMU one gets its taps first."""
    if isinstance(driver, QemuDriver):
        guest = known_guests()[name]
        driver.attach([plug_for(nic) for nic in guest.nics])
        driver.start([name])
    else:
        driver.start(name)


def _mac(nic: DomainNic) -> Mac:
    assert nic.mac is not None, "libvirt and bare QEMU give each NIC a MAC"
    return nic.mac


def _guest_nic(domain: Domain, nic: DomainNic) -> GuestNic:
    kinds = {kind.value: kind for kind in PlugKind}
    return GuestNic(
        guest=domain.name,
        index=nic.index,
        plug=kinds.get(nic.kind, PlugKind.BRIDGE),
        into=nic.into,
        mac=_mac(nic),
        tap=IfName(nic.tap),
    )


def plug_for(nic: GuestNic) -> Plug:
    """Where a NIC belongs, with the MTU that its bridge has now."""
    bridge = nic.master or IfName(nic.into)
    words = run(("ip", "-o", "link", "show", "dev", str(bridge)), check=False).stdout.split()
    mtu = int(words[words.index("mtu") + 1]) if "mtu" in words else 1500
    return Plug(nic=nic, bridge=bridge, mtu=mtu)


def remember(driver: QemuDriver, name: str, change: Callable[[tuple[GuestNic, ...]], tuple[GuestNic, ...]]) -> None:
    """Keep other NICs for a guest's next start."""
    guest = known_guests().get(name)
    if guest is not None:
        driver.define(replace(guest, nics=change(guest.nics)))
