"""Guests that are network namespaces: a veth pair whose host end stands for the tap, for twins and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from bascule.errors import CommandFailed, Problem
from bascule.guests import taps
from bascule.guests.plug import Plug
from bascule.model.site import GuestNic
from bascule.model.values import IfName, Mac, tap_mac
from bascule.plan.change import Note
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.net.rtnetlink import Message, Rtnetlink, VethEnd


class NamespaceDriver:
    """Plays guests of one host: ``guests`` maps each name to its namespace; the guest's end is ``eth<index>``."""

    name: ClassVar[str] = "namespace"

    def __init__(self, host: Namespace, guests: Mapping[str, Namespace]) -> None:
        self._host = host
        self._guests = guests

    def create(self, taps: Sequence[tuple[GuestNic, Mac, int]]) -> None:
        """The taps alone, on no bridge and down: each of a guest's NIC, with a MAC and an MTU of its own."""
        if taps:
            rtnetlink.change(self._host, [self._pair(nic, mtu, mac) for nic, mac, mtu in taps])

    def attach(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Give guests these NICs, the MTU of a tap set before it is enslaved; one that is there is only plugged in."""
        masters = self._masters(plugs)
        with Rtnetlink(self._host) as rtnl:
            have = links.link_names(self._host)
            rtnl.send([self._pair(plug.nic, plug.mtu) for plug in plugs if plug.nic.tap not in have])
            rtnl.send(
                message
                for plug in plugs
                for message in self._plug_in(plug, masters[plug.bridge], set_mtu=plug.nic.tap in have)
            )
        taps.tag(plugs, self._host)
        taps.ignore_routers(plugs, self._host)
        return ()

    def detach(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """Take NICs away from their guests, taps and all."""
        rtnetlink.change(self._host, [rtnetlink.delete_link(nic.tap) for nic in nics])
        return ()

    def unplug(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """Pull the cable: the guest's end loses its carrier when the tap goes down."""
        rtnetlink.change(self._host, [rtnetlink.set_link(nic.tap, up=False) for nic in nics])
        return ()

    def replug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Link down, to the bridge, link up: the guest sees it and renews its lease."""
        masters = self._masters(plugs)
        self.unplug([plug.nic for plug in plugs])
        rtnetlink.change(
            self._host,
            [m for plug in plugs for m in self._plug_in(plug, masters[plug.bridge], set_mtu=True)],
        )
        taps.tag(plugs, self._host)
        taps.ignore_routers(plugs, self._host)
        ends = [(self._host, plug.nic.tap) for plug in plugs]
        ends += [(self._guests[plug.nic.guest], IfName(f"eth{plug.nic.index}")) for plug in plugs]
        waiting: dict[Namespace, list[IfName]] = {}
        for namespace, link in ends:  # the guest's end sends only after the kernel has seen its carrier, too
            waiting.setdefault(namespace, []).append(link)
        links.wait_until_running(waiting)
        return ()

    def _pair(self, nic: GuestNic, mtu: int, mac: Mac | None = None) -> Message:
        return rtnetlink.add_veth(
            VethEnd(name=nic.tap, mac=mac or tap_mac(nic.mac), mtu=mtu),
            VethEnd(name=f"eth{nic.index}", mac=nic.mac, mtu=mtu, namespace=self._guests[nic.guest]),
        )

    def _plug_in(self, plug: Plug, master: int, *, set_mtu: bool) -> list[Message]:
        """MTU first: a bridge takes the smallest of its ports (DESIGN.md §7)."""
        tap = plug.nic.tap
        first = [rtnetlink.set_link(tap, mtu=plug.mtu)] if set_mtu else []
        joined = rtnetlink.set_link(tap, master=master, up=True) if plug.by_kernel else rtnetlink.set_link(tap, up=True)
        return [*first, *rtnetlink.addrgenmode_none(tap), joined]

    def _masters(self, plugs: Sequence[Plug]) -> dict[IfName, int]:
        found: dict[IfName, int] = {}
        problems: list[Problem] = []
        for bridge in dict.fromkeys(plug.bridge for plug in plugs):
            found[bridge] = links.index_of(self._host, bridge)
            if not found[bridge]:
                guests = ", ".join(dict.fromkeys(plug.nic.guest for plug in plugs if plug.bridge == bridge))
                text = f"there is no bridge '{bridge}' on {self._host.name} to plug {guests} into"
                problems.append(Problem(code="NO-BRIDGE", message=text, hint="apply the plan first"))
        if problems:
            raise CommandFailed(*problems)
        return found
