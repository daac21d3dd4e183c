"""Bare QEMU guests: what is wanted, what leads there and back, and that a real one follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.host_status import drift as status_drift
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.errors import BasculeError
from bascule.guests.plug import Plug
from bascule.guests.runtimes.qemu_process import QemuDriver
from bascule.host.live import LiveHost
from bascule.model.links import Bridge, Physical
from bascule.model.site import Guest, PlugKind, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Plan, Risk
from bascule.plan.make import make_plan
from bascule.plan.step import Context, Step
from bascule.providers.protocol import PlanInputs, ThreeWay
from bascule.providers.qemu import QEMU
from bascule.providers.qemu.effects import observe
from bascule.providers.qemu.old import parts_from_besides
from bascule.providers.qemu.state import QemuGuest, QemuState, definition
from bascule.site import parse
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.init import READY
from bascule.twin.test_guest.kernel import GuestImage
from tests.guests.test_libvirt import image
from tests.guests.values import guest, nic, site
from tests.lab import Lab
from tests.patience import wait_until

__all__ = ["image"]

NIC = nic("g1", 0, "br4")
G1 = guest("g1", NIC)
ELSEWHERE = guest("g1", replace(NIC, into="br3"))


def state(*guests: QemuGuest, links: tuple[Link, ...] = ()) -> HostState:
    part = QemuState(folder="/var/lib/bascule/guests", guests={one.definition["name"]: one for one in guests})
    return replace(HostState.of(links), parts={"qemu": part})


def runs(made: Guest, *bridges: str) -> QemuGuest:
    taps = {str(one.tap): bridge for one, bridge in zip(made.nics, bridges, strict=True)}
    return QemuGuest(definition=definition(made), running=True, bridges=taps)


def wanted(told: Site, observed: HostState) -> HostState:
    found = QEMU.want(told, told.hosts["h"], observed, observed, PlanInputs())
    return QEMU.with_part(observed, found.part)


def test_bare_qemu_starts_nothing_with_the_host_and_says_so() -> None:
    told = site(replace(guest("g1", nic("g1", 0, "br4")), autostart=True))
    said = QEMU.want(told, told.hosts["h"], state(), state(), PlanInputs())
    assert [note.subject for note in said.notes if "bare QEMU starts no guest with the host" in note.text] == ["g1"]


def steps(told: Site, observed: HostState) -> list[Step]:
    return list(QEMU.diff(observed, wanted(told, observed)))


def lines(one: Step) -> list[str]:
    return [
        json.loads(c.stdin.splitlines()[-1])["execute"] if c.tool == "socat" else str(c).split(" <<")[0]
        for c in one.commands
    ]


DEFINED = "install -D -m 0644 /dev/stdin /var/lib/bascule/guests/g1/guest.json"
OVER = ["set_link", "ip link set dev g1.0 mtu 9000 master br4", "set_link"]
JUMBO = (Link(name=IfName("br4"), options=Bridge(), mtu=9000),)


@pytest.mark.parametrize(
    ("there", "told", "words", "risk"),
    [
        (None, G1, [DEFINED], Risk.ADDITION),
        (runs(G1, "br4"), G1, None, None),
        (runs(ELSEWHERE, "br3"), G1, [DEFINED, *OVER], Risk.DETACHES),
        (runs(G1, "br9"), G1, OVER, Risk.DETACHES),
        (QemuGuest(definition=definition(ELSEWHERE)), G1, [DEFINED], Risk.ADDITION),
        (
            runs(G1, "br4"),
            guest("g1", NIC, nic("g1", 1, "br4")),
            [
                DEFINED,
                "ip tuntap add dev g1.1 mode tap",
                "ip link set dev g1.1 address fe:54:00:f1:54:a4 mtu 9000 addrgenmode none",
                "ip link set dev g1.1 master br4",
                "ip link set dev g1.1 up",
                "netdev_add",
                "device_add",
            ],
            Risk.ADDITION,
        ),
    ],
)
def test_what_would_change(there: QemuGuest | None, told: Guest, words: list[str] | None, risk: Risk | None) -> None:
    observed = state(*([there] if there else []), links=JUMBO)
    found = steps(site(told), observed)
    assert [line for one in found for line in lines(one) if "address" not in line] == [
        word for word in words or () if "address" not in word
    ]
    if words is not None:
        assert found[0].risk is risk
        said = QEMU.want(site(told), site(told).hosts["h"], observed, observed, PlanInputs())
        assert said.guests[found[0].subject] == ("g1",)
        assert found[0].subject in said.reasons
        assert steps(site(told), wanted(site(told), observed)) == []


def test_what_bare_qemu_cannot_plug_is_refused() -> None:
    direct = guest("g1", replace(NIC, plug=PlugKind.DIRECT, into="eth4"))
    with pytest.raises(BasculeError, match="cannot be plugged into macvtap on eth4"):
        steps(site(direct), state(runs(G1, "br4")))


def test_a_word_to_the_monitor_can_be_pasted() -> None:
    (one,) = steps(site(G1), state(runs(G1, "br9")))
    assert str(one.commands[0]) == (
        "socat - UNIX-CONNECT:/var/lib/bascule/guests/g1/qmp <<'.'\n"
        '{"execute": "qmp_capabilities"}\n'
        '{"execute": "set_link", "arguments": {"name": "nic0", "up": false}}\n.'
    )
    assert one.moves == ("g1.0",)


def test_the_way_back() -> None:
    before = state(runs(ELSEWHERE, "br3"))
    told = site(guest("g1", NIC, nic("g1", 1, "br4")), guest("g2", nic("g2", 0, "br4")))
    made = wanted(told, before)
    change = ThreeWay(before=before, wanted=made, now=made, applied=made)
    found = QEMU.merge(change)
    assert (found.kept, found.part) == ((), QEMU.part(before))
    back = list(QEMU.diff(made, QEMU.with_part(made, found.part)))
    assert [one.subject for one in back] == ["g1, NIC 0", "g1, NIC 1", "g2"]
    assert lines(back[1]) == ["device_del", "netdev_del", "ip link del dev g1.1"]
    assert lines(back[2]) == ["rm -rf /var/lib/bascule/guests/g2"]

    # ended half-way: a cable that may be out is put in again, once
    half = ThreeWay(before=before, wanted=made, now=before)
    goal = QEMU.merge(half).part
    (again,) = QEMU.diff(before, QEMU.with_part(before, goal))
    assert again.action == "its cable is put into bridge br3 again"
    settled = QEMU.with_part(before, QEMU.settle(QEMU.with_part(before, goal), half))
    assert list(QEMU.diff(before, settled)) == []

    # others: one started the new guest, one edited the old
    part = QEMU.part(made)
    busy = {
        "g1": replace(part.guests["g1"], definition={**part.guests["g1"].definition, "vcpus": 4}),
        "g2": replace(part.guests["g2"], running=True),
    }
    found = QEMU.merge(replace(change, now=QEMU.with_part(made, replace(part, guests=busy))))
    assert found.kept == (
        "guest g1: its definition was changed since; it stays",
        "guest g2 is new and runs; it stays defined",
    )
    assert found.part.guests["g1"].bridges == {"g1.0": "br3"}


def drift(now: HostState, before: HostState, made: HostState) -> list[str]:
    """What `status` says after the change."""
    goal = QEMU.with_part(now, QEMU.put_right(ThreeWay(before=before, wanted=made, now=now, applied=made)))
    return [f"{one.subject}: {one.action}" for one in QEMU.diff(now, goal)]


def test_an_edited_definition_is_drift_where_a_plan_would_put_it_right() -> None:
    """Of a guest that the change defined, and of one that it plugged elsewhere; memory is its owner's affair."""
    told = site(G1)
    for before in (state(), state(runs(ELSEWHERE, "br3"))):
        made = wanted(told, before)
        assert drift(made, before, made) == []
        there = QEMU.part(made).guests["g1"]
        moved = {**there.definition, "nics": definition(ELSEWHERE)["nics"]}
        for facts, words in (
            (moved, ["g1, NIC 0: its definition says bridge br4 in place of bridge br3"]),
            ({**there.definition, "nics": []}, ["g1, NIC 0: gets a NIC on bridge br4"]),
            ({**there.definition, "memory": 1 << 31}, []),
        ):
            now = state(replace(there, definition=facts, bridges={}, running=False))
            assert drift(now, before, made) == words
            assert [f"{one.subject}: {one.action}" for one in steps(told, now)] == words
        assert drift(state(), before, made) == ["g1: defined, not started"]
    assert drift(state(runs(ELSEWHERE, "br3")), state(), made) == [
        "g1, NIC 0: re-plugged from bridge br3 to bridge br4: link down, move, link up"
    ]


