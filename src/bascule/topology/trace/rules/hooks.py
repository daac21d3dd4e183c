"""From ``nft list hooks`` (nft(8)): what netfilter calls beside the chains of tables, and whom br_netfilter skips.

A kernel without CONFIG_NETFILTER_NETLINK_HOOK prints nothing (seen: Linux 6.1 of Debian has none, 6.12 has). Of hooks
of one priority nft 1.0 and 1.1 print the first one first and the others backwards (basehook_list_add_tail()), so of
three or more only the first is where it stands; the order of chains is taken from when they were made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

Key = tuple[str, str, str]
LINE = re.compile(r"([+-]?\d+) (?:chain (\S+) (\S+) (\S+)|(\S+)([^\[]*))(?: *\[(\S+)\])?")
BR_NETFILTER = "br_nf_forward"  # since Linux 6.8; before it was br_nf_forward_ip and br_nf_forward_arp
# what is called for rules that are read elsewhere, for connection tracking and by security modules
OWN = (
    *("ipv4_conntrack", "ipv6_conntrack", "nf_confirm", "ipv4_confirm", "ipv6_confirm", "nf_nat_", "nf_ct_"),
    *("br_nf_", "ip_sabotage_in", "nft_do_chain", "ipt_", "ip6t_", "arpt_", "ebt", "iptable_", "ip6table_"),
    *("arptable_", "nf_flow_", "flowtable", "ipv4_synproxy", "ipv6_synproxy", "selinux_", "smack_", "apparmor_"),
    "ip_vs_",  # what IPVS takes is asked for by its services
)


class Hooks(Struct, frozen=True):
    """Who else is called by family and hook, and whether br_netfilter skips chains of bridges at its priority."""

    others: Mapping[tuple[str, str], tuple[str, ...]]
    passed_over: Mapping[Key, bool]


def read_hooks(listing: str) -> Hooks:
    """What is called where; nothing where the kernel does not tell."""
    others: dict[tuple[str, str], dict[str, None]] = {}
    at_zero: list[Key | str] = []
    family = hook = ""
    for words in map(str.strip, listing.splitlines()):
        if words.startswith("family "):
            family = words.split()[1]
        elif words.startswith("hook "):
            hook = words.split()[1]
        elif (found := LINE.fullmatch(words)) is not None:
            priority, of, table, chain, name, more, module = found.groups()
            if (family, hook, int(priority)) == ("bridge", "forward", 0):
                at_zero.append((of, table, chain) if of else name)
            if not of and not name.startswith(OWN):
                whose = f" of module {module}" if module else ""
                others.setdefault((family, hook), {})[f"{name}{more.rstrip()}{whose}"] = None
    return Hooks({where: tuple(names) for where, names in others.items()}, dict(_passed_over(at_zero)))


def _passed_over(called: Sequence[Key | str]) -> Iterator[tuple[Key, bool]]:
    """br_netfilter goes on behind its own priority, so it skips whatever stands there behind it."""
    if not any(isinstance(one, str) and one.startswith(BR_NETFILTER) for one in called):
        return
    first, *rest = called
    if isinstance(first, tuple):
        yield first, False
    for one in rest:
        if isinstance(one, tuple) and (isinstance(first, str) or len(called) == 2):
            yield one, True
