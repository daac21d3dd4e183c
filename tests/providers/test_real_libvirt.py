"""libvirt's part made and taken back on a real libvirtd with a real (emulated) guest, by the lines of a plan."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.errors import BasculeError
from bascule.host.live import LiveHost
from bascule.model.site import Attachment, Mode, PlugKind, Site
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.step import Context
from bascule.providers.libvirt import LIBVIRT, domain_xml, edit
from bascule.providers.libvirt.observe import observe
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.protocol import PlanInputs, ThreeWay
from bascule.system.process.sandbox import sandboxed
from bascule.twin.test_guest.kernel import GuestImage
from tests.guests.test_libvirt import Place, answers, image, place
from tests.guests.values import guest, nic, site, virtual_network
from tests.patience import wait_until

__all__ = ["image"]

pytestmark = pytest.mark.kernel


def look(there: Place) -> HostState:
    hypervisor = there.libvirt.connect()
    part = observe(hypervisor)
    hypervisor.close()
    return HostState(parts={"libvirt": replace(part, accel="tcg")})


def part(state: HostState) -> LibvirtState:
    found: LibvirtState = LIBVIRT.part(state)
    return found


def wanted(told: Site, observed: HostState) -> HostState:
    return LIBVIRT.with_part(observed, LIBVIRT.want(told, told.hosts["h"], observed, observed, PlanInputs()).part)


def go(there: Place, before: HostState, after: HostState) -> Plan:
    plan = Plan(changes=tuple(one.change(Context()) for one in LIBVIRT.diff(before, after)))
    execute(plan, where=LiveHost(there.host))
    return plan


def there_and_back(image: GuestImage) -> None:
    with place(image) as there:
        before = look(there)
        one = replace(there.guest.nics[0], into="br4")
        moved = guest("g1", one, nic("g1", 1, "lab", plug=PlugKind.NETWORK))
        other = guest("g2", nic("g2", 0, "lab", plug=PlugKind.NETWORK))
        moved, other = replace(moved, autostart=True), replace(other, autostart=True)
        told = site(moved, other, networks=(virtual_network(Mode.NAT),))
        goal = wanted(told, before)
        plan = go(there, before, goal)
        assert {change.subject for change in plan.changes} == {"network lab", "g1, NIC 0", "g1, NIC 1", "g1", "g2"}
        made = look(there)
        assert all(domain.autostart for domain in part(made).domains.values())
        assert list(LIBVIRT.diff(made, wanted(told, made))) == [], "the plan is empty now"
        assert there.master() == "br4"
        wait_until(lambda: answers(there, "br4"), 10, "the guest on br4")

        found = LIBVIRT.merge(ThreeWay(before=before, wanted=goal, now=made, applied=made))
        assert found.kept == ()
        go(there, made, LIBVIRT.with_part(made, found.part))
        after = look(there)
        assert part(after).networks == part(before).networks
        assert part(after).domains.keys() == part(before).domains.keys()
        assert part(after).domains["g1"].next == part(before).domains["g1"].next
        assert not part(after).domains["g1"].autostart
        assert there.master() == "br3"
        wait_until(lambda: answers(there, "br3"), 10, "the guest on br3 again")


def restarted(image: GuestImage) -> None:
    """A network that is restarted under a running guest, and an update that cuts nobody off; each way."""
    with place(image, boot=False) as there:
        vm = guest("vm", nic("vm", 0, "lab", "192.168.122.30/24", plug=PlugKind.NETWORK), image=image)

        def bring(mode: Mode) -> Plan:
            told = site(vm, networks=(virtual_network(mode),))
            now = look(there)
            return go(there, now, wanted(told, now))

        bring(Mode.NAT)
        there.libvirt.connect().start_domain("vm")

        def master() -> str:
            links = there.links()
            return links.get("vm.0", "")

        assert master() == "vn-lab"
        before = look(there)
        (change,) = bring(Mode.ROUTED).changes
        assert change.action.startswith("stopped, defined anew and started")
        assert master() == "vn-lab"
        made = look(there)
        found = LIBVIRT.merge(ThreeWay(before=before, wanted=made, now=made, applied=made))
        go(there, made, LIBVIRT.with_part(made, found.part))
        assert part(look(there)).networks["lab"].next == part(before).networks["lab"].next
        assert master() == "vn-lab"


def bad_days(image: GuestImage) -> None:
    with place(image, boot=False) as there:
        before = look(there)
        domain = part(before).domains["g1"]

        def with_domain(one: object) -> HostState:
            return LIBVIRT.with_part(before, replace(part(before), domains={"g1": one}))

        # a bridge that is not there is said by name, and the way back puts the cable in again
        nowhere = with_domain(edit.replug(domain, there.mac, Attachment(PlugKind.BRIDGE, "br9")))
        with pytest.raises(BasculeError, match="br9") as caught:
            go(there, before, nowhere)
        assert caught.value.problems[0].code == "LIBVIRT-NO-BRIDGE"
        now = look(there)
        assert not there.nic().link_up
        found = LIBVIRT.merge(ThreeWay(before=before, wanted=nowhere, now=now))
        go(there, now, LIBVIRT.with_part(now, found.part))
        assert there.nic().link_up
        assert part(look(there)).domains["g1"].next == domain.next

        # the tap on the very bridge already, by hand: the kernel calls it busy, libvirt plugs it in again
        there.ip("link set dev g1.0 master br4")
        moved = with_domain(edit.replug(domain, there.mac, Attachment(PlugKind.BRIDGE, "br4")))
        go(there, before, moved)
        assert (there.nic().into, there.master()) == ("br4", "br4")

        # a NIC that comes and goes again leaves the definition as it was
        now = look(there)
        element = domain_xml.new_interface(Attachment(PlugKind.BRIDGE, "br3"), mac=nic("g1", 5, "br3").mac)
        more = LIBVIRT.with_part(now, replace(part(now), domains={"g1": edit.attach(part(now).domains["g1"], element)}))
        start = time.monotonic()
        wait_until(lambda: answers(there, "br4"), 60, "the guest")
        print(f"up after {time.monotonic() - start:.1f} s")
        go(there, now, more)
        made = look(there)
        assert len(there.domain().nics) == 2
        found = LIBVIRT.merge(ThreeWay(before=now, wanted=more, now=made, applied=made))
        go(there, made, LIBVIRT.with_part(made, found.part))
        assert len(there.domain().nics) == 1
        assert part(look(there)).domains["g1"].next == part(now).domains["g1"].next


@pytest.mark.parametrize("scenario", [there_and_back, restarted, bad_days])
def test_what_a_plan_prints_is_what_libvirt_does(image: GuestImage, scenario) -> None:  # type: ignore[no-untyped-def]
    sandboxed(scenario, image)
