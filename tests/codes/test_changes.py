"""A change that cannot be made, kept or taken back: each reason with its code, and what to do."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.apply.hosts import ADDITION, Bed, difference, furnish, wait_for
from tests.apply.old_states import OldState, key
from tests.codes.call import BASCULE, Done, assert_error, bascule, instead_of
from tests.lab import Lab, called
from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel
BACK = "the change was taken back; the host is as it was before"


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    """A host with a file that only adds a bridge, br3 over eth4."""
    return furnish(lab, tmp_path, ADDITION)


def run(bed: Bed, *words: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Done:
    return bascule(*words, namespace=bed.host, before=before, env={**bed.env, **(env or {})})


def apply(bed: Bed, *words: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Done:
    return run(bed, "apply", str(bed.site), "--yes", *words, before=before, env=env)


def failing(bed: Bed, *lines: str, words: str = "No space left on device") -> dict[str, str]:
    """``ip`` whose kernel refuses these lines of a batch."""
    tests = "".join(f"if grep -qn '^{line}' $in; then at=$(grep -n '^{line}' $in | head -1 | cut -d: -f1); fi\n"
                    for line in lines)  # fmt: skip
    script = f"""\
case " $* " in *" -batch "*) ;; *) exec $REAL "$@";; esac
in=$(mktemp {bed.site.parent}/batch.XXXXXX); cat > $in
at=
{tests}
if [ -z "$at" ]; then $REAL "$@" < $in; exit; fi
head -n $((at - 1)) $in | $REAL "$@" || exit
echo "RTNETLINK answers: {words}" >&2
echo "Command failed -:$at" >&2
exit 1
"""
    return instead_of(bed.site.parent / "bin", "ip", script)


def test_nothing_waits_and_nothing_is_to_be_undone(bed: Bed) -> None:
    assert_error(run(bed, "confirm"), "NOTHING-ARMED", "nothing waits for a confirmation", hint="see 'bascule status'")
    assert_error(run(bed, "undo"), "NOTHING-TO-UNDO", "there is no change to take back", hint="see 'bascule status'")
    assert apply(bed, "--confirm-within", "600s").returncode == 0
    assert run(bed, "confirm").returncode == 0
    said = "nothing waits for a confirmation: change 1 is confirmed already"
    assert_error(run(bed, "confirm"), "NOTHING-ARMED", said)
    assert run(bed, "undo").returncode == 0
    said = "nothing waits for a confirmation: change 1 was taken back by undo"
    assert_error(run(bed, "confirm"), "NOTHING-ARMED", said, hint="'bascule apply' makes it again")


def test_what_must_be_asked_and_cannot(bed: Bed) -> None:
    done = run(bed, "apply", str(bed.site))
    assert_error(done, "NOT-ASKED", "there is no terminal to ask on", status=64, hint="use --yes")
    done = apply(bed, "--probe", "10.0.0.1")
    assert_error(done, "PROBE", "'10.0.0.1' is not HOST:PORT", status=64, hint="10.0.0.1:22")
    done = apply(bed, "--probe", "no.such.host.invalid:22")
    assert_error(done, "PROBE", "'no.such.host.invalid' has no address here")


def test_only_one_at_a_time(bed: Bed) -> None:
    assert apply(bed, "--confirm-within", "600s").returncode == 0
    assert run(bed, "undo").returncode == 0
    lock = bed.state / "run" / key(bed.host) / "lock"
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("{}")
        held.truncate(2)
        held.flush()
        done = apply(bed)
    assert_error(done, "LOCKED", "another bascule is changing this host; nothing was changed by this call",
                 hint="wait for it to end")  # fmt: skip


def test_a_checkpoint_that_cannot_be_read(bed: Bed) -> None:
    assert apply(bed, "--no-confirm").returncode == 0
    (file,) = bed.state.glob("*/checkpoints/000001/checkpoint.json")
    file.write_text(file.read_text()[:100])
    for verb in ("status", "undo"):
        assert_error(run(bed, verb), "CHECKPOINT-DAMAGED", f"'{file}' cannot be read: ",
                     hint="the state before is lost with it; 'bascule plan'")  # fmt: skip


def test_a_change_that_was_not_made_to_its_end_cannot_be_kept(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path)
    state = OldState(bed, "half-way")
    state.load()
    state.make()
    said = "change 1 is half made: it was not completed, so it cannot be kept"
    assert_error(run(bed, "confirm"), "HALF-MADE", said, hint="'bascule undo' takes it back")


def test_a_confirmation_that_the_disk_does_not_take(bed: Bed) -> None:
    assert apply(bed, "--confirm-within", "600s").returncode == 0
    full = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")  # no file may grow or be written
    done = run(bed, "confirm", before=full)
    assert_error(done, "NOT-CONFIRMED", "the change is NOT confirmed and will be taken back", hint="free some space")
    assert bed.status()["status"] == "applied"
    assert run(bed, "undo").returncode == 0


def test_a_step_that_the_kernel_refuses(bed: Bed) -> None:
    before = bed.calm()
    done = apply(bed, env=failing(bed, "link set dev eth4 master br3"))
    assert_error(done, "STEP-FAILED", "eth4: become a port of br3: the kernel says 'No space left on device'",
                 status=75, hint="the command was: ip link set dev eth4 master br3")  # fmt: skip
    assert f"error[TAKEN-BACK]: {BACK}" in done.stderr
    assert difference(before, bed.raw()) == []


def test_a_way_back_that_is_not_complete(bed: Bed) -> None:
    before = bed.calm()
    done = apply(bed, env=failing(bed, "link set dev eth4 master br3", "link del dev br3"))
    assert_error(done, "STEP-FAILED", "eth4: become a port of br3")
    assert_error(done, "NOT-TAKEN-BACK", "the rollback is not complete, this still differs from before: br3: ",
                 hint="run 'bascule undo' again")  # fmt: skip
    assert run(bed, "status").returncode == 1
    assert run(bed, "undo").returncode == 0
    assert difference(before, bed.raw()) == []


def test_what_was_asked_for_and_is_not_there(bed: Bed) -> None:
    before = bed.calm()
    drop = f'case " $* " in *" -batch "*) grep -v "^link set dev eth4 master br3" > {bed.site.parent}/in; '
    drop += f'exec $REAL "$@" < {bed.site.parent}/in;; *) exec $REAL "$@";; esac'
    done = apply(bed, env=instead_of(bed.site.parent / "bin", "ip", drop))
    said = "the kernel does not have what was asked for: eth4: become a port of br3"
    assert_error(done, "CHECK-FAILED", said, status=75)
    assert difference(before, bed.raw()) == []


def test_what_no_kernel_refused(bed: Bed) -> None:
    """The files cannot be written: a file stands where their folder belongs."""
    before = bed.calm()
    root = bed.site.parent / "root"
    units = root / "etc/systemd/system/multi-user.target.wants"
    units.mkdir(parents=True)
    (units / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    (root / "etc/systemd/network").mkdir()
    (root / "etc/sysctl.d").write_text("")
    done = apply(bed, "--root", str(root))
    assert_error(done, "APPLY-FAILED", "the change could not be completed: ", status=75)
    assert difference(before, bed.raw()) == []
    assert list((root / "etc/systemd/network").iterdir()) == []

    # and a link in the place of one of ours is not followed
    (root / "etc/sysctl.d").unlink()
    (root / "etc/systemd/network/10-br3.netdev").symlink_to("/dev/null")
    done = apply(bed, "--root", str(root))
    assert_error(done, "FILE-LINK", "'/etc/systemd/network/10-br3.netdev' is a symbolic link", hint="remove the link")


def test_ctrl_c_in_the_middle(bed: Bed) -> None:
    before = bed.calm()
    folder = bed.site.parent
    slow = f'case " $* " in *" -batch "*) touch {folder}/begun; $REAL "$@"; until [ -e {folder}/hit ]; do sleep 0.02; '
    slow += "done; exit;; esac\n"
    env = {**os.environ, **bed.env, **instead_of(bed.site.parent / "bin", "ip", slow + 'exec $REAL "$@"')}
    with bed.host.entered(), called("h"):
        process = subprocess.Popen(
            (*BASCULE, "apply", str(bed.site), "--yes"), env=env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert wait_for((bed.site.parent / "begun").exists, bool, 30.0)
    process.send_signal(signal.SIGINT)
    (folder / "hit").touch()
    out, err = process.communicate(timeout=HUNG_S)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    assert_error(done, "INTERRUPTED", "interrupted while the host was being changed", status=75)
    assert difference(before, bed.raw()) == []


def test_a_nic_on_which_a_macvtap_sits(bed: Bed) -> None:
    bed.ip("link add link eth4 name mv0 type macvtap")
    done = apply(bed)
    assert_error(done, "NIC-SHARED", "eth4 cannot become a port of br3 while the macvtap mv0 sits on it",
                 hint="shut down the guest that it belongs to")  # fmt: skip


@pytest.mark.parametrize(
    ("rights", "lacks"), [("-all", "CAP_NET_ADMIN and CAP_NET_RAW"), ("-net_admin", "CAP_NET_ADMIN"),
                          ("-net_raw", "CAP_NET_RAW")],
)  # fmt: skip
def test_a_root_without_some_rights(bed: Bed, rights: str, lacks: str) -> None:
    """It is told before anything is changed, and before there is a checkpoint."""
    done = apply(bed, before=("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"))
    said = f"a change of the network needs CAP_NET_ADMIN and CAP_NET_RAW; this process lacks {lacks}"
    assert_error(done, "NOT-PERMITTED", said, status=77, hint="--cap-add NET_")
    assert "br3" not in bed.raw()["links"]
    assert not list(bed.site.parent.glob("state/**/checkpoints/0*"))


def test_a_root_who_may_change_the_network_and_nothing_else(bed: Bed) -> None:
    """No namespace is entered for a change, so that it does not take CAP_SYS_ADMIN."""
    some = "-all,+net_admin,+net_raw"
    done = apply(bed, before=("setpriv", f"--bounding-set={some}", f"--inh-caps={some}"))
    assert done.returncode == 0, done.stderr
    assert "br3" in bed.raw()["links"]


def test_where_the_kernel_refuses_a_step(bed: Bed) -> None:
    done = apply(bed, env=failing(bed, "link set dev eth4 master br3", words="Operation not permitted"))
    said = "eth4: become a port of br3: the kernel says 'Operation not permitted'"
    assert_error(done, "NOT-PERMITTED", said, status=77, hint="run it as root")
    assert "br3" not in bed.raw()["links"]


def test_a_nic_that_cannot_be_brought_up_to_listen(bed: Bed) -> None:
    bed.ip("link set eth4 down")
    raw_only = ("setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all")
    done = run(bed, "survey", "eth4", "--seconds", "0.5", before=raw_only)
    assert_error(
        done, "NIC-UP", "a NIC could not be brought up quietly: Operation not permitted", hint="run it as root"
    )


def test_a_name_that_another_link_has_as_its_altname(bed: Bed) -> None:
    bed.ip("link property add dev eth4 altname br3")
    done = run(bed, "plan", str(bed.site))
    words = "'br3' is an altname of eth4 on this host: no bridge can have the name"
    assert_error(done, "NOT-A-BRIDGE", words, hint="name the bridge differently")


def test_a_link_of_the_name_that_is_something_else(bed: Bed) -> None:
    bed.ip("link add br3 type veth peer name br3w")
    done = run(bed, "plan", str(bed.site))
    assert_error(done, "NOT-A-BRIDGE", "'br3' exists on this host and is not a bridge", hint="remove the other link")
    bed.ip("link add bond0 type veth peer name bond0w")
    text = bed.site.read_text().replace("    bridges:\n", "    bonds: {bond0: {nics: [eth4]}}\n    bridges:\n")
    bed.site.write_text(text.replace("uplink: eth4", "uplink: bond0"))
    done = run(bed, "plan", str(bed.site))
    assert_error(done, "NOT-A-BOND", "'bond0' exists on this host and is not a bond", hint="remove the other link")


def test_json_tells_the_same(bed: Bed) -> None:
    done = run(bed, "undo", "--json")
    document = json.loads(done.stdout or done.stderr)
    assert document["problems"][0]["code"] == "NOTHING-TO-UNDO"
