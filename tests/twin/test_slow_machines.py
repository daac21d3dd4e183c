"""A machine that is busy, or plays its processor: what is waited for follows what the boot of the guests took."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from bascule.model.site import Site
from bascule.model.values import Mac
from bascule.site import parse
from bascule.twin import networks, virtual_machines
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.virtual_machines import VirtualMachines
from bascule.twin.wiring import wire

SITE = b"""site: s
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth0: {network: lan}}, bridges: {br0: {uplink: eth0}}}}
guests: {g: {host: h, nics: [{bridge: br0, address: dhcp}]}}
machines: {m: {nics: [{network: lan, address: 10.0.0.1/24}], dhcp: {network: lan, range: 10.0.0.100-10.0.0.199}}}
"""


class Clock:
    """Time that passes where somebody says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Pool:
    """Guests that take a while to boot, and then to answer."""

    silent: frozenset[str] = frozenset()

    def __init__(self, clock: Clock, boots_s: float) -> None:
        self.clock, self.boots_s, self.waited_s = clock, boots_s, 0.0
        self.awaited: Collection[Mac] = ()

    def launch(self) -> None:
        self.clock.now += 0.1

    def wait(self) -> tuple[()]:
        self.clock.now += self.boots_s
        return ()

    def addresses(self, name: str, wanted: Collection[Mac], *, timeout_s: float) -> dict[Mac, tuple[()]]:
        self.waited_s, self.awaited = timeout_s, wanted
        return {}


def played(site: Site, pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> VirtualMachines:
    """The guests of a site, started and asked for their addresses."""
    monkeypatch.setattr(virtual_machines, "time", pool.clock)
    monkeypatch.setattr(virtual_machines, "QemuPool", lambda *_, **__: pool)
    monkeypatch.setattr(networks, "serve", lambda *_: ())
    nothing: Any = {"h": None}
    image = GuestImage(kernel=tmp_path, initrd=tmp_path)
    wiring = wire(site, site.hosts, {})
    made = VirtualMachines("qemu", site, wiring, nothing, accel="tcg", image=image, folder=tmp_path)
    made.start()
    made.addresses()
    return made


def test_a_nic_that_nobody_serves_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beside one that has its lease: the guest was waited for until the time of the lease was over."""
    text = SITE.replace(b"nics: {eth0: {network: lan}}", b"nics: {eth0: {network: lan}, eth1: {}}")
    text = text.replace(b"br0: {uplink: eth0}", b"br0: {uplink: eth0}, br1: {uplink: eth1}")
    text = text.replace(b"{bridge: br0, address: dhcp}", b"{bridge: br0, address: dhcp}, {bridge: br1, address: dhcp}")
    site, pool = parse(text, "s.yaml"), Pool(Clock(), 3)
    played(site, pool, monkeypatch, tmp_path)
    assert pool.awaited == {site.guests["g"].nics[0].mac}


@pytest.mark.parametrize(("boots_s", "lease_s", "patience"), [(3, 20, 5), (30, 120, 30)])
def test_limits_follow_the_boot(
    boots_s: float, lease_s: float, patience: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pool = Pool(Clock(), boots_s)
    made = played(parse(SITE, "s.yaml"), pool, monkeypatch, tmp_path)
    assert pool.waited_s == pytest.approx(lease_s, rel=0.05)
    assert made.patience == pytest.approx(patience, rel=0.05)
