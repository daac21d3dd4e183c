"""A host of four times the addressed links is four times the work, from its configuration to a site that is checked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bascule.importer.importing import Sources, import_sources
from bascule.importer.to_site import host_entry
from bascule.model.links import Bridge, Physical, Vlan
from bascule.model.same_subnet import links_of_one_subnet
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac, Vid
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.site import parse
from tests.work import assert_linear


def nics(number: int) -> NetworkConfig:
    """So many NICs with an address each."""
    return NetworkConfig.of(
        [LinkConfig(name=IfName(f"e{n}"), addresses=(f"10.{n // 200}.{n % 200}.5/24",)) for n in range(number)], []
    )


def vlans(number: int) -> NetworkConfig:
    """As many VLANs of one NIC."""
    links = [LinkConfig(name=IfName("e0"))]
    for n in range(2, number):
        tagged = IfName(f"e0.{n}")
        address = f"10.{n // 200}.{n % 200}.5/24"
        links.append(LinkConfig(name=tagged, parent=IfName("e0"), addresses=(address,), options=Vlan(id=Vid(n))))
    return NetworkConfig.of(links, [])


@pytest.mark.parametrize("host", [nics, vlans])
def test_what_a_host_is_written_as(host: Callable[[int], NetworkConfig]) -> None:
    def task(number: int) -> Callable[[], object]:
        config = host(number)
        return lambda: host_entry(config)

    assert_linear(task, 800)


def text(number: int) -> str:
    """So many NICs with an address each, every second one of them on a network of the building."""
    networks = "".join(f"  n{n}: {{subnet: 10.{n // 200}.{n % 200}.0/24}}\n" for n in range(0, number, 2))
    own = [f"network: n{n}, " if n % 2 == 0 else "" for n in range(number)]
    lines = "".join(f"      e{n}: {{{own[n]}address: 10.{n // 200}.{n % 200}.5/24}}\n" for n in range(number))
    return f"site: s\nnetworks:\n{networks}hosts:\n  h:\n    nics:\n{lines}"


def test_what_is_checked_of_it() -> None:
    def task(number: int) -> Callable[[], object]:
        data = text(number).encode()
        return lambda: parse(data, "site.yaml")

    task(8)()  # what is made once
    assert_linear(task, 800)


def test_which_links_are_of_one_subnet() -> None:
    def task(number: int) -> Callable[[], object]:
        site = parse(text(number).encode(), "site.yaml")
        return lambda: list(links_of_one_subnet(site, site.hosts["h"]))

    assert_linear(task, 400)


def running(number: int) -> HostState:
    """So many bridges, each with two NICs as ports."""
    links = []
    for n in range(number):
        bridge = IfName(f"br{n}")
        links.append(Link(name=bridge, options=Bridge(), up=True))
        for port in range(2):
            mac = Mac(f"52:54:00:{port:02x}:{n // 256:02x}:{n % 256:02x}")
            links.append(Link(name=IfName(f"e{n}p{port}"), options=Physical(), master=bridge, mac=mac, up=True))
    return HostState.of(links)


def test_what_runs() -> None:
    def task(number: int) -> Callable[[], object]:
        sources = Sources(host="h", site="s", dialect=None, state=running(number))
        return lambda: import_sources(sources)

    task(4)()
    assert_linear(task, 400)
