"""What others did since to what a change made in libvirt: the state as it would be without that."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bascule.model.domain import DomainText, NetworkText
from bascule.providers.libvirt import domain_xml, edit, parse
from bascule.providers.libvirt.domain_xml import Element
from bascule.providers.libvirt.state import LibvirtState


def put_right(before: LibvirtState, wanted: LibvirtState, now: LibvirtState, applied: LibvirtState) -> LibvirtState:
    """Networks, and NICs of domains, that the change made or altered as they were right after it.

    ``applied`` has the texts as libvirt writes them. Whether a guest runs is its own affair, and so is all of it that
    is no NIC.
    """
    domains, networks = dict(now.domains), dict(now.networks)
    for name, domain in applied.domains.items():
        old, there = before.domains.get(name), domains.get(name)
        if name in wanted.domains and wanted.domains[name] != old:
            gone = replace(domain, running=False, now=domain.next)
            domains[name] = gone if there is None else _domain(old, domain, there)
    for name, network in applied.networks.items():
        if name in wanted.networks and wanted.networks[name] != before.networks.get(name):
            networks[name] = _network(network, networks.get(name))
    return replace(now, domains=domains, networks=networks)


def _network(made: NetworkText, there: NetworkText | None) -> NetworkText:
    """What runs, and the definition that the next start takes."""
    if there is None:
        return made
    return replace(made, now=_network_text(made, made.now, there.now), next=_network_text(made, made.next, there.next))


def _network_text(network: NetworkText, made: str, there: str) -> str:
    """Reservations and names that came since are nobody's fault; they stay."""
    if not made or not there:
        return made
    shall, seen = (parse.network(replace(network, now=text)) for text in (made, there))
    facts = [(one.mode, one.addresses, one.mtu, {*one.ranges}) for one in (shall, seen)]
    return there if facts[0] == facts[1] and {*shall.reservations} <= {*seen.reservations} else made


def _domain(old: DomainText | None, made: DomainText, there: DomainText) -> DomainText:
    said = old is None or made.autostart != old.autostart
    later = _with_nics(there.next, made, old)
    live = _with_nics(there.now, made, old, live=True) if there.running else later
    return replace(there, now=live, next=later, autostart=made.autostart if said else there.autostart)


def _with_nics(xml: str, made: DomainText, old: DomainText | None, *, live: bool = False) -> str:
    root, changed = domain_xml.parse(xml), False
    for element, ways in _altered(made, old):
        there = domain_xml.find(root, domain_xml.mac_of(element))
        right = [_facts(one, live=live) for one in (ways if live else (element,))]
        if there is not None and _facts(there, live=live) in right:
            continue
        changed = True
        if there is None:
            edit.add(root, element)
        else:
            edit.swap(there, domain_xml.copied(element))
    return domain_xml.text(root) + "\n" if changed else xml


def _altered(made: DomainText, old: DomainText | None) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    """The NICs that the change made or altered: of the definition, with what each is there and while the guest runs."""
    pairs = [(domain_xml.parse(new), domain_xml.parse(was) if was else None) for new, was in _documents(made, old)]
    for element in domain_xml.interfaces(pairs[0][0]):
        mac = domain_xml.mac_of(element)
        found = [(domain_xml.find(new, mac), None if was is None else domain_xml.find(was, mac)) for new, was in pairs]
        if any(new is not None and (was is None or _facts(new) != _facts(was)) for new, was in found):
            yield element, tuple(new for new, _ in found if new is not None)


def _documents(made: DomainText, old: DomainText | None) -> tuple[tuple[str, str], ...]:
    return ((made.next, old.next if old else ""), (made.now, old.now if old else ""))


def _facts(element: Element, *, live: bool = False) -> tuple[object, ...]:
    """What of a NIC a plan sees; while its guest runs its tap has the name that it was started with."""
    nic = parse.nic(element)
    return nic.kind, nic.into, nic.link_up, nic.by_kernel, nic.vlans, "" if live else nic.tap
