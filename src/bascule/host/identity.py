"""Which host of a site file this machine is: asked here and nowhere else."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

from bascule.errors import Problem, UsageFault
from bascule.model.site import Host, Site
from bascule.system.net.links import link_names


def own_name() -> str:
    """What this machine calls itself, without its domain; empty where it has no name."""
    return platform.node().partition(".")[0]


def name_for_site(root: str | None = None) -> str:
    """What this machine, or the one whose files lie below ``root``, is called in a site file that is made of it."""
    text = own_name() if root is None else next(iter(_lines(Path(root, "etc/hostname"))), "").strip().partition(".")[0]
    label = "".join(ch for ch in text if ch.isascii() and (ch.isalnum() or ch in "-_"))
    return label.lstrip("-_")[:63] or "host"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def as_found(name: str | None = None) -> tuple[Site, Host]:
    """A site of this machine alone, of which nothing is declared."""
    called = name or own_name() or "host"
    host = Host(name=called)
    return Site(name=called, hosts={called: host}), host


def has_its_nics(host: Host) -> bool:
    """Whether this machine has every NIC that is declared for a host. Needs no privilege."""
    return bool(host.nics) and link_names().issuperset(host.nics)


def is_here(host: Host) -> bool:
    """Whether this machine is that host: by its name, or by several NICs; a lone ``eth0`` is on too many machines."""
    return own_name() == host.name or (len(host.nics) > 1 and has_its_nics(host))


def started_as_found(site: Site, names: Iterable[str]) -> Host | None:
    """The host, of those that are rehearsed, whose state can be read here: the first that has its NICs here."""
    return next((host for host in map(site.hosts.__getitem__, names) if has_its_nics(host)), None)


def choose_host(site: Site, name: str | None) -> Host:
    """The host that is meant: by name, by being the only one, or by being the one that we are on."""
    known = ", ".join(site.hosts) or "none"
    if name is not None:
        if name not in site.hosts:
            raise UsageFault(
                Problem(code="HOST", message=f"the site file has no host '{name}'", hint=f"it has: {known}")
            )
        return site.hosts[name]
    here = own_name()
    if here in site.hosts:
        return site.hosts[here]
    if len(site.hosts) != 1:
        hint = f"say which with --host: {known}"
        raise UsageFault(Problem(code="HOST", message=f"the site file has {len(site.hosts)} hosts", hint=hint))
    return next(iter(site.hosts.values()))
