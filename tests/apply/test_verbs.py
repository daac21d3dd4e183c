"""apply, confirm, undo and status as an administrator meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bascule import workflow
from bascule.apply.prepare import PreparedPlan, prepare
from bascule.apply.transaction import ApplyOptions, apply
from bascule.errors import BasculeError
from tests.apply.hosts import ADDITION, Bed, difference, environment, wait_for
from tests.terminal import on_a_terminal


def test_apply_confirm_undo(bed: Bed) -> None:
    before = bed.raw()
    done = bed.apply("--confirm-within", "60s")
    assert "your address stays 10.0.0.5, on br0" in done.stdout
    assert "run 'bascule confirm' within 60 s" in done.stdout
    assert "will be lost when the machine restarts" in done.stdout
    assert "your own connection (from 10.0.0.1) runs over eth0" in done.stderr
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


def test_status_tells_of_a_change_that_came_back_after_one_that_stands(bed: Bed) -> None:
    bed.apply("--no-confirm")
    bed.ip("link set vnet1 nomaster")
    bed.apply("--confirm-within", "1s")
    words = wait_for(lambda: bed.status()["words"], lambda words: "in effect" in words)
    assert "change 2 was taken back" in words
    assert "dead-man: nobody confirmed it in time; change 1 is in effect" in words
    assert bed.status()["drift"] == ["vnet1: become a port of br3"]  # as somebody had left it before change 2


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
    text = on_a_terminal(bed.host, bed.env, "apply", str(bed.site), hostname="h", answer=answer)
    assert b"make this change; it is taken back after 60 s unless you confirm?" in text
    assert ("br3" in bed.raw()["links"]) is made
    assert (b"nothing was changed" in text) is not made
    if made:
        steps = [b"makes the change", b"asks what answered before the change, ", b"\r\x1b[K\r\nchange 1 is made"]
        assert [step for step in steps if step in text] == steps
        assert b"takes the change back" in on_a_terminal(bed.host, bed.env, "undo", "--yes", hostname="h")


def test_one_at_a_time(bed: Bed) -> None:
    bed.apply()
    second = bed.run("apply", str(bed.site), "--yes")
    assert second.returncode == 1  # there is nothing to do, but what is done goes back
    assert "is taken back in" in second.stderr
    bed.site.write_text(ADDITION)
    other = bed.run("apply", str(bed.site), "--yes")
    assert other.returncode == 1
    assert "change 1 waits for 'bascule confirm'" in other.stderr
    assert bed.run("undo").returncode == 0


def test_two_at_once(bed: Bed) -> None:
    processes = [bed.start("apply", str(bed.site), "--yes") for _ in range(2)]
    texts = [process.communicate()[0] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 1], [0, 0]), texts
    if codes == [0, 1]:
        words = ("is changing this host", "waits for 'bascule confirm'", "HOST-MOVED")
        assert any(word in text for text in texts for word in words), texts
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


NAT = "      lab: {mode: isolated, subnet: 192.168.150.0/24}\n"


def test_a_failed_step_comes_back_at_once(bed: Bed) -> None:
    """The name is taken while the plan runs: here, by an alias that the kernel refuses to have twice."""
    text = bed.site.read_text()
    bed.site.write_text(text.replace("guests:\n  g:", f"    virtual_networks:\n{NAT}guests:\n  g:"))
    bed.ip("link property add dev old0 altname vn-lab")
    before = bed.raw()
    done = bed.run("apply", str(bed.site), "--yes")
    assert done.returncode == 75, done.stderr
    assert "TAKEN-BACK" in done.stderr
    assert difference(before, bed.raw()) == []
    assert bed.status()["ok"]


def test_what_others_did_meanwhile_is_kept_or_named(bed: Bed) -> None:
    bed.apply("--no-confirm")
    bed.batch(
        "tuntap add vnet9 mode tap\nlink set vnet9 up master br3\nlink set vnet2 nomaster\n"
        "addr add 10.0.0.66/24 dev br0\nroute add 10.99.0.0/16 via 10.0.0.1\nlink set eth4 mtu 1400\n"
        "rule add from 10.0.0.66 lookup 99 priority 600\n"
    )
    undone = bed.run("undo")
    assert undone.returncode == 0, undone.stderr
    for words in (
        "vnet9 is new and loses its bridge br3, which is removed",
        "vnet2: bridge is now none",
        "10.0.0.66/24 was added to br0, and is removed with it",
        "the route 10.99.0.0/16 by 10.0.0.1 is new, and is removed with br0",
        "eth4: MTU is now 1400",
        "rule 600 from 10.0.0.66 lookup 99 is new",
    ):
        assert words in undone.stdout
    links = bed.raw()["links"]
    assert links["vnet1"]["master"] == "old0", "a bridge without ports has no MAC, and finds its own again"
    assert "master" not in links["vnet2"]


def test_a_way_back_that_cannot_end_can_be_closed(bed: Bed) -> None:
    """The guest's old bridge has become something that takes no ports."""
    bed.apply("--no-confirm")
    bed.batch("link del old0\nlink add old0 type veth peer name old0p\n")
    first = bed.run("undo")
    assert first.returncode == 1
    assert "NOT completely taken back" in first.stderr
    assert "vnet1: become a port of old0" in first.stderr
    assert "undo --leave" in first.stderr
    status = bed.status()
    assert (status["ok"], status["status"]) == (False, "failed")
    assert (status["seconds_left"], status["until"]) == (None, None), "nothing takes it back by itself any more"
    refused = bed.run("apply", str(bed.site), "--yes")
    assert refused.returncode == 1
    assert "is still failed" in refused.stderr
    assert "bascule confirm" not in refused.stderr
    closed = bed.run("undo", "--leave")
    assert closed.returncode == 1, "it still differs from before"
    assert "the change is closed" in closed.stderr
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
        assert wait_for(out.read_text, lambda text: "vnet1: become a port of br3" in text)
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
    assert "br3: bring up" in drift
    assert "10.8.0.0/16" in drift


