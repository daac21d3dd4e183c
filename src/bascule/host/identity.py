"""Which host of a site file this machine is: asked here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, UsageFault
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.system.net.links import link_names

NAMELESS = {"", "(none)", "localhost"}  # what the kernel and distributions call a machine that nobody has named

_ROOT = "/"


def own_name() -> str:
    """What this machine calls itself, without its domain; empty where nobody gave it a name."""
    name = os.uname().nodename.partition(".")[0]
    return "" if name.lower() in NAMELESS else name


def _is_called(host: str) -> bool:
    """Whether this machine is called as a host of a file, either with its domain or without; case does not matter."""
    full, name, wanted = os.uname().nodename.lower().rstrip("."), own_name().lower(), host.lower()
    if not name:
        return False
    return wanted in {full, name, name_for_site().lower()} or ("." not in full and wanted.partition(".")[0] == name)


def _called_here(site: Site) -> list[Host]:
    """The hosts of a file that this machine is called as: the one of its whole name, or all of its name alone."""
    found = [host for host in site.hosts.values() if _is_called(host.name)]
    full = os.uname().nodename.lower().rstrip(".")
    return [host for host in found if host.name.lower() == full] or found


def _is_named(site: Site, host: Host) -> bool:
    """Whether the machine's name says that it is this host, and no other of the file."""
    return _called_here(site) == [host]


def _names_compared(host: Host, others: Sequence[str]) -> str:
    if not own_name():
        return "it has no name"
    name = os.uname().nodename
    if _is_called(host.name):
        return f"it is called '{name}', as '{others[0]}' of the file may be, too"
    static = _static_name(_ROOT)
    mine = static.partition(".")[0].lower() == host.name.partition(".")[0].lower()
    kept = f" (/etc/hostname has '{static}')" if mine and static.lower() != name.lower() else ""
    return f"it is called '{name}'{kept}, not '{host.name}'" + ("; the file has that host, too" if others else "")


def name_for_site(root: str | None = None) -> str:
    """What this machine, or the one whose files lie below ``root``, is called in a site file that is made of it."""
    text = own_name() if root is None else _static_name(root).partition(".")[0]
    label = "".join(ch for ch in text if ch.isascii() and (ch.isalnum() or ch in "-_"))
    return label.lstrip("-_")[:63] or "host"


def _static_name(root: str) -> str:
    """The name that the file of names gives (hostname(5)), empty where there is none."""
    lines = (line.strip() for line in _lines(Path(root, "etc/hostname")))
    return next((line for line in lines if line and line[0] != "#"), "")


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


class HostMatch(Struct, frozen=True):
    """Whether this machine is a host of the file: what says so, empty where nothing does, and what was compared."""

    host: str
    proof: str
    compared: tuple[str, ...]

    @property
    def words(self) -> str:
        """That nothing says so, empty where something does."""
        return "" if self.proof else f"nothing says that this machine is '{self.host}': {'; '.join(self.compared)}"


def compare(site: Site, host: Host, state: HostState) -> HostMatch:
    """Compare this machine, whose links ``state`` has, with a host.

    It is that host by its hostname, by a NIC with the MAC or path that the file pins, or by all of several NICs. One
    name of a NIC is no proof, since ``eth0`` is on too many machines; nor are several, where the machine is called as
    another host of the file.
    """
    # with all that plans, which whoever wants a name needs not
    from bascule.plan.target.hardware import hardware_by_mac, pinned_link

    if _is_named(site, host):
        return HostMatch(host.name, f"it is called '{own_name()}'", ())
    others = [other.name for other in _called_here(site) if other is not host]
    compared = [_names_compared(host, others)]
    found, by_mac = 0, hardware_by_mac(state)
    for nic in host.nics.values():
        pin, link = nic.mac or nic.path, pinned_link(nic, state, by_mac)
        if pin and link is not None:
            return HostMatch(host.name, f"{link.name} is the NIC with {pin}", ())
        seen = state.links.get(nic.name)
        found += seen is not None and not pin
        if pin:
            has = f", {nic.name} has {seen.hardware_mac}" if seen is not None and nic.mac else ""
            compared.append(f"no NIC here is {pin} ({nic.name} in the file){has}")
        elif seen is None:
            compared.append(f"there is no {nic.name} here")
    several = len(host.nics) > 1
    if several and found == len(host.nics) and not others:
        return HostMatch(host.name, f"it has all of its NICs ({', '.join(host.nics)})", ())
    if found and not several:
        compared.append(f"the NIC name {next(iter(host.nics))} alone proves nothing")
    return HostMatch(host.name, "", tuple(compared))


def is_here(site: Site, host: Host, look: Callable[[], HostState]) -> bool:
    """Whether this machine is that host; ``look`` is asked for its links where only they can say so."""
    if _is_named(site, host):
        return True
    pinned = any(nic.mac or nic.path for nic in host.nics.values())
    may_be = pinned or (len(host.nics) > 1 and link_names().issuperset(host.nics))
    return may_be and bool(compare(site, host, look()).proof)


def require_here(site: Site, host: Host, look: Callable[[], HostState]) -> None:
    """Raise BasculeError with what was compared where nothing says that this machine is that host.

    ``look`` is asked for the machine's links where its name does not say so.
    """
    if _is_named(site, host):
        return
    state = look()
    found = compare(site, host, state)
    if not found.words:
        return
    unpinned = [(n.name, state.links.get(n.name)) for n in host.nics.values() if not (n.mac or n.path)]
    pin = next((f"{name}: {{mac: {link.hardware_mac}}}" for name, link in unpinned if link and link.mac), "")
    hint = "if it is, confirm it with --here" + (f", or say it in the file, as in {pin}" if pin else "")
    raise BasculeError.of(
        "HOST-OTHER", found.words, place=host.place, hint=f"{hint}; 'bascule rehearse' tries the file on a twin"
    )


def started_as_found(site: Site, names: Sequence[str], look: Callable[[], HostState], *, here: bool) -> Host | None:
    """The host, of those that are rehearsed, that this machine is, if it has its NICs, so that it can be read here.

    With ``here`` the machine is one of them; UsageFault where nobody says which.
    """
    if here:
        return choose_host(site, names[0] if len(names) == 1 else None)
    there = link_names()
    hosts = (site.hosts[name] for name in names)
    return next((host for host in hosts if there.issuperset(host.nics) and is_here(site, host, look)), None)


def refuse_without_hosts(site: Site) -> None:
    """Raise UsageFault where the file declares no host."""
    if not site.hosts:
        hint = "declare the host whose network this is about, below 'hosts:'"
        raise UsageFault.of("NO-HOSTS", "the file has no hosts", hint=hint)


def choose_host(site: Site, name: str | None) -> Host:
    """The host that is meant: by name, by being the only one, or by being the one that we are on."""
    known = ", ".join(site.hosts) or "none"
    if name is not None:
        if name not in site.hosts:
            raise UsageFault.of("HOST", f"the site file has no host '{name}'", hint=f"it has: {known}")
        return site.hosts[name]
    called = _called_here(site)
    if len(called) == 1:
        return called[0]
    refuse_without_hosts(site)
    if len(site.hosts) != 1:
        hint = f"say which with --host: {known}"
        raise UsageFault.of("HOST", f"the site file has {len(site.hosts)} hosts", hint=hint)
    return next(iter(site.hosts.values()))
