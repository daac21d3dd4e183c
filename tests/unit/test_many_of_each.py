"""Four times as many of whatever a site file has are about four times the work, in each thing that is done with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from bascule.apply.prepare import prepare_from
from bascule.cli.show.plan import show_plan
from bascule.cli.show.problems import show_remarks
from bascule.draw import draw
from bascule.model.links import Physical
from bascule.model.site import Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.site import parse
from bascule.site.remarks import remarks
from bascule.topology.graph import Topology
from bascule.topology.trace.network import HostNetwork
from bascule.verify.reachability.all_pairs.changes import what_changes
from bascule.verify.reachability.host_model import model_host
from tests.work import assert_linear

MANY = 160
LAN = "networks: {lan: {subnet: 10.0.0.0/16, gateway: 10.0.255.254}}\n"


def ip(number: int, last: str = "") -> str:
    return f"10.{number // 200}.{number % 200}.{last}" if last else f"10.0.{number // 200}.{number % 200 + 1}"


def lines(number: int, line: Callable[[int], str]) -> str:
    return "".join(map(line, range(number)))


def hosts(number: int) -> str:
    """A rack: each host with a bridge, an address on it and a guest."""
    nic = "nics: {eth0: {network: lan}}"
    text = lines(
        number, lambda n: f"  h{n or ''}: {{{nic}, bridges: {{br0: {{uplink: eth0, address: {ip(n)}/16}}}}}}\n"
    )
    guests = lines(
        number, lambda n: f"  g{n}: {{host: h{n or ''}, nics: [{{bridge: br0, address: {ip(n + 9000)}/16}}]}}\n"
    )
    return f"{LAN}hosts:\n{text}guests:\n{guests}"


def networks_with_tags(number: int) -> str:
    """Networks that arrive with a tag on one bridge, each with a guest."""
    text = lines(number, lambda n: f"  n{n}: {{subnet: {ip(n, '0')}/24, gateway: {ip(n, '1')}, vlan: {n + 2}}}\n")
    guests = lines(
        number, lambda n: f"  g{n}: {{host: h, nics: [{{bridge: br0, vlan: {n + 2}, address: {ip(n, '9')}/24}}]}}\n"
    )
    host = "hosts: {h: {nics: {eth0: {}}, bridges: {br0: {uplink: eth0, vlan_aware: true}}}}\n"
    return f"networks:\n{text}{host}guests:\n{guests}"


def virtual_networks(number: int) -> str:
    text = lines(
        number, lambda n: f"      v{n}: {{mode: nat, subnet: {ip(n, '0')}/24, dhcp: {ip(n, '100')}-{ip(n, '200')}}}\n"
    )
    guests = lines(number, lambda n: f"  g{n}: {{host: h, nics: [{{network: v{n}}}]}}\n")
    return f"hosts:\n  h:\n    nics: {{eth0: {{}}}}\n    virtual_networks:\n{text}guests:\n{guests}"


def forwards(number: int) -> str:
    text = lines(number, lambda n: f"          - {{host: {2000 + n}, to: g{n}, service: tcp/22}}\n")
    nic = "network: v, address: "
    guests = lines(number, lambda n: f"  g{n}: {{host: h, nics: [{{{nic}{ip(n + 1)}/16}}], serves: [tcp/22]}}\n")
    network = f"      v:\n        mode: nat\n        subnet: 10.0.0.0/16\n        forwards:\n{text}"
    return f"hosts:\n  h:\n    nics: {{eth0: {{}}}}\n    virtual_networks:\n{network}guests:\n{guests}"


def guests(number: int, plug: str) -> str:
    text = lines(number, lambda n: f"  g{n}: {{host: h, nics: [{{{plug}, address: {ip(n)}/16}}]}}\n")
    bridges = ", bridges: {br0: {uplink: eth0}}" if "br0" in plug else ""
    return f"{LAN}hosts: {{h: {{nics: {{eth0: {{network: lan}}}}{bridges}}}}}\nguests:\n{text}"


def guests_on_a_bridge(number: int) -> str:
    return guests(number, "bridge: br0")


def guests_with_guards(number: int) -> str:
    return guests(number, "bridge: br0, guard: strict")


def guests_on_a_shared_nic(number: int) -> str:
    return guests(number, "direct: eth0")


def machines(number: int) -> str:
    text = lines(number, lambda n: f"  m{n}: {{nics: [{{network: lan, address: {ip(n)}/16}}]}}\n")
    return f"{guests(1, 'bridge: br0').replace('10.0.0.1/', '10.0.200.1/')}machines:\n{text}"


SHAPES = (
    hosts,
    networks_with_tags,
    virtual_networks,
    forwards,
    guests_on_a_bridge,
    guests_with_guards,
    guests_on_a_shared_nic,
    machines,
)


def site_of(shape: Callable[[int], str], number: int) -> Site:
    return parse(f"site: s\n{shape(number)}".encode(), "site.yaml")


FOUND = HostState.of([Link(name=IfName("eth0"), options=Physical(), up=True)])


def read(site: Site, text: bytes) -> None:
    parse(text, "site.yaml")


def remarked(site: Site, text: bytes) -> None:
    show_remarks(remarks(site), site.guests)


def planned(site: Site, text: bytes) -> None:
    prepare_from(site, site.hosts["h"], FOUND)


def shown(site: Site, text: bytes) -> None:
    show_plan("h", prepare_from(site, site.hosts["h"], FOUND).plan, columns=100)


def compared(site: Site, text: bytes) -> None:
    host, topology = site.hosts["h"], Topology.of(site)
    wanted = prepare_from(site, host, FOUND).wanted
    before = model_host(HostNetwork(state=FOUND), "h", "this host", site, host, topology=topology)
    what_changes(before, site, host, wanted, topology)


def drawn(site: Site, text: bytes) -> None:
    draw(site, format="svg")


def drawn_as_text(site: Site, text: bytes) -> None:
    draw(site, format="text")


TASKS = (read, remarked, planned, shown, compared, drawn, drawn_as_text)
BOTH_WAYS = {  # each of these makes the picture wider and higher: one more line that the wires of all others cross
    (drawn_as_text, hosts),
    (drawn, networks_with_tags),
    (drawn_as_text, networks_with_tags),
}


@pytest.mark.parametrize(
    ("task", "shape"), [pair for pair in itertools.product(TASKS, SHAPES) if pair not in BOTH_WAYS]
)
def test_four_times_as_many_are_four_times_the_work(
    task: Callable[[Site, bytes], None], shape: Callable[[int], str]
) -> None:
    def of(number: int) -> Callable[[], object]:
        site, text = site_of(shape, number), f"site: s\n{shape(number)}".encode()
        return lambda: task(site, text)

    of(4)()  # what is made once
    assert_linear(of, MANY)
