"""Ports of the host that a file leads to guests, while a program of the host's own is there. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator

from msgspec import Struct

from bascule.model.site import Forward, Host
from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.policy.network_rules import table_key


class TakenPort(Struct, frozen=True):
    """A port of the host at which one of its programs will get nothing more from outside."""

    forward: Forward
    is_new: bool

    @property
    def port(self) -> str:
        """As it is written: tcp/22."""
        return f"{self.forward.service.protocol}/{self.forward.host_port}"

    @property
    def note(self) -> Note:
        """What to know of it."""
        text = f"a program of this host listens on {self.port}; with 'forwards' guest "
        text += f"{self.forward.guest} gets the connections from outside instead; choose another port of the host"
        if self.port == "tcp/22":
            text += ", or nobody reaches this host by SSH"
        return Note(kind="warning", subject=self.port, text=text)

    @property
    def own_line(self) -> str:
        """What changes for whoever comes to this host."""
        text = f"{self.port} of this host, on which a program of its own listens"
        return f"{text}, is forwarded to guest {self.forward.guest}"


def taken_ports(
    host: Host, observed: HostState, wanted: HostState, served: Container[tuple[str, int]]
) -> Iterator[TakenPort]:
    """Every forwarded port at which somebody of the host is; ``served`` has protocol and port of those."""
    for name, network in host.virtual_networks.items():
        key = table_key(name)
        for forward in network.forwards:
            if any((forward.service.protocol, port) in served for port in forward.host_ports):
                yield TakenPort(forward, observed.tables.get(key) != wanted.tables.get(key))
