"""Whose rules these are, told from the names that programs give to their tables, chains and comments. Pure.

A name is a hint of its maker and no proof; what has no known name is the administrator's own, as far as can be seen.
Capitals tell: firewalld has ``IN_public``, and many an administrator ``in_lan``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BASCULE = "Bascule"
TABLES = {  # how the names of others' tables begin, and whose they are; the longest beginning counts
    "bascule": BASCULE, "cilium": "Cilium", "crowdsec": "CrowdSec", "docker-": "Docker", "f2b-": "fail2ban",
    "fail2ban": "fail2ban", "firewalld": "firewalld", "flannel": "Flannel", "incus": "Incus",
    "io.systemd.": "systemd-networkd", "kube-proxy": "Kubernetes", "libvirt": "libvirt", "lxc": "LXC", "lxd": "LXD",
    "netavark": "Podman", "nixos-fw": "NixOS", "nm-shared-": "NetworkManager", "opensnitch": "OpenSnitch",
    "proxmox-firewall": "Proxmox VE", "sshguard": "SSHGuard", "tailscale": "Tailscale", "ufw": "ufw",
    "wg-quick-": "wg-quick",
}  # fmt: skip
CHAINS = {  # the same of chains, which iptables' programs put into tables that all share
    "bascule": BASCULE, "CILIUM_": "Cilium", "CNI-": "a CNI plugin", "cali-": "Calico", "CROWDSEC": "CrowdSec",
    "DOCKER": "Docker", "f2b-": "fail2ban", "FLANNEL-": "Flannel", "FORWARD_ZONES": "firewalld",
    "FORWARD_direct": "firewalld", "FWDI_": "firewalld", "FWDO_": "firewalld", "FWD_": "firewalld",
    "INPUT_ZONES": "firewalld", "INPUT_direct": "firewalld", "IN_": "firewalld", "OUTPUT_direct": "firewalld",
    "INPUT_POLICIES": "firewalld", "FORWARD_POLICIES": "firewalld", "incus_": "Incus", "KUBE-": "Kubernetes",
    "LIBVIRT_": "libvirt", "libvirt-": "libvirt", "lxd_": "LXD", "MINIUPNPD": "MiniUPnP",
    "miniupnpd": "MiniUPnP", "NETAVARK": "Podman",
    "nixos-fw": "NixOS", "nm-sh-": "NetworkManager", "PVEFW-": "Proxmox VE", "sshguard": "SSHGuard",
    "ts-": "Tailscale", "ufw": "ufw", "WEAVE": "Weave",
}  # fmt: skip
COMMENTS = {  # how comments of rules begin
    "!fw3": "OpenWrt", "bascule:": BASCULE, "cali:": "Calico", "fail2ban": "fail2ban", "flanneld": "Flannel",
    "generated for Incus": "Incus", "generated for LXD": "LXD", "kubernetes": "Kubernetes", "managed by lxd": "LXD",
    "tailscale": "Tailscale", "ufw": "ufw",
}  # fmt: skip


def owner(table: str, chain: str = "", comment: str = "", targets: Iterable[str] = ()) -> str:
    """The program that made a rule, by its table and chain, its comment and the chains it leads to.

    Empty where no name says so. The most special speaks first: a comment, then where it leads, then where it stands.
    """
    told = _first(COMMENTS, comment) or next(filter(None, (_first(CHAINS, target) for target in targets)), "")
    return told or _first(CHAINS, chain) or _first(TABLES, table)


def owner_words(family: str, table: str, chain: str = "", targets: Iterable[str] = ()) -> str:
    """A table for people, and whose the rule is: ``table ip filter (Docker)``, or ``your own table inet filter``."""
    whose = owner(table, chain, targets=targets)
    return f"table {family} {table} ({whose})" if whose else f"your own table {family} {table}"


def _first(names: Mapping[str, str], word: str) -> str:
    found = [beginning for beginning in names if word.startswith(beginning)]
    return names[max(found, key=len)] if found else ""
