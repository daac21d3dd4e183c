"""What an ordinary user is told: what could be looked at, what was left out, and what would give the right."""

from __future__ import annotations

import errno
import grp
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

import bascule
from bascule.apply.state_directory import here
from bascule.cli.entry import from_os_error
from bascule.errors import NotPermitted
from bascule.guests import accelerator
from bascule.guests.gather import unread_state
from bascule.guests.runtimes.qemu import QemuRuntime
from bascule.providers.dnsmasq.effects import DnsmasqEffects
from bascule.providers.effects import ObserveScope
from bascule.providers.ovs.boot_flows.effects import BootFlowsEffects
from bascule.providers.qemu.effects import QemuEffects
from bascule.system.libvirt.interface import no_way_in
from bascule.system.net.netns import is_machines_own
from bascule.verify.doctor import libvirt_reach
from bascule.verify.doctor.finding import DoctorFacts
from bascule.verify.doctor.kvm import look
from tests.lab import Lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "production.yaml"
LESS = ("setpriv", "--bounding-set=-net_admin,-net_raw")


@pytest.mark.kernel
def test_verify_without_rights_says_what_is_left_out(lab: Lab) -> None:
    host = lab.host("eth2", "eth3", "eth4", "eth5")
    with host.entered():
        done = subprocess.run(
            (*LESS, sys.executable, "-m", "bascule", "verify", str(EXAMPLE), "--host", "vmserver"),
            capture_output=True, text=True, env={**os.environ, "COLUMNS": "120"},
        )  # fmt: skip
    words = " ".join(done.stdout.split())
    assert done.returncode == 1, done.stderr  # the bridges are not there, which needs no rights to be seen
    assert "FAIL br3, up" in words or "FAIL br3, as declared" in words
    assert "left out whether guests, gateway and name servers answer" in words
    assert "6 questions: not asked: that needs CAP_NET_ADMIN and CAP_NET_RAW; run it as root" in words


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has what others may not look at")
def test_state_that_only_root_may_look_at_is_left_out_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    (state / "host/networks").mkdir(parents=True)
    (state / "guests").mkdir()
    state.chmod(0o700)
    monkeypatch.setenv("BASCULE_STATE_DIR", str(state))
    scope = ObserveScope(state=state / "host", driver="")
    assert unread_state(state / "host/networks") == ()
    os.seteuid(65534)
    try:
        parts = [each.read(tuple, scope) for each in (DnsmasqEffects(), QemuEffects(), BootFlowsEffects())]
        told = unread_state(state / "host/networks")
        with pytest.raises(NotPermitted, match="which guests of bare QEMU there are is not known"):
            QemuRuntime().domains()  # "there is no such guest" would be a guess
    finally:
        os.seteuid(0)
    assert parts == [None, None, None]
    assert [note.text.partition(": ")[2] for note in scope.notes] == [
        "which of Bascule's own name servers run, and what earlier changes did, is not known",
        "which guests of bare QEMU there are is not known",
    ]
    assert [words.partition(" is readable")[0] for words in told] == [f"'{state}/guests'", f"'{state}/host/networks'"]


@pytest.mark.parametrize(
    ("mode", "group", "words", "fix"),
    [
        (0o660, grp.getgrall()[1], "the members of the group {}", "usermod -aG {} YOU"),
        (0o600, grp.getgrall()[1], "root only", "run it as root"),
        (0o660, grp.getgrgid(0), "root only", "run it as root"),
    ],
    ids=["of-a-group", "closed-to-its-group", "of-root"],
)
def test_kvm_that_is_for_others_says_for_whom(
    mode: int, group: grp.struct_group, words: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat
    device = os.stat_result((stat.S_IFCHR | mode, 1, 1, 1, 0, group.gr_gid, 0, 0, 0, 0))
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "stat", lambda path, **_: device if str(path) == "/dev/kvm" else real(path))
    accelerator.accel.cache_clear()
    found, whose = accelerator.accel(), accelerator.kvm_group()
    accelerator.accel.cache_clear()
    assert (found.is_kvm, found.forbidden) == (False, True)
    assert found.reason.endswith(f"this user may not open it; it is for {words.format(group.gr_name)}")
    facts = DoctorFacts(kvm_device=True, kvm_works=False, kvm_reason=found.reason)
    (finding,) = look(replace(facts, kvm_forbidden=True, kvm_group=whose))
    assert fix.format(group.gr_name) in (finding.fix or "")


