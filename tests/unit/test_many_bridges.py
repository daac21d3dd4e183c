"""A host of four times the bridges and guests is four times the work, in each step of a plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bascule.apply.prepare import prepare_from
from bascule.apply.rollback.checkpoint import Status
from bascule.apply.rollback.preview import UndoPreview
from bascule.cli.show.plan import show_plan
from bascule.cli.show.undo import show_preview
from bascule.model.kernel_parameters import FORWARDING, conf
from bascule.model.links import Physical, Tap
from bascule.model.site import Site
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.diff import diff
from bascule.plan.guest_ports import losses
from bascule.providers.ovs import OVS
from bascule.providers.ovs.state import SwitchState
from bascule.site import parse
from bascule.topology.graph import Topology
from bascule.topology.sweep.equivalence import EquivalenceClasses
from bascule.topology.trace.network import HostNetwork
from bascule.verify.reachability.all_pairs.changes import ReachChange, what_changes
from bascule.verify.reachability.all_pairs.separate_segments import SeparateSegments
from bascule.verify.reachability.host_model import model_host
from bascule.verify.wire.foreign_macs import uplinks_of
from bascule.verify.wire.macs_inside import MacsInside
from tests.work import assert_linear

BRIDGES = 60


def text(number: int, *, kind: str = "") -> str:
    """So many bridges with two guests each."""
    nics = "".join(f"      e{n}: {{network: n{n}}}\n" for n in range(number))
    networks = "".join(f"  n{n}: {{subnet: 10.{n // 200}.{n % 200}.0/24}}\n" for n in range(number))
    bridges = "".join(f"      br{n}: {{{kind}uplink: e{n}}}\n" for n in range(number))
    guests = "".join(
        f"  g{n}-{m}: {{host: h, nics: [{{bridge: br{n}, address: 10.{n // 200}.{n % 200}.{m + 9}/24}}]}}\n"
        for n in range(number)
        for m in range(2)
    )
    return f"site: s\nnetworks:\n{networks}hosts:\n  h:\n    nics:\n{nics}    bridges:\n{bridges}guests:\n{guests}"


def found(number: int) -> HostState:
    """The host before: its NICs."""
    return HostState.of(
        [
            Link(name=IfName(f"e{n}"), options=Physical(), mac=Mac(f"52:54:00:00:{n // 256:02x}:{n % 256:02x}"))
            for n in range(number)
        ]
    )


def read(number: int, kind: str) -> Callable[[], object]:
    data = text(number, kind=kind).encode()
    return lambda: parse(data, "site.yaml")


def planned(number: int, kind: str) -> Callable[[], object]:
    site, state = parse(text(number, kind=kind).encode(), "site.yaml"), found(number)
    return lambda: prepare_from(site, site.hosts["h"], state)


def shown(number: int, kind: str) -> Callable[[], object]:
    site = parse(text(number, kind=kind).encode(), "site.yaml")
    plan = prepare_from(site, site.hosts["h"], found(number)).plan
    return lambda: show_plan("h", plan, columns=100)


@pytest.mark.parametrize("kind", ["", "vlan_aware: true, ", "guard: strict, "])
@pytest.mark.parametrize("task", [read, planned, shown])
def test_four_times_the_bridges_are_four_times_the_work(
    task: Callable[[int, str], Callable[[], object]], kind: str
) -> None:
    task(4, kind)()  # what is made once
    assert_linear(lambda number: task(number, kind), BRIDGES)


def parameters(number: int) -> Callable[[], object]:
    keys = [conf(6, f"e{n}", "accept_ra") for n in range(number)]
    before, after = (replace(found(number), sysctls=dict.fromkeys(keys, value)) for value in "10")
    return lambda: diff(before, after)


def test_four_times_the_parameters_are_four_times_the_work() -> None:
    parameters(4)()
    assert_linear(parameters, 400)


def on_one_bridge(number: int, kind: str = "") -> tuple[Site, HostState]:
    """So many guests on one bridge, and the host with all of their taps on it."""
    nics = [f"{{bridge: br0, tap: t{n}, address: 10.0.{n // 200}.{n % 200 + 9}/16}}" for n in range(number)]
    guests = "".join(f"  g{n}: {{host: h, nics: [{nic}]}}\n" for n, nic in enumerate(nics))
    hosts = f"hosts: {{h: {{nics: {{e0: }}, bridges: {{br0: {{{kind}uplink: e0}}}}}}}}"
    site = parse(f"site: s\n{hosts}\nguests:\n{guests}".encode(), "s")
    taps = [Link(name=IfName(f"t{n}"), options=Tap()) for n in range(number)]
    before = OVS.with_part(HostState.of([*found(1).links.values(), *taps]), SwitchState(socket="db.sock"))
    return site, prepare_from(site, site.hosts["h"], before).wanted


def lost(number: int) -> Callable[[], object]:
    site, state = on_one_bridge(number)
    return lambda: (losses(state, state), prepare_from(site, site.hosts["h"], state))


def test_four_times_the_guests_of_one_bridge_are_four_times_the_work() -> None:
    lost(4)()
    assert_linear(lost, 80)


def heard(number: int) -> Callable[[], object]:
    """Who is listened for on the wires and the bridges of a host."""
    site = parse(text(number).encode(), "site.yaml")
    state = prepare_from(site, site.hosts["h"], found(number)).wanted
    return lambda: (list(uplinks_of(site, site.hosts["h"], state, ())), MacsInside(site, site.hosts["h"], state))


def test_four_times_the_bridges_are_four_times_the_work_of_verify() -> None:
    heard(4)()
    assert_linear(heard, BRIDGES)


def difference(site: Site, network: HostNetwork, wanted: HostState) -> ReachChange:
    host, topology = site.hosts["h"], Topology.of(site)
    before = model_host(network, "h", "this host", site, host, topology=topology)
    return what_changes(before, site, host, wanted, topology)


def compared(number: int) -> Callable[[], object]:
    site, before = parse(text(number).encode(), "site.yaml"), found(number)
    after = prepare_from(site, site.hosts["h"], before).wanted
    return lambda: difference(site, HostNetwork(state=before), after)


def compared_on_waiting_taps(number: int, *, up: bool = False, kind: str = "", **sysctls: str) -> Callable[[], object]:
    """The same where each guest's tap stands there without a bridge: down, or up as its guest runs."""
    site, after = on_one_bridge(number, kind)
    links = (
        replace(link, master=None, up=up, addresses=(Address(ip=f"fe80::{place + 1:x}/64"),) if up else ())
        if isinstance(link.options, Tap)
        else link
        for place, link in enumerate(after.links.values())
    )
    before = HostNetwork(state=HostState.of(links), sysctls=sysctls)
    return lambda: difference(site, before, after)


