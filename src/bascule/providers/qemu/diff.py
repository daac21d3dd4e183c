"""The steps between two states of bare QEMU guests: lines of ip, words to their monitors, and their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bascule.model.site import SwitchedNic
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac, tap_mac
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step
from bascule.providers.files import remove_folder, write
from bascule.providers.qemu.command_line import device, device_id, netdev, netdev_id
from bascule.providers.qemu.state import QemuGuest, QemuState, switched
from bascule.providers.registry import switches_of

REPLUG_S = 0.1  # measured: below 20 ms between link down and up; the guest's own renewal comes on top


def steps(before: QemuState, after: QemuState, host: HostState) -> Iterator[Step]:
    """All steps; ``host`` is the state that they lead to: a bridge there tells the MTU of its taps."""
    for name, guest in after.guests.items():
        old = before.guests.get(name)
        if old is None:
            yield step(Phase.GUEST, name, "defined, not started", _definition(after, name, guest), about="guest")
        elif old != guest or set(after.again) & guest.bridges.keys():
            yield from _Guest(name, old, guest, after, host).steps()
    for name in before.guests:
        if name not in after.guests:
            yield step(Phase.GUEST, name, "undefined", remove_folder(f"{before.folder}/{name}"), about="guest")


def _definition(state: QemuState, name: str, guest: QemuGuest) -> Command:
    return write(f"{state.folder}/{name}/guest.json", json.dumps(guest.definition, indent=1) + "\n")


def monitor(path: str, execute: str, **arguments: Any) -> Command:
    """A word to a guest's monitor, as socat would bring it."""
    words = [{"execute": "qmp_capabilities"}, {"execute": execute, "arguments": arguments}]
    return Command("socat", ("-", f"UNIX-CONNECT:{path}"), "".join(json.dumps(word) + "\n" for word in words))


class _Guest:
    """One guest on its way."""

    def __init__(self, name: str, old: QemuGuest, new: QemuGuest, state: QemuState, host: HostState) -> None:
        self.name, self.old, self.new, self.state, self.host = name, old, new, state, host
        self.live = old.running and new.running
        self.rows_before = {row["tap"]: row for row in old.rows}
        self.rows = {row["tap"]: row for row in new.rows}
        self.monitor = f"{state.folder}/{name}/qmp"
        self.switches = {bridge: part for part in switches_of(host) for bridge in part.bridges}

    def steps(self) -> Iterator[Step]:
        """NIC by NIC; the definition is written with the first of them."""
        files = [_definition(self.state, self.name, self.new)] if self.old.definition != self.new.definition else []
        for tap in dict.fromkeys((*self.rows_before, *self.rows)):
            old, new = self.rows_before.get(tap), self.rows.get(tap)
            there = (self.old.bridges.get(tap), self.new.bridges.get(tap))
            pulsed = tap in self.state.again and there[1] is not None
            if old == new and (there[0] == there[1] or not self.live) and not pulsed:
                continue
            yield self._nic(tap, old, new, files, pulsed=pulsed)
            files = []
        if files:
            yield step(Phase.GUEST, self.name, "its definition is changed", *files, about="guest")

    def _nic(
        self,
        tap: str,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
        files: list[Command],
        *,
        pulsed: bool,
    ) -> Step:
        row = new or old or {}
        was, now = self.old.bridges.get(tap), self.new.bridges.get(tap)
        commands, words, cuts = list(files), "", False
        moves: tuple[str, ...] = ()
        if old is None:
            words = f"gets a NIC on {_where(row)}"
            commands += self._come(tap, row, now) if self.live and now is not None else []
        elif new is None:
            words = f"loses its NIC on {_where(row)}"
            commands += self._go(tap, row) if self.live and was is not None else []
        elif self.live and now is not None and (was != now or pulsed):
            before = _where(old) if old != new else f"bridge {was}"
            words = f"re-plugged from {before} to {_where(new)}: link down, move, link up"
            words = f"its cable is put into {_where(new)} again" if was == now else words
            moves = () if {was, now} & self.switches.keys() else (tap,)  # there the plan of the switch moves it
            commands += self._over(tap, new, now, moves=bool(moves))
            cuts = True
        elif _where(row) != _where(old):
            words = f"its definition says {_where(row)} in place of {_where(old)}"
        else:
            words = f"its definition says {_of_port(row)} of its port"
        return step(
            Phase.GUEST,
            f"{self.name}, NIC {row['index']}",
            words,
            *commands,
            risk=Risk.DETACHES if cuts else Risk.ADDITION,
            outage_s=REPLUG_S if cuts else 0.0,
            about="guest",
            moves=moves,
        )

    def _mtu(self, bridge: str) -> str:
        link = self.host.links.get(IfName(bridge))
        return str(link.mtu if link is not None else 1500)

    def _come(self, tap: str, row: Mapping[str, Any], bridge: str) -> Iterator[Command]:
        """The MTU before the bridge, which takes the smallest of its ports; a MAC that no bridge takes for its own."""
        mac, index = Mac(row["mac"]), row["index"]
        yield ip("tuntap", "add", "dev", tap, "mode", "tap")
        mtu = self._mtu(bridge)
        yield ip("link", "set", "dev", tap, "address", tap_mac(mac), "mtu", mtu, "addrgenmode", "none")
        if bridge in self.switches:
            nic = switched(row) or SwitchedNic()
            yield self.switches[bridge].join(bridge, tap, nic, isolated=bool(row.get("isolated")))
        else:
            yield ip("link", "set", "dev", tap, "master", bridge)
        yield ip("link", "set", "dev", tap, "up")
        yield monitor(self.monitor, "netdev_add", **netdev(IfName(tap), index))
        yield monitor(self.monitor, "device_add", **device(mac, index))

    def _go(self, tap: str, row: Mapping[str, Any]) -> Iterator[Command]:
        yield monitor(self.monitor, "device_del", id=device_id(row["index"]))
        yield monitor(self.monitor, "netdev_del", id=netdev_id(row["index"]))
        if (was := self.old.bridges.get(tap, "")) in self.switches:
            yield self.switches[was].leave(tap)
        yield ip("link", "del", "dev", tap)

    def _over(self, tap: str, row: Mapping[str, Any], bridge: str, *, moves: bool) -> Iterator[Command]:
        name = device_id(row["index"])
        yield monitor(self.monitor, "set_link", name=name, up=False)
        master = ("master", bridge) if moves else ()
        yield ip("link", "set", "dev", tap, "mtu", self._mtu(bridge), *master)
        yield monitor(self.monitor, "set_link", name=name, up=True)


def _of_port(row: Mapping[str, Any]) -> str:
    nic = switched(row)
    told = (nic.words if nic is not None else "", "isolated" if row.get("isolated") else "")
    return ", ".join([f"guard {row.get('guard', 'off')}", *filter(None, told)])


def _where(row: Mapping[str, Any]) -> str:
    return f"{row['plug']} {row['into']}"
