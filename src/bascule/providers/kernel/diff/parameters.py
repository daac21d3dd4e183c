"""What a kernel parameter means, in the words of a plan. Source: the kernel's ip-sysctl.rst."""

from __future__ import annotations

from bascule.model.kernel_parameters import link_of

_WORDS = {
    ("accept_ra", "0"): "ignore router advertisements",
    ("accept_ra", "1"): "accept router advertisements",
    ("accept_ra", "2"): "accept router advertisements although it routes",
    ("autoconf", "0"): "no IPv6 autoconfiguration (SLAAC)",
    ("autoconf", "1"): "IPv6 autoconfiguration (SLAAC)",
    ("disable_ipv6", "0"): "enable IPv6",
    ("disable_ipv6", "1"): "disable IPv6",
    ("use_tempaddr", "0"): "no temporary IPv6 addresses",
    ("use_tempaddr", "-1"): "no temporary IPv6 addresses",
    ("use_tempaddr", "1"): "temporary IPv6 addresses beside the others",
    ("use_tempaddr", "2"): "send from temporary IPv6 addresses",
    ("arp_ignore", "0"): "answer ARP for every address of the host",
    ("arp_ignore", "1"): "answer ARP for its own addresses only",
    ("arp_announce", "0"): "name any address of the host in ARP requests",
    ("arp_announce", "1"): "prefer an address of its own subnet in ARP requests",
    ("arp_announce", "2"): "name an address of its own in ARP requests",
    ("rp_filter", "0"): "do not filter by reverse path (rp_filter)",
    ("rp_filter", "1"): "filter by strict reverse path (rp_filter)",
    ("rp_filter", "2"): "filter by loose reverse path (rp_filter)",
    ("ip_forward", "1"): "route IPv4 between all links",
    ("ip_forward", "0"): "route no IPv4",
}
_SWITCHES = {  # what 1 allows and 0 does not
    "accept_local": "packets from the host's own addresses",
    "accept_redirects": "ICMP redirects",
    "accept_source_route": "packets with a source route",
    "accept_ra_defrtr": "default routers from advertisements",
    "accept_ra_mtu": "the MTU from advertisements",
    "accept_ra_pinfo": "prefixes from advertisements",
    "accept_ra_rtr_pref": "the preference of routers from advertisements",
    "accept_ra_from_local": "router advertisements from the host itself",
    "accept_untracked_na": "neighbour advertisements that nobody asked for",
    "arp_accept": "ARP announcements of unknown neighbours",
    "arp_filter": "ARP answers only on the link that the route leads to",
    "arp_notify": "ARP announcements when it comes up",
    "bc_forwarding": "routing of directed broadcasts",
    "keep_addr_on_down": "IPv6 addresses that stay while it is down",
    "log_martians": "log entries for packets with impossible addresses (martians)",
    "ndisc_notify": "neighbour advertisements when it comes up",
    "optimistic_dad": "use of an IPv6 address while it is still checked for duplicates",
    "promote_secondaries": "promotion of a secondary address when the primary one is removed",
    "proxy_arp": "ARP answers for others (proxy ARP)",
    "proxy_ndp": "neighbour advertisements for others (proxy NDP)",
    "route_localnet": "routing of 127.0.0.0/8",
    "secure_redirects": "ICMP redirects to known gateways only",
    "send_redirects": "sending of ICMP redirects",
    "shared_media": "redirects for other subnets on the same wire",
}
_AMOUNTS = {  # parameters with a number
    "accept_dad": "duplicate address detection (accept_dad)",
    "dad_transmits": "probes for a duplicate address",
    "hop_limit": "hop limit of what it sends",
    "mtu": "MTU of IPv6",
    "max_addresses": "maximum number of IPv6 addresses by autoconfiguration",
    "router_solicitations": "maximum number of router solicitations",
    "router_solicitation_interval": "seconds between router solicitations",
    "temp_prefered_lft": "seconds that a temporary address is preferred",
    "temp_valid_lft": "seconds that a temporary address is valid",
    "ra_defrtr_metric": "metric of advertised default routes",
}


def parameter_words(key: str, value: str) -> str:
    """What a parameter (``net/ipv6/conf/br0/accept_ra``) with this value does; one without words by its name."""
    name = key.rpartition("/")[2]
    version = "IPv6" if key.startswith("net/ipv6/") else "IPv4"
    if name == "stable_secret":
        return "the secret of its stable IPv6 addresses"
    if name == "forwarding":
        if link_of(key) not in {"", "all", "default"}:
            return f"forward {'no ' if value == '0' else ''}{version} there"
        return f"route {version} between all links" if value == "1" else f"route no {version}"
    if (name, value) in _WORDS:
        return _WORDS[name, value]
    if name in _SWITCHES and value in {"0", "1"}:
        return f"{version}: {'allow' if value == '1' else 'no'} {_SWITCHES[name]}"
    if name in _AMOUNTS:
        return f"{version}: {_AMOUNTS[name]}: {value}"
    return f"kernel parameter {name} of {version}: {value}"
