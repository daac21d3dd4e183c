"""Which guards a domain was defined with, in Bascule's own mark in its metadata: its start must find them loaded."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from bascule.model.guarding import GuardLevel
from bascule.model.site import Guest
from bascule.policy.guards.ports import is_guarded
from bascule.providers.libvirt.domain_xml import NAMESPACE, Element, parse, text

MARK, GUARD = f"{{{NAMESPACE}}}guest", f"{{{NAMESPACE}}}guard"


def guards_of(xml: str) -> Mapping[str, GuardLevel]:
    """The guards of a definition by their taps."""
    return _guards(parse(xml).find(f"metadata/{MARK}"))


def with_guards(xml: str, guest: Guest) -> str:
    """The definition with the guards of the site file; as it is where Bascule did not write it, or says them."""
    root = parse(xml)
    mark = root.find(f"metadata/{MARK}")
    wanted = {str(nic.next_tap or nic.tap): nic.guarding.level for nic in guest.nics if is_guarded(nic)}
    if mark is None or _guards(mark) == wanted:
        return xml
    for old in mark.findall(GUARD):
        mark.remove(old)
    for tap, level in wanted.items():
        etree.SubElement(mark, GUARD, tap=tap, level=level)
    return text(root) + "\n"


def _guards(mark: Element | None) -> dict[str, GuardLevel]:
    there = () if mark is None else mark.findall(GUARD)
    return {one.get("tap", ""): GuardLevel(one.get("level", GuardLevel.STRICT)) for one in there}
