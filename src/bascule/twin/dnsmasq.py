"""A machine's DHCP and DNS: a real dnsmasq with everything off that waits or looks outside of the twin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from bascule.errors import CommandFailed, Problem
from bascule.model.site import DhcpServer, Machine, Site
from bascule.policy.masquerade import declared_addresses
from bascule.system.net.netns import Namespace
from bascule.system.process.workers import Daemon
from bascule.topology.endpoints import Endpoint

LEASE = "12h"


PORTS = frozenset({("tcp", 53), ("udp", 53), ("udp", 67)})  # dnsmasq's own, also where the machine declares them


def arguments(site: Site, machine: Machine, server: DhcpServer, end: Endpoint, folder: Path) -> tuple[str, ...]:
    """The command line; ``folder`` takes the leases."""
    inside = [nic for nic in end.nics if nic.network is not None and nic.network.name == server.network]
    dns_everywhere = any(53 in service.ports for service in machine.serves)
    network = site.networks[server.network]
    subnet = next(s for s in network.subnets if server.range.first in s)
    argv = [
        "dnsmasq",
        "--no-daemon",  # in the foreground, and no change of user, which a user namespace with one user refuses
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--except-interface=lo",
        "--no-ping",  # else it waits 3 s to see that an address is free; the check of the file has seen to that
        "--dhcp-authoritative",
        "--quiet-dhcp",
        "--dhcp-lease-max=65536",
        f"--dhcp-leasefile={folder / f'{machine.name}.leases'}",
        f"--dhcp-range={server.range.first},{server.range.last}"
        + (f",{subnet.netmask}" if subnet.version == 4 else f",{subnet.prefixlen}")
        + f",{LEASE}",
    ]
    for nic in end.nics:
        if nic in inside:
            argv.append(f"--interface={nic.link}")
        elif dns_everywhere:
            argv += [f"--interface={nic.link}", f"--no-dhcp-interface={nic.link}"]
    gateways = [g for g in network.gateways if isinstance(g, IPv4Address) and g in subnet]
    argv.append("--dhcp-option=option:router" + "".join(f",{gateway}" for gateway in gateways))
    for name in (*site.hosts, *site.guests, *site.machines):
        if addresses := declared_addresses(site, name):
            argv += [f"--host-record={name},{address}" for address in addresses]
    return tuple(argv)


def start(
    site: Site, machines: Sequence[Machine], ends: Iterable[Endpoint], namespaces: Iterable[Namespace], folder: Path
) -> list[Daemon]:
    """One for each machine, at the same time; returns when all of them listen.

    Raises MissingTool, or CommandFailed with one problem per server that did not start.
    """
    daemons: list[Daemon] = []
    for machine, end, namespace in zip(machines, ends, namespaces, strict=True):
        if machine.dhcp is not None:
            argv = arguments(site, machine, machine.dhcp, end, folder)
            daemons.append(Daemon(argv, namespace, folder / f"{machine.name}.log"))
    serving = [machine for machine in machines if machine.dhcp is not None]
    problems = [
        _problem(machine, daemon)
        for machine, daemon in zip(serving, daemons, strict=True)
        if not daemon.wait_for("started, version")
    ]
    if problems:
        for daemon in daemons:
            daemon.stop()
        raise CommandFailed(*problems)
    return daemons


def _problem(machine: Machine, daemon: Daemon) -> Problem:
    words = " ".join(line.removeprefix("dnsmasq: ") for line in daemon.output.strip().splitlines()) or "it said nothing"
    if "Address already in use" in words:  # dnsmasq names the DHCP socket, but not the port of its DNS sockets
        port = 67 if "DHCP server socket" in words else 53
        return Problem(
            code="PORT-TAKEN",
            message=f"port {port} of machine '{machine.name}' is taken, so its dnsmasq did not start ({words})",
            place=machine.dhcp.place if machine.dhcp else None,
            hint=f"something else in its namespace listens there: remove it, or take port {port} out of its 'serves'",
        )
    return Problem(
        code="DNSMASQ",
        message=f"dnsmasq of machine '{machine.name}' did not start: {words}",
        place=machine.dhcp.place if machine.dhcp else None,
    )
