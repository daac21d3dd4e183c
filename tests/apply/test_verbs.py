"""apply, confirm, undo and status as an administrator meets them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.apply.hosts import ADDITION, Bed, difference, wait_for


def test_apply_confirm_undo(bed: Bed) -> None:
    before = bed.raw()
    done = bed.apply("--confirm-within", "60s")
    assert "your address stays 10.0.0.5, on br0" in done.stdout
    assert "run 'bascule confirm' within 60 s" in done.stdout
    assert "will not outlive a restart" in done.stdout
    assert "your own line (from 10.0.0.1) runs over eth0" in done.stderr
    links = bed.raw()["links"]
    assert {name: links[name].get("master") for name in ("eth0", "eth4", "vnet1", "vnet2")} == {
        "eth0": "br0", "eth4": "br3", "vnet1": "br3", "vnet2": "old0",
    }  # fmt: skip
    assert links["br0"]["address"] == links["eth0"]["address"]
    status = bed.status()
    assert (status["ok"], status["status"], status["drift"]) == (True, "applied", [])
    assert 40 < status["seconds_left"] <= 60
    assert "dead-man" in status["watched_by"]
    confirmed = bed.run("confirm")
    assert (confirmed.returncode, confirmed.stderr) == (0, "")
    assert bed.status()["status"] == "confirmed"
    again = bed.run("confirm")
    assert again.returncode == 1
    assert "change 1 is confirmed already" in again.stderr
    undone = bed.run("undo")
    assert undone.returncode == 0, undone.stderr
    assert "it was confirmed" in undone.stdout
    assert difference(before, bed.raw()) == []
    assert bed.run("undo").returncode == 1


def test_nothing_to_do_leaves_nothing(bed: Bed) -> None:
    bed.apply("--no-confirm")
    number = bed.status()["change"]
    done = bed.apply("--json")
    document = json.loads(done.stdout)
    assert (document["ok"], document["changed"], document["changes"]) == (True, False, [])
    assert bed.status()["change"] == number


def test_an_addition_needs_no_confirmation_and_can_be_undone(addition: Bed) -> None:
    before = addition.raw()
    done = addition.apply()
    assert "'bascule undo' takes it back" in done.stdout
    assert addition.status()["status"] == "confirmed"
    assert addition.run("undo").returncode == 0
    assert difference(before, addition.raw()) == []


def test_a_nic_that_was_down_goes_down_without_an_address(addition: Bed) -> None:
    """The kernel gives a NIC a link-local address when it comes up, and takes it away when it goes down."""
    addition.ip("link set eth4 down")
    addition.site.write_text(addition.site.read_text().replace("{uplink: eth4}", "{uplink: none}"))
    before = addition.raw()
    addition.apply()
    wait_for(lambda: addition.ip("addr show eth4"), lambda text: "fe80:" in text)
    assert addition.run("undo").returncode == 0
    assert "fe80:" not in addition.ip("addr show eth4")
    assert difference(before, addition.raw()) == []


def test_an_addition_waits_where_it_is_asked_to(addition: Bed) -> None:
    before = addition.raw()
    addition.apply("--confirm-within", "1s")
    gone = wait_for(lambda: difference(before, addition.raw()), lambda left: not left)
    assert gone == []
    late = wait_for(lambda: addition.run("confirm"), lambda done: "taken back" in done.stderr)
    assert late.returncode == 1
    assert "nobody confirmed it in time" in late.stderr


def test_what_detaches_waits_by_itself(bed: Bed) -> None:
    document = json.loads(bed.apply("--json").stdout)
    assert document["confirm_within_s"] == 60
    assert bed.run("undo").returncode == 0


@pytest.mark.parametrize("words", [("--no-confirm", "--confirm-within", "5s"), ("--confirm-within", "soon"),
                                   ("--confirm-within", "0s"), ("--probe", "nobody")])  # fmt: skip
def test_what_is_no_sense(bed: Bed, words: tuple[str, ...]) -> None:
    before = bed.raw()
    done = bed.run("apply", str(bed.site), "--yes", *words)
    assert done.returncode == 64, done.stderr
    assert "Traceback" not in done.stderr
    assert difference(before, bed.raw()) == []


def test_without_a_terminal_somebody_must_have_said_yes(bed: Bed) -> None:
    done = bed.run("apply", str(bed.site))
    assert done.returncode == 64
    assert "--yes" in done.stderr


@pytest.mark.parametrize(("answer", "made"), [(b"n\n", False), (b"y\n", True)])
def test_it_asks_on_a_terminal(bed: Bed, answer: bytes, made: bool) -> None:
    leader, follower = pty.openpty()
    with bed.host.entered():
        process = subprocess.Popen(
            (sys.executable, "-m", "bascule", "apply", str(bed.site)), env={**os.environ, **bed.env},
            stdin=follower, stdout=follower, stderr=follower,
        )  # fmt: skip
    os.close(follower)
    os.write(leader, answer)
    text = b""
    try:
        while part := os.read(leader, 4096):
            text += part
    except OSError:
        pass
    process.wait()
    os.close(leader)
    assert b"make this change; it comes back after 60 s unless you confirm?" in text
    assert ("br3" in bed.raw()["links"]) is made
    assert (b"nothing was changed" in text) is not made
    if made:
        assert bed.run("undo").returncode == 0


def test_one_at_a_time(bed: Bed) -> None:
    bed.apply()
    second = bed.run("apply", str(bed.site), "--yes")
    assert second.returncode == 0  # nothing to do is nothing to refuse
    bed.site.write_text(ADDITION)
    other = bed.run("apply", str(bed.site), "--yes")
    assert other.returncode in {0, 1}
    bed.ip("link set eth4 nomaster")
    third = bed.run("apply", str(bed.site), "--yes")
    assert third.returncode == 1
    assert "still applied" in third.stderr
    assert bed.run("undo").returncode == 0


def test_two_at_once(bed: Bed) -> None:
    processes = [bed.start("apply", str(bed.site), "--yes") for _ in range(2)]
    texts = [process.communicate()[0] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 1], [0, 0]), texts
    if codes == [0, 1]:
        assert any("is changing this host" in t or "still applied" in t or "HOST-MOVED" in t for t in texts), texts
    assert bed.run("undo").returncode == 0


def test_the_holder_of_the_lock_is_named(bed: Bed) -> None:
    process = bed.start("apply", str(bed.site), "--yes")
    wait_for(lambda: [lock for lock in bed.state.glob("run/*/lock") if lock.stat().st_size], bool)
    process.send_signal(signal.SIGSTOP)
    held = bed.run("apply", str(bed.site), "--yes")
    process.send_signal(signal.SIGCONT)
    process.communicate()
    if "is changing this host" in held.stderr:  # else the first had not got the lock yet, or was through
        assert f"process {process.pid}" in held.stderr
        assert held.returncode == 1
    bed.run("undo")


def test_a_failed_step_comes_back_at_once(bed: Bed) -> None:
    """The name is taken while the plan runs: here, by an alias that the kernel refuses to have twice."""
    bed.ip("link property add dev old0 altname br3")
    before = bed.raw()
    done = bed.run("apply", str(bed.site), "--yes")
    assert done.returncode == 75, done.stderr
    assert "TAKEN-BACK" in done.stderr
    assert difference(before, bed.raw()) == []
    assert bed.status()["ok"]


def test_status_watch_prints_drift_as_it_happens(bed: Bed) -> None:
    bed.apply("--no-confirm")
    out = bed.state / "watched"
    with out.open("w") as file, bed.host.entered():
        watch = subprocess.Popen(
            (sys.executable, "-u", "-m", "bascule", "status", "--watch", "--json"), env={**os.environ, **bed.env},
            stdout=file,
        )  # fmt: skip
    try:
        assert wait_for(out.read_text, bool)
        time.sleep(0.3)
        bed.ip("link set vnet1 nomaster")
        assert "vnet1: leave br3" in wait_for(out.read_text, lambda text: "vnet1: leave br3" in text)
        bed.ip("link set vnet1 master br3")
        assert '"back"' in wait_for(out.read_text, lambda text: '"back"' in text)
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait()
    assert watch.returncode == 0


def test_drift_is_told(bed: Bed) -> None:
    bed.apply("--no-confirm")
    assert bed.status()["drift"] == []
    bed.ip("link set br3 down")
    bed.ip("route del 10.8.0.0/16")
    drift = "\n".join(bed.status()["drift"])
    assert "br3: set down" in drift
    assert "10.8.0.0/16" in drift


def test_the_forward_delay_of_a_bridge_without_stp_comes_back(addition: Bed) -> None:
    """It does nothing there, but the undo promises to leave no difference."""
    addition.ip("link add br3 type bridge forward_delay 0")
    before = addition.raw()
    addition.site.write_text(ADDITION.replace("{uplink: eth4}", "{uplink: eth4, stp: true}"))
    addition.apply()
    assert addition.raw()["links"]["br3"]["linkinfo"]["info_data"]["forward_delay"] == 1500
    assert addition.run("undo").returncode == 0
    assert difference(before, addition.raw()) == []
