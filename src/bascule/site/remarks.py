"""What is no fault of a site file, and yet does not do what one may think: said by ``check``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from bascule.errors import Place
from bascule.model.same_subnet import twins
from bascule.model.site import Site

WIRELESS_NAME = re.compile(r"(wl[a-z]*\d|wlan|wifi|ath\d|ra\d)")  # systemd.net-naming-scheme(7), and older drivers'


class SiteRemark(Struct, frozen=True, kw_only=True):
    """A sentence about something in the file, and where that stands."""

    subject: str
    text: str
    place: Place

    def as_json(self) -> dict[str, object]:
        """The remark for ``--json``."""
        place = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return {"subject": self.subject, "text": self.text, "place": place}


def remarks(site: Site) -> Iterator[SiteRemark]:
    """All of them, host by host."""
    for host in site.hosts.values():
        shared = {nic.shared_nic: f"what {nic.guest} is plugged into" for nic in site.guest_nics(host.name)}
        used = {nic.name: f"under {b.name}" for b in host.bridges.values() for nic in host.uplink_nics(b)}
        used |= {n.name: f"the uplink of {b.name}" for b in host.bridges.values() for n in host.nics_of(b.uplink)}
        for name, what in ({name: words for name, words in shared.items() if name} | used).items():
            if WIRELESS_NAME.match(name):
                text = f"is {what}, and its name is that of a wireless NIC: an access point takes frames of the NIC's "
                text += "own MAC only, so in station mode no guest is ever answered; use a wired NIC or mode nat"
                yield SiteRemark(subject=name, text=text, place=host.nics[name].place)
        for pair in twins(site, host):
            yield SiteRemark(
                subject=pair.second.name, text=f"is the second of two: {pair.words}", place=pair.second.place
            )
