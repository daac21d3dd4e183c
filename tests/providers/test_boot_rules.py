"""The one unit that loads Bascule's tables when the machine starts, and the file that it loads."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.apply.host_status import drift
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.model.links import Physical
from bascule.model.ruleset.rules import owned
from bascule.model.site import Mode, PlugKind, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.make import make_plan
from bascule.plan.step import Step
from bascule.providers.boot_rules import BOOT_RULES, SUBJECT
from bascule.providers.boot_rules.effects import BootRulesEffects
from bascule.providers.boot_rules.state import UNIT_NAME, BootRules
from bascule.providers.effects import ObserveScope
from bascule.providers.files import SYMLINK
from bascule.providers.nft import NFT
from bascule.providers.observe import observe
from bascule.providers.ovs.boot_flows import BOOT_FLOWS
from bascule.providers.ovs.boot_flows.state import BootFlows
from bascule.providers.protocol import PlanInputs, ThreeWay
from bascule.system.run import run
from tests.guards.segment import site as guarded_site
from tests.guests.values import SSH, guest, nic, site, virtual_network
from tests.lab import Lab

NONE = BootRules(file="/state/rules.nft", program="/usr/sbin/nft")


def forwarding(*names: str) -> Site:
    """A guest in a network with a port forward, which has a table whoever makes the network."""
    guests = [guest(f"g{n}", nic(f"g{n}", 0, name, "dhcp", plug=PlugKind.NETWORK)) for n, name in enumerate(names)]
    forwards = [replace(SSH, guest=f"g{n}", host_port=2200 + n) for n in range(len(names))]
    networks = (
        replace(virtual_network(Mode.NAT, forwards=(forward,)), name=name)
        for name, forward in zip(names, forwards, strict=True)
    )
    return site(*guests, networks=tuple(networks))


def wanted(told: Site, observed: HostState, *, lasting: bool = True) -> HostState:
    """libvirt makes the networks; nft's part, and the rules at boot behind it."""
    host = told.hosts["h"]
    _, state = make_plan(told, host, replace(observed, parts={}), PlanInputs(networks_are_made=True))
    found = BOOT_RULES.want(told, host, observed, state, PlanInputs(lasting=lasting))
    return BOOT_RULES.with_part(state, found.part)


def steps(before: HostState, after: HostState) -> list[Step]:
    return list(BOOT_RULES.diff(before, after))


def lines(one: Step) -> list[str]:
    return [str(command).splitlines()[0] for command in one.commands]


BEFORE = HostState(parts={"boot_rules": NONE})


def test_every_table_is_loaded_by_one_unit_which_goes_with_the_last_of_them() -> None:
    both = wanted(forwarding("lab", "shop"), BEFORE)
    (one,) = steps(BEFORE, both)
    assert (one.subject, one.action) == (SUBJECT, "are loaded before the network comes up")
    assert lines(one) == [
        "install -D -m 0600 /dev/stdin /state/rules.nft <<'.'",
        f"install -D -m 0644 /dev/stdin /etc/systemd/system/{UNIT_NAME} <<'.'",
        "systemctl daemon-reload",
        f"systemctl enable {UNIT_NAME}",
    ]
    assert steps(both, wanted(forwarding("lab", "shop"), both)) == []
    less = wanted(forwarding("lab"), both)
    (two,) = steps(both, less)
    assert lines(two) == ["install -D -m 0600 /dev/stdin /state/rules.nft <<'.'"]
    assert "bascule_lab" in BOOT_RULES.part(less).rules
    assert "bascule_shop" not in BOOT_RULES.part(less).rules
    assert [x.subject for x in NFT.diff(both, less)] == ["nft inet bascule_shop"]
    gone = wanted(site(), less)
    (three,) = steps(less, gone)
    assert lines(three) == [
        f"systemctl disable {UNIT_NAME}",
        f"rm -f /state/rules.nft /etc/systemd/system/{UNIT_NAME}",
        "systemctl daemon-reload",
    ]
    assert owned(gone.tables) == {}
    assert BOOT_RULES.part(gone) == NONE


def test_where_nothing_may_last_nothing_is_written() -> None:
    assert steps(BEFORE, wanted(forwarding("lab"), BEFORE, lasting=False)) == []


