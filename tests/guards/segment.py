"""A bridge with three taps that a test holds: a guarded guest, another one, and the uplink with the router behind."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

from bascule.frames.guarding.build import Parties, Party
from bascule.model.ruleset.nft_json import read_ruleset, read_table
from bascule.model.ruleset.rules import Table
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Site
from bascule.model.values import Mac, link_local
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.policy.guards.table import KEY
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab, open_lab

ROUTER = Mac("00:1b:21:aa:00:01")
SITE = """
site: lodge
networks:
  lan: {subnet: [10.0.0.0/24, "2001:db8::/64"], gateway: 10.0.0.1}
hosts:
  h:
    nics: {up.0: {network: lan}}
    bridges: {br0: {uplink: up.0, guard: GUARD}}
guests:
  web: {host: h, nics: [{bridge: br0, address: [10.0.0.10/24, "2001:db8::10/64"], mac: "52:54:00:00:00:0a"EXTRA}]}
  db: {host: h, nics: [{bridge: br0, address: [10.0.0.11/24, "2001:db8::11/64"], mac: "52:54:00:00:00:0b"OTHERS}]}
"""


def site(guard: str = "strict", extra: str = "", others: str = "") -> Site:
    """The site with a guard, and further keys of the NICs of web and db."""
    return parse(site_text(guard, extra, others).encode(), "site.yaml")


def site_text(guard: str = "strict", extra: str = "", others: str = "") -> str:
    """The same as text."""
    text = SITE.replace("GUARD", guard)
    return text.replace("EXTRA", f", {extra}" if extra else "").replace("OTHERS", f", {others}" if others else "")


def party(mac: str, four: str, six: str) -> Party:
    """Somebody with an address of each family, and a link-local one from the MAC."""
    return Party(mac=Mac(mac), ip4=IPv4Address(four), ip6=IPv6Address(six), local=link_local(Mac(mac)))


PARTIES = Parties(
    me=party("52:54:00:00:00:0a", "10.0.0.10", "2001:db8::10"),
    other=party("52:54:00:00:00:0b", "10.0.0.11", "2001:db8::11"),
    router=party(ROUTER, "10.0.0.1", "2001:db8::1"),
)


class Segment:
    """The bridge; ``send`` is what web sends."""

    def __init__(self, lab: Lab, host: Namespace) -> None:
        self.host, self.lab = host, lab
        lab.ip(host, "link add br0 type bridge forward_delay 0 mcast_snooping 0 no_linklocal_learn 1")
        lab.ip(host, "link set br0 up addrgenmode none")
        self.taps = {name: lab.tap(host, name) for name in ("web.0", "db.0", "up.0")}
        for name, fd in self.taps.items():
            os.set_blocking(fd, False)
            lab.ip(host, f"link set {name} addrgenmode none master br0 up")
        self.drain()
        self.greet()

    def greet(self) -> None:
        """The bridge learns where the router and the other guest are."""
        for name, mac in (("up.0", PARTIES.router), ("db.0", PARTIES.other)):
            os.write(self.taps[name], PARTIES.me.raw + mac.raw + b"\x88\xb5" + bytes(46))
        self.drain()

    def guard(self, some: Site) -> Table:
        """Load the guards of a site."""
        table = guard_table(guarded_ports(some, some.hosts["h"]), "bascule:lodge")
        assert table is not None
        run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=self.host)
        return table

    def loaded(self) -> Table:
        """The table as nft tells it."""
        listing = run(("nft", "-j", "list", "ruleset"), namespace=self.host).stdout
        return read_table(KEY, read_ruleset(listing)[KEY])

    def reloaded(self) -> str:
        """Load what nft lists, with all that the table has learned and counted, as the machine does when it starts."""
        words = run(("nft", "list", "ruleset"), namespace=self.host).stdout
        run(("nft", "-f", "-"), stdin=f"flush ruleset\n{words}", namespace=self.host)
        return words

    def send(self, frames: Iterable[bytes], port: str = "web.0") -> list[tuple[bytes, set[str]]]:
        """Each frame with the ports by which a copy of it left."""
        found = []
        for frame in frames:
            self.drain()
            os.write(self.taps[port], frame)
            whole = frame.ljust(60, b"\0")
            found.append((frame, {name for name, got in self.drain().items() if whole in got}))
        return found

    def drain(self) -> dict[str, list[bytes]]:
        """What has left by each port; the bridge forwards before the write returns, so that nothing is waited for."""
        found: dict[str, list[bytes]] = {name: [] for name in self.taps}
        names = {fd: name for name, fd in self.taps.items()}
        while ready := select.select(list(names), (), (), 0)[0]:
            for fd in ready:
                found[names[fd]].append(os.read(fd, 65536).ljust(60, b"\0"))  # br_netfilter cuts what pads a frame
        return found

    def where(self, mac: str) -> str:
        """The port behind which the bridge believes a MAC to be."""
        lines = run(("bridge", "fdb", "show", "br", "br0"), namespace=self.host).stdout.splitlines()
        return next((x.split()[2] for x in lines if x.startswith(mac) and "permanent" not in x), "")


@contextmanager
def segment() -> Iterator[Segment]:
    """A segment without guards."""
    with open_lab() as lab:
        yield Segment(lab, lab.namespace("host"))
