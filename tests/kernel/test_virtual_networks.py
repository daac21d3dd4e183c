"""A host's own virtual networks on the real kernel: made, kept, drifted, taken out of the file, taken back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bascule.plan.diff import diff
from bascule.plan.virtual_network import resolved_networks
from bascule.policy.network_rules import network_table
from bascule.providers.observe import observe
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import read_sysctls, write_sysctl
from bascule.system.run import run
from tests.lab import Lab

pytestmark = pytest.mark.kernel

FILE = """
site: lodge
networks: {office: {subnet: [10.20.0.0/24, "2001:db8:20::/64"]}}
hosts:
  vmhost:
    nics: {eno1: {network: office, address: 10.20.0.10/24}}
    virtual_networks:
      lab:
        mode: nat
        subnet: [192.168.122.0/24, "fd00:122::/64"]
        dhcp: 192.168.122.100-192.168.122.200
        forwards: [{host: 2222, to: builder, service: tcp/22}, {host: 2223, to: six, service: tcp/22}]
      quiet: {mode: isolated, subnet: 192.168.150.0/24}
      road-works.2: {mode: routed, subnet: ["fd00:160::/64", 192.168.160.0/24]}
      a-name-that-is-too-long-for-a-link: {mode: open, subnet: 192.168.170.0/24}
guests:
  builder: {host: vmhost, nics: [{network: lab, address: dhcp}], serves: [tcp/22]}
  six: {host: vmhost, nics: [{network: lab, address: "fd00:122::6/64"}], serves: [tcp/22]}
