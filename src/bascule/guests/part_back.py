"""The way back for the hypervisor's part of a change, from what the checkpoint kept; also after a crash at any point.

Nothing here needs to know how far the change had come: everything is brought to what it was, and what is so already
is left alone. What others changed since is kept where it can be, and named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from bascule.errors import BasculeError
from bascule.guests import choice
from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.libvirt_networks import restore_network
from bascule.guests.libvirt_undo import RECONNECT_S
from bascule.guests.paths import qemu_folder
from bascule.guests.plug import Plug
from bascule.guests.qemu import QemuDriver
from bascule.model.domain import DomainText, NetworkText
from bascule.model.values import IfName
from bascule.providers.qemu.state import guest_of
from bascule.system.libvirt import Hypervisor, connect

Way = tuple[tuple[str, ...], tuple[str, ...]]  # what was kept for others, and what went wrong


def go_back(kept: Mapping[str, Any], made: Mapping[str, Any] | None, *, rebooted: bool = False) -> Way:
    """Take the hypervisor's part back. ``made`` is what it was right after the change, None if it never got so far.

    After a restart of the machine a guest that starts with it is started, where it could not by its changed definition.
    """
    way = _Way()
    after = made or {}
    if kept["driver"] == "qemu":
        _qemu(way, kept, after)
    else:
        _libvirt(way, kept, after, rebooted=rebooted)
    return tuple(way.kept), tuple(way.faults)


class _Way:
    """One thing after the other; a fault does not stop the rest."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.faults: list[str] = []

    def step(self, act: Callable[[], object]) -> bool:
        try:
            said = act()
        except BasculeError as error:
            self.faults += [problem.message for problem in error.problems]
            return False
        if isinstance(said, tuple):
            self.kept += said
        return True


def _libvirt(way: _Way, kept: Mapping[str, Any], made: Mapping[str, Any], *, rebooted: bool) -> None:
    """Networks that were there first, then guests back onto them, then what is new goes away."""
    before = [DomainText(**text) for text in kept["guests"]]
    applied = [DomainText(**text) for text in made.get("guests", ())]
    networks = {name: NetworkText(**text) if text else None for name, text in kept["networks"].items()}
    found: list[Hypervisor] = []
    if not way.step(lambda: found.append(patient(kept["uri"]))):
        return
    driver = LibvirtDriver(found[0])
    for name, text in networks.items():
        if text is not None:
            way.step(lambda name=name, text=text: restore_network(driver.hypervisor, name, text))  # type: ignore[misc]
    missed = [text.name for text in before if rebooted and _could_not_start(driver, text)]
    way.step(lambda: driver.restore(before, applied))
    for name in missed:
        way.step(lambda name=name: _start(driver, name))  # type: ignore[misc]
    after = {text.name: text for text in applied}
    for name in kept["made"]:
        way.step(lambda name=name: _forget(driver, name, after.get(name)))  # type: ignore[misc]
    for name, text in networks.items():
        if text is None:
            way.step(lambda name=name: restore_network(driver.hypervisor, name, None))  # type: ignore[misc]


def _could_not_start(driver: LibvirtDriver, before: DomainText) -> bool:
    """Whether libvirt would have started a guest with the machine, and has not, by another definition."""
    now = driver.find(before.name) if before.autostart else None
    return now is not None and not now.running and now.next != before.next


def _start(driver: LibvirtDriver, name: str) -> tuple[str, ...]:
    driver.start(name)
    return (f"guest {name} starts with the machine, and did not by its changed definition; it is started now",)


def load() -> None:
    """Have everything imported that the way back may need."""
    from bascule.system.libvirt import binding

    binding.is_here()


def patient(uri: str) -> Hypervisor:
    """A connection; libvirtd may be just restarting. Raises BasculeError."""
    end = time.monotonic() + RECONNECT_S
    while True:
        try:
            return connect(uri)
        except BasculeError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def _forget(driver: LibvirtDriver, name: str, made: DomainText | None) -> tuple[str, ...]:
    """Undefine a guest that the change had defined, unless somebody has begun to use it."""
    now = driver.find(name)
    if now is None:
        return ()
    if now.running:
        return (f"guest {name} is new and runs; it stays defined",)
    if made is not None and now.next != made.next:
        return (f"guest {name} is new and was edited since; it stays defined",)
    driver.undefine(name)
    return ()


def _qemu(way: _Way, kept: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    driver = QemuDriver(qemu_folder(), choice.known_guests(), accel="")
    after = made.get("guests", {})
    for name, facts in kept["guests"].items():
        way.step(lambda name=name, facts=facts: _put_back(driver, name, facts, after.get(name)))  # type: ignore[misc]
    for name in kept["made"]:
        way.step(lambda name=name: _forget_bare(driver, name))  # type: ignore[misc]


def _put_back(
    driver: QemuDriver, name: str, facts: Mapping[str, Any], made: Mapping[str, Any] | None
) -> tuple[str, ...]:
    said: list[str] = []
    old, current = guest_of(facts["definition"]), driver.definition(name)
    running = driver.is_running(name) and facts["running"]
    now = {nic.tap: nic.bridge for domain in driver.domains() if domain.name == name for nic in domain.nics}
    if running:
        known = {nic.tap for nic in old.nics}
        ours = made["definition"] if made is not None else current
        driver.detach([nic for nic in guest_of(ours).nics if nic.tap not in known and nic.tap in now])
    if made is not None and current != made["definition"]:
        said.append(f"guest {name}: its definition was changed since; it stays")
    else:
        driver.define(old)
    for nic in old.nics if running else ():
        bridge = facts["bridges"].get(nic.tap)
        if bridge and (made is None or now.get(nic.tap) != bridge):  # a crash may have left its cable out
            driver.replug([Plug(nic=nic, bridge=IfName(bridge), mtu=choice.plug_for(nic).mtu)])
    return tuple(said)


def _forget_bare(driver: QemuDriver, name: str) -> tuple[str, ...]:
    if driver.is_running(name):
        return (f"guest {name} is new and runs; it stays defined",)
    driver.undefine(name)
    return ()
