"""Observe, plan and engine on the real kernel, in a namespace that plays the host."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.prepare import look
from bascule.apply.rollback.passes import apply_or_roll_back
from bascule.errors import CommandFailed
from bascule.host.live import LiveHost
from bascule.model.site import Site
from bascule.plan.diff import diff
from bascule.plan.make import make_plan
from bascule.providers.observe import observe
from bascule.providers.protocol import ThreeWay
from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests import prefork
from tests.lab import Lab

PRODUCTION = Path(__file__).parents[2] / "examples" / "production.yaml"
NICS = ("eth2", "eth3", "eth4", "eth5")


@pytest.fixture
def site() -> Site:
    return parse(PRODUCTION.read_bytes(), str(PRODUCTION))


def raw(lab: Lab, host: Namespace) -> Any:
    """What the kernel says, without a line of Bascule's own: links with masters, flags and addresses, and routes."""
    links = json.loads(lab.ip(host, "-j -d addr show"))
    facts = {
        link["ifname"]: (
            "UP" in link["flags"],
            link.get("master"),
            link.get("address"),
            link["mtu"],
            link.get("ifalias"),
            sorted((a["local"], a["prefixlen"]) for a in link["addr_info"] if not a["local"].startswith("fe80")),
        )
        for link in links
    }
    return facts, sorted(lab.ip(host, "route show table all").splitlines())


def test_apply_then_nothing_is_left_to_do(lab: Lab, site: Site) -> None:
    host = lab.host(*NICS)
    vmserver = site.hosts["vmserver"]
    plan, _ = make_plan(site, vmserver, look(site, vmserver, host))
    execute(plan, where=LiveHost(host))
    again, _ = make_plan(site, vmserver, look(site, vmserver, host))
    assert not again, [(change.subject, change.action) for change in again.changes]
    facts, routes = raw(lab, host)
    assert facts["eth4"][1] == "br3"
    assert facts["eth5"][1] == "br4"
    assert facts["br3"][2] == facts["eth4"][2]
    assert facts["eth2"][5] == [("192.168.1.10", 24)]
    assert facts["eth4"][5] == facts["br3"][5] == []
    assert any(line.startswith("default via 129.230.0.1 dev eth3") for line in routes)


def test_taps_of_running_guests_belong_to_the_plan(lab: Lab, site: Site) -> None:
    host = lab.host(*NICS)
    vmserver = site.hosts["vmserver"]
    lab.ip(host, "link add virbr0 type bridge")
    lab.tap(host, "guest_02.0")
    lab.ip(host, "link set guest_02.0 master virbr0 up")
    plan, _ = make_plan(site, vmserver, look(site, vmserver, host))
    moved = [change for change in plan.changes if change.subject == "guest_02.0" and change.cuts]
    assert [change.cuts for change in moved] == [("guest_02",)]
    assert moved[0].outage_s > 0
    execute(plan, where=LiveHost(host))
    assert raw(lab, host)[0]["guest_02.0"][1] == "br3"


def test_foreign_links_are_listed_and_left_alone(lab: Lab, site: Site) -> None:
    host = lab.host(*NICS)
    vmserver = site.hosts["vmserver"]
    lab.ip(host, "link add docker0 address 02:42:00:00:00:01 type bridge")
    lab.ip(host, "addr add 172.17.0.1/16 dev docker0")
    lab.ip(host, "link set docker0 up")
    before = raw(lab, host)[0]["docker0"]
    plan, _ = make_plan(site, vmserver, look(site, vmserver, host))
    assert "docker0" in {note.subject for note in plan.notes if note.kind == "foreign"}
    execute(plan, where=LiveHost(host))
    assert raw(lab, host)[0]["docker0"] == before


def test_a_failed_step_is_named_and_taken_back(lab: Lab, site: Site) -> None:
    host = lab.host(*NICS)
    vmserver = site.hosts["vmserver"]
    before = look(site, vmserver, host)
    plan, wanted = make_plan(site, vmserver, before)
    # since the plan was made another link answers to the name 'br4': the kernel refuses half-way
    lab.ip(host, "link property add dev eth2-wire altname br4")
    facts = raw(lab, host)
    change = ThreeWay(before=before, wanted=wanted, now=before)
    with pytest.raises(CommandFailed) as failed:
        apply_or_roll_back(plan, change, partial(look, site, vmserver, host), where=LiveHost(host))
    words = str(failed.value)
    assert "br4: create bridge" in words
    assert "File exists" in words
    assert "ip link add name br4" in words
    assert raw(lab, host) == facts


def test_plan_prints_the_batch_that_runs(lab: Lab, tmp_path: Path) -> None:
    """Paste what --commands prints into a shell: the host is then as apply would leave it."""
    host = lab.host(*NICS)
    commands = lab.bascule(host, "plan", str(PRODUCTION), "--commands")
    assert commands.returncode == 0, commands.stderr
    script = tmp_path / "commands.sh"
    script.write_text(commands.stdout)
    from bascule.system.run import run

    run(("sh", "-e", str(script)), namespace=host)
    after = lab.bascule(host, "plan", str(PRODUCTION), "--exit-code")
    assert after.returncode == 0, after.stdout
    assert "nothing to do" in after.stdout


def test_exit_code_says_that_there_are_changes(lab: Lab) -> None:
    host = lab.host(*NICS)
    assert lab.bascule(host, "plan", str(PRODUCTION), "--exit-code").returncode == 2
    assert lab.bascule(host, "plan", str(PRODUCTION)).returncode == 0


