"""Bring NICs up so that nobody notices, and leave them as they were.

A NIC that is down gets no address (IPv6 off, no DHCP client of NetworkManager's), answers no ARP and is brought up only
if nothing hangs on it; afterwards it is put back, whatever happens in between, ``kill -9`` included. A NIC that is up
stays as it is.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterable, Iterator

from msgspec import Struct

from bascule.errors import CommandFailed
from bascule.model.kernel_parameters import conf
from bascule.model.links import Veth
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.system.net import managers
from bascule.system.net.iproute import batch_lines
from bascule.system.net.sysctl import read_sysctls, write_sysctl
from bascule.system.process.on_death import OnDeath
from bascule.system.run import run

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Before(Struct, frozen=True, kw_only=True):
    link: Link
    arp: bool
    ipv6_off: str | None  # the text of disable_ipv6; None where the kernel has no IPv6
    networkmanager: bool


def why_not(link: Link, state: HostState) -> str:
    """Why a NIC that is down must not be brought up just to listen; empty if it may."""
    above = [x.name for x in state.links.values() if x.parent == link.name and not isinstance(x.options, Veth)]
    if above:  # the kernel brings VLAN links up together with what they stand on
        one, it = ("stands", "it") if len(above) == 1 else ("stand", "them")
        return (
            f"it is down and {', '.join(above)} {one} on it; bringing it up would wake {it}. Nothing can be heard on it"
        )
    if link.master is not None:
        return f"it is down and belongs to {link.master}; bringing it up would connect that. Nothing can be heard on it"
    if link.addresses:
        return "it is down and has an address; bringing it up would put its routes in place. Nothing can be heard on it"
    if managers.networkd_has(link.name):
        return "it is down and systemd-networkd would configure it; bring it up yourself, or give it 'Unmanaged=yes'"
    return ""


@contextlib.contextmanager
def brought_up(nics: Iterable[str], state: HostState) -> Iterator[tuple[str, ...]]:
    """While inside, every NIC that may be is up; yields those that were brought up.

    Raises NotPermitted, CommandFailed, after everything is as it was.
    """
    down = [state.links[IfName(name)] for name in nics]
    quiet = [link for link in down if not link.up and not why_not(link, state)]
    if not quiet:
        yield ()
        return
    before = [
        _Before(
            link=link,
            arp=_answers_arp(link.name),
            ipv6_off=_ipv6_off(link.name),
            networkmanager=managers.networkmanager_has(link.name),
        )
        for link in quiet
    ]
    with OnDeath(lambda: _put_back(before)):
        try:
            with _unbroken():
                _bring_up(before)
            yield tuple(link.name for link in quiet)
        finally:
            with _unbroken():
                _put_back(before)


def _bring_up(before: Iterable[_Before]) -> None:
    for old in before:
        if old.networkmanager:  # a carrier would make it ask for an address
            managers.networkmanager_take(old.link.name, manage=False)
        if old.ipv6_off == "0":
            write_sysctl(conf(6, old.link.name, "disable_ipv6"), "1")
    _ip(
        line
        for old in before
        for line in (
            *((f"link set dev {old.link.name} addrgenmode none",) if old.ipv6_off is not None else ()),
            f"link set dev {old.link.name} arp off",
            f"link set dev {old.link.name} up",
        )
    )


def _put_back(before: Iterable[_Before]) -> None:
    """Every NIC for itself: one that was pulled out meanwhile must not keep the others from being put back."""
    for old in before:
        name = old.link.name
        lines = [f"link set dev {name} down"]
        if old.arp:
            lines.append(f"link set dev {name} arp on")
        if old.ipv6_off is not None:
            lines.append(f"link set dev {name} addrgenmode {old.link.addrgenmode}")
        with contextlib.suppress(CommandFailed):
            _ip(lines)
        if old.ipv6_off == "0":
            with contextlib.suppress(OSError):
                write_sysctl(conf(6, name, "disable_ipv6"), "0")
        if old.networkmanager:
            with contextlib.suppress(CommandFailed):
                managers.networkmanager_take(name, manage=True)


@contextlib.contextmanager
def _unbroken() -> Iterator[None]:
    """Signals wait, and the tools that are started meanwhile do not get them either."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _answers_arp(name: str) -> bool:
    return "NOARP" not in run(("ip", "link", "show", "dev", name)).stdout.split(">")[0]


def _ipv6_off(name: str) -> str | None:
    key = conf(6, name, "disable_ipv6")
    return read_sysctls((key,)).get(key)


def _ip(lines: Iterable[str]) -> None:
    failed = batch_lines("ip", lines)
    if failed is not None:
        raise CommandFailed.of(
            "NIC-UP", f"a NIC could not be brought up quietly: {failed.reason}", hint="run it as root"
        )
