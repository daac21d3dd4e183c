"""Virtual networks of our own, where no libvirt runs the guests: bridge, addresses, rules and dnsmasq in a namespace.

What they are made of is decided in :mod:`bascule.plan.virtual_network`; here it is made and taken away again.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Self

from bascule.errors import CommandFailed, Problem
from bascule.model.domain import Lease
from bascule.plan.virtual_network import (
    Realm,
    dnsmasq_arguments,
    lease_file,
    nft_script,
    nft_table,
    parse_leases,
    pid_file,
    sysctls,
    table_name,
)
from bascule.system.iproute import batch
from bascule.system.netns import Namespace
from bascule.system.run import run
from bascule.system.sysctl import write_sysctl
from bascule.system.workers import Daemon


def link_lines(one: Realm) -> tuple[str, ...]:
    """The bridge with its final MAC from the first moment, no waiting, and the host's addresses on it."""
    lines = [
        f"link add name {one.bridge} address {one.mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set dev {one.bridge} alias bascule:virtual-network:{one.name}",
    ]
    # an address on a bridge without ports would stay tentative for ever (no carrier, no DAD)
    lines += [
        f"addr add {address} dev {one.bridge}" + (" nodad" if address.version == 6 else "") for address in one.addresses
    ]
    return (*lines, f"link set dev {one.bridge} up")


def make(one: Realm, *, namespace: Namespace | None = None) -> None:
    """Bridge, addresses, sysctls and rules. Raises CommandFailed; nothing of it stays then."""
    wrong = batch("ip", "\n".join(link_lines(one)) + "\n", namespace=namespace)
    if wrong is not None:
        line = link_lines(one)[wrong.line] if wrong.line is not None else "ip -batch"
        if wrong.line:
            batch("ip", f"link del dev {one.bridge}\n", namespace=namespace)
        problem = Problem(code="NETWORK-FAILED", message=f"virtual network '{one.name}': 'ip {line}': {wrong.reason}")
        raise CommandFailed(problem)
    try:
        for key, value in sysctls(one).items():
            write_sysctl(key, value, namespace=namespace)
        set_rules(one, namespace=namespace)
    except BaseException:
        unmake(one, namespace=namespace)
        raise


def set_rules(one: Realm, *, namespace: Namespace | None = None) -> None:
    """The network's own nft table, replaced in one transaction; also beside a network that libvirt runs."""
    run(("nft", "-f", "-"), stdin=nft_script(one), namespace=namespace)


def unmake(one: Realm, *, namespace: Namespace | None = None) -> None:
    """Take bridge and rules away; sysctls stay, for other networks may need them."""
    batch("ip", f"link del dev {one.bridge}\n", namespace=namespace)
    run(("nft", "delete", "table", "inet", table_name(one.name)), namespace=namespace, check=False)


def needs_server(one: Realm) -> bool:
    """Whether a dnsmasq belongs to the network."""
    return bool(one.ranges or one.names or any(subnet.version == 6 for subnet in one.subnets))


def start_server(one: Realm, folder: Path) -> None:
    """Start dnsmasq in the background of the host that we are on; it outlives us. Raises CommandFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    stop_server(one, folder)
    run(("dnsmasq", *dnsmasq_arguments(one, folder)))


def stop_server(one: Realm, folder: Path) -> None:
    """End the dnsmasq of a network, if it is still the one of the pid file."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file(one, folder).read_text())
        if str(lease_file(one, folder)).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)


class RunningNetwork:
    """A virtual network in a namespace with its dnsmasq beside us; gone with ``close``. For the twin and for tests."""

    def __init__(self, one: Realm, namespace: Namespace, folder: Path) -> None:
        """Raises CommandFailed or MissingTool; nothing stays then."""
        self.realm = one
        self._namespace = namespace
        self._folder = folder
        self._daemon: Daemon | None = None
        make(one, namespace=namespace)
        try:
            if needs_server(one):
                self._serve()
        except BaseException:
            unmake(one, namespace=namespace)
            raise

    def _serve(self) -> None:
        one, folder = self.realm, self._folder
        folder.mkdir(parents=True, exist_ok=True)
        argv = ("dnsmasq", *dnsmasq_arguments(one, folder, upstream=False, foreground=True))
        self._daemon = Daemon(argv, self._namespace, folder / f"{one.name}.log")
        if not self._daemon.wait_for("started, version"):
            words = " ".join(self._daemon.output.split()) or "it said nothing"
            self._daemon.stop()
            raise CommandFailed(
                Problem(code="DNSMASQ", message=f"dnsmasq of virtual network '{one.name}' did not start: {words}")
            )

    @property
    def leases(self) -> tuple[Lease, ...]:
        """What it has given until now."""
        with contextlib.suppress(OSError):
            return parse_leases(lease_file(self.realm, self._folder).read_text(), self.realm.name)
        return ()

    def close(self) -> None:
        """Take it all away."""
        if self._daemon is not None:
            self._daemon.stop()
        unmake(self.realm, namespace=self._namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = [
    "RunningNetwork",
    "link_lines",
    "make",
    "needs_server",
    "nft_table",
    "set_rules",
    "start_server",
    "stop_server",
    "unmake",
]
