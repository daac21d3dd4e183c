"""The keys of kernel parameters of links, as paths below /proc/sys (Documentation/networking/ip-sysctl.rst); pure."""

from __future__ import annotations

REDIRECTS = "net/ipv4/conf/all/accept_redirects"  # the kernel sets it along with ip_forward (ip-sysctl)


def arp_ignore(name: str) -> str:
    """The key that says whether a link answers ARP for the addresses of others."""
    return f"net/ipv4/conf/{name}/arp_ignore"


def arp_announce(name: str) -> str:
    """The key that says which of the host's addresses a link names in its ARP requests."""
    return f"net/ipv4/conf/{name}/arp_announce"


def rp_filter(name: str) -> str:
    """The key that says whether a link takes packets whose answer would leave by another link."""
    return f"net/ipv4/conf/{name}/rp_filter"


def forwarding(name: str) -> str:
    """The key that says whether the host forwards the IPv4 packets that come in by a link."""
    return f"net/ipv4/conf/{name}/forwarding"


def accept_ra(name: str) -> str:
    """The key that says whether a link takes router advertisements."""
    return f"net/ipv6/conf/{name}/accept_ra"


def disable_ipv6(name: str) -> str:
    """The key that says whether a link has no IPv6 at all."""
    return f"net/ipv6/conf/{name}/disable_ipv6"


def use_tempaddr(name: str) -> str:
    """The key that says whether a link makes itself temporary IPv6 addresses (0), has them (1) and prefers them (2)."""
    return f"net/ipv6/conf/{name}/use_tempaddr"
