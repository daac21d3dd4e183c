"""What makes a virtual network again when the machine starts: a script with the plan's own commands, and its unit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, link_of
from bascule.model.state import HostState
from bascule.model.values import bridge_name
from bascule.plan.step import Step
from bascule.providers.boot_files import HEADER, MULTI_USER
from bascule.providers.dnsmasq.state import DnsmasqState


def script(name: str, wanted: HostState) -> str:
    """A script that makes a network's bridge and forwarding again; its rules are loaded before the network comes up."""
    from bascule.providers.kernel import KERNEL

    bridge = bridge_name(name)
    forwarding = {k: v for k, v in wanted.sysctls.items() if k in FORWARDING.values() and v == "1"}
    own = {k: v for k, v in wanted.sysctls.items() if link_of(k) == bridge and not k.endswith("/forwarding")}
    lines = ["#!/bin/sh", HEADER, "set -e", *_lines(KERNEL.diff(HostState(), HostState(sysctls=forwarding)))]
    link = wanted.links[bridge]
    bare = replace(link, addresses=tuple(a for a in link.addresses if not a.is_link_local))  # the kernel makes those
    there = list(KERNEL.diff(HostState(), HostState(links={bridge: bare}, sysctls=own)))
    there.sort(key=lambda one: one.phase)
    lines += [f"if ! ip link show dev {bridge} > /dev/null 2>&1; then", *_lines(there), "fi", ""]
    return "\n".join(lines)


def _lines(steps: Iterable[Step]) -> Iterator[str]:
    return (str(command) for step in steps for command in step.commands)


def unit(name: str, arguments: Sequence[str] | None, state: DnsmasqState) -> str:
    """A systemd unit for a network: its bridge, then its dnsmasq, if it has one."""
    lines = [
        HEADER,
        "[Unit]",
        f"Description=Virtual network {name}: what Bascule makes of it when the machine starts",
        "After=network.target nftables.service firewalld.service",
        "",
        "[Service]",
        f"ExecStartPre={state.file(name, 'sh')}",
    ]
    if arguments:
        words = " ".join(shlex.quote(word).replace("%", "%%") for word in arguments)
        lines += ["Type=forking", f"PIDFile={state.file(name, 'pid')}", "Restart=on-failure"]
        lines.append(f"ExecStart={state.program} {words}")
    else:
        lines += ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/true"]
    return "\n".join([*lines, "", "[Install]", f"WantedBy={MULTI_USER}", ""])