@pytest.mark.kernel
def test_status_asks_for_what_the_change_altered(tmp_path: Path) -> None:
    before = HostState(parts={"qemu": QemuState(folder=str(tmp_path))})
    made = HostState(parts={"qemu": QEMU.part(wanted(site(G1), before))})
    told, folder = Checkpoint.now(before=before, wanted=made), Folder(tmp_path / "checkpoints" / "000001")
    assert status_drift(told, folder) == ("g1: defined, not started",)
    untouched = Checkpoint.now(before=made, wanted=made)
    assert status_drift(untouched, folder) == ()


def test_a_checkpoint_of_version_0_1_0_is_read() -> None:
    row = {"definition": definition(ELSEWHERE), "running": True, "bridges": {"g1.0": "br3"}}
    kept = {"driver": "qemu", "guests": {"g1": row}, "made": ["g2"], "taps": ["g1.0"]}
    made = {"guests": {"g1": {**row, "definition": definition(G1), "bridges": {"g1.0": "br4"}}}}
    before, goal, applied = parts_from_besides(kept, made, "/f")
    now = QemuState(folder="/f", guests={"g1": runs(G1, "br4"), "g2": QemuGuest(definition=definition(guest("g2")))})
    parts = [HostState(parts={"qemu": part}) for part in (before, goal, now, applied)]
    found = QEMU.merge(ThreeWay(before=parts[0], wanted=parts[1], now=parts[2], applied=parts[3]))
    assert found.part.guests == before.guests
    assert QEMU.from_json(QEMU.to_json(found.part)) == found.part