"""
KEYS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/accept_redirects",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/eno1/accept_ra",
)

Call = Callable[..., str]


def link_names(lab: Lab, host: Namespace) -> list[str]:
    return [line.split()[1] for line in lab.ip(host, "-o link show").splitlines()]


@pytest.fixture
def host(lab: Lab) -> Namespace:
    made = lab.host("eno1")
    write_sysctl("net/ipv4/ip_forward", "0", namespace=made)
    return made


@pytest.fixture
def bascule(lab: Lab, host: Namespace, tmp_path: Path) -> Call:
    file = tmp_path / "site.yaml"
    file.write_text(FILE)

    def call(verb: str, *words: str, status: int = 0) -> str:
        site = (str(file),) if verb in {"plan", "apply", "verify"} else ()
        env = {"BASCULE_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "300"}
        done = lab.bascule(host, verb, *site, *words, env=env)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


def stop_servers(tmp_path: Path) -> None:
    """End the name servers that an apply has started."""
    for file in tmp_path.glob("state/**/*.pid"):
        with contextlib.suppress(ValueError, ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def test_what_is_made_is_what_was_planned_and_the_way_back_is_whole(host: Namespace, bascule: Call) -> None:
    write_sysctl("net/ipv4/conf/all/accept_redirects", "0", namespace=host)  # as a careful administrator has it
    before, sysctls = observe(sysctls=KEYS, namespace=host), read_sysctls(KEYS, namespace=host)
    bascule("apply", "--yes", "--no-confirm")
    assert "nothing to do" in bascule("plan", "--exit-code")
    site = parse(FILE.encode(), "site.yaml")
    described = site.hosts["vmhost"]
    own = [network_table(one, "bascule:lodge") for one in resolved_networks(site, described)]
    wanted = {table.key: table for table in own if table is not None}
    now = observe(sysctls=KEYS, namespace=host)
    assert now.tables == wanted
    assert {key.rpartition("_")[2] for key in wanted} == {"lab", "quiet", "road-works.2"}
    for one in resolved_networks(site, described):
        link = now.links[one.bridge]
        assert link.is_ours
        assert {a.ip for a in link.addresses if not a.is_link_local} == set(map(str, one.addresses))
    assert now.sysctls["net/ipv4/ip_forward"] == now.sysctls["net/ipv6/conf/all/forwarding"] == "1"
    bascule("undo")
    after = observe(sysctls=KEYS, namespace=host)
    assert [(x.subject, x.action) for x in diff(after, before).changes] == []
    assert read_sysctls(KEYS, namespace=host) == sysctls
    assert run(("nft", "list", "ruleset"), namespace=host).stdout == ""


def test_what_others_do_to_a_network_is_drift_and_is_put_right(host: Namespace, bascule: Call) -> None:
    bascule("apply", "--yes", "--no-confirm")
    assert "drifted" not in bascule("status")
    run(("nft", "insert", "rule", "inet", "bascule_lab", "forward", "accept"), namespace=host)
    run(("nft", "delete", "table", "inet", "bascule_quiet"), namespace=host)
    run(("ip", "address", "del", "192.168.160.1/24", "dev", network_bridge("road-works.2")), namespace=host)
    write_sysctl("net/ipv4/ip_forward", "0", namespace=host)
    told = bascule("status", status=1)
    for words in ("nft inet bascule_lab", "nft inet bascule_quiet", "192.168.160.1/24", "route IPv4 between all links"):
        assert words in told
    plan = bascule("plan", "--exit-code", status=2)
    assert "replace its rules: - forward: accept [changes" in plan
    assert "route IPv4 between all links [changes" in plan
    assert "because virtual network lab is reached by routing" in plan
    bascule("apply", "--yes", "--no-confirm")
    assert "nothing to do" in bascule("plan", "--exit-code")


def network_bridge(name: str) -> str:
    site = parse(FILE.encode(), "site.yaml")
    return next(one.bridge for one in resolved_networks(site, site.hosts["vmhost"]) if one.name == name)


def test_a_network_that_leaves_the_file_goes_with_all_that_is_ours(
    host: Namespace, bascule: Call, tmp_path: Path
) -> None:
    bascule("apply", "--yes", "--no-confirm")
    run(
        ("nft", "add", "table", "inet", "bascule_other"), namespace=host
    )  # of another site: no bridge of ours tells of it
    file = tmp_path / "site.yaml"
    text, _, _ = FILE.partition("    virtual_networks:")
    file.write_text(text)
    told = bascule("apply", "--yes", "--confirm-within", "600s")
    assert "net.ipv4.ip_forward" in told
    assert "stays on" in told
    bascule("confirm")
    now = observe(sysctls=KEYS, namespace=host)
    assert not [name for name in now.links if name.startswith("vn-")]
    assert set(now.tables) == {"inet bascule_other"}
    assert "nothing to do" in bascule("plan", "--exit-code")
    bascule("undo")
    assert {"inet bascule_lab", "inet bascule_quiet"} <= set(observe(namespace=host).tables)


def test_routers_advertisements_are_kept_when_the_host_begins_to_route(host: Namespace, bascule: Call) -> None:
    """The kernel drops what it learned from routers when it becomes one, unless it was told to keep listening."""
    for words in (
        "link set eno1 up",
        "-6 route add default via fe80::1 dev eno1 proto ra metric 1024",
        "addr add 2001:db8:20::5/64 dev eno1 valid_lft 3600 preferred_lft 1800",
    ):
        run(("ip", *words.split()), namespace=host)
    assert "accept router advertisements although it routes" in bascule("plan")
    bascule("apply", "--yes", "--no-confirm")
    assert read_sysctls(KEYS, namespace=host)["net/ipv6/conf/eno1/accept_ra"] == "2"
    assert "via fe80::1 dev eno1 proto ra" in run(("ip", "-6", "route"), namespace=host).stdout
    bascule("undo")
    assert read_sysctls(KEYS, namespace=host)["net/ipv6/conf/eno1/accept_ra"] == "1"


def test_without_nft_nothing_is_begun(lab: Lab, host: Namespace, tmp_path: Path) -> None:
    from bascule.system.run import find_tool

    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("ip", "bridge"):
        (tools / name).symlink_to(find_tool(name))
    file = tmp_path / "site.yaml"
    file.write_text(FILE)
    before = link_names(lab, host)
    for verb in (("plan",), ("apply", "--yes"), ("rehearse",)):
        env = {"PATH": str(tools), "BASCULE_STATE_DIR": str(tmp_path / "state")}
        done = lab.bascule(host, verb[0], str(file), *verb[1:], env=env)
        assert done.returncode == 1
        assert "error[TOOL-MISSING]: 'nft' is not in PATH" in done.stderr
        assert "apt-get install nftables" in done.stderr
    assert link_names(lab, host) == before


def test_what_libvirt_made_is_refused_by_the_plan_and_set_aside_in_the_twin(
    lab: Lab, host: Namespace, bascule: Call, tmp_path: Path
) -> None:
    for words in (
        "link add virbr0 type bridge",
        "addr add 192.168.122.1/24 dev virbr0",
        "link set virbr0 up",
        "link add vn-quiet type bridge",
    ):
        lab.ip(host, words)
    lab.tap(host, "builder.0")
    lab.ip(host, "link set builder.0 up master virbr0")
    told = bascule("plan", status=1)
    assert "needs the address 192.168.122.1/24, and this host has a bridge with it, 'virbr0', that is not" in told
    done = lab.bascule(host, "rehearse", str(tmp_path / "site.yaml"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["observed"] == ["vmhost"]
    assert {note["subject"] for note in document["notes"]} == {"virbr0", "vn-quiet"}
    assert "vn-lab" in {change["subject"] for change in document["plans"][0]["changes"]}
    assert "master virbr0" in lab.ip(host, "link show builder.0")


def test_verify_looks_at_rules_routing_and_the_name_server(
    lab: Lab, host: Namespace, bascule: Call, tmp_path: Path
) -> None:
    bascule("apply", "--yes", "--no-confirm")

    def seen() -> dict[tuple[str, str], bool | None]:
        env = {"BASCULE_STATE_DIR": str(tmp_path / "state")}
        done = lab.bascule(host, "verify", str(tmp_path / "site.yaml"), "--json", env=env)
        document = json.loads(done.stdout)
        return {(x["subject"], x["id"]): x["ok"] for x in document["checks"]}

    checks = seen()
    assert [checks["vn-lab", x] for x in ("bridge-up", "address", "rules", "forwarding")] == [True] * 4
    assert [checks["vn-lab", x] for x in ("name-server", "names")] == [True] * 2
    assert checks["vn-quiet", "rules"] is True
    assert ("vn-quiet", "forwarding") not in checks
    stop_servers(tmp_path)
    run(("nft", "insert", "rule", "inet", "bascule_lab", "forward", "accept"), namespace=host)
    write_sysctl("net/ipv6/conf/all/forwarding", "0", namespace=host)
    checks = seen()
    assert [checks["vn-lab", x] for x in ("name-server", "rules", "forwarding")] == [False] * 3
    assert ("vn-lab", "names") not in checks
