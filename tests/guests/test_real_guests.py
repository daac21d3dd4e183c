"""The production scenario with real guests: booted, leased, asked and asking, by bare QEMU and through libvirt."""

from __future__ import annotations

import json
import time
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import pytest

from bascule.apply.engine import apply_or_take_back
from bascule.guests.kernel import GuestImage
from bascule.guests.protocol import Plug
from bascule.guests.real import RealGuests
from bascule.model.site import Service
from bascule.model.values import IfName
from bascule.plan.make import make_plan
from bascule.system.sandbox import sandboxed
from bascule.twin import Twin
from bascule.workflow import load, look
from tests.guests.test_libvirt import image
from tests.guests.wires import seen_as

__all__ = ["image"]

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "production.yaml")
ICMP = Service("icmp")


def scenario(kind: Literal["qemu", "libvirt"], image: GuestImage) -> dict[str, float]:
    start = time.monotonic()
    site = load(EXAMPLE)
    host = site.hosts["vmserver"]
    with Twin.raise_(site) as twin:
        room = twin.host("vmserver")
        observe = partial(look, site, host, room)
        before = observe()
        plan, *_ = make_plan(site, host, before)
        apply_or_take_back(plan, before, observe, namespace=room)
        gateways = {"guest_01": {0: [ip_address("129.230.0.1")]}, "guest_03": {0: [ip_address("192.168.1.1")]}}
        folder = Path("/run/real")
        guests = RealGuests(kind, room, site.guests, image=image, accel="tcg", folder=folder, gateways=gateways)
        with guests:
            plugs = [Plug(nic=nic, bridge=IfName(nic.into)) for nic in site.guest_nics("vmserver")]
            assert guests.start(plugs) == ()
            booted = time.monotonic() - start
            (leased,) = guests.addresses("guest_02").values()
            address = str(leased[0].ip)
            assert address.startswith("192.168.1.1")
            desk, customer, dmz = (twin.end(name) for name in ("desk", "customer", "dmz"))
            assert seen_as(customer, "129.230.1.21", 80) == "guest_01\n"
            assert seen_as(desk, address, 8042) == "guest_02\n"
            assert seen_as(desk, "192.168.1.33", 502) == "guest_03\n"
            assert seen_as(desk, "192.168.1.33", 503) is None
            assert seen_as(dmz, address, 3389) == "guest_02\n"
            assert guests.ask("guest_02", ICMP, ip_address("192.168.1.50")).ok
            assert guests.ask("guest_03", Service("tcp", 3389, 3389), ip_address(address)).said == "guest_02"
            assert guests.ask("guest_01", ICMP, ip_address("129.230.200.9")).ok
            assert not guests.ask("guest_03", ICMP, ip_address("129.230.200.9")).ok
    return {"booted_s": round(booted, 1), "total_s": round(time.monotonic() - start, 1)}


@pytest.mark.kernel
@pytest.mark.parametrize("kind", ["qemu", "libvirt"])
def test_the_production_scenario_with_real_guests(image: GuestImage, kind: Literal["qemu", "libvirt"]) -> None:
    print(json.dumps({kind: sandboxed(scenario, kind, image)}))
