"""An import whose plan is empty: what the site file leaves open on a host that is here, stays as it was found."""

from __future__ import annotations

from collections.abc import Callable

from bascule.importer.importing import Imported, Sources, import_sources
from bascule.importer.put_under_bridge import NewBridge
from bascule.model.site import Host, Site
from bascule.model.state import HostState


def import_without_a_plan(
    sources: Sources, bridge: NewBridge | None = None, look: Callable[[Site, Host], HostState] | None = None
) -> Imported:
    """The site file, which says ``as_found`` where Bascule's defaults would change something of this host.

    A ``bridge`` is the one thing that its plan then makes. ``look`` is how the host is seen again, with the kernel
    parameters that its plan asks for; left out, as apply does. Raises as import_sources does.
    """
    imported = import_sources(sources)
    as_found = False
    if sources.state is not None:
        from bascule.apply import prepare  # files alone need no plan, and none of all that makes one

        there = imported.site.hosts[sources.host]
        seen = (look or prepare.look)(imported.site, there)
        # the networks that its files told of are libvirt's, whether it runs or rests
        as_found = bool(prepare.prepare_from(imported.site, there, seen, networks_are_made=True).plan)
    if as_found or bridge is not None:
        imported = import_sources(sources, as_found=as_found, bridge=bridge)
    return imported
