"""All firewalls of a host as one set of rules, from what the programs printed."""

from __future__ import annotations

import re

from msgspec import Struct

from bascule.model.ruleset.nft_json import objects_of
from bascule.topology.trace.connection_tracking import families_of_objects, tracked_versions
from bascule.topology.trace.rules.iptables.ip_sets import with_sets
from bascule.topology.trace.rules.iptables.reader import opaque_chains, read_legacy, with_extensions
from bascule.topology.trace.rules.lines import Rules
from bascule.topology.trace.rules.nft_reader import read_nft, read_text


class Listings(Struct, frozen=True, kw_only=True):
    """What the programs printed; empty where one was not asked. ``unread`` names what could not be asked.

    ``nft`` is ``nft -j list ruleset``, ``nft_text`` is ``nft -a list ruleset``; the rest are the ``-save`` programs and
    ``ipset save``.
    """

    nft: str = ""
    nft_text: str = ""
    iptables_nft: str = ""
    ip6tables_nft: str = ""
    iptables_legacy: str = ""
    ip6tables_legacy: str = ""
    ebtables_nft: str = ""
    ebtables_legacy: str = ""
    ipset: str = ""
    unread: tuple[str, ...] = ()


# before a look at a MAC among others nft 1.0.6 lists no "ether type 8021q"
AMONG = re.compile(
    r'"(?:left|concat)":\s*[{\[]+"payload":\s*\{(?:"protocol":\s*"ether",\s*"field":\s*"[sd]|"base":\s*"ll")'
)
HOOK_CHAIN = re.compile(r'"name":\s*"(?:INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING|BROUTING)"')


def read_rules(listings: Listings) -> Rules:
    """The rules. Raises BasculeError where nft's JSON is broken."""
    texts, devices = read_text(listings.nft_text)
    objects = objects_of(listings.nft)
    rules = Rules(read_nft(objects, texts, devices), tracking=families_of_objects(objects))
    return with_saves(rules, listings)


def with_saves(rules: Rules, listings: Listings) -> Rules:
    """The same with what the programs of iptables and ebtables say beside nft."""
    chains = dict(rules.chains)
    unread = [*rules.unread, *listings.unread]
    by_nft = (("ip", listings.iptables_nft), ("ip6", listings.ip6tables_nft), ("bridge", listings.ebtables_nft))
    for family, saved in by_nft:
        if saved:
            chains = with_extensions(chains, saved, family, opaque_chains(chains))
    legacy = (
        ("ip", listings.iptables_legacy),
        ("ip6", listings.ip6tables_legacy),
        ("bridge", listings.ebtables_legacy),
    )
    for family, saved in legacy:
        chains.update(read_legacy(saved, family))
    if listings.ipset:
        chains = with_sets(chains, (saved for _, saved in (*by_nft, *legacy)), listings.ipset)
    found = Rules(chains, tuple(unread), rules.tracking).prepared()
    tracked_versions(found)
    return found


def needs_extensions(listing: str) -> bool:
    """Whether nft's JSON hides words of iptables or ebtables, so that what prints them must be asked."""
    return '"xt"' in listing or (AMONG.search(listing) is not None and HOOK_CHAIN.search(listing) is not None)
