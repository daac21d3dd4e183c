"""The keys of kernel parameters, as paths below /proc/sys (Documentation/networking/ip-sysctl.rst); pure.

``all`` and ``default`` may stand in the place of a link. What a key does is said where a plan tells it
(:mod:`bascule.providers.kernel.diff.parameters`).
"""

from __future__ import annotations

from collections.abc import Mapping

REDIRECTS = "net/ipv4/conf/all/accept_redirects"  # the kernel sets it along with ip_forward
FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}  # whether a host routes, by IP version
VLAN_TAGGED = "net/bridge/bridge-nf-filter-vlan-tagged"  # whether it shows them frames with a VLAN tag
AS_VLAN = "net/bridge/bridge-nf-pass-vlan-input-dev"  # and as ones that came in by the VLAN's link


def conf(version: int, link: str, key: str) -> str:
    """How a link deals with IPv4 or IPv6."""
    return f"net/ipv{version}/conf/{link}/{key}"


def neigh(version: int, link: str, key: str) -> str:
    """How a link deals with its neighbours."""
    return f"net/ipv{version}/neigh/{link}/{key}"


def bridge_nf(key: str) -> str:
    """Which frames of bridges br_netfilter shows to iptables, and how."""
    return f"net/bridge/bridge-nf-{key}"


def takes_token(link: str, sysctls: Mapping[str, str]) -> bool:
    """Whether the kernel takes a token for a link: it must accept advertisements there (inet6_set_iftoken of Linux)."""
    key = conf(6, link, "accept_ra")
    accepts = sysctls.get(key) or first_value(key, sysctls)
    return accepts == "2" or (accepts == "1" and sysctls.get(FORWARDING[6]) == "0")


def secret_key(link: str) -> str:
    """From what a link makes its stable addresses; only root may read it."""
    return conf(6, link, "stable_secret")


def dotted(key: str) -> str:
    """A key as sysctl(8) and people write it: a point in a link's name is a slash there (sysctl.d(5))."""
    return key.translate(str.maketrans("/.", "./"))


def link_of(key: str) -> str:
    """The link that a parameter belongs to, empty when it belongs to none."""
    parts = key.split("/")
    return parts[3] if len(parts) > 4 and parts[0] == "net" and parts[2] in {"conf", "neigh"} else ""


def first_value(key: str, seen: Mapping[str, str]) -> str | None:
    """With which value of a link's parameter the kernel begins a new link; None where that was not ``seen``.

    The defaults of neighbours are shown in the first namespace alone, and lo, for which nobody changes them, in each.
    """
    parts = key.split("/")
    told = ("default", "lo") if parts[2] == "neigh" else ("default",)
    return next((seen[one] for name in told if (one := "/".join((*parts[:3], name, *parts[4:]))) in seen), None)
