"""From domains that are there to guests of the file: what would change, whom it cuts, and the way back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.guests.changes import Act, apply_guests, plan_guests
from bascule.guests.kernel import GuestImage
from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.libvirtd import PrivateLibvirt
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import GuestNic, PlugKind
from bascule.observe import libvirt
from bascule.plan.change import Risk
from bascule.system.run import run
from bascule.system.sandbox import sandboxed
from tests.guests.test_libvirt import image
from tests.guests.values import guest, nic, site
from tests.lab import Lab

__all__ = ["image"]

NIC = nic("g1", 0, "br4")
G1 = guest("g1", NIC)


def domain(kind: str, into: str, *, running: bool = True, later: tuple[str, str] | None = None) -> Domain:
    def one(plug: tuple[str, str]) -> tuple[DomainNic, ...]:
        return (DomainNic(index=0, kind=plug[0], into=plug[1], mac=NIC.mac),)

    return Domain(name="g1", running=running, nics=one((kind, into)), next_nics=one(later or (kind, into)))


@pytest.mark.parametrize(
    ("there", "act", "risk"),
    [
        (None, Act.DEFINE, Risk.ADDITION),
        (domain("bridge", "br4"), None, None),
        (domain("network", "default"), Act.REPLUG, Risk.DETACHES),
        (domain("network", "default", running=False), Act.REDEFINE, Risk.ADDITION),
        (domain("bridge", "br4", later=("bridge", "br3")), Act.REDEFINE, Risk.ADDITION),
        (Domain(name="g1", running=True), Act.ATTACH, Risk.ADDITION),
        (domain("direct", "eth4"), Act.REPLUG, Risk.ADDITION),
    ],
)
def test_what_would_change(there: Domain | None, act: Act | None, risk: Risk | None) -> None:
    found = plan_guests([there] if there else [], site(G1), "h")
    if act is None:
        assert found == ()
        return
    (change,) = found
    assert change.act is act
    assert change.as_change().risk is risk
    assert change.as_change().guests == (("g1",) if risk is Risk.DETACHES else ())


def test_what_needs_a_restart_says_so() -> None:
    (change,) = plan_guests([domain("direct", "eth4")], site(G1), "h")
    assert "from its next start on (a macvtap cannot be moved while the guest runs)" in change.as_change().action


def test_a_guest_of_somebody_else_is_known_by_its_number_unless_the_file_gives_a_mac() -> None:
    other = dataclasses.replace(
        domain("network", "default"), nics=(DomainNic(index=0, kind="network", into="default"),)
    )
    assert [c.act for c in plan_guests([other], site(G1), "h")] == [Act.REPLUG]
    given: GuestNic = dataclasses.replace(NIC, mac_given=True)
    bare = dataclasses.replace(other, next_nics=other.nics)
    assert [c.act for c in plan_guests([bare], site(guest("g1", given)), "h")] == [Act.ATTACH]


def scenario(image: GuestImage) -> None:
    lab = Lab()
    host = lab.namespace("host")
    for name in ("br3", "br4"):
        lab.ip(host, f"link add {name} type bridge")
        lab.ip(host, f"link set {name} up")
    lab.ip(host, "addr add 10.0.0.1/24 dev br3")
    with PrivateLibvirt(host, Path("/run/libvirt-test")) as running:
        driver = LibvirtDriver(running.connect())
        old = guest("g1", nic("g1", 0, "br3"), image=image)
        driver.define(old, accel="tcg")
        driver.start("g1")
        wanted = site(
            guest("g1", nic("g1", 0, "br4"), nic("g1", 1, "br3"), image=image), guest("g2", nic("g2", 0, "br3"))
        )

        # one impossible change among them: nothing of it stays
        impossible = site(*wanted.guests.values(), guest("g3", nic("g3", 0, "nowhere", plug=PlugKind.NETWORK)))
        before = driver.snapshot(["g1"])
        seen = libvirt.observe(driver.hypervisor).domains
        wrong = list(plan_guests(seen, impossible, "h"))
        wrong.append(dataclasses.replace(wrong[0], nic=nic("g1", 0, "br9")))
        with pytest.raises(BasculeError, match="br9"):
            apply_guests(driver, wrong, accel="tcg", domains=seen)
        after = driver.snapshot(["g1"])
        assert after[0].now.splitlines() == before[0].now.splitlines()
        assert after[0].next.splitlines() == before[0].next.splitlines()
        assert [d.name for d in libvirt.observe(driver.hypervisor).domains] == ["g1"]

        changes = plan_guests(seen, wanted, "h")
        assert [c.act for c in changes] == [Act.REPLUG, Act.ATTACH, Act.DEFINE]
        assert apply_guests(driver, changes, accel="tcg", domains=seen) == ()
        assert plan_guests(libvirt.observe(driver.hypervisor).domains, wanted, "h") == ()
        assert "master br4" in run(("ip", "link", "show", "g1.0"), namespace=host).stdout
        assert "master br3" in run(("ip", "link", "show", "g1.1"), namespace=host).stdout
    lab.close()


@pytest.mark.kernel
def test_the_plan_is_made_so_and_taken_back_whole(image: GuestImage) -> None:
    sandboxed(scenario, image)