def test_whoever_monitors_a_host_is_told_of_drift_alike_by_the_status_by_json_and_by_metrics(bed: Bed) -> None:
    def told() -> tuple[int, bool, set[str]]:
        metrics = set(bed.run("status", "--metrics").stdout.splitlines())
        return bed.run("status").returncode, bed.status()["ok"], {x for x in metrics if x.startswith("bascule_ok ")}

    bed.apply("--no-confirm")
    assert told() == (0, True, {"bascule_ok 1"})
    bed.ip("link set br3 down")
    assert told() == (1, False, {"bascule_ok 0"})
    assert "br3: bring up" in bed.run("status", "-q").stdout
    bed.ip("link set br3 up")
    assert bed.status()["drift"] == []
    assert told() == (0, True, {"bascule_ok 1"})


def test_the_forward_delay_of_a_bridge_without_stp_comes_back(addition: Bed) -> None:
    """It does nothing there, but the undo promises to leave no difference."""
    addition.ip("link add br3 type bridge forward_delay 0")
    before = addition.raw()
    addition.site.write_text(ADDITION.replace("{uplink: eth4}", "{uplink: eth4, stp: true}"))
    addition.apply()
    assert addition.raw()["links"]["br3"]["linkinfo"]["info_data"]["forward_delay"] == 1500
    assert addition.run("undo").returncode == 0
    assert difference(before, addition.raw()) == []


def test_a_plan_that_is_out_of_date_is_made_again(bed: Bed) -> None:
    """The host moves while the administrator reads: the new plan is agreed to, or nothing happens."""
    before = bed.raw()
    site = workflow.load(str(bed.site))
    told: list[str] = []
    asked: list[list[str]] = []

    def agree(fresh: PreparedPlan) -> bool:
        asked.append([change.subject for change in fresh.plan.changes])
        return len(asked) > 1

    with bed.host.entered(), environment(bed.env):
        prepared = prepare(site, site.hosts["h"])
        bed.ip("link set vnet1 nomaster")
        bed.ip("link set vnet1 mtu 1400")
        with pytest.raises(BasculeError, match="the host's network changed while the plan was made"):
            apply(prepared, ApplyOptions(agree=agree, tell=told.append))
        assert told == ["the host changed since the plan was made; planned again"]
        assert "vnet1" in asked[0]
        assert "br3" not in bed.raw()["links"]
        apply(prepared, ApplyOptions(agree=agree, tell=told.append))
        assert bed.raw()["links"]["vnet1"]["master"] == "br3"
    undone = bed.run("undo")
    assert undone.returncode == 0, undone.stderr
    left = [line for line in difference(before, bed.raw()) if not line.startswith(("vnet1", "old0"))]
    assert left == []
    assert "master" not in bed.raw()["links"]["vnet1"], "as it was when the change was made, not when it was planned"
