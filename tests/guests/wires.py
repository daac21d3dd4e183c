"""A host with a LAN and guests on a virtual network, and who reaches whom there, asked with real connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_interface
from pathlib import Path

from msgspec import Struct

from bascule.apply.engine import execute
from bascule.apply.prepare import look
from bascule.apply.rollback.passes import roll_back
from bascule.guests.namespace import NamespaceDriver
from bascule.guests.plug import Plug
from bascule.host.live import LiveHost
from bascule.model.site import Guest, Site
from bascule.model.values import IfName
from bascule.plan.make import make_plan
from bascule.plan.virtual_network import resolved_networks
from bascule.providers.protocol import ThreeWay
from bascule.system.net import rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.net.rtnetlink import Rtnetlink, VethEnd
from bascule.system.run import run
from bascule.twin.networks import NetworkServer
from tests.lab import Lab

HOST, LAN, GATEWAY = "10.9.0.1", "10.9.0.9", "192.168.122.1"


class Street(Struct, frozen=True):
    """The host, a machine on its LAN with a route to the guests, and the guests' rooms."""

    host: Namespace
    lan: Namespace
    rooms: dict[str, Namespace]


def street(lab: Lab, *names: str) -> Street:
    host, lan = lab.namespace("host"), lab.namespace("lan")
    with Rtnetlink(host) as door:
        door.send([rtnetlink.add_veth(VethEnd(name="eth0"), VethEnd(name="eth0", namespace=lan))])
    for room, address in ((host, HOST), (lan, LAN)):
        lab.ip(room, f"addr add {address}/24 dev eth0")
        lab.ip(room, "link set eth0 up")
    lab.ip(lan, f"route add 192.168.122.0/24 via {HOST}")
    return Street(host, lan, {name: lab.namespace(name) for name in names})


@contextlib.contextmanager
def running(told: Site, host: Namespace, folder: Path) -> Iterator[NetworkServer]:
    """The virtual network of a site, made on its host by the plan, with its server; taken back at the end."""
    described = told.hosts["h"]
    before = look(told, described, host)
    execute(make_plan(told, described, before)[0], where=LiveHost(host))
    server = NetworkServer(resolved_networks(told, described)[0], host, folder)
    try:
        server.wait()
        yield server
    finally:
        server.stop()
        made = look(told, described, host)
        change = ThreeWay(before=before, wanted=made, now=made, applied=made)
        assert roll_back(change, partial(look, told, described, host), where=LiveHost(host)).ok


def plug_in(lab: Lab, there: Street, guests: list[Guest], bridge: str, addresses: dict[str, str]) -> None:
    """Guests as namespaces on a bridge, with addresses and the host as their gateway."""
    driver = NamespaceDriver(there.host, there.rooms)
    driver.attach([Plug(nic=nic, bridge=IfName(bridge)) for guest in guests for nic in guest.nics])
    for name, address in addresses.items():
        room = there.rooms[name]
        lab.ip(room, "link set eth0 up")
        lab.ip(room, f"addr add {ip_interface(address)} dev eth0")
        lab.ip(room, f"route add default via {GATEWAY}")


@contextlib.contextmanager
def serving(room: Namespace, port: int) -> Iterator[None]:
    """A TCP server that tells everybody from which address it sees them."""
    with room.entered():
        door = socket.create_server(("0.0.0.0", port))  # a namespace of our own
    door.settimeout(0.1)
    done = threading.Event()

    def loop() -> None:
        while not done.is_set():
            try:
                caller, address = door.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with caller:
                caller.sendall(address[0].encode())

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        door.close()


def seen_as(room: Namespace, address: str, port: int, *, timeout_s: float = 5.0) -> str | None:
    """The address from which the server saw us; None where no connection came about."""
    with room.entered():
        caller = socket.socket()
    caller.settimeout(timeout_s)
    with caller:
        try:
            caller.connect((address, port))
            return caller.recv(64).decode()
        except OSError:
            return None


def verdicts(there: Street, addresses: dict[str, str]) -> dict[str, str | None]:
    """Who reaches whom, and as whom: the same questions to whatever made the network."""
    rooms = there.rooms
    first, second = (address.partition("/")[0] for address in addresses.values())
    one, two = (rooms[name] for name in addresses)
    with contextlib.ExitStack() as stack:
        for room in (there.host, there.lan, one, two):
            stack.enter_context(serving(room, 80))
        return {
            "guest to guest": seen_as(one, second, 80),
            "guest to host": seen_as(one, GATEWAY, 80),
            "host to guest": seen_as(there.host, first, 80),
            "guest to lan": seen_as(two, LAN, 80),
            "lan to guest": seen_as(there.lan, first, 80),
        }


def forwarded(there: Street) -> dict[str, str | None]:
    """Who gets to g1 by the host's port 2222, and as whom; a sibling is answered through the host (hairpin)."""
    return {
        "lan to forward": seen_as(there.lan, HOST, 2222),
        "sibling to forward": seen_as(there.rooms["g2"], HOST, 2222),
    }


def leave(room: Namespace, link: str = "eth0") -> None:
    """Take the guest's address away."""
    run(("ip", "addr", "flush", "dev", link), namespace=room)
