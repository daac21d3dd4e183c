"""Guests as virtual machines in the twin: the same verdicts as with namespaces, and nothing proven by the dead."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule import workflow
from bascule.errors import BasculeError
from bascule.guests.plug import Plug
from bascule.rehearsal import Rehearsal
from bascule.system.net.links import link_names
from bascule.system.net.netns import Namespace
from bascule.twin import BackendChoice
from bascule.twin.backend_choice import BackendKind
from bascule.twin.test_guest import libvirtd
from bascule.twin.test_guest.kernel import GuestImage
from bascule.verify.witness import Witness
from tests import prefork
from tests.patience import HUNG_S, patient

ROOT = Path(__file__).parents[2]
SLIP = ROOT / "examples" / "slip.yaml"  # guest_03 on br4
pytestmark = pytest.mark.kernel


def backend(kind: BackendKind) -> BackendChoice:
    """What such guests need here, on QEMU's own processor; a skip where it is missing."""
    why = libvirtd.missing() if kind == "libvirt" else None
    if why:
        pytest.skip(why)
    try:
        return BackendChoice.of(kind)
    except BasculeError as error:
        pytest.skip(str(error).splitlines()[0])


@functools.cache
def light(site: str) -> Rehearsal:
    """The same by namespaces."""
    return workflow.rehearse(str(ROOT / "examples" / site))


def asked(seen: Rehearsal) -> list[Any]:
    """Who reached whom, why that is believed and on which way, without times."""
    return [(x.expectation, x.observed, x.ok, plain(x.witness)) for x in seen.outcomes]


def plain(witness: Witness) -> str:
    return re.sub(r"[0-9.]+ ms", "~ ms", f"{witness.sentence}; {witness.control}; {witness.way}")


# each site and each way to run guests; slip.yaml by QEMU is a page of the documentation, which tests/docs runs
ALWAYS: list[tuple[str, BackendKind]] = [("slip.yaml", "libvirt"), ("nat.yaml", "qemu")]
SOAK: list[tuple[str, BackendKind]] = [("slip.yaml", "qemu"), ("nat.yaml", "libvirt")]


@pytest.mark.parametrize(("site", "kind"), [*ALWAYS, *(SOAK if os.environ.get("BASCULE_SOAK") else [])])
def test_real_guests_and_namespaces_agree(site: str, kind: BackendKind) -> None:
    backend(kind)
    real = workflow.rehearse(str(ROOT / "examples" / site), guests=kind)
    assert asked(real) == asked(light(site))  # to the hop
    checks = {(check.id, check.subject): check.ok for check in light(site).checks}
    there = {(check.id, check.subject): check.ok for check in real.checks}
    assert {key for key, ok in there.items() if ok is None} <= {("rules", "vn-lab"), ("rules", "vn-quiet")}
    assert {key: ok for key, ok in there.items() if ok is not None}.items() <= checks.items()
    assert real.notes == ()
    udp = [check.detail for check in real.checks if check.id in {"unrestricted-within", "traffic-within"}]
    assert len(udp) == 3
    assert all("UDP from " in detail and "not asked" in detail for detail in udp)
    assert real.ok is (site == "nat.yaml")
    if site == "slip.yaml":  # guest_03 on br4
        broken = [(x.expectation.source, x.expectation.target) for x in real.outcomes if not x.ok]
        assert broken == [("guest_03", "customer"), ("desk", "guest_03")]
        assert "guest_03 is plugged into br4" in real.outcomes[4].witness.because


def test_the_production_scenario_holds_with_real_guests() -> None:
    backend("qemu")
    done = prefork.run("rehearse", "examples/production.yaml", "--guests", "qemu", "--json", cwd=ROOT)
    told = json.loads(done.stdout)
    not_so = [one for one in (*told["checks"], *told["expectations"]) if one["ok"] is not True]
    assert (done.returncode, told["ok"], told["guests"]) == (0, True, "qemu"), f"{not_so}\n{done.stderr}"
    assert told["accelerator"]["name"] in {"kvm", "tcg"}
    masqueraded = next(x for x in told["expectations"] if x.get("seen_as"))
    assert masqueraded["ok"]
    assert "seen as dmz (129.230.0.1)" in masqueraded["witness"]["sentence"]


DEAD = """
site: dead
networks:
  lan: {subnet: 10.1.0.0/24}
hosts:
  h: {nics: {eth0: {network: lan}}, bridges: {br0: {uplink: eth0}}}
guests:
  victim: {host: h, nics: [{bridge: br0, address: 10.1.0.5/24}], serves: [tcp/80]}
  other: {host: h, nics: [{bridge: br0, address: dhcp}], serves: [tcp/80]}
machines:
  a: {nics: [{network: lan, address: 10.1.0.1/24}], dhcp: {network: lan, range: 10.1.0.100-10.1.0.110}}
  b: {nics: [{network: lan, address: 10.1.0.2/24}]}
expect:
  - {from: a, to: victim, service: tcp/80, verdict: reach}
  - {from: a, to: victim, verdict: no-reach}
  - {from: victim, to: a, verdict: no-reach}
  - {from: victim, to: b, verdict: reach}
"""


def panicking(image: GuestImage | None, folder: Path) -> GuestImage:
    """A kernel that finds no system."""
    assert image is not None
    nothing = folder / "nothing.cpio"
    nothing.write_bytes(bytes(512))
    return replace(image, initrd=nothing)


