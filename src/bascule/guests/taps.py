"""What the kernel alone knows of a tap, whoever runs the guest behind it: isolation, VLANs, limits and IPv6."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from bascule.errors import CommandFailed
from bascule.guests.plug import Plug
from bascule.model.kernel_parameters import conf
from bascule.providers.kernel.diff.vlans import port_words
from bascule.providers.shaping.state import setting
from bascule.system.net.iproute import batch_lines
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import write_sysctls
from bascule.system.run import run


def tag(plugs: Sequence[Plug], host: Namespace | None) -> None:
    """Give taps their isolation, and those on VLAN-aware bridges their VLANs; None is the host that we are on."""
    commands = [words for plug in plugs if plug.vlans is not None for words in port_words(plug.nic.tap, plug.vlans)]
    isolated = [plug.nic.tap for plug in plugs if plug.by_kernel and plug.nic.guarding.port_flag]
    commands += [f"link set dev {tap} isolated on" for tap in isolated]
    shape(plugs, host)
    error = batch_lines("bridge", commands, namespace=host)
    if error is not None:
        where = f" on {host.name}" if host else ""
        raise CommandFailed.of("TAP-VLANS", f"the flags or VLANs of taps{where} were refused: {error.reason}")


def shape(plugs: Sequence[Plug], host: Namespace | None) -> None:
    """Give taps the limits of their NICs."""
    for plug in plugs:
        limit = plug.nic.bandwidth if plug.nic.by_kernel else None  # else it is a row of the port
        for words in setting(plug.nic.tap, limit) if limit else ():
            run(words, namespace=host)


def addrgenmode_none(plugs: Sequence[Plug], host: Namespace) -> None:
    """No IPv6 address of the host's own on taps that somebody else made: the plan's rule for each that it sees."""
    lines = [
        f"link set dev {plug.nic.tap} addrgenmode none\naddr flush dev {plug.nic.tap} scope link" for plug in plugs
    ]
    error = batch_lines("ip", lines, namespace=host)
    if error is not None:
        message = f"the taps of {host.name} keep addresses of the host: {error.reason}"
        raise CommandFailed.of("TAP-FAILED", message)


def ignore_routers(plugs: Sequence[Plug], host: Namespace | None) -> None:
    """Router advertisements are the guest's business, not the host's (DESIGN.md §7)."""
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        write_sysctls({conf(6, plug.nic.tap, "accept_ra"): "0" for plug in plugs}, namespace=host)