def compared_on_taps_that_are_up(number: int) -> Callable[[], object]:
    return compared_on_waiting_taps(number, up=True)


def compared_on_a_host_that_forwards(number: int) -> Callable[[], object]:
    return compared_on_waiting_taps(number, up=True, **{FORWARDING[4]: "1", FORWARDING[6]: "1"})


def compared_with_a_switch(number: int) -> Callable[[], object]:
    return compared_on_waiting_taps(number, up=True, kind="kind: openvswitch, ")


def compared_on_many_bridges(number: int) -> Callable[[], object]:
    """The same where each two guests are on a bridge of their own, one of them not yet."""
    site = parse(text(number).encode(), "site.yaml")
    taps = [Link(name=nic.tap, options=Tap()) for nic in site.guest_nics("h")]
    after = prepare_from(site, site.hosts["h"], HostState.of([*found(number).links.values(), *taps])).wanted
    before = HostState.of(
        replace(link, master=None) if link.name == taps[0].name else link for link in after.links.values()
    )
    return lambda: difference(site, HostNetwork(state=before), after)


def test_only_those_are_compared_that_can_meet() -> None:
    compared_on_many_bridges(4)()
    assert_linear(compared_on_many_bridges, 40)
    opened = compared_on_many_bridges(4)()
    assert isinstance(opened, ReachChange)
    assert {pair for some in opened.opens for pair in some.pairs} == {("g0-0", "g0-1"), ("g0-1", "g0-0")}


def test_segments_are_apart_where_nothing_hands_on_from_one_to_another() -> None:
    site = parse(text(2).encode(), "site.yaml")
    taps = [Link(name=nic.tap, options=Tap()) for nic in site.guest_nics("h")]
    state = prepare_from(site, site.hosts["h"], HostState.of([*found(2).links.values(), *taps])).wanted

    def apart(one: str, other: str, **sysctls: str) -> bool:
        network = HostNetwork(state=state, sysctls={key.replace("_", "/", 2): value for key, value in sysctls.items()})
        segments = SeparateSegments(model_host(network, "h", "this host", site, site.hosts["h"]))
        first, second = (segments.of(name) for name in (one, other))
        return first is not None and second is not None and first.isdisjoint(second)

    assert apart("g0-0", "g1-0")
    assert not apart("g0-0", "g0-1")
    assert not apart("g0-0", "h")
    assert not apart("g0-0", "g1-0", net_ipv4_ip_forward="1")


@pytest.mark.parametrize(
    "task",
    [
        compared,
        compared_on_waiting_taps,
        compared_on_taps_that_are_up,
        compared_on_a_host_that_forwards,
        compared_with_a_switch,
    ],
)
def test_guests_that_are_off_or_wait_are_not_compared_one_with_another(
    task: Callable[[int], Callable[[], object]],
) -> None:
    task(4)()
    assert_linear(task, 40)


def test_a_waiting_tap_with_parameters_of_its_own_is_unlike_the_others() -> None:
    site, after = on_one_bridge(4)
    links = {name: replace(link, master=None, up=False) for name, link in after.links.items()}
    sysctls = {conf(4, f"t{n}", "proxy_arp"): str(int(n == 2)) for n in range(4)}
    network = HostNetwork(state=replace(after, links=links, sysctls=sysctls))
    known = model_host(network, "h", "this host", site, site.hosts["h"]).known
    ends = [known[f"g{n}"].ends[0] for n in range(4)]
    found = [EquivalenceClasses(network, ends).way(end) for end in ends]
    assert found[0] == found[1] == found[3] != found[2]


def test_the_way_back_of_many_bridges_fits_a_screen() -> None:
    site = parse(text(BRIDGES).encode(), "site.yaml")
    links = (
        replace(link, up=True, addresses=(Address(ip=f"fe80::{place + 1:x}/64"),))
        for place, link in enumerate(found(BRIDGES).links.values())
    )
    before = HostState.of(links)
    made = prepare_from(site, site.hosts["h"], before).wanted
    seen = UndoPreview(number=1, status=Status.CONFIRMED, made_at=0.0, site="site.yaml", plan=diff(made, before))
    shown = show_preview(seen, columns=100)
    assert len(shown.splitlines()) <= 24, shown
    assert "address fe80::…/64" in shown
    assert "delete bridge" in shown
