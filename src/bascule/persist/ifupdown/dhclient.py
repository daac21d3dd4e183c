"""What dhclient does not use of its leases: a hook of ours, which its script reads first (dhclient-script(8)).

ifupdown has no word for it. A lease's routes stand in variables, and what is not there is not set up.
"""

from __future__ import annotations

import re

from bascule.model.dhcp.dhclient import VARIABLES, WITHOUT_DEFAULT, without
from bascule.model.dhcp.offers import Offer, of_version
from bascule.model.host_links import Ipv6
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.gaps import Gaps
from bascule.persist.ifupdown import HOOK
from bascule.persist.parsed import Files

SYSCTLS = {  # what the kernel itself hears of a router
    (Offer.GATEWAY, 6): "accept_ra_defrtr=0",
    (Offer.ROUTES, 6): "accept_ra_rt_info_max_plen=0",
}
HEAD = f"""\
# Written by bascule. What these links do not use of a lease; dhclient-script reads it.
{WITHOUT_DEFAULT}case $interface in
"""
_LINE = re.compile(r"    (\S+)\) ((?:unset [a-z0-9_ ]+; |without_default; )+);;")


def hook(config: NetworkConfig, gaps: Gaps) -> dict[str, str]:
    """The hook, where a link does not use something of a lease."""
    lines = []
    for link in config.links.values():
        leased = [version for version in (4, 6) if _has_lease(link, version)]
        gone = filter(None, (without(of_version(link.unused, version), version) for version in leased))
        if words := " ".join(gone):
            lines.append(f"    {link.name}) {words} ;;\n")
        if (Offer.DNS, 6) in link.unused and not _has_lease(link, 6):
            gaps.add(link.name, "use_dns", "false", "no program there takes name servers from advertisements")
    return {HOOK: HEAD + "".join(lines) + "esac\n"} if lines else {}


def _has_lease(link: LinkConfig, version: int) -> bool:
    return link.dhcp4 if version == 4 else link.ipv6 is Ipv6.DHCP


def read_hook(files: Files, builder: Builder) -> None:
    """Our own hook; what others have there is a program of theirs."""
    for number, line in enumerate(files.get(HOOK, "").splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found:
            gone = set(found[2].replace(";", " ").split())
            draft = builder.draft(found[1], HOOK, number)
            draft.unused |= {key for key, words in VARIABLES.items() if gone >= set(words.split())}
