"""The servers that a site file's virtual networks want, over those that are there."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import bridge_name
from bascule.plan.virtual_network import ResolvedNetwork, needs_server, resolved_networks
from bascule.providers.boot_files import theirs
from bascule.providers.dnsmasq.arguments import arguments
from bascule.providers.dnsmasq.boot import script, unit
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
            _because(reasons, name, f"its bridge {bridge_name(name)} goes away")
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
