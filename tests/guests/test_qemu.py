"""Bare QEMU guests: real kernels that take an address, answer, and are moved, with the same calls as libvirt's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests import accelerator
from bascule.guests.agent import ask
from bascule.guests.plug import Plug
from bascule.guests.runtimes import runtime
from bascule.guests.runtimes.qemu import answering
from bascule.guests.runtimes.qemu_process import QemuDriver
from bascule.host.live import LiveHost
from bascule.model.site import Mode, PlugKind
from bascule.model.state import HostState
from bascule.model.values import IfName, Service
from bascule.plan.change import Change
from bascule.providers.protocol import ThreeWay
from bascule.providers.qemu import QEMU
from bascule.providers.qemu.command_line import Files
from bascule.providers.qemu.diff import monitor
from bascule.providers.qemu.effects import observe
from bascule.providers.qemu.state import QemuGuest, definition
from bascule.providers.qemu.want import attach, detach, replug
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.init import READY, NicSettings, as_test_guest
from bascule.twin.test_guest.kernel import GuestImage
from tests.guests.test_libvirt import image
from tests.guests.values import guest, nic, resolved_network, site, virtual_network
from tests.guests.wires import GATEWAY, running, seen_as, serving, street
from tests.lab import Lab
from tests.patience import HUNG_S, wait_until

__all__ = ["image"]


def two_guests(image: GuestImage) -> None:
    """One with a lease of the virtual network's server, one with a static address, both asked and asking."""
    lab = Lab()
    there = street(lab)
    host = there.host
    g1 = guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK), serves=(Service("tcp", 80, 82),))
    g2 = guest("g2", nic("g2", 0, "lab", "192.168.122.22/24", plug=PlugKind.NETWORK))
    told = site(g1, g2, networks=(virtual_network(Mode.NAT),))
    one = resolved_network(told)
    leased = str(one.reservations[1].address)
    with running(told, host, Path("/run/net")) as network:
        lab.ip(host, "link add br9 type bridge forward_delay 0")
        lab.ip(host, "link set br9 up")
        wishes = {"g2": {0: NicSettings(gateways=(one.addresses[0].ip,))}}
        files = (str(image.kernel), str(image.initrd))
        played = {name: as_test_guest(made, *files, wishes.get(name)) for name, made in told.guests.items()}
        folder = Path("/run/guests")
        driver = QemuDriver(folder, played, accel="tcg", namespace=host)

        def says(name: str, question: str) -> str:
            """What came of a question that a guest asks for us, in its program's words; empty where nothing came."""
            answer = ask(Files(folder=folder / name).questions, question, timeout_s=HUNG_S)
            return answer.said if answer.ok else ""

        def pings(name: str, address: str, within_s: int = 2) -> bool:
            return bool(says(name, f"icmp - {address} {within_s} 56 2a"))

        def console(name: str) -> str:
            return Files(folder=folder / name).console.read_text()

        plugs = [Plug(nic=n, bridge=one.bridge, mtu=1400) for g in (g1, g2) for n in g.nics]
        driver.attach(plugs)

        def look() -> HostState:
            return HostState(parts={"qemu": observe(folder, LiveHost(host))})

        def known() -> dict[str, QemuGuest]:
            return dict(QEMU.part(look()).guests)

        def bring(*made: QemuGuest, again: tuple[str, ...] = (), without: str = "") -> None:
            now = look()
            there = known() | {one.definition["name"]: one for one in made}
            there.pop(without, None)
            runtime.bring(QEMU, now, replace(QEMU.part(now), guests=there, again=again), LiveHost(host))

        bring(*(QemuGuest(definition=definition(made)) for made in played.values()))
        start = time.monotonic()
        driver.start(["g1", "g2"])
        wait_until(lambda: all(READY in console(name) for name in played), 60, "both guests")
        print(f"two guests ready after {time.monotonic() - start:.1f} s")
        wait_until(lambda: "BASCULE-LEASE" in console("g1"), 40, "a lease")
        assert seen_as(host, leased, 81, timeout_s=HUNG_S) == "g1\n"
        assert f"{leased}/24" in console("g1")
        assert [(kept.mac, str(kept.address)) for kept in network.leases] == [(g1.nics[0].mac, leased)]
        neighbours = run(("ip", "neigh", "show", leased), namespace=host).stdout
        link = run(("ip", "link", "show", "g1.0"), namespace=host).stdout
        assert "mtu 1400" in link
        assert "fe:54:00" in link

        # they answer, and ask for themselves: static guest to leased one, to its gateway, and out
        assert pings("g2", leased, 60)
        assert says("g2", f"tcp - {leased} 60 82") == "open g1"
        assert not says("g2", f"tcp - {leased} 2 83")
        assert pings("g1", GATEWAY, 60)
        with serving(there.lan, 7):
            assert says("g2", "tcp - 10.9.0.9 60 7") == "open 10.9.0.1"
        neighbours = run(("ip", "neigh", "show", leased), namespace=host).stdout
        assert g1.nics[0].mac in neighbours

        # cable out, in, and a NIC more while it runs
        out = monitor(str(Files(folder=folder / "g1").monitor), "set_link", name="nic0", up=False)
        runtime.run((Change(subject="g1", action="its cable is pulled", reason="", commands=(out,)),), LiveHost(host))
        assert not pings("g2", leased)
        bring(again=("g1.0",))
        wait_until(lambda: pings("g2", leased), 40, "the renewed lease")
        extra = nic("g1", 1, "br9")
        bring(attach(known()["g1"], extra))
        assert "master br9" in run(("ip", "link", "show", extra.tap), namespace=host).stdout
        bring(detach(known()["g1"], 1))
        assert extra.tap not in run(("ip", "link", "show"), namespace=host).stdout

        # a bridge that is not there: said, and the way back finds the guest
        before = look()
        with pytest.raises(BasculeError, match="br8"):
            bring(replug(known()["g1"], 0, replace(g1.nics[0], plug=PlugKind.BRIDGE, into="br8")))
        part = replace(QEMU.part(before), guests={})
        back = QEMU.merge(ThreeWay(before=before, wanted=QEMU.with_part(before, part), now=look()))
        runtime.bring(QEMU, look(), back.part, LiveHost(host))
        assert f"master {one.bridge}" in run(("ip", "link", "show", "g1.0"), namespace=host).stdout
        wait_until(lambda: pings("g2", leased), 20, "the guest after a failed move")

        assert known()["g1"].running
        assert known()["g1"].bridges == {"g1.0": one.bridge}
        for name in ("g1", "g2"):
            driver.stop(name)
        assert not any(guest.running for guest in known().values())
        assert "g1.0" not in run(("ip", "link", "show"), namespace=host).stdout
        bring(without="g1")
        assert list(known()) == ["g2"]
    lab.close()


