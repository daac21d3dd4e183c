"""A guest's NICs as the file means them and as whoever runs the guest has them, side by side; for libvirt and QEMU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Attachment, Guest, GuestNic, Host, PlugKind, Site
from bascule.model.values import IfName
from bascule.plan.change import Note

DEFAULT_MEMORY = 1 << 30  # bytes; where the site file says nothing
STAYS_PORT = "libvirt leaves a port of such a bridge where it is while the guest runs"  # qemuDomainChangeNet


def find_nic(nics: Sequence[DomainNic], wanted: GuestNic) -> DomainNic | None:
    """The NIC that the file means: by its MAC, or by its number where the file gives no MAC."""
    for nic in nics:
        if nic.mac == wanted.mac:
            return nic
    if wanted.mac_given:
        return None
    return next((nic for nic in nics if nic.index == wanted.index), None)


def is_at(nic: DomainNic, wanted: GuestNic) -> bool:
    """Whether a NIC is plugged where the file says, with its cable in."""
    there = (nic.kind, nic.into) == (wanted.plug.value, wanted.into) and _is_on_kind(nic, wanted)
    return there and nic.link_up and _has_vlans(nic, wanted)


def _is_on_kind(nic: DomainNic, wanted: GuestNic) -> bool:
    """Whether whoever runs the guest takes its bridge for one of the kind that it is."""
    return nic.by_kernel == wanted.by_kernel


def _has_vlans(nic: DomainNic, wanted: GuestNic) -> bool:
    """Whether whoever runs the guest gives its port the VLANs of the file when it starts."""
    return wanted.switched is None or nic.vlans == wanted.switched.words


def restart_reason(now: DomainNic, wanted: GuestNic) -> str:
    """Why a running guest's NIC gets where the file says at its next start only."""
    if not _is_on_kind(now, wanted) and now.kind == PlugKind.BRIDGE.value:
        return "the plan moves its tap; libvirt takes it for a port of the other kind of bridge until then"
    if not now.by_kernel and not wanted.by_kernel and now.into != wanted.into:
        return f"the plan moves its tap; {STAYS_PORT}"
    if (now.kind, now.into) == (wanted.plug.value, wanted.into) and not _has_vlans(now, wanted):
        return "the plan sets the VLANs of its port; libvirt goes by the old ones until then"
    return why_next_start(now.kind, now.into, wanted.attachment) or ""


def why_next_start(kind: str, into: str, to: Attachment) -> str | None:
    """The reason why a NIC of this kind gets there at the guest's next start only; None if it can be moved at once.

    libvirt moves a NIC only where both ends are bridges (virDomainUpdateDeviceFlags; qemuDomainChangeNet).
    """
    if (kind, into) == (to.kind.value, to.into):
        return None
    if kind == "direct":
        return "a macvtap cannot be moved while the guest runs"
    if to.kind is PlugKind.DIRECT:
        return "a NIC cannot become a macvtap while the guest runs"
    if kind not in {PlugKind.BRIDGE.value, PlugKind.NETWORK.value}:
        return f"a NIC of type '{kind}' cannot be moved"
    return None


def waiting(domains: Iterable[Domain], site: Site, host: str) -> Iterator[Note]:
    """A word for each NIC whose move waits for its guest's next start."""
    there = {domain.name: domain for domain in domains}
    for guest in site.guests_on(host):
        domain = there.get(guest.name)
        if domain is None or not domain.running:
            continue
        for nic in guest.nics:
            now, later = find_nic(domain.nics, nic), find_nic(domain.next_nics, nic)
            if now is None or later is None or is_at(now, nic) or not is_at(later, nic):
                continue
            if why := restart_reason(now, nic):
                text = f"NIC {nic.index} is on {now.where} until it is shut down and started again ({why})"
                yield Note(kind="waiting", subject=guest.name, text=text)


def with_live_taps(site: Site, host: Host, domains: Sequence[Domain]) -> Site:
    """The site with the taps that its running guests have now, and the MACs that defined ones have.

    A guest that somebody else defined has a tap of libvirt's choice (vnet7) until its next start; the plan is about
    that one then. A MAC that the file leaves open stays what it is.
    """
    there = {domain.name: domain for domain in domains}
    guests = {
        name: _as_it_runs(guest, there[name]) if guest.host == host.name and name in there else guest
        for name, guest in site.guests.items()
    }
    return replace(site, guests=guests)


def own_name(domain: Domain, nic: GuestNic) -> str:
    """The name of a NIC's tap from the next start on: the one in its definition, or else the file's."""
    later = find_nic(domain.next_nics, nic)
    return later.tap if later is not None and later.tap else nic.next_tap or nic.tap


def _as_it_runs(guest: Guest, domain: Domain) -> Guest:
    def live(nic: GuestNic) -> GuestNic:
        now = find_nic(domain.nics, nic) if domain.running else None
        found = now or find_nic(domain.next_nics or domain.nics, nic)
        if found is not None and found.mac and not nic.mac_given:
            nic = replace(nic, mac=found.mac)
        kinds = {"direct"} if nic.shared_nic else {"bridge", "network"}
        if now is None or not now.tap or now.kind not in kinds:
            return nic
        return replace(nic, tap=IfName(now.tap), next_tap=IfName(own_name(domain, nic)))

    return replace(guest, nics=tuple(map(live, guest.nics)))
