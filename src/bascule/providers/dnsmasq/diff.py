"""The steps between two states of the servers: lines of dnsmasq, systemctl, and files."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bascule.model.ruleset.rules import owned
from bascule.model.state import HostState
from bascule.model.values import bridge_name
from bascule.plan.change import Command
from bascule.plan.step import Phase, Step, ip, step
from bascule.policy.network_rules import table_key
from bascule.providers.boot_files import unit_commands
from bascule.providers.dnsmasq.state import DnsmasqState, Server
from bascule.providers.files import remove, systemctl, write

NONE = Server()


def steps(before: DnsmasqState, after: DnsmasqState, links: HostState) -> Iterator[Step]:
    """All steps; ``links`` is the state that they start from."""
    for name in dict.fromkeys((*after.servers, *before.servers)):
        old, new = before.servers.get(name, NONE), after.servers.get(name, NONE)
        if old != new:
            yield _step(name, old, new, after)
    for name in after.unmade:
        there = bridge_name(name) in links.links
        commands = [ip("link", "del", "dev", bridge_name(name))] if there else []
        if table_key(name) in owned(links.tables):
            commands.append(Command("nft", ("-f", "-"), f"delete table {table_key(name)}\n"))
        if commands:
            words = "what its unit made when the machine started is removed"
            yield step(Phase.END_SERVER, f"start of {name}", words, *commands, about="server")


def _step(name: str, old: Server, new: Server, state: DnsmasqState) -> Step:
    commands = list(_commands(name, old, new, state))
    phase = Phase.END_SERVER if new.arguments is None else Phase.SERVER  # libvirt's own may want its ports
    serves = old.arguments != new.arguments or new.arguments is not None
    subject = f"dnsmasq of {name}" if serves else f"start of {name}"
    return step(phase, subject, _words(old, new), *commands, about="server")


def _commands(name: str, old: Server, new: Server, state: DnsmasqState) -> Iterator[Command]:
    unit, script, pid = state.unit_path(name), state.file(name, "sh"), state.file(name, "pid")
    files = ((script, old.script, new.script), (unit, old.unit, new.unit))
    if old.unit is not None and new.unit is None:
        yield systemctl("disable", "--now", state.unit_name(name))
    if old.arguments is not None and old.arguments != new.arguments:
        yield Command("pkill", ("--pidfile", pid))
    if new.arguments is None and old.arguments is not None:
        yield remove(pid, state.file(name, "leases"))
    if new.script is not None and new.script != old.script:
        yield write(script, new.script, mode=0o700)
    yield from (remove(path) for path, was, text in files if text is None and was is not None)
    if new.unit is None and old.unit is not None:
        yield systemctl("daemon-reload")
    yield from unit_commands(unit, old, new)
    if new.unit is not None and new.script is not None and new != replace(old, enabled=new.enabled):
        yield systemctl("restart", state.unit_name(name))
    elif new.arguments is not None and new.arguments != old.arguments:
        yield Command("dnsmasq", new.arguments)


def _words(old: Server, new: Server) -> str:
    if new.arguments is not None:
        if old.arguments is None:
            serves_dhcp = any(word.startswith("--dhcp-range=") and "ra-only" not in word for word in new.arguments)
            return f"started ({'DHCP and DNS' if serves_dhcp else 'names and router advertisements'})"
        if old.arguments != new.arguments:
            return "started anew: what it answers has changed"
        return "started with the machine from now on" if new.starts else "not started with the machine any more"
    if old.arguments is not None:
        return "ended"
    if not new.starts or new.script is None:
        return "not made again when the machine starts"
    return "its bridge is made again when the machine starts"
