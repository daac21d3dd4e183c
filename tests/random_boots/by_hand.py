"""What somebody did to a host's NICs by hand, and no file says: entries, switches and rules that know them by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from tests.random_boots.installed import NICS, Facts

RULES = """\
nft 'add table inet mine; add chain inet mine in {{ type filter hook input priority 5; }}; \
add rule inet mine in iifname "{nic}" tcp dport 23 drop'
"""


def by_hand(random: Random, facts: Sequence[Facts], dialect: str) -> str:
    """The commands of a shell. systemd-networkd takes neighbours of others away when it sets a link up anew."""
    lines = [line for nic in NICS for line in _of(random, nic, facts)]
    gone = "ip neigh" if dialect in {"networkd", "netplan"} else "\0"
    return "".join(f"{line}\n" for line in lines if not line.startswith(gone))


def _of(random: Random, nic: str, facts: Sequence[Facts]) -> Iterator[str]:
    number = nic.removeprefix("eth")
    own = next((one for one in facts if one.nic == nic), None)
    if random.random() < 0.3:
        yield f"ip link property add dev {nic} altname enp{number}s0"
    if own is not None and own.of(4) and random.random() < 0.25:
        yield f"ip neigh replace 10.{number}.0.77 lladdr 02:00:00:00:77:0{number} nud permanent dev {own.link}"
    for key, values in (("rp_filter", "02"), ("proxy_arp", "1"), ("arp_ignore", "1"), ("accept_redirects", "0")):
        if random.random() < 0.12:
            yield f"sysctl -q -w net.ipv4.conf.{nic}.{key}={random.choice(values)}"
    if random.random() < 0.15:
        yield RULES.format(nic=nic).rstrip()
