"""The servers of a host's own virtual networks: what is wanted, what leads there, what starts with the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge
from bascule.model.site import Mode, PlugKind, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.make import make_plan
from bascule.plan.step import Phase, Step
from bascule.providers.dnsmasq import DNSMASQ
from bascule.providers.dnsmasq.observe import observe
from bascule.providers.dnsmasq.old import parts_from_besides
from bascule.providers.dnsmasq.state import DnsmasqState, Server
from bascule.providers.files import SYMLINK
from bascule.providers.protocol import PlanInputs, ThreeWay
from tests.guests.values import SSH, guest, nic, site, virtual_network

EMPTY = DnsmasqState(folder="/state/networks", program="/usr/sbin/dnsmasq")
LAB = site(guest("g", nic("g", 0, "lab", "dhcp", plug=PlugKind.NETWORK)), networks=(virtual_network(Mode.NAT),))


def with_part(state: HostState, part: DnsmasqState = EMPTY) -> HostState:
    return DNSMASQ.with_part(state, part)


def wanted(told: Site, observed: HostState, *, lasting: bool = False) -> HostState:
    """The kernel's part and the servers' behind it."""
    host = told.hosts["h"]
    _, state = make_plan(told, host, replace(observed, parts={}))
    found = DNSMASQ.want(told, host, observed, state, PlanInputs(lasting=lasting))
    return with_part(state, found.part)


def steps(before: HostState, after: HostState) -> list[Step]:
    return list(DNSMASQ.diff(before, after))


def lines(one: Step) -> list[str]:
    return [str(command).splitlines()[0].split(" --conf-file")[0] for command in one.commands]


def test_a_network_gets_its_server_and_loses_it_again() -> None:
    before = with_part(HostState())
    after = wanted(LAB, before)
    (one,) = steps(before, after)
    assert (one.subject, one.action, one.phase) == ("dnsmasq of lab", "started (DHCP and DNS)", Phase.SERVER)
    assert lines(one) == ["dnsmasq --pid-file=/state/networks/lab.pid"]
    assert steps(after, wanted(LAB, after)) == []
    other = wanted(site(networks=(virtual_network(Mode.ISOLATED),)), after)
    (anew,) = steps(after, other)
    assert anew.action == "started anew: what it answers has changed"
    assert lines(anew)[0] == "pkill --pidfile /state/networks/lab.pid"
    gone = wanted(site(), with_part(replace(after, parts={}), DNSMASQ.part(after)))
    (end,) = steps(after, gone)
    assert (end.action, end.phase) == ("ended", Phase.END_SERVER)
    assert lines(end)[-1] == "rm -f /state/networks/lab.pid /state/networks/lab.leases"


def test_where_systemd_starts_the_machine_it_starts_the_network() -> None:
    before = with_part(HostState())
    after = wanted(LAB, before, lasting=True)
    (one,) = steps(before, after)
    assert lines(one) == [
        "install -D -m 0700 /dev/stdin /state/networks/lab.sh <<'.'",
        "install -D -m 0644 /dev/stdin /etc/systemd/system/bascule-network-lab.service <<'.'",
        "systemctl daemon-reload",
        "systemctl enable bascule-network-lab.service",
        "systemctl restart bascule-network-lab.service",
    ]
    server = DNSMASQ.part(after).servers["lab"]
    assert "ExecStartPre=/state/networks/lab.sh" in server.unit
    assert "PIDFile=/state/networks/lab.pid" in server.unit
    assert "ExecStart=/usr/sbin/dnsmasq --pid-file=" in server.unit
    assert "ip link add" in server.script
    assert steps(after, wanted(LAB, after, lasting=True)) == []
    files = DNSMASQ.files(after)
    assert files["/etc/systemd/system/multi-user.target.wants/bascule-network-lab.service"] == (
        "/etc/systemd/system/bascule-network-lab.service",
        SYMLINK,
    )
    assert DNSMASQ.lasts(before, after)
    assert not DNSMASQ.lasts(before, wanted(LAB, before))


def test_a_unit_that_somebody_disabled_is_enabled_again_and_the_server_is_left_alone() -> None:
    after = wanted(LAB, with_part(HostState()), lasting=True)
    part = DNSMASQ.part(after)
    off = with_part(after, replace(part, servers={"lab": replace(part.servers["lab"], enabled=False)}))
    (one,) = steps(off, wanted(LAB, off, lasting=True))
    assert one.action == "started with the machine from now on"
    assert lines(one) == ["systemctl enable bascule-network-lab.service"]
    assert [*DNSMASQ.files(off)] == ["/state/networks/lab.sh", "/etc/systemd/system/bascule-network-lab.service"]
    assert DNSMASQ.put_right(ThreeWay(before=with_part(HostState()), wanted=after, now=off)) == part
    (gone,) = steps(off, with_part(off, replace(part, servers={})))
    assert "rm -f /etc/systemd/system/bascule-network-lab.service" in lines(gone)


def test_a_unit_of_somebody_else_with_the_name_of_ours_stays_or_comes_back(tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    theirs = "[Service]\nExecStart=/usr/local/bin/theirs\n"
    (units / "bascule-network-lab.service").write_text(theirs)
    seen = with_part(HostState(), observe(tmp_path, str(units)))
    assert steps(seen, wanted(site(), seen, lasting=True)) == []
    after = wanted(LAB, seen, lasting=True)
    assert "ExecStart=/usr/sbin/dnsmasq" in DNSMASQ.part(after).servers["lab"].unit
    found = DNSMASQ.merge(ThreeWay(before=seen, wanted=after, now=after))
    assert found.part.servers["lab"].unit == theirs
    (back,) = steps(after, with_part(after, found.part))
    assert lines(back)[-3:] == [
        f"install -D -m 0644 /dev/stdin {units}/bascule-network-lab.service <<'.'",
        "systemctl daemon-reload",
        "systemctl disable bascule-network-lab.service",
    ]


def test_a_network_without_a_server_is_made_again_too_and_not_when_it_is_gone() -> None:
    told = site(networks=(replace(virtual_network(Mode.NAT), dhcp=None),))
    before = with_part(HostState())
    assert steps(before, wanted(told, before)) == []
    after = wanted(told, before, lasting=True)
    (one,) = steps(before, after)
    assert one.subject == "start of lab"
    assert one.action == "its bridge is made again when the machine starts"
    assert "ExecStart=/bin/true" in DNSMASQ.part(after).servers["lab"].unit
    gone = wanted(site(), after, lasting=True)
    (end,) = steps(after, gone)
    assert (end.subject, end.action) == ("start of lab", "not made again when the machine starts")
    assert lines(end)[0] == "systemctl disable --now bascule-network-lab.service"
    assert steps(after, wanted(site(), after)) == [], "where nothing may last, what lasts is left alone"


@pytest.mark.parametrize("declared", [True, False])
def test_a_unit_of_version_0_1_0_that_loads_the_rules_of_libvirts_network_goes(declared: bool) -> None:
    """Rules are loaded by one unit for all; this one stayed for ever when the network left the file."""
    told = site(
        guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK)),
        networks=(virtual_network(Mode.NAT, forwards=(SSH,)),),
    )
    told = told if declared else site()
    host = told.hosts["h"]
    old = Server(script="#!/bin/sh\nset -e\nnft -f - <<'.'\ntable inet bascule_lab\n.\n", unit="[Unit]\n")
    bridge = Link(name=IfName("vn-lab"), options=Bridge())  # libvirt's
    before = HostState.of([bridge], parts={"libvirt": object(), "dnsmasq": replace(EMPTY, servers={"lab": old})})
    found = DNSMASQ.want(told, host, before, before, PlanInputs(lasting=True))
    (one,) = steps(before, DNSMASQ.with_part(before, found.part))
    assert (one.subject, one.action) == ("start of lab", "not made again when the machine starts")
    assert lines(one) == [
        "systemctl disable --now bascule-network-lab.service",
        "rm -f /state/networks/lab.sh",
        "rm -f /etc/systemd/system/bascule-network-lab.service",
        "systemctl daemon-reload",
    ]
    assert found.reasons["start of lab"] == "bascule-rules.service loads all rules"
    assert DNSMASQ.want(told, host, before, before, PlanInputs()).part == DNSMASQ.part(before)


@pytest.mark.parametrize("lasting", [True, False])
def test_the_way_back_is_what_stood(lasting: bool) -> None:
    before = with_part(HostState())
    after = wanted(LAB, before, lasting=lasting)
    found = DNSMASQ.merge(ThreeWay(before=before, wanted=after, now=after, applied=after))
    assert found.part == DNSMASQ.part(before)
    assert DNSMASQ.from_json(DNSMASQ.to_json(DNSMASQ.part(after))) == DNSMASQ.part(after)
    again = with_part(after, found.part)
    assert steps(again, again) == []


def test_what_a_unit_made_at_a_start_goes_with_the_change() -> None:
    before = with_part(HostState())
    after = wanted(LAB, before, lasting=True)
    found = DNSMASQ.merge(ThreeWay(before=before, wanted=after, now=after, rebooted=True))
    some = steps(after, with_part(after, found.part))
    assert lines(some[-1]) == ["ip link del dev vn-lab", "nft -f - <<'.'"]
    done = with_part(HostState(), found.part)
    assert steps(done, done) == []


def test_a_checkpoint_of_version_0_1_0_is_read() -> None:
    kept = {
        "folder": "/state/networks",
        "lasting": True,
        "rules_only": [],
        "running": {"lab": ["--pid-file=/state/networks/lab.pid"], "new": None},
        "files": {
            "/state/networks/lab.sh": "#!/bin/sh\n",
            "/etc/systemd/system/bascule-network-lab.service": "[Unit]\n",
            "/state/networks/new.sh": None,
            "/etc/systemd/system/bascule-network-new.service": None,
        },
    }
    before, made = parts_from_besides(kept)
    lab = Server(arguments=("--pid-file=/state/networks/lab.pid",), script="#!/bin/sh\n", unit="[Unit]\n")
    assert before.servers == {"lab": lab}
    now = replace(before, servers={"lab": Server(arguments=("other",)), "new": Server(arguments=("x",))})
    first, second, third = (HostState(parts={"dnsmasq": part}) for part in (before, made, now))
    change = ThreeWay(before=first, wanted=second, now=third)
    assert DNSMASQ.merge(change).part.servers == before.servers


def test_files_of_the_folder_are_seen(tmp_path: Path) -> None:
    (tmp_path / "lab.sh").write_text("#!/bin/sh\n")
    (tmp_path / "bascule-network-lab.service").write_text("[Unit]\n")
    (tmp_path / "other.pid").write_text("1")
    seen = observe(tmp_path, str(tmp_path))
    assert seen.servers == {"lab": Server(script="#!/bin/sh\n", unit="[Unit]\n", enabled=False)}
