"""A machine that is busy, or plays its processor: what is waited for follows what the boot of the guests took."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

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

    def launch(self) -> None:
        self.clock.now += 0.1

    def wait(self) -> tuple[()]:
        self.clock.now += self.boots_s
        return ()

    def addresses(self, name: str, wanted: Collection[Mac], *, timeout_s: float) -> dict[Mac, tuple[()]]:
        self.waited_s = timeout_s
        return {}


@pytest.mark.parametrize(("boots_s", "lease_s", "patience"), [(3, 20, 5), (30, 120, 30)])
def test_limits_follow_the_boot(
    boots_s: float, lease_s: float, patience: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock()
    pool = Pool(clock, boots_s)
    monkeypatch.setattr(virtual_machines, "time", clock)
    monkeypatch.setattr(virtual_machines, "QemuPool", lambda *_, **__: pool)
    monkeypatch.setattr(networks, "serve", lambda *_: ())
    site = parse(SITE, "s.yaml")
    nothing: Any = {"h": None}
    image = GuestImage(kernel=tmp_path, initrd=tmp_path)
    wiring = wire(site, site.hosts, {})
    made = VirtualMachines("qemu", site, wiring, nothing, accel="tcg", image=image, folder=tmp_path)
    made.start()
    made.addresses()
    assert pool.waited_s == pytest.approx(lease_s, rel=0.05)
    assert made.patience == pytest.approx(patience, rel=0.05)