def test_a_dead_guest_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = backend("qemu")
    dead = replace(found, image=panicking(found.image, tmp_path))
    monkeypatch.setattr(BackendChoice, "of", lambda kind: dead)
    monkeypatch.setattr("bascule.twin.test_guest.pool.BOOT_S", HUNG_S)
    site = tmp_path / "dead.yaml"
    site.write_text(DEAD)
    start = time.monotonic()
    seen = workflow.rehearse(str(site), guests="qemu")
    assert time.monotonic() - start < HUNG_S  # it need not wait until a living one would have booted
    assert [(x.observed, x.ok) for x in seen.outcomes] == [
        ("no-reach", False),
        ("unproven", False),
        ("not asked", None),
        ("not asked", None),
    ]
    assert not seen.ok
    assert [note.subject for note in seen.notes if "panicked" in note.text] == ["victim", "other"]
    assert not any(check.ok for check in seen.checks if check.subject in {"victim", "other"})


def test_a_guest_that_has_ended_before_its_tap_is_looked_at_is_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = backend("libvirt")
    dead = replace(found, image=panicking(found.image, tmp_path))
    monkeypatch.setattr(BackendChoice, "of", lambda kind: dead)

    def until_it_has_ended(plugs: Sequence[Plug], host: Namespace) -> None:
        end = time.monotonic() + HUNG_S
        while any(plug.nic.tap in link_names(host) for plug in plugs):
            assert time.monotonic() < end
            time.sleep(0.05)

    monkeypatch.setattr("bascule.guests.taps.tag", until_it_has_ended)
    site = tmp_path / "dead.yaml"
    site.write_text("\n".join(line for line in DEAD.splitlines() if "other" not in line))
    seen = workflow.rehearse(str(site), guests="libvirt")
    assert [note.subject for note in seen.notes if "panicked" in note.text] == ["victim"]
    assert not seen.ok


WIDE = """
site: wide
networks:
  lan: {subnet: [10.1.0.0/24, "fd00:1::/64"], gateway: [10.1.0.1, "fd00:1::1"]}
  far: {subnet: [10.2.0.0/24, "fd00:2::/64"]}
hosts:
  h:
    nics: {eth0: {network: lan}, eth1: {network: far}}
    bridges: {br0: {uplink: eth0, mtu: 1400}, br1: {uplink: eth1}}
guests:
  big:
    host: h
    nics: [{bridge: br0, address: [10.1.0.5/24, "fd00:1::5/64"]}, {bridge: br1, address: 10.2.0.5/24}]
    serves: [tcp/1024-65000, udp/161]
  small: {host: h, nics: [{bridge: br1, address: [10.2.0.6/24, "fd00:2::6/64"]}]}
machines:
  router:
    nics:
      - {network: lan, address: [10.1.0.1/24, "fd00:1::1/64"]}
      - {network: far, address: [10.2.0.1/24, "fd00:2::1/64"]}
    serves: [tcp/53, udp/53]
expect:
  - {from: router, to: big, service: tcp/4711, verdict: reach}
  - {from: small, to: big, service: tcp/60000, verdict: reach, seen_as: small}
  - {from: small, to: router, service: tcp/53, verdict: no-reach}
  - {from: big, to: router, service: tcp/53, verdict: reach, seen_as: big}
  - {from: big, to: small, service: arp, verdict: reach}
  - {from: big, to: router, service: udp/53, verdict: reach}
  - {from: router, to: big, service: udp/161, verdict: no-reach}
"""


def test_several_nics_both_families_many_ports_and_what_cannot_be_asked(tmp_path: Path) -> None:
    backend("qemu")
    site = tmp_path / "wide.yaml"
    site.write_text(WIDE)
    seen = workflow.rehearse(str(site), guests="qemu")
    found = [(x.observed, x.ok, x.witness.sentence) for x in seen.outcomes]
    assert [(observed, ok) for observed, ok, _ in found[:2] + found[3:5]] == [("reach", True)] * 4, found
    assert found[2][:2] == ("reach", False)
    assert [words[:2] for words in found[5:]] == [("not asked", None), ("not asked", None)]
    assert "big cannot ask by udp here" in found[5][2]
    assert "big answers nothing by udp here" in found[6][2]
    assert [(c.subject, c.id, c.detail) for c in seen.checks if c.ok is False] == []
    assert "1400 bytes" in next(c.detail for c in seen.checks if c.id == "unrestricted-within" and c.subject == "big")
    notes = {note.text for note in seen.notes}
    assert any("of its 63,977 ports" in text for text in notes)
    assert any("udp/161" in text for text in notes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_ends_its_guests(number: signal.Signals) -> None:
    backend("qemu")
    argv = (sys.executable, "-m", "bascule", "rehearse", str(SLIP), "--guests", "qemu")
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + patient(60)
    while len(mine := machines(running.pid)) < 3:
        assert time.monotonic() < end
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(number)
    _, errors = running.communicate(timeout=HUNG_S)
    assert "Traceback" not in errors
    end = time.monotonic() + patient(10)
    while any(Path("/proc", str(pid), "cmdline").exists() for pid in mine):
        assert time.monotonic() < end, f"still there: {mine}"
        time.sleep(0.05)


def machines(ancestor: int) -> set[int]:
    """The virtual machines below a process."""
    parents, found = {}, set()
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                name, _, rest = (path / "stat").read_text().partition(" (")[2].rpartition(") ")
            except OSError:
                continue
            parents[int(path.name)] = int(rest.split()[1])
            if name.startswith("qemu-system"):
                found.add(int(path.name))
    return {pid for pid in found if ancestor in _above(pid, parents)}


def _above(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        yield (pid := parents[pid])