def test_a_saved_state_can_be_planned_against(lab: Lab, tmp_path: Path) -> None:
    host = lab.host(*NICS)
    saved = tmp_path / "observed.json"
    here = lab.bascule(host, "plan", str(PRODUCTION), "--commands", "--save-observed", str(saved))
    elsewhere = lab.bascule(lab.namespace("elsewhere"), "plan", str(PRODUCTION), "--commands", "--observed", str(saved))
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout == here.stdout


def test_no_ip_in_path(lab: Lab, tmp_path: Path) -> None:
    done = lab.bascule(lab.host(*NICS), "plan", str(PRODUCTION), env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.startswith("error[TOOL-MISSING]: 'ip' is not in PATH")
    assert "apt-get install iproute2" in done.stderr


def test_a_damaged_state_file_is_one_error(tmp_path: Path) -> None:

    for text in ("", "{}", "[]", '{"schema": "bascule/state/1"}', '{"schema": "bascule/state/1", "links": [1]}'):
        file = tmp_path / "observed.json"
        file.write_text(text)
        done = prefork.run("plan", str(PRODUCTION), "--observed", str(file))
        assert done.returncode == 64, text
        assert done.stderr.startswith("error[STATE-FILE]"), done.stderr
        assert "hint: write one on that host with: bascule plan SITE --save-observed FILE" in done.stderr


def test_a_rehearsal_starts_from_the_host_as_it_is_found(lab: Lab) -> None:
    """On the host itself the twin begins with its bridges, addresses, routes, rules and taps, foreign ones too."""
    host = lab.host(*NICS)
    for words in (
        "link add virbr0 type bridge",
        "addr add 192.168.122.1/24 dev virbr0",
        "link set virbr0 up",
        "link set eth4 up",
        "addr add 192.168.1.77/24 dev eth4",
        "link set eth3 up",
        "addr add 129.230.1.10/16 dev eth3",
        "route add default via 129.230.0.254",
        "rule add from 129.230.1.10 lookup 100",
        "route add default via 129.230.0.253 table 100",
    ):
        lab.ip(host, words)
    for tap in ("guest_02.0", "vnet9"):
        lab.tap(host, tap)
        lab.ip(host, f"link set {tap} up master virbr0")
    before = raw(lab, host)[0]
    done = lab.bascule(host, "rehearse", str(PRODUCTION), "--json")
    document = json.loads(done.stdout)
    assert document["observed"] == ["vmserver"]
    assert done.returncode == 0, [check for check in document["checks"] if not check["ok"]]
    plan = document["plans"][0]
    assert [c["cuts"] for c in plan["changes"] if c["cuts"]] == [["guest_02"]]
    assert {n["subject"] for n in plan["notes"] if n["kind"] == "foreign"} >= {"virbr0", "vnet9"}
    assert "remove address 192.168.1.77/24" in {c["action"] for c in plan["changes"]}
    assert raw(lab, host)[0] == before


LOOP = """
site: looped
networks: {office: {subnet: 10.0.0.0/24}}
hosts:
  h:
    nics: {eth2: {network: office}, eth3: {network: office}}
    bridges:
      br0: {uplink: eth2}
      br1: {uplink: eth3}
"""


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_bridge_that_would_close_a_loop_is_refused_and_drawn(lab: Lab, tmp_path: Path, verb: str) -> None:
    """Two bridges on one network are no loop, but somebody has joined them by a cable inside of the host."""
    file = tmp_path / "site.yaml"
    file.write_text(LOOP)
    host = lab.host("eth2", "eth3")
    for line in ("br0 type bridge", "br1 type bridge", "in0 type veth peer name in1"):
        lab.ip(host, f"link add {line}")
    for port in ("0", "1"):
        lab.ip(host, f"link set in{port} master br{port} up")
    words = ("--yes",) if verb == "apply" else ()
    done = lab.bascule(host, verb, str(file), *words, env={"BASCULE_STATE_DIR": str(tmp_path / "state")})
    assert done.returncode == 1
    assert "error[LOOP]: eth2 and eth3 are on one wire" in done.stderr
    assert "round again" in done.stderr
    assert raw(lab, host)[0]["eth2"][1] is None
    file.write_text(LOOP.replace("{uplink: eth2}", "{uplink: eth2, stp: true}"))
    assert lab.bascule(host, "plan", str(file)).returncode == 0


@pytest.mark.parametrize("protocols", [("66", "static", "66", "static"), ("static", "66", "kernel", "66")])
def test_routes_of_several_protocols_go_in_one_batch(lab: Lab, protocols: tuple[str, ...]) -> None:
    """`ip -batch` takes a number that stood between for that of the name before it, and deletes nothing then."""
    host = lab.host("eth2")
    lab.ip(host, "link set eth2 up")
    lab.ip(host, "addr add 10.2.0.10/24 dev eth2")
    for number, protocol in enumerate(protocols, 1):
        lab.ip(host, f"route add 172.29.0.0/16 via 10.2.0.{number} dev eth2 proto {protocol} metric {number}")
    with host.entered():
        now = observe()
        goal = replace(now, routes=tuple(route for route in now.routes if not route.dst.startswith("172.29")))
        execute(diff(now, goal))
        left = observe().routes
        execute(diff(observe(), now))
        there = {(route.gateway, route.protocol) for route in observe().routes if route.dst.startswith("172.29")}
    assert left == goal.routes
    assert there == {(f"10.2.0.{number}", protocol) for number, protocol in enumerate(protocols, 1)}
