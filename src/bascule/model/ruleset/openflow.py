"""Rules of OpenFlow as values; pure."""

from __future__ import annotations

from msgspec import Struct

NOT_KNOWN = "its rules are not known"  # in the place of a rule's actions, where nobody can be asked


class FlowRule(Struct, frozen=True, order=True):
    """One rule: ``match`` has its fields in alphabetical order, ``actions`` are as ovs-ofctl(8) prints them."""

    table: int
    priority: int
    match: str
    actions: str

    @property
    def key(self) -> str:
        """What tells it from others of its switch, as ovs-ofctl takes it for ``delete_strict``."""
        match = f",{self.match}" if self.match else ""
        return f"table={self.table},priority={self.priority}{match}"


class LoadedRule(Struct, frozen=True):
    """A rule as it stands, with the frames that met it."""

    cookie: int
    frames: int
    rule: FlowRule


def flow(table: int, priority: int, match: str, actions: str) -> FlowRule:
    """A rule, its fields put in order."""
    return FlowRule(table, priority, ",".join(sorted(filter(None, match.split(",")))), actions)