def test_undo_of_what_may_not_be_read_is_refused_once(tmp_path: Path) -> None:
    """Another user's folder of changes: there is nothing to foresee, and one error."""
    closed = tmp_path / "state"
    (closed / "checkpoints").mkdir(parents=True)
    closed.chmod(0o700)
    os.chown(closed, 65534, 65534)
    done = subprocess.run(
        ("setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-m", "bascule", "undo"),
        capture_output=True, text=True, env={**os.environ, "BASCULE_STATE_DIR": str(closed)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 77, done.stderr
    assert done.stderr.startswith("error[SYSTEM]: "), done.stderr
    assert "hint: run it as root" in done.stderr
    assert "Errno" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has what others may not look at")
def test_closed_state_of_our_own_is_for_root_and_no_file_to_be_opened_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASCULE_STATE_DIR", str(tmp_path))
    own = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "host/checkpoints"))
    assert (
        from_os_error(own).problems[0].hint
        == "run it as root: Bascule's records of its changes are readable by root only"
    )
    elsewhere = PermissionError(errno.EACCES, "Permission denied", "/srv/site.yaml")
    assert from_os_error(elsewhere).problems[0].hint == "run it as root, or change the file's permissions"
    sealed = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "host/checkpoints"))
    assert "point BASCULE_STATE_DIR to" in (from_os_error(sealed).problems[0].hint or "")
    sealed = OSError(errno.EROFS, "Read-only file system", "/srv/site.svg")
    assert from_os_error(sealed).problems[0].hint == "name a place on a file system that can be written"


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else for a moment needs root")
def test_an_ordinary_user_is_known_to_be_in_the_machines_own_network(lab: Lab) -> None:
    """Only root may look at process 1's namespace: a plan said that no file would be written, for it is not its own."""
    expected = is_machines_own()
    room = lab.namespace("room")
    os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            Path("/proc/1/ns/net").stat()
        assert is_machines_own() == expected
        assert here().is_main == expected
        os.seteuid(0)
        with room.entered():
            os.seteuid(65534)
            assert not is_machines_own()
            os.seteuid(0)
    finally:
        os.seteuid(0)


def test_the_fix_for_libvirt_is_that_of_its_error() -> None:
    """Where it is not installed it cannot be started."""
    fault = no_way_in("qemu:///system").problems[0]
    (found,) = libvirt_reach.look(DoctorFacts(libvirt_fault=fault))
    assert "apt-get install" in found.fix
    assert "systemctl start" not in found.fix


TAGGED = """\
site: s
networks: {lan: {vlan: 30}}
hosts:
  h:
    nics: {eth0: {}}
    vlans: {lan0: {link: eth0, id: 30, network: lan, address: 192.0.2.5/24}}
"""


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who gives the rights away")
def test_whoever_may_make_no_namespace_to_try_links_in_has_a_plan_and_the_doctor(lab: Lab, tmp_path: Path) -> None:
    """Whether this kernel makes 802.1Q links is not known then; both failed with 'unshare: Operation not permitted'."""
    path = tmp_path / "s.yaml"
    path.write_text(TAGGED)
    with lab.host("eth0").entered():
        plan, doctor = (
            subprocess.run(
                ("setpriv", "--bounding-set=-sys_admin", sys.executable, "-m", "bascule", *words),
                capture_output=True, text=True, stdin=subprocess.DEVNULL,
            ) for words in (("plan", str(path), "--here"), ("doctor", str(path)))
        )  # fmt: skip
    assert plan.returncode == 0, plan.stderr
    assert "lan0" in plan.stdout
    assert doctor.returncode in {0, 1}, doctor.stderr
    assert "whether it makes all links that the site file needs on h was not asked" in " ".join(doctor.stdout.split())


def test_an_import_of_files_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    """No configuration system is found by them, and a host without any would be another host."""
    if os.geteuid() != 0:
        pytest.skip("needs root, who gives the rights away")
    profiles = tmp_path / "etc/NetworkManager/system-connections"
    profiles.mkdir(parents=True)
    (profiles / "lan.nmconnection").write_text("[connection]\ninterface-name=eth0\n")
    (profiles / "lan.nmconnection").chmod(0o600)
    for folder in (tmp_path, *tmp_path.parents):
        if "pytest-of" in str(folder):  # pytest's own, which are its user's alone
            folder.chmod(0o755)
    source = Path(bascule.__file__).parents[1]
    if not all(folder.stat().st_mode & 0o001 for folder in (source, *source.parents)):
        pytest.skip(f"nobody else may read {source}")
    done = subprocess.run(
        ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
         sys.executable, "-m", "bascule", "import", "--root", str(tmp_path)),
        capture_output=True, text=True, cwd="/", env={**os.environ, "PYTHONPATH": str(source)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "#   etc/NetworkManager/system-connections/lan.nmconnection: not read: permission denied" in done.stdout
