"""Domains with other NICs, as text: what a guest shall be is its present document, edited."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from bascule.model.domain import CHOSEN_BY_LIBVIRT, DomainText
from bascule.model.site import Attachment, GuestNic
from bascule.model.values import IfName
from bascule.providers.libvirt import domain_xml
from bascule.providers.libvirt.domain_xml import Element

Edit = Callable[[Element], None]


def edited(domain: DomainText, *, live: Edit | None = None, config: Edit | None = None) -> DomainText:
    """The domain after edits of the running document and of the definition; whichever it has."""
    now, later = domain.now, domain.next
    if domain.running and live is not None:
        now = _apply(now, live)
    if domain.persistent and config is not None:
        later = _apply(later, config)
    if not domain.running:
        now = later
    elif not domain.persistent:
        later = now
    return replace(domain, now=now, next=later)


def _apply(xml: str, edit: Edit) -> str:
    root = domain_xml.parse(xml)
    before = domain_xml.text(root)
    edit(root)
    after = domain_xml.text(root)
    return xml if after == before else after + "\n"


def replug(
    domain: DomainText, mac: str, to: Attachment, *, tap: IfName | None = None, declared: GuestNic | None = None
) -> DomainText:
    """The NIC plugged elsewhere with its cable in, live where libvirt can do that, and in the definition.

    ``tap`` is the name of its tap from the next start on. One that is ``declared`` on the other kind of bridge than it
    is on now gets there in the definition alone.
    """
    later_tap = None if tap is None or tap.startswith(CHOSEN_BY_LIBVIRT) else tap

    def live(root: Element) -> None:
        element = domain_xml.find(root, mac)
        if element is None or (declared is not None and domain_xml.is_switched(element) == declared.by_kernel):
            return
        if domain_xml.why_not_live(element, to) is None:
            swap(element, domain_xml.linked(domain_xml.replugged(element, to), up=True))

    def config(root: Element) -> None:
        element = domain_xml.find(root, mac)
        if element is not None:
            new = domain_xml.linked(domain_xml.replugged(element, to), up=True)
            new = new if declared is None else domain_xml.on_switch(new, declared)
            swap(element, domain_xml.named(new, later_tap) if later_tap else new)

    return edited(domain, live=live, config=config)


def name_tap(domain: DomainText, mac: str, tap: IfName) -> DomainText:
    """The NIC whose tap has a name of its own from the next start on; where libvirt would choose one, as it is."""

    def config(root: Element) -> None:
        element = domain_xml.find(root, mac)
        if element is not None and not tap.startswith(CHOSEN_BY_LIBVIRT):
            swap(element, domain_xml.named(element, tap))

    return edited(domain, config=config)


def unplug(domain: DomainText, mac: str) -> DomainText:
    """The NIC with its cable out."""

    def edit(root: Element) -> None:
        element = domain_xml.find(root, mac)
        if element is not None and domain_xml.is_up(element):
            swap(element, domain_xml.linked(element, up=False))

    return edited(domain, live=edit, config=edit)


def attach(domain: DomainText, element: Element) -> DomainText:
    """The domain with one more NIC."""

    def edit(root: Element) -> None:
        add(root, element)

    return edited(domain, live=edit, config=edit)


def detach(domain: DomainText, mac: str) -> DomainText:
    """The domain without a NIC."""

    def edit(root: Element) -> None:
        element = domain_xml.find(root, mac)
        if element is not None:
            remove(element)

    return edited(domain, live=edit, config=edit)


def add(root: Element, element: Element) -> None:
    """Put a copy of a NIC behind those that are there."""
    devices = root.find("devices")
    if devices is not None:
        devices.append(domain_xml.copied(element))


def remove(element: Element) -> None:
    """Take a NIC out of its document."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def swap(old: Element, new: Element) -> None:
    """Put a NIC in the place of another."""
    parent = old.getparent()
    if parent is not None:
        new.tail = old.tail
        parent.replace(old, new)
