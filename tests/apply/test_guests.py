"""Host and guests as one plan, on a host with a real libvirtd: made whole, taken back whole, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from bascule import workflow
from bascule.apply import at_boot, commit
from bascule.apply.options import DriverChoice
from bascule.apply.prepare import prepare
from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.state_directory import here
from bascule.apply.transaction import ApplyOptions, apply
from bascule.errors import BasculeError
from bascule.system.libvirt import binding
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.kernel import GuestImage
from tests.apply.crash import Faults, NoGuard, in_child
from tests.apply.hosts import environment
from tests.guests.libvirt_host import SITE, LibvirtHost, libvirt_host
from tests.guests.test_libvirt import image
from tests.patience import wait_until

__all__ = ["image"]

pytestmark = pytest.mark.kernel
CALLS = (
    "define_domain", "undefine_domain", "attach_device", "update_device", "detach_device", "define_network",
    "undefine_network", "start_network", "stop_network", "update_network", "set_autostart",
)  # fmt: skip
NOT_STARTED = "defined, not started"


def seen(there: LibvirtHost) -> tuple[Any, Any]:
    return there.texts(), there.links()


def made(there: LibvirtHost) -> None:
    assert there.master("vnet0") == "br4"
    texts = there.texts()
    assert {"lab", "default"} == set(texts["networks"])
    assert {"g1", "g2"} == set(texts["domains"])
    assert json.loads(there.ok("plan", str(there.site), "--json"))["changes"] == []


def flat(text: str) -> str:
    """Without the breaks of lines."""
    return " ".join(text.split())


def whole(image: GuestImage) -> None:
    with libvirt_host(image) as there:
        before = seen(there)
        plan = json.loads(there.ok("plan", str(there.site), "--json"))
        told = {change["subject"]: change for change in plan["changes"]}
        assert told["network lab"]["action"].startswith("defined in libvirt (nat)")
        assert told["g2"]["action"] == NOT_STARTED
        moved = told["g1, NIC 0"]
        assert moved["action"] == "re-plugged from network default to bridge br4: link down, move, link up"
        assert (moved["risk"], moved["cuts"], moved["outage_s"]) == ("detaches ports", ["g1"], 0.1)
        assert "is declared on bridge br4" in moved["reason"]
        assert "become a port of br4" not in [c["action"] for c in plan["changes"] if c["subject"] == "vnet0"]
        assert plan["risk"] == "detaches ports"
        without = json.loads(there.ok("plan", str(there.site), "--json", "--driver", "none", connect=False))
        assert {"network lab", "g1, NIC 0", "g2"}.isdisjoint(c["subject"] for c in without["changes"])

        said = there.apply()  # a port is detached, so it waits by itself
        assert "run 'bascule confirm' within 60 s" in said
        made(there)
        wait_until(there.answers, 60, "g1 on its new wire")
        assert there.ok("confirm", connect=False)
        assert json.loads(there.ok("status", "--json", connect=False))["drift"] == []
        said = there.undo()
        assert "as before: guests g1, g2" in said
        assert "as before: networks of libvirt lab" in said
        assert seen(there) == before

        there.apply("--confirm-within", "1s")
        wait_until(lambda: seen(there) == before, 20, "the dead-man")
        log = next(there.folder.glob("state/*/checkpoints/000002/deadman.log"))
        wait_until(lambda: "nobody confirmed it in time" in log.read_text(), 10, "the dead-man's word")


def killed(image: GuestImage) -> None:
    """SIGKILL before each call of libvirt and before each word in the journal that follows one.

    What is killed between the lines of a batch, or within a write, is tested without a hypervisor.
    """
    with libvirt_host(image) as there:
        before = seen(there)
        site = workflow.load(str(there.site))
        choice = DriverChoice(driver="libvirt", uri=there.libvirt.uri)

        def attempt(work: Callable[[], object], at: int | None) -> tuple[int, list[str]]:
            """In a process that is killed at a point; how it ended, and the names of the points of one that was not."""
            names = there.folder / "points"

            def child() -> None:
                faults = Faults(at)
                with there.host.entered(), environment({"BASCULE_STATE_DIR": str(there.folder / "state")}):
                    NoGuard.install()
                    calls: list[tuple[type, str, str]] = [(binding.Binding, f"libvirt {name}", name) for name in CALLS]
                    calls += [(checkpoints.Folder, name, name) for name in ("note", "write_applied")]
                    for owner, words, name in calls:
                        mock.patch.object(owner, name, faults.wrap(words, getattr(owner, name))).start()
                    work()
                    mock.patch.stopall()
                    names.write_text(json.dumps(faults.names))

            return in_child(child), json.loads(names.read_text()) if at is None else []

        def make() -> None:
            apply(prepare(site, site.hosts["h"], choice=choice), ApplyOptions(window_s=60.0))

        def back() -> None:
            assert commit.take_back().back.ok

        def interesting(names: list[str]) -> list[int]:
            first = next(n for n, name in enumerate(names, 1) if name.startswith("libvirt"))
            return list(range(first, len(names) + 1))

        status, points = attempt(make, None)
        assert status == 0
        made(there)
        status, ways = attempt(back, None)
        assert (status, seen(there)) == (0, before)

        for at in interesting(points):
            assert attempt(make, at)[0] == -signal.SIGKILL, f"apply at {at}: {points[at - 1]}"
            assert attempt(back, None)[0] == 0
            assert seen(there) == before, f"apply killed at {at}: {points[at - 1]}"
        for at in interesting(ways):
            assert attempt(make, None)[0] == 0
            assert attempt(back, at)[0] == -signal.SIGKILL, f"undo at {at}: {ways[at - 1]}"
            assert attempt(back, None)[0] == 0
            assert seen(there) == before, f"undo killed at {at}: {ways[at - 1]}"


def watched(image: GuestImage) -> None:
    """The CLI is killed at work; its dead-man, a process of its own, brings back what libvirt was told."""
    with libvirt_host(image) as there:
        before = seen(there)
        site = workflow.load(str(there.site))

        def child() -> None:
            real = binding.Binding.update_device

            def dies(self: binding.Binding, name: str, xml: str, *, live: bool) -> None:
                real(self, name, xml, live=live)
                os.kill(os.getpid(), signal.SIGKILL)

            with there.host.entered(), environment({"BASCULE_STATE_DIR": str(there.folder / "state")}):
                mock.patch.object(binding.Binding, "update_device", dies).start()
                choice = DriverChoice(driver="libvirt", uri=there.libvirt.uri)
                apply(prepare(site, site.hosts["h"], choice=choice), ApplyOptions(window_s=60.0))

        assert in_child(child) == -signal.SIGKILL
        wait_until(lambda: seen(there) == before, 20, "the dead-man")


def power_cut(image: GuestImage) -> None:
    """A guest that starts with the machine finds the bridge of an unconfirmed change gone, and the boot mends that."""
    with libvirt_host(image) as there:
        run(("virsh", "-q", "-c", there.libvirt.uri, "autostart", "g1"))
        before = seen(there)

        def on(boot: str, work: Callable[[], object]) -> None:
            def child() -> None:
                with there.host.entered(), environment({"BASCULE_STATE_DIR": str(there.folder / "state")}):
                    mock.patch("bascule.system.boot.boot_id", lambda: boot).start()
                    NoGuard.install()
                    work()

            assert in_child(child) == 0

        def make() -> None:
            site = workflow.load(str(there.site))
            choice = DriverChoice(driver="libvirt", uri=there.libvirt.uri)
            apply(prepare(site, site.hosts["h"], choice=choice), ApplyOptions(window_s=60.0))

        def take_back(what: str) -> Callable[[], None]:
            def work() -> None:
                latest = checkpoints.latest(here())
                assert latest is not None
                assert at_boot.act(what, latest[0]) == 0

            return work

        on("first", make)
        made(there)
        there.hypervisor().stop_domain("g1")
        run(("ip", "link", "del", "br4"), namespace=there.host)
        with pytest.raises(BasculeError, match="br4"):  # as libvirt tries to when it starts
            there.hypervisor().start_domain("g1")
        on("second", take_back("files"))
        assert not there.domain().running, "libvirt runs only later"
        on("second", take_back("rest"))
        assert there.domain().running
        after = seen(there)
        assert "virbr0" in [master for link, master in after[1].items() if link.startswith("vnet")]
        assert after[0]["domains"]["g1"][2] == before[0]["domains"]["g1"][2]
        assert after[0]["networks"] == before[0]["networks"]
        assert "g2" not in after[0]["domains"]


def bad_days(image: GuestImage) -> None:
    with libvirt_host(image) as there:
        before = seen(there)

        # a network whose address libvirt's own has: refused before anything is done
        there.site.write_text(SITE.replace("192.168.150.", "192.168.122."))
        done = there.run("apply", str(there.site), "--yes")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "NETWORK-TAKEN" in done.stderr
        assert "'virbr0'" in done.stderr
        assert seen(there) == before

        # a MAC that a domain has, which is shut off: refused before anything is done
        there.site.write_text(SITE.replace("{network: lab, ", "{network: lab, mac: '52:54:00:00:00:77', "))
        xml = there.domain().next.replace("<name>g1<", "<name>other<").replace("52:54:00:fa:0f:f1", "52:54:00:00:00:77")
        there.hypervisor().define_domain("".join(x for x in xml.splitlines() if "<uuid>" not in x))
        for verb in (("plan",), ("apply", "--yes"), ("guest", "define")):
            done = there.run(*verb, str(there.site))
            assert done.returncode == 1, verb
            assert "domain 'other' (shut off) already has the MAC 52:54:00:00:00:77" in done.stderr
        there.hypervisor().undefine_domain("other")
        there.site.write_text(SITE)
        assert seen(there) == before

        # libvirtd dies in the middle and comes back: taken back
        def without(kill_at: int, revive_s: float | None) -> tuple[int, str]:
            calls = 0
            real = binding.Binding.update_device

            def dies(self: binding.Binding, name: str, xml: str, *, live: bool) -> None:
                nonlocal calls
                calls += 1
                if calls == kill_at:
                    there.libvirt.kill()
                    died.touch()
                real(self, name, xml, live=live)

            said, died = there.folder / "said", there.folder / "died"
            died.unlink(missing_ok=True)

            def child() -> None:
                site = workflow.load(str(there.site))
                with there.host.entered(), environment({"BASCULE_STATE_DIR": str(there.folder / "state")}):
                    mock.patch.object(binding.Binding, "update_device", dies).start()
                    patience_s = 60.0 if revive_s else 0.5  # a busy machine starts it late
                    mock.patch("bascule.providers.libvirt.observe.RECONNECT_S", patience_s).start()
                    choice = DriverChoice(driver="libvirt", uri=there.libvirt.uri)
                    try:
                        apply(prepare(site, site.hosts["h"], choice=choice), ApplyOptions(window_s=60.0))
                    except BaseException as error:
                        said.write_text(str(error))
                        raise

            def revive() -> None:
                wait_until(died.exists, 60, "libvirtd to die")
                time.sleep(revive_s or 0.0)
                there.libvirt.start()

            doctor = threading.Thread(target=revive) if revive_s else None
            if doctor:
                doctor.start()
            status = in_child(child)
            if doctor:
                doctor.join()
            return status, said.read_text()

        status, words = without(2, 1.0)
        assert status == 75, words
        assert "LIBVIRT-GONE" in words
        wait_until(lambda: seen(there) == before, 10, "everything as before")

        # it does not come back: what is left is said, and undo finishes it once it is there again
        status, words = without(2, None)
        assert status == 1
        assert "the rollback is not complete" in words
        now = there.run("status", connect=False)
        assert now.returncode == 1, now.stdout
        there.libvirt.start()
        wait_until(lambda: there.run("undo", connect=False).returncode in {0, 1} and seen(there) == before, 30, "undo")


def other_hands(image: GuestImage) -> None:
    """What others did since the change is kept, and named."""
    with libvirt_host(image) as there:
        before = seen(there)
        there.apply("--no-confirm")
        there.ok("guest", "start", "g2")
        xml = there.domain().next.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<")
        there.hypervisor().define_domain(xml)
        said = there.undo()
        assert "guest g2 is new and runs; it stays defined" in said
        assert "guest g1: its definition was changed since; only its NICs went back" in said
        after = there.texts()
        assert "g2" in after["domains"]
        assert any("vcpu" in line and ">2<" in line for line in after["domains"]["g1"][2])
        assert any("network='default'" in line for line in after["domains"]["g1"][2])
        assert there.master("vnet0") == "virbr0"
        assert (after["networks"], after["domains"]["g1"][1]) == (before[0]["networks"], before[0]["domains"]["g1"][1])


def edited(image: GuestImage) -> None:
    """What `virsh edit` and `net-edit` change of our guests and networks is told by status as plan tells it."""
    with libvirt_host(image) as there:
        there.apply("--no-confirm")
        there.ok("guest", "start", "g2")

        def told() -> dict[str, list[str]]:
            """Whom status and plan name; a NIC that waits for its guest's next start is no drift."""
            drift = json.loads(there.run("status", "--json", connect=False).stdout)["drift"]
            plan = json.loads(there.ok("plan", str(there.site), "--json"))["changes"]
            return {
                "status": sorted({line.partition(": ")[0] for line in drift}),
                "plan": sorted({change["subject"] for change in plan}),
            }

        assert told() == {"status": [], "plan": []}
        xml = there.domain("g2").next
        there.hypervisor().define_domain(xml.replace("network='lab'", "network='default'"))
        assert told() == {"status": ["g2, NIC 0"], "plan": ["g2, NIC 0"]}
        there.hypervisor().define_domain(xml.replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<"))
        assert told() == {"status": [], "plan": []}
        lab = next(one for one in there.hypervisor().networks() if one.name == "lab")
        there.hypervisor().stop_network("lab")
        there.hypervisor().define_network(lab.next.replace("mode='nat'", "mode='route'"))
        there.hypervisor().start_network("lab")
        assert "network lab" in told()["status"]
        assert "network lab" in told()["plan"]


def by_hand(image: GuestImage) -> None:
    """A tap that was put on a bridge behind libvirt's back is plugged in properly; a restart is said where needed."""
    with libvirt_host(image) as there:
        there.apply("--no-confirm", "--driver", "none")
        run(("ip", "link", "set", "vnet0", "master", "br4"), namespace=there.host)
        before = seen(there)
        plan = there.ok("plan", str(there.site))
        assert "re-plugged from network default to bridge br4" in plan
        there.apply("--no-confirm")
        made(there)
        wait_until(there.answers, 60, "g1")
        there.undo()
        assert seen(there)[0] == before[0]
        assert there.master("vnet0") == "br4"

        # from a macvtap only a new start leads away: the plan says so, and is empty once the definition is right
        there.hypervisor().stop_domain("g1")
        there.lab.ip(there.host, "link add eth5 type veth peer name eth5w")
        xml = there.domain().next.replace("type='network'", "type='direct'")
        direct = "<source dev='{}' mode='bridge'/>"
        there.hypervisor().define_domain(xml.replace("<source network='default'/>", direct.format("eth5")))
        there.hypervisor().start_domain("g1")
        said = flat(there.apply("--no-confirm"))
        assert "from its next start on (a macvtap cannot be moved while the guest runs)" in said
        again = flat(there.ok("plan", str(there.site)))
        assert "nothing to do" in again
        assert "is on direct eth5 until it is shut down and started again" in again
        there.undo()
        assert any("dev='eth5'" in line for line in there.texts()["domains"]["g1"][2])

        # a macvtap on the very NIC: the kernel would call it busy, so nothing is begun
        there.hypervisor().stop_domain("g1")
        run(("ip", "link", "set", "eth4", "nomaster"), namespace=there.host)
        there.hypervisor().define_domain(xml.replace("<source network='default'/>", direct.format("eth4")))
        there.hypervisor().start_domain("g1")
        refused = there.run("apply", str(there.site), "--yes")
        assert refused.returncode == 1
        assert "eth4 cannot become a port of br4 while the macvtap" in refused.stderr


@pytest.mark.parametrize("scenario", [whole, killed, watched, power_cut, bad_days, other_hands, edited, by_hand])
def test_host_and_guests_are_one_change(image: GuestImage, scenario: Callable[[GuestImage], None]) -> None:
    sandboxed(scenario, image)
