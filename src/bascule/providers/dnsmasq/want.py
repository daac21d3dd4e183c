"""The servers that a site file's virtual networks want, over those that are there."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, link_of
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import bridge_name
from bascule.plan.step import Step
from bascule.plan.virtual_network import ResolvedNetwork, needs_server, resolved_networks
from bascule.providers.boot_files import HEADER, MULTI_USER, theirs
from bascule.providers.dnsmasq.arguments import arguments
from bascule.providers.dnsmasq.state import DnsmasqState, Server
from bascule.providers.protocol import Wanted


def want(site: Site, host: Host, state: DnsmasqState, wanted: HostState, *, lasting: bool, by_libvirt: bool) -> Wanted:
    """Each network with its server; one whose bridge goes away loses it.

    ``lasting``: also the units that start them with the machine. ``by_libvirt``: libvirt makes the networks, and none
    of these is ours.
    """
    servers, reasons = dict(state.servers), dict[str, str]()
    own = () if by_libvirt else resolved_networks(site, host)
    for one in own:
        _set(servers, one.name, _server(one, state, wanted, lasting=lasting))
        _because(reasons, one.name, f"virtual network {one.name} is declared {one.mode}")
    declared = {one.name for one in own}
    for name, server in state.servers.items():
        if name in declared or (server.arguments is None and not lasting):
            continue
        ours = server.arguments is not None or server.script is not None
        if not ours and theirs(server.unit, state.file(name, "sh")):
            continue  # it only has the name
        if loads_rules_only(server):
            del servers[name]
            _because(reasons, name, "bascule-rules.service loads all rules")
        elif bridge_name(name) not in wanted.links:
            del servers[name]
            _because(reasons, name, f"its bridge {bridge_name(name)} is removed")
    return Wanted(part=replace(state, servers=servers), reasons=reasons)


def _server(one: ResolvedNetwork, state: DnsmasqState, wanted: HostState, *, lasting: bool) -> Server:
    words = arguments(one, state.folder) if needs_server(one) else None
    before = state.servers.get(one.name, Server())
    if not lasting:
        return replace(before, arguments=words)
    return Server(arguments=words, script=script(one.name, wanted), unit=unit(one.name, words, state))


def loads_rules_only(server: Server) -> bool:
    """Whether it is a unit that version 0.1.0 wrote beside a network of libvirt's, for the rules of its forwards."""
    return server.arguments is None and server.script is not None and "ip link add" not in server.script


def _set(servers: dict[str, Server], name: str, server: Server) -> None:
    servers.pop(name, None)
    if server != Server():
        servers[name] = server


def _because(reasons: dict[str, str], name: str, words: str) -> None:
    reasons[f"dnsmasq of {name}"] = reasons[f"start of {name}"] = words


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