def real(image: GuestImage) -> None:
    lab = Lab()
    host = lab.namespace("host")
    for bridge in ("br3", "br4"):
        lab.ip(host, f"link add {bridge} type bridge forward_delay 0")
        lab.ip(host, f"link set {bridge} up")
    folder = Path("/run/guests")
    made = guest("g1", nic("g1", 0, "br3", "10.0.0.5/24"), image=image)
    driver = QemuDriver(folder, {"g1": made}, accel="tcg", namespace=host)
    (folder / "g1").mkdir(parents=True)
    (folder / "g1" / "guest.json").write_text(json.dumps(definition(made)))
    driver.attach([Plug(nic=made.nics[0], bridge=IfName("br3"))])
    driver.start(["g1"])
    console = folder / "g1" / "console.log"
    wait_until(lambda: READY in console.read_text(), 60, "the guest")

    def look() -> HostState:
        return HostState(parts={"qemu": observe(folder, LiveHost(host))})

    def go(before: HostState, after: HostState) -> None:
        plan = Plan(changes=tuple(one.change(Context()) for one in QEMU.diff(before, after)))
        execute(plan, where=LiveHost(host))

    def master(tap: str) -> str:
        words = run(("ip", "-o", "link", "show", tap), namespace=host, check=False).stdout
        return words.partition(" master ")[2].partition(" ")[0]

    before = look()
    told = site(guest("g1", replace(made.nics[0], into="br4"), nic("g1", 1, "br4")), guest("g2", nic("g2", 0, "br4")))
    goal = wanted(told, before)
    go(before, goal)
    after = look()
    assert QEMU.part(after) == QEMU.part(goal)
    assert (master("g1.0"), master("g1.1")) == ("br4", "br4")
    found = QEMU.merge(ThreeWay(before=before, wanted=goal, now=after, applied=after))
    go(after, QEMU.with_part(after, found.part))
    assert QEMU.part(look()) == QEMU.part(before)
    assert (master("g1.0"), master("g1.1")) == ("br3", "")
    driver.stop("g1")
    lab.close()


@pytest.mark.kernel
def test_a_real_guest_is_moved_given_a_nic_and_put_back(image: GuestImage) -> None:
    sandboxed(real, image)


SITE = b"""\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth4: {network: lan}}, bridges: {br4: {uplink: eth4}}}}
guests: {g1: {host: h, autostart: true, nics: [{bridge: br4}]}}
"""


def test_what_a_provider_has_to_say_is_in_the_plan() -> None:
    told = parse(SITE, "site.yaml")
    observed = state(links=(Link(name=IfName("eth4"), options=Physical(), up=True),))
    plan, made = make_plan(told, told.hosts["h"], observed)
    said = QEMU.want(told, told.hosts["h"], observed, made, PlanInputs())
    assert said.notes
    assert set(said.notes) <= set(plan.notes)
    (step,) = (one for one in plan.changes if one.subject == "g1")
    assert (step.reason, step.guests) == (said.reasons["g1"], said.guests["g1"])