@pytest.mark.kernel
def test_real_guests_take_addresses_answer_ask_and_are_moved(image: GuestImage) -> None:
    sandboxed(two_guests, image)


def wrong(image: GuestImage) -> None:
    lab = Lab()
    host = lab.namespace("host")
    broken = replace(guest("g1", nic("g1", 0, "br0")), disks=("/nowhere/disk.qcow2",))
    driver = QemuDriver(Path("/run/guests"), {"g1": broken}, accel="tcg", namespace=host)
    with pytest.raises(BasculeError, match="br0") as caught:
        driver.attach([Plug(nic=broken.nics[0], bridge=IfName("br0"))])
    assert caught.value.problems[0].code == "TAP-FAILED"
    assert "g1.0" not in run(("ip", "link", "show"), namespace=host).stdout
    with pytest.raises(BasculeError, match="/nowhere/disk.qcow2"):
        driver.start(["g1"])
    assert not driver.is_running("g1")
    direct = nic("g1", 0, "eth4", plug=PlugKind.DIRECT)
    with pytest.raises(BasculeError, match="macvtap on eth4"):
        driver.attach([Plug(nic=direct, bridge=IfName("eth4"))])
    lab.close()


@pytest.mark.kernel
def test_what_cannot_be_is_said_and_leaves_nothing(image: GuestImage) -> None:
    sandboxed(wrong, image)


def test_no_guest_is_started_to_see_which_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether KVM works is proved by running one, which takes up to two seconds: only for one that is started."""
    monkeypatch.setenv("BASCULE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("bascule.guests.accelerator.Path", lambda _: tmp_path)  # there is a /dev/kvm
    monkeypatch.setattr("bascule.guests.accelerator.why_no_kvm", lambda: pytest.fail("a guest was started"))
    monkeypatch.setattr("bascule.guests.runtimes.qemu.find_tool", lambda _: "")
    accelerator.accel.cache_clear()
    there = answering(None, {})
    assert there.domains() == ()
    there.define(guest("g1", nic("g1", 0, "br0")))
    assert [domain.name for domain in there.domains()] == ["g1"]


FAKE = """#!/bin/sh
case "$*" in *"-accel kvm"*) sleep %s ;; *) sleep %s ;; esac
exit %s
"""


@pytest.mark.parametrize(
    ("kvm_s", "emulated_s", "status", "said"),
    [
        ("0", "0.1", 33, None),
        ("30", "0.1", 33, "it did not get through its first five bytes of program within"),
        ("2.5", "1", 33, None),
        ("0", "0.1", 1, "exit status 1"),
    ],
    ids=["as fast", "nested without help", "a busy machine", "it refuses"],
)
def test_kvm_is_what_runs_a_guest_no_slower_than_without_it(
    kvm_s: str, emulated_s: str, status: int, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested without the hardware's help a sector takes KVM ten times as long as emulation, and no Linux boots."""
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(FAKE % (kvm_s, emulated_s, status))
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    why = accelerator.why_no_kvm()
    assert (why is None) if said is None else (why is not None and why.startswith(said))
