"""libvirt's networks brought to the site file: what is changed live, what cuts guests, and the way back."""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.libvirt_networks import apply_networks, plan_networks, restore_network
from bascule.model.domain import Domain, DomainNic, LibvirtNetwork
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Attachment, Mode, PlugKind
from bascule.plan.change import Risk
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.policy.network_rules import network_table
from bascule.providers.libvirt import observe as libvirt
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from tests.guests.test_libvirt import image, wait
from tests.guests.test_virtual_network import ADDRESSES, FORWARDED, G1
from tests.guests.values import SSH, guest, nic, resolved_network, site, virtual_network
from tests.guests.wires import HOST, LAN, forwarded, plug_in, seen_as, serving, street
from tests.lab import Lab

__all__ = ["image"]


def lab_network(mode: Mode, *addresses: str, **other: object) -> ResolvedNetwork:
    guests = [
        guest(f"g{n}", nic(f"g{n}", 0, "lab", a, plug=PlugKind.NETWORK)) for n, a in enumerate(addresses, start=1)
    ]
    return resolved_network(site(*guests, networks=(virtual_network(mode, **other),)))  # type: ignore[arg-type]


def test_a_restart_names_the_guests_that_it_cuts_and_an_update_does_not() -> None:
    now = LibvirtNetwork(
        name="lab", mode="nat", active=True, autostart=True, addresses=(ip_interface("192.168.122.1/24"),)
    )
    on_it = DomainNic(index=0, kind="network", into="lab")
    domains = [Domain(name="g1", running=True, nics=(on_it,)), Domain(name="off", nics=(on_it,))]
    (change,) = plan_networks([now], domains, [lab_network(Mode.ROUTED)])
    assert (change.action, change.guests) == ("restart", ("g1",))
    said = change.as_change()
    assert (said.risk, said.guests) == (Risk.DETACHES, ("g1",))
    assert "its mode is nat and shall be route" in said.reason
    ranged = replace(now, ranges=lab_network(Mode.NAT).ranges)
    (change,) = plan_networks([ranged], domains, [lab_network(Mode.NAT, "192.168.122.21/24")])
    assert change.action == "update"
    assert change.as_change().guests == ()
    assert plan_networks([ranged], domains, [lab_network(Mode.NAT)]) == ()
    assert plan_networks([ranged], domains, []) == ()


def scenario(image: GuestImage) -> None:
    lab = Lab()
    there = street(lab, "g1", "g2")
    plain = lab_network(Mode.NAT, *ADDRESSES.values())
    with PrivateLibvirt(there.host, Path("/run/libvirt-test")) as running:
        hypervisor = running.connect()

        def bring(one: ResolvedNetwork) -> list[str]:
            seen = libvirt.observe(hypervisor)
            changes = plan_networks(seen.seen_networks, seen.seen_domains, [one])
            if one.forwards:
                table = network_table(one, "bascule:t")
                assert table is not None
                run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=there.host)  # nft's part of the plan
            apply_networks(hypervisor, changes, namespace=there.host)
            after = libvirt.observe(hypervisor)
            assert plan_networks(after.seen_networks, after.seen_domains, [one]) == ()
            return [change.action for change in changes]

        def vm_answers() -> bool:
            return run(("ping", "-c1", "-W1", "192.168.122.30"), namespace=there.host, check=False).status == 0

        empty = replace(plain, reservations=(), names=())
        assert bring(empty) == ["define"]
        driver = LibvirtDriver(hypervisor)
        made = guest("vm", nic("vm", 0, "lab", "192.168.122.30/24", plug=PlugKind.NETWORK), image=image)
        driver.define(made, accel="tcg")
        driver.start("vm")
        wait(
            lambda: run(("ping", "-c1", "-W1", "192.168.122.30"), namespace=there.host, check=False).status == 0,
            60,
            "vm",
        )

        # a reservation is an update, and the guest stays where it is
        assert bring(replace(plain, names=())) == ["update"]
        assert "master vn-lab" in run(("ip", "link", "show", "vm.0"), namespace=there.host).stdout

        # and the way back from it is one, too
        (text,) = hypervisor.networks()
        hypervisor.update_network(
            "lab", "add-last", "ip-dhcp-host", "<host mac='52:54:00:00:00:99' ip='192.168.122.99'/>", parent=0
        )
        restore_network(hypervisor, "lab", text, namespace=there.host)
        (again,) = hypervisor.networks()
        assert again.next == text.next
        assert "192.168.122.99" not in again.now
        assert "master vn-lab" in run(("ip", "link", "show", "vm.0"), namespace=there.host).stdout

        # forwards need the network restarted: the guest is plugged in again, and the port leads in
        forwarding = lab_network(Mode.NAT, *ADDRESSES.values(), forwards=(SSH,))
        assert bring(forwarding) == ["restart"]
        assert "master vn-lab" in run(("ip", "link", "show", "vm.0"), namespace=there.host).stdout
        wait(
            lambda: run(("ping", "-c1", "-W1", "192.168.122.30"), namespace=there.host, check=False).status == 0,
            20,
            "vm",
        )
        told = [guest(n, nic(n, 0, "lab", plug=PlugKind.NETWORK)) for n in ADDRESSES]
        plug_in(lab, there, told, "vn-lab", ADDRESSES)
        with serving(there.rooms["g1"], 22), serving(there.lan, 80):
            assert forwarded(there) == FORWARDED
            assert seen_as(there.host, HOST, 2222) is not None
            assert seen_as(there.lan, G1, 22) is None
            assert seen_as(there.rooms["g2"], LAN, 80) == HOST

        # one that cannot be: the network is as it was
        before = {text.name: text.next for text in hypervisor.networks()}
        taken = replace(plain, name="second", bridge=plain.bridge)
        seen = libvirt.observe(hypervisor)
        with pytest.raises(BasculeError):
            apply_networks(
                hypervisor, plan_networks(seen.seen_networks, seen.seen_domains, [taken]), namespace=there.host
            )
        assert {text.name: text.next for text in hypervisor.networks()} == before

        # a network that is not there is refused before anything is written
        with pytest.raises(BasculeError, match="libvirt has no network 'nowhere'"):
            driver.move("vm", made.nics[0].mac, Attachment(PlugKind.NETWORK, "nowhere"))
    lab.close()


@pytest.mark.kernel
def test_a_live_network_follows_the_file_and_its_guests_stay_plugged_in(image: GuestImage) -> None:
    sandboxed(scenario, image)
