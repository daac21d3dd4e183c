"""What a host's memory holds: its guests as the file declares them, and as they are where this is the host."""

from __future__ import annotations

from bascule.errors import Problem, UsageFault
from bascule.guests.gather import libvirt_or_none
from bascule.host.identity import is_here
from bascule.model.domain import Domain
from bascule.model.site import Host, Site
from bascule.observe.memory import measured_overheads, nic_speeds, observe_memory
from bascule.plan.capacity import Capacity, Memory, merged, needs_of_domains, needs_of_site, uplink_loads
from bascule.plan.capacity import capacity as account
from bascule.providers.observe import observe as observe_links


def memory_account(site: Site, host: Host, *, uri: str | None = None) -> Capacity:
    """The account of a host's memory. Raises UsageFault where nobody says how much it has."""
    declared = needs_of_site(site, host)
    if is_here(site, host, observe_links):
        found = needs_of_domains(_domains(uri), measured_overheads(), declared=[need.name for need in declared])
        loads = uplink_loads(site, host, nic_speeds())
        return account(host.name, observe_memory(), merged(declared, found), loads)
    if not host.memory:
        message = f"host '{host.name}' has no 'memory:' in the site file, and this is not that host"
        hint = "add it, as in memory: 64GiB, or run this on the host"
        raise UsageFault(Problem(code="MEMORY-UNKNOWN", message=message, hint=hint))
    memory = Memory(total=host.memory, hugepages={}, source="the site file")
    return account(host.name, memory, declared, uplink_loads(site, host))


def _domains(uri: str | None) -> tuple[Domain, ...]:
    """Every domain, if libvirt is there."""
    hypervisor = libvirt_or_none(uri, needed=uri is not None)
    if hypervisor is None:
        return ()
    from bascule.providers.libvirt.observe import observe

    return observe(hypervisor).seen_domains