def test_the_way_back_is_what_stood_and_a_boot_knows_the_files() -> None:
    after = wanted(forwarding("lab"), BEFORE)
    assert BOOT_RULES.lasts(BEFORE, after)
    assert BOOT_RULES.files(BEFORE) == {}
    assert set(BOOT_RULES.files(after)) == {
        "/state/rules.nft",
        f"/etc/systemd/system/{UNIT_NAME}",
        f"/etc/systemd/system/sysinit.target.wants/{UNIT_NAME}",
    }
    assert BOOT_RULES.merge(ThreeWay(before=BEFORE, wanted=after, now=after, applied=after)).part == NONE
    assert BOOT_RULES.from_json(BOOT_RULES.to_json(BOOT_RULES.part(after))) == BOOT_RULES.part(after)


def test_what_others_have_is_not_loaded() -> None:
    from bascule.model.ruleset.rules import ForeignTable

    theirs = ForeignTable("inet", "filter", "[]")
    after = wanted(forwarding("lab"), replace(BEFORE, tables={theirs.key: theirs}))
    assert "table inet filter" not in BOOT_RULES.part(after).rules


@pytest.mark.kernel
def test_what_the_unit_runs_makes_every_table_on_a_fresh_machine(lab: Lab, tmp_path: Path) -> None:
    """A machine that has just started has no links of ours yet, and nftables.service may have flushed all before."""
    before = HostState(parts={"boot_rules": replace(NONE, file=str(tmp_path / "rules.nft"))})
    after = wanted(forwarding("lab", "shop"), before)
    part = BOOT_RULES.part(after)
    Path(part.file).write_text(part.rules)
    host = lab.namespace("host")
    (command,) = (line for line in part.unit.splitlines() if line.startswith("ExecStart="))
    for _ in range(2):  # once more is no harm
        run(command.removeprefix("ExecStart=").replace("/usr/sbin/", "").split(), namespace=host)
        assert observe(namespace=host).tables == after.tables


