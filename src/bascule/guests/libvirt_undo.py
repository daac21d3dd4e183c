"""The way back for guests that libvirt runs: their NICs as they were, live and in their definitions.

What other hands did to a domain since the change (more memory, a NIC of theirs) is kept, and named.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from bascule.errors import BasculeError, Problem
from bascule.guests.gratuitous_arp import announce, forget_elsewhere
from bascule.model.domain import DomainText
from bascule.model.values import IfName, Mac
from bascule.providers.libvirt import domain_xml
from bascule.providers.libvirt.domain_xml import Element
from bascule.system.libvirt import Hypervisor, connect
from bascule.system.net.iproute import batch

RELEASE_S = 20.0  # how long a guest may take to let go of a NIC; an idle Linux needs less than one second
ASK_AGAIN_S = 3.0  # a guest that has just been given the NIC (PCI Express: for 5 s) does not hear the first request
RECONNECT_S = 10.0  # how long libvirtd may take to come back before the undo gives up


def find_domain(hypervisor: Hypervisor, name: str) -> DomainText | None:
    """A domain by its name, None where there is none."""
    try:
        return hypervisor.domain(name)
    except BasculeError as error:
        if error.problems[0].code != "LIBVIRT-NO-DOMAIN":
            raise
        return None


def plug_live(hypervisor: Hypervisor, name: str, live: Element, moved: Element) -> None:
    """Link down, then the move and link up in one call, so that a guest misses little and renews its lease.

    The wire is told where it is now, for it may be silent. libvirt takes the tap from the bridge of which it knows.
    Where somebody put it by hand on the very bridge that is meant, the kernel calls it busy; it is let go then, and
    libvirt plugs it in again.
    """
    element = live.find("target")
    tap, mac = IfName(element.get("dev", "") if element is not None else ""), Mac(domain_xml.mac_of(live))
    forget_elsewhere(mac, tap)
    if domain_xml.is_up(live):
        hypervisor.update_device(name, domain_xml.text(domain_xml.linked(live, up=False)), live=True)
    try:
        hypervisor.update_device(name, domain_xml.text(moved), live=True)
    except BasculeError as error:
        if error.problems[0].code != "LIBVIRT-PORT-BUSY" or not tap:
            raise
        if batch("ip", f"link set dev {tap} nomaster\n") is not None:
            raise
        hypervisor.update_device(name, domain_xml.text(moved), live=True)
    if tap:
        announce(tap, mac)


def wait_released(hypervisor: Hypervisor, name: str, mac: Mac) -> None:
    """Until a running guest has let go of a NIC. Raises BasculeError after RELEASE_S seconds."""
    end = time.monotonic() + RELEASE_S
    again = time.monotonic() + ASK_AGAIN_S
    while (live := _live(hypervisor, name, mac)) is not None:
        if time.monotonic() > end:
            raise BasculeError.of(
                "NIC-HELD",
                f"the guest '{name}' did not let go of its NIC {mac} within {RELEASE_S:g} s",
                hint="its system must answer PCI hot-unplug; pull the cable with `bascule guest unplug` instead",
            )
        if time.monotonic() > again:
            again += ASK_AGAIN_S
            with contextlib.suppress(BasculeError):  # "already in the process of unplug"
                hypervisor.detach_device(name, domain_xml.text(live), live=True)
        time.sleep(0.05)


def _live(hypervisor: Hypervisor, name: str, mac: Mac) -> Element | None:
    domain = hypervisor.domain(name)
    return domain_xml.find(domain_xml.parse(domain.now), mac) if domain.running else None


class WayBack:
    """Domains as they were. ``hypervisor`` is another connection afterwards where the first one broke."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor

    def go(self, before: Sequence[DomainText], applied: Sequence[DomainText] = ()) -> tuple[str, ...]:
        """Put them back; what other hands changed since, and is kept, in words.

        ``applied`` are the same domains right after the change; without them everything goes back. Raises one problem
        for each domain that could not be restored; a libvirtd that has gone is waited for.
        """
        problems: list[Problem] = []
        kept: list[str] = []
        after = {domain.name: domain for domain in applied}
        lost = self._reconnect(problems, before)
        for domain in before if not problems else ():
            try:
                kept += self._restore(domain, after.get(domain.name), doubt=lost)
            except BasculeError as error:
                hint = f"look at it with `virsh dumpxml {domain.name}`; it was {_words(domain)}"
                problems += [
                    Problem(
                        code="GUEST-NOT-RESTORED", message=f"'{domain.name}' is not as it was: {p.message}", hint=hint
                    )
                    for p in error.problems
                ]
        if problems:
            raise BasculeError(*problems)
        return tuple(kept)

    def _reconnect(self, problems: list[Problem], before: Sequence[DomainText]) -> bool:
        """Whether the connection was lost."""
        end = time.monotonic() + RECONNECT_S
        lost = False
        while True:
            try:
                self.hypervisor.capabilities()
                return lost
            except BasculeError:
                lost = True
                with contextlib.suppress(BasculeError):
                    self.hypervisor = connect(self.hypervisor.uri)
                    continue
            if time.monotonic() > end:
                names = ", ".join(f"'{domain.name}' ({_words(domain)})" for domain in before)
                problems.append(
                    Problem(
                        code="GUEST-NOT-RESTORED",
                        message=f"libvirt does not come back, so these guests may not be as they were: {names}",
                        hint="start libvirtd, then `bascule undo`, or `bascule guest replug` each of them",
                    )
                )
                return lost
            time.sleep(0.2)

    def _restore(self, before: DomainText, applied: DomainText | None, *, doubt: bool) -> Iterator[str]:
        """``doubt``: libvirtd died, and what it last told QEMU may not be what it remembers."""
        now = find_domain(self.hypervisor, before.name)
        if now is None and applied is not None:
            yield f"guest {before.name} is gone"
            return
        if before.persistent and (now is None or now.next != before.next):
            if now is None or applied is None or now.next == applied.next:
                self.hypervisor.define_domain(before.next)
            else:
                yield f"guest {before.name}: its definition was changed since; only its NICs went back"
                self.hypervisor.define_domain(merged(now.next, before.next, applied.next))
        if now is not None and now.running and before.running:
            yield from self._restore_live(before, applied, now, doubt=doubt)

    def _restore_live(
        self, before: DomainText, applied: DomainText | None, now: DomainText, *, doubt: bool
    ) -> Iterator[str]:
        name, current, wanted = before.name, domain_xml.parse(now.now), domain_xml.parse(before.now)
        ours = domain_xml.parse(applied.now) if applied is not None else None
        for element in domain_xml.interfaces(wanted):
            mac = domain_xml.mac_of(element)
            there = domain_xml.find(current, mac)
            after = domain_xml.find(ours, mac) if ours is not None else None
            if there is None and after is not None:
                yield f"guest {name}: its NIC {mac} is gone"
            elif there is None:
                self.hypervisor.attach_device(name, domain_xml.text(element), live=True)
            elif after is not None and same(after, element) and not same(there, element):
                yield f"guest {name}: its NIC {mac} is now on {' '.join(domain_xml.plug_of(there))}"
            elif doubt or not same(there, element):
                if after is not None and not same(there, after):
                    where = " ".join(domain_xml.plug_of(there))
                    yield f"guest {name}: somebody plugged {mac} into {where}; it goes back all the same"
                self._plug_back(name, there, element, doubt=doubt)
        known = {domain_xml.mac_of(element) for element in domain_xml.interfaces(wanted)}
        for element in domain_xml.interfaces(current):
            mac = Mac(domain_xml.mac_of(element))
            if mac in known:
                continue
            if ours is not None and domain_xml.find(ours, mac) is None:
                yield f"guest {name}: its NIC {mac} is new"
                continue
            self.hypervisor.detach_device(name, domain_xml.text(element), live=True)
            wait_released(self.hypervisor, name, mac)

    def _plug_back(self, name: str, there: Element, element: Element, *, doubt: bool) -> None:
        if doubt:  # libvirt tells QEMU of a change only, so there has to be one
            other = domain_xml.linked(there, up=not domain_xml.is_up(element))
            self.hypervisor.update_device(name, domain_xml.text(other), live=True)
            there = other
        if domain_xml.plug_of(there) == domain_xml.plug_of(element) or not domain_xml.is_up(element):
            self.hypervisor.update_device(name, domain_xml.text(element), live=True)
        else:
            plug_live(self.hypervisor, name, there, element)


def merged(now: str, before: str, applied: str) -> str:
    """A definition that others changed since, with the NICs that we changed as they were before."""
    root, old, ours = domain_xml.parse(now), domain_xml.parse(before), domain_xml.parse(applied)
    for element in domain_xml.interfaces(root):
        mac = domain_xml.mac_of(element)
        was, made = domain_xml.find(old, mac), domain_xml.find(ours, mac)
        if made is None or (was is not None and domain_xml.text(was) == domain_xml.text(made)):
            continue  # theirs, or not touched by us
        parent = element.getparent()
        if parent is None:
            continue
        if was is None:
            parent.remove(element)
        else:
            was.tail = element.tail
            parent.replace(element, was)
    return domain_xml.text(root)


def same(one: Element, other: Element) -> bool:
    """Whether two NICs are plugged alike."""
    return domain_xml.plug_of(one) == domain_xml.plug_of(other) and domain_xml.is_up(one) == domain_xml.is_up(other)


def _words(domain: DomainText) -> str:
    root = domain_xml.parse(domain.now)
    plugs = [f"{domain_xml.mac_of(e)} on {' '.join(domain_xml.plug_of(e))}" for e in domain_xml.interfaces(root)]
    return ", ".join(plugs) or "without NIC"
