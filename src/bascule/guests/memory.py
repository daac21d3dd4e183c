"""What a host's memory holds: its guests as the file declares them, and as they are where this is the host."""

from __future__ import annotations

import os

from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.guests.gather import libvirt_if_here
from bascule.guests.paths import qemu_folder, unread_guests
from bascule.host.identity import is_here
from bascule.host.live import HERE
from bascule.model.domain import Domain
from bascule.model.site import Host, Site
from bascule.model.values import human
from bascule.observe.memory import measured_overheads, nic_speeds, observe_memory
from bascule.plan.capacity import Capacity, Memory, merged, needs_of_domains, needs_of_site, uplink_loads
from bascule.plan.capacity import capacity as account
from bascule.providers.observe import observe as observe_links
from bascule.providers.qemu.effects import observe as bare_guests


def memory_account(site: Site, host: Host, *, uri: str | None = None) -> Capacity:
    """The account of a host's memory. Raises UsageFault where nobody says how much it has."""
    declared = needs_of_site(site, host)
    if is_here(site, host, observe_links):
        domains, unread = _domains(uri)
        if os.geteuid() != 0:
            unread += ("what QEMU takes beside a guest's memory is estimated, not measured: only root may measure it",)
        found = needs_of_domains(domains, measured_overheads(), declared=[need.name for need in declared])
        loads = uplink_loads(site, host, nic_speeds())
        memory = observe_memory()
        said = host.memory or memory.total
        differs = abs(said - memory.total) > said // 8  # the kernel keeps some for itself
        remark = f"the site file says {human(said)}" if differs else ""
        return replace(account(host.name, memory, merged(declared, found), loads), left_out=unread, remark=remark)
    if not host.memory:
        message = f"host '{host.name}' has no 'memory:' in the site file, and this is not that host"
        hint = "add it, as in memory: 64GiB, or run this on the host"
        raise UsageFault.of("MEMORY-UNKNOWN", message, hint=hint)
    memory = Memory(total=host.memory, hugepages={}, source="the site file")
    remark = f"nothing says that this machine is {host.name}"
    return replace(account(host.name, memory, declared, uplink_loads(site, host)), remark=remark)


def _domains(uri: str | None) -> tuple[tuple[Domain, ...], tuple[str, ...]]:
    """Every domain, of libvirt and of bare QEMU; and a sentence for whoever does not let this user look.

    With ``uri`` libvirt alone is asked, and must be there.
    """
    from bascule.providers.libvirt.observe import observe

    hypervisor, unread = libvirt_if_here(uri, needed=uri is not None)
    domains = observe(hypervisor).seen_domains if hypervisor is not None else ()
    if uri is None:
        unread += unread_guests()
        domains += bare_guests(qemu_folder(), HERE).seen_domains
    return domains, tuple(f"{words}: those that the file does not name are left out" for words in unread)
