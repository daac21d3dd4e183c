"""What the providers share that keep guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.providers.plain import PlainProvider


class GuestsProvider(PlainProvider):
    """Its part has the guests as ``seen_domains``."""

    runs_guests: ClassVar[bool] = True
    outlives_restart: ClassVar[bool] = True

    def running(self, state: HostState) -> Mapping[str, str]:
        """The guests whose process is there."""
        part = self.part(state)
        return {one.name: one.halted for one in part.seen_domains if one.running} if part is not None else {}

    def as_it_runs(self, site: Site, host: Host, observed: HostState) -> Site:
        """The site with the taps that running guests have now."""
        part = self.part(observed)
        if part is None:
            return site
        from bascule.providers.guest_nics import with_live_taps

        return with_live_taps(site, host, part.seen_domains)
