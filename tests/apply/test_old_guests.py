"""Changes of guests that an older version left armed are taken back by this one, with a real libvirtd and QEMU.

See tests/apply/test_old_states.py. What libvirt wrote of a guest is libvirt's own spelling, which is another on every
machine: the new definitions are given to the libvirt of here, and its words for them stand in the state then.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.kernel import GuestImage
from tests.apply.old_states import OldState, look
from tests.apply.record_guests import bed_of, words_of
from tests.apply.test_old_states import BEFORE, all_differences
from tests.guests.libvirt_host import LibvirtHost, libvirt_host, qemu_host
from tests.guests.test_libvirt import image
from tests.patience import wait_until

__all__ = ["image"]

pytestmark = pytest.mark.kernel
INTERFACE = re.compile(r"<interface .*?</interface>", re.DOTALL)
MACHINE = re.compile(r"machine='[^']*'")


class WithLibvirt:
    """The state of the change that brought g1 from libvirt's default network to br4, and made lab and g2."""

    def __init__(self, there: LibvirtHost, image: GuestImage) -> None:
        self.there = there
        self.state = OldState(bed_of(there), "libvirt", words_of(there, image))
        self.was = there.domain("g1")
        wait_until(lambda: all(own_address(there, link) for link in ("eth4", "vnet0")), 10, "their own addresses")

    def make(self) -> None:
        """What the change made, told to the kernel and to libvirt, and the state with libvirt's own words."""
        self.state.load()
        self.state.make()
        told = {text["name"]: text for text in self.document("besides-made.json")["guests"]["guests"]}
        network = self.document("besides-made.json")["guests"]["networks"]["lab"]
        libvirt = self.there.hypervisor()
        libvirt.define_network(network["next"])
        libvirt.start_network("lab")
        libvirt.set_autostart("lab", on=network["autostart"])
        found = MACHINE.search(self.was.next)
        assert found is not None
        libvirt.define_domain(MACHINE.sub(found[0], told["g2"]["next"]))
        libvirt.define_domain(_with_interface(self.was.next, told["g1"]["next"]))
        live = INTERFACE.search(told["g1"]["now"])
        assert live is not None
        libvirt.update_device("g1", live[0], live=True)
        self.fill()

    def fill(self) -> None:
        before, made = self.document("besides.json"), self.document("besides-made.json")
        libvirt = self.there.hypervisor()
        for text in before["guests"]["guests"]:
            assert text["name"] == "g1"
            text.update(now=self.was.now, next=self.was.next)
        for text in made["guests"]["guests"]:
            now = libvirt.domain(text["name"])
            assert (text["running"], text["persistent"]) == (now.running, now.persistent)
            text.update(now=now.now, next=now.next)
        for text in made["guests"]["networks"].values():
            (network,) = (one for one in libvirt.networks() if one.name == text["name"])
            text.update(now=network.now, next=network.next)
        for name, document in (("besides.json", before), ("besides-made.json", made)):
            self.file(name).write_text(json.dumps(document))

    def file(self, name: str) -> Path:
        return self.state.checkpoint / name

    def document(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file(name).read_text())
        return found


def own_address(there: LibvirtHost, link: str) -> bool:
    """Whether a link has got the address that the kernel gives it, which the change took off."""
    return "fe80::" in run(("ip", "-6", "-br", "addr", "show", "dev", link), namespace=there.host).stdout


def _with_interface(xml: str, other: str) -> str:
    """A domain with its NIC as it is in the other one."""
    found = INTERFACE.search(other)
    assert found is not None
    return INTERFACE.sub(lambda _: found[0], xml)


def seen(there: LibvirtHost) -> tuple[Any, Any]:
    return there.texts(), there.links()


def of_libvirt(image: GuestImage) -> None:
    with libvirt_host(image) as there:
        before = seen(there)
        state = WithLibvirt(there, image)
        state.make()
        assert there.master("vnet0") == "br4"
        assert set(there.texts()["domains"]) == {"g1", "g2"}
        status = json.loads(there.run("status", "--json", connect=False).stdout)
        assert (status["status"], status["drift"]) == ("applied", [])
        assert json.loads(there.ok("plan", str(there.site), "--json"))["changes"] == []
        said = there.undo()
        assert BEFORE in said
        assert "as before: guests g1, g2" in said
        assert "as before: networks of libvirt lab" in said
        assert seen(there) == before


def ended_half_way(image: GuestImage) -> None:
    """Killed behind its last word to libvirt: there is no record yet of what it led to."""
    with libvirt_host(image) as there:
        before = seen(there)
        state = WithLibvirt(there, image)
        state.make()
        for name in ("besides-made.json", "applied.json"):
            state.file(name).unlink()
        lines = state.file("journal").read_text().splitlines(keepends=True)
        state.file("journal").write_text("".join(line for line in lines if '"applied"' not in line))
        status = there.run("status", connect=False)
        assert (status.returncode, "change 1 was interrupted half-way" in status.stdout) == (1, True)
        assert BEFORE in there.undo()
        assert seen(there) == before


def kept(image: GuestImage) -> None:
    """Confirmed, and taken back when somebody has edited a guest since: his edit stays."""
    with libvirt_host(image) as there:
        before = seen(there)
        WithLibvirt(there, image).make()
        there.ok("confirm", connect=False)
        xml = there.domain("g1").next
        there.hypervisor().define_domain(xml.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<"))
        said = there.run("undo", connect=False)
        assert "guest g1: its definition was changed since; only its NICs went back" in said.stdout
        now = there.domain("g1").next
        assert "<vcpu placement='static'>2<" in now
        assert there.links() == before[1]
        assert "<source network='default'/>" in now


def of_bare_qemu(image: GuestImage) -> None:
    with qemu_host() as there:
        bed = bed_of(there)
        state = OldState(bed, "qemu", words_of(there, image))
        before = look(bed)
        state.load()
        state.make()
        there.ok("guest", "start", "g1", connect=False)
        state.make("made-then.sh")
        assert there.master("g1.0") == "br4"
        status = json.loads(there.run("status", "--json", connect=False).stdout)
        assert (status["status"], status["drift"]) == ("applied", [])
        assert BEFORE in there.undo()
        assert there.master("g1.0") == "br5"
        rows = json.loads(there.ok("guest", "list", "--json", connect=False))["nics"]
        assert [(row["guest"], row["plug"]) for row in rows] == [("g1", {"kind": "bridge", "into": "br5"})]

        # the change before it made the bridges and the guest
        there.ok("guest", "stop", "g1", "--yes", connect=False)
        assert BEFORE in there.undo()
        assert all_differences(before, look(bed)) == []
        assert json.loads(there.ok("guest", "list", "--json", connect=False))["nics"] == []
        assert run(("ip", "link", "show", "type", "bridge"), namespace=there.host).stdout == ""


@pytest.mark.parametrize("scenario", [of_libvirt, ended_half_way, kept, of_bare_qemu])
@pytest.mark.timeout(400)
def test_a_change_of_guests_is_taken_back(image: GuestImage, scenario: Any) -> None:
    sandboxed(scenario, image)
