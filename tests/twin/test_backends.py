"""What real guests need is looked for before anything is made, and all that is missing is said at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError, CommandFailed, MissingTool, NotPermitted, Problem
from bascule.guests.accelerator import Accelerator
from bascule.plan.capacity import Memory
from bascule.system.process.sandbox import sandboxed
from bascule.twin import BackendChoice, backend_choice, virtual_machines
from bascule.twin.test_guest import init, kernel, libvirtd
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.wiring import wire
from tests.lab import Lab
from tests.twin.sites import by_name, guest, production


def problems(action: object, kind: type[BasculeError] = BasculeError) -> list[tuple[str, str]]:
    with pytest.raises(kind) as caught:
        action()  # type: ignore[operator]  # a test's own call
    return [(problem.code, f"{problem.message}; {problem.hint}") for problem in caught.value.problems]


@pytest.fixture
def taps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(backend_choice, "TUN", Path("/dev/null"))
    yield


def test_namespaces_need_nothing() -> None:
    assert BackendChoice.of("namespace") == BackendChoice()
    assert BackendChoice().as_json() == {"guests": "namespace"}
    assert BackendChoice().words == "namespaces"


def test_all_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backend_choice, "TUN", tmp_path / "tun")
    monkeypatch.setattr(kernel, "BUSYBOXES", (tmp_path / "busybox",))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = dict(problems(lambda: BackendChoice.of("qemu"), MissingTool))
    assert set(said) == {"TUN-MISSING", "TOOL-MISSING", "BUSYBOX-MISSING"}
    assert "modprobe tun" in said["TUN-MISSING"]
    assert "apt-get install qemu-system-x86," in said["TOOL-MISSING"]
    assert "busybox-static" in said["BUSYBOX-MISSING"]
    monkeypatch.setattr(libvirtd, "missing", lambda: "libvirtd is not installed")
    said = dict(problems(lambda: BackendChoice.of("libvirt"), MissingTool))
    assert "libvirt-daemon-system" in said["LIBVIRTD-MISSING"]
    assert "TOOL-MISSING" in said


def test_a_busybox_with_libraries_or_an_empty_one_will_not_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "busybox"
    monkeypatch.setattr(kernel, "BUSYBOXES", (fake,))
    for content in (b"", b"\x7fELF" + b"/lib64/ld-linux-x86-64.so.2", b"#!/bin/sh\n"):
        fake.write_bytes(content)
        assert [code for code, _ in problems(kernel.busybox)] == ["BUSYBOX-MISSING"]


def test_taps_that_may_not_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    ((code, words),) = problems(backend_choice._require_taps, NotPermitted)
    assert code == "TUN-FORBIDDEN"
    assert "chmod 666 /dev/net/tun" in words


def test_libvirt_wants_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvirtd, "missing", lambda: "a libvirtd of our own needs root")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ((code, words),) = problems(libvirtd.require, NotPermitted)
    assert code == "LIBVIRTD-ROOT"
    assert "--guests qemu needs no root" in words


def _started_and_ended() -> int:
    os.environ["PATH"] = "/usr/bin:/bin"
    host = Lab().namespace("h")
    with (
        libvirtd.PrivateLibvirt(host, Path("/run/libvirt-test")) as running,
        contextlib.closing(running.connect()) as hypervisor,
    ):
        return len(hypervisor.domains())


@pytest.mark.kernel
def test_libvirt_starts_where_roots_path_has_no_sbin() -> None:
    """As after `su` without a dash: it was said to be here, and then virtlogd was not found."""
    if why := libvirtd.missing():
        pytest.skip(why)
    assert sandboxed(_started_and_ended) == 0


def test_no_kernel_and_none_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_: Path) -> None:
        raise CommandFailed(Problem(code="COMMAND-FAILED", message="'apt-get' failed:\nE: no network"))

    monkeypatch.setattr(kernel, "busybox", lambda: b"")
    monkeypatch.setattr(kernel, "_candidates", lambda _: iter(()))
    monkeypatch.setattr(kernel, "_fetch", fetch)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/apt-get")
    ((code, words),) = problems(kernel.guest_image, MissingTool)
    assert code == "GUEST-KERNEL-MISSING"
    assert "none in /boot has virtio NICs, and linux-image-cloud-amd64 could not be fetched: E: no network" in words
    assert "apt-get install linux-image-cloud-amd64" in words


IMAGE = GuestImage(kernel=Path("/boot/vmlinuz"), initrd=Path("/initrd"))


def test_the_cast_says_on_what_it_runs() -> None:
    made = BackendChoice(kind="qemu", accel=Accelerator(name="tcg", reason="there is no /dev/kvm"), image=IMAGE)
    assert "bare QEMU on TCG, QEMU's own processor (there is no /dev/kvm); kernel vmlinuz" in made.words
    accelerator = {"name": "tcg", "reason": "there is no /dev/kvm"}
    assert made.as_json() == {"guests": "qemu", "accelerator": accelerator, "kernel": "/boot/vmlinuz"}


def test_more_guests_than_the_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = Memory(total=1 << 30, available=400 << 20, hugepages={}, nodes=(), source="a test")
    monkeypatch.setattr(virtual_machines, "observe_memory", lambda: free)
    site = production()
    made = BackendChoice(kind="qemu", accel=Accelerator(name="tcg", reason=""), image=IMAGE)
    ((code, words),) = problems(lambda: made.play(site, wire(site, ["vmserver"], {}), {}, tmp_path))
    assert code == "GUESTS-MEMORY"
    assert words.startswith("3 virtual machines want 0.5 GiB, and 0.4 GiB are available; ")


def test_more_than_a_command_line_holds_is_refused() -> None:
    many = guest("many", "br3", "192.168.1.5/24", serves=tuple(f"tcp/{port}" for port in range(1000, 1800, 2)))
    ((code, words),) = problems(lambda: init.command_line(many))
    assert code == "GUEST-WORDS"
    assert "'many'" in words


def test_a_guest_of_many_ports_serves_those_that_are_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(virtual_machines, "observe_memory", lambda: replace(FREE))
    site = production(guests=by_name(guest("wide", "br3", "192.168.1.5/24", serves=("tcp/1000-60000", "udp/7"))))
    made = BackendChoice(kind="qemu", accel=Accelerator(name="tcg", reason=""), image=IMAGE)
    played = made.play(site, wire(site, ["vmserver"], {}), {"vmserver": None}, tmp_path)  # type: ignore[dict-item]
    (notes,) = [note.text for note in played._notes]  # type: ignore[attr-defined]
    assert notes == "serves 2 of its 59,001 ports: those that are asked"


FREE = Memory(total=1 << 40, available=1 << 40, hugepages={}, nodes=(), source="a test")