def test_systemd_takes_the_unit_and_starts_it_before_the_network(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    part = BOOT_RULES.part(wanted(forwarding("lab"), BEFORE))
    unit = tmp_path / UNIT_NAME
    unit.write_text(part.unit.replace("/usr/sbin/nft", shutil.which("true") or "/bin/true"))
    done = subprocess.run(("systemd-analyze", "verify", str(unit)), capture_output=True, text=True, check=False)
    assert UNIT_NAME not in done.stderr, done.stderr
    order = [line for line in part.unit.splitlines() if line.startswith(("After=", "Before="))]
    assert "nftables.service" in order[0]
    assert "network-pre.target" in order[1]
    assert "libvirtd.service" in order[1]


def test_files_are_seen_and_those_of_another_state_folder_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bascule.providers.boot_rules.effects.UNITS", str(tmp_path))
    (tmp_path / "rules.nft").write_text("table inet x {}\n")
    (tmp_path / UNIT_NAME).write_text(f"[Unit]\nConditionPathExists={tmp_path}/rules.nft\n")
    effects = BootRulesEffects()
    seen = effects.read(tuple, ObserveScope(state=tmp_path))
    assert seen is not None
    assert (seen.rules, seen.unit is not None, seen.enabled) == ("table inet x {}\n", True, False)
    other = effects.read(tuple, ObserveScope(state=tmp_path / "other"))
    assert other is not None
    assert (other.rules, other.unit) == (None, seen.unit)
    state = HostState(parts={"boot_rules": other})
    assert steps(state, wanted(forwarding(), state)) == []  # it stays
    assert effects.read(tuple, ObserveScope()) is None


@pytest.mark.parametrize("provider", [BOOT_RULES, BOOT_FLOWS])
@pytest.mark.parametrize("enabled", [True, False])
def test_a_unit_of_somebody_else_is_replaced_and_comes_back(provider: Any, enabled: bool) -> None:
    """By its name alone it is not Bascule's."""
    none = BootRules(file="/s/rules.nft") if provider is BOOT_RULES else BootFlows(file="/s/switches.flows")
    foreign = "[Service]\nExecStart=/usr/local/bin/theirs\n"
    before = HostState(parts={provider.name: replace(none, unit=foreign, enabled=enabled)})
    ours = {"rules": "r", "unit": f"{none.file}\n"} | ({} if provider is BOOT_RULES else {"script": "s"})
    after = HostState(parts={provider.name: replace(none, **ours, enabled=True)})
    (*_, made) = provider.diff(before, after)
    assert any(str(x).startswith(f"install -D -m 0644 /dev/stdin {none.unit_path}") for x in made.commands)
    back = provider.merge(ThreeWay(before=before, wanted=after, now=after, applied=after))
    assert (back.part.unit, back.part.enabled) == (foreign, enabled)
    commands = [str(x) for one in provider.diff(after, provider.with_part(after, back.part)) for x in one.commands]
    assert f"systemctl {'enable' if enabled else 'disable'} {none.unit_path.rpartition('/')[2]}" == commands[-1]
    assert any(x.startswith("rm -f") and none.file in x for x in commands)
    assert not any(x.startswith("rm -f") and none.unit_path in x for x in commands)
    assert (none.unit_path in provider.files(before)) and (none.file not in provider.files(before))


def test_a_unit_that_somebody_disabled_is_enabled_again() -> None:
    """`systemctl disable` leaves the file, and nothing would load the rules when the machine starts."""
    after = wanted(forwarding("lab"), BEFORE)
    off = BOOT_RULES.with_part(after, replace(BOOT_RULES.part(after), enabled=False))
    (one,) = steps(off, wanted(forwarding("lab"), off))
    assert (one.action, lines(one)) == (
        "are loaded before the network comes up",
        [f"systemctl enable {UNIT_NAME}"],
    )
    (back,) = steps(after, off)
    assert (back.action, lines(back)) == ("none are loaded any more", [f"systemctl disable {UNIT_NAME}"])
    assert not any(path.endswith(f"wants/{UNIT_NAME}") for path in BOOT_RULES.files(off))


@pytest.mark.kernel
@pytest.mark.parametrize("deed", ["disable", "remove"])
def test_status_tells_what_became_of_the_files(deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = tmp_path / "units"
    monkeypatch.setattr("bascule.providers.boot_rules.effects.UNITS", str(units))
    before = HostState(parts={"boot_rules": replace(NONE, file=str(tmp_path / "rules.nft"), units=str(units))})
    after = BOOT_RULES.with_part(HostState(), BOOT_RULES.part(wanted(forwarding("lab"), before)))
    for path, (text, mode) in BOOT_RULES.files(after).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).symlink_to(text) if mode == SYMLINK else Path(path).write_text(text)
    change = Checkpoint.now(before=before, wanted=after)
    assert drift(change, Folder(tmp_path / "checkpoints" / "000001")) == ()
    (units / "sysinit.target.wants" / UNIT_NAME).unlink() if deed == "disable" else (tmp_path / "rules.nft").unlink()
    words = "are loaded before the network comes up" if deed == "disable" else "are the new ones"
    assert drift(change, Folder(tmp_path / "checkpoints" / "000001")) == (f"{SUBJECT}: {words}",)


def test_the_option_of_a_guarded_bridge_is_set_by_udev_whoever_makes_the_bridge() -> None:
    """Few configuration systems can say it, and without it frames to 01:80:c2:00:00:0x teach the bridge."""
    told = guarded_site("strict")
    before = HostState.of([Link(name=IfName("up.0"), options=Physical(), mac=Mac("52:54:00:00:00:99"))])
    before = BOOT_RULES.with_part(before, NONE)
    host = told.hosts["h"]
    _, state = make_plan(told, host, replace(before, parts={}), PlanInputs())
    with_guards = BOOT_RULES.with_part(state, BOOT_RULES.want(told, host, before, state, PlanInputs(lasting=True)).part)
    (one,) = steps(before, with_guards)
    (udev,) = [command for command in one.commands if "udev" in str(command)]
    assert 'KERNEL=="br0", RUN+="/sbin/ip link set dev br0 type bridge no_linklocal_learn 1"' in udev.stdin
    assert "/etc/udev/rules.d/70-bascule-guards.rules" in BOOT_RULES.files(with_guards)
    (gone,) = steps(with_guards, before)
    assert any("rm -f" in str(command) and "70-bascule-guards.rules" in str(command) for command in gone.commands)
