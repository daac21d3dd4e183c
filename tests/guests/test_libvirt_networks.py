"""libvirt's networks brought to the site file: what is changed live, what cuts guests, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests.runtimes import runtime
from bascule.guests.runtimes.libvirt import LibvirtRuntime
from bascule.host.live import LiveHost
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Attachment, Mode, PlugKind
from bascule.model.state import HostState
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.policy.network_rules import network_table
from bascule.providers.libvirt import LIBVIRT, network_xml
from bascule.providers.libvirt import observe as libvirt
from bascule.providers.libvirt.diff import steps
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.libvirt.want import network_text
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from tests.guests.test_libvirt import image
from tests.guests.test_virtual_network import ADDRESSES, FORWARDED, G1
from tests.guests.values import SSH, guest, nic, resolved_network, site, virtual_network
from tests.guests.wires import HOST, LAN, forwarded, plug_in, seen_as, serving, street
from tests.lab import Lab
from tests.patience import wait_until

__all__ = ["image"]


def lab_network(mode: Mode, *addresses: str, **other: object) -> ResolvedNetwork:
    guests = [
        guest(f"g{n}", nic(f"g{n}", 0, "lab", a, plug=PlugKind.NETWORK)) for n, a in enumerate(addresses, start=1)
    ]
    return resolved_network(site(*guests, networks=(virtual_network(mode, **other),)))  # type: ignore[arg-type]


def scenario(image: GuestImage) -> None:
    lab = Lab()
    there = street(lab, "g1", "g2")
    plain = lab_network(Mode.NAT, *ADDRESSES.values())
    with PrivateLibvirt(there.host, Path("/run/libvirt-test")) as running:
        hypervisor = running.connect()

        def part(one: ResolvedNetwork) -> tuple[LibvirtState, LibvirtState]:
            """libvirt's part now, and with the network as it shall be."""
            now = libvirt.observe(hypervisor)
            seen = next((n for n in now.seen_networks if n.name == one.name), None)
            if seen is None:
                text = network_xml.text_of(one)
            else:
                restarts = bool(network_xml.restart_reasons(seen, one))
                text = network_text(now.networks[one.name], one, restarts=restarts)
            return now, replace(now, networks={**now.networks, one.name: text})

        def bring(one: ResolvedNetwork) -> str:
            now, wanted = part(one)
            if one.forwards:
                table = network_table(one, "bascule:t")
                assert table is not None
                run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=there.host)  # nft's part of the plan
            (step,) = steps(now, wanted)
            runtime.bring(LIBVIRT, HostState(parts={"libvirt": now}), wanted, LiveHost(there.host))
            assert list(steps(*part(one))) == []
            return step.action.partition(",")[0].partition(" in libvirt")[0]

        def vm_answers() -> bool:
            return run(("ping", "-c1", "-W1", "192.168.122.30"), namespace=there.host, check=False).status == 0

        empty = replace(plain, reservations=())
        assert bring(empty) == "defined"
        guests = LibvirtRuntime(running.uri, where=LiveHost(there.host), accelerator="tcg")
        guests.define(guest("vm", nic("vm", 0, "lab", "192.168.122.30/24", plug=PlugKind.NETWORK), image=image))
        guests.start("vm")
        wait_until(vm_answers, 60, "vm")

        # a reservation is an update, and the guest stays where it is
        assert bring(plain) == "changed while it runs"
        assert "master vn-lab" in run(("ip", "link", "show", "vm.0"), namespace=there.host).stdout

        # and the way back from it is one, too
        before = libvirt.observe(hypervisor)
        more = "<host mac='52:54:00:00:00:99' ip='192.168.122.99'/>"
        hypervisor.update_network("lab", "add-last", "ip-dhcp-host", more, parent=0)
        now = libvirt.observe(hypervisor)
        runtime.bring(LIBVIRT, HostState(parts={"libvirt": now}), before, LiveHost(there.host))
        again = libvirt.observe(hypervisor).networks["lab"]
        assert again.next == before.networks["lab"].next
        assert "192.168.122.99" not in again.now
        assert "master vn-lab" in run(("ip", "link", "show", "vm.0"), namespace=there.host).stdout

        # forwards need the network restarted: the guest is plugged in again, and the port leads in
        forwarding = lab_network(Mode.NAT, *ADDRESSES.values(), forwards=(SSH,))
        assert bring(forwarding) == "stopped"
        assert "master vn-lab" in run(("ip", "link", "show", "vm.0"), namespace=there.host).stdout
        wait_until(
            vm_answers,
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

        # one that cannot be is said in libvirt's words, and a network that is not there before anything is written
        now, wanted = part(replace(plain, name="second", bridge=plain.bridge))
        with pytest.raises(BasculeError, match="bridge name 'vn-lab' already in use"):
            runtime.bring(LIBVIRT, HostState(parts={"libvirt": now}), wanted, LiveHost(there.host))
        (domain,) = guests.domains()
        with pytest.raises(BasculeError, match="libvirt has no network 'nowhere'"):
            guests.replug(domain, domain.nics[0], Attachment(PlugKind.NETWORK, "nowhere"))
    lab.close()


@pytest.mark.kernel
def test_a_live_network_follows_the_file_and_its_guests_stay_plugged_in(image: GuestImage) -> None:
    sandboxed(scenario, image)
