from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings

from bascule.draw import SeenHost, draw
from bascule.draw.formats import FORMATS
from bascule.draw.formats.canvas import cells
from bascule.draw.layout.hostblock import clip
from bascule.errors import UsageFault
from bascule.model.site import Host, Mode, Site
from bascule.site import parse
from tests.draw import sites
from tests.draw.strategies import observed_sites
from tests.draw.test_geometry import calm
from tests.patience import HUNG_S

SVG = "{http://www.w3.org/2000/svg}"


@settings(calm, max_examples=15)
@given(observed_sites())
def test_no_site_and_no_host_breaks_a_format(drawn: tuple[Any, Any]) -> None:
    site, observed = drawn
    for form in FORMATS:
        drawing = draw(site, format=form, observed=observed)
        for guest in site.guests.values():
            assert guest.name in drawing
    ET.fromstring(draw(site, format="svg", observed=observed))
    for width in (40, 80):
        drawing = draw(site, width=width, observed=observed, ascii=True)
        assert drawing.isascii()
        assert max(map(cells, drawing.splitlines())) <= width
        ends = [*site.guests, *site.machines]
        if len(ends) > 1:
            assert draw(site, width=width, observed=observed, highlight=(ends[0], ends[-1]))


def elements(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)


@pytest.mark.parametrize("make", [sites.production, sites.trunk, sites.lab])
def test_svg_stands_alone(make: Any) -> None:
    drawing = draw(make(), format="svg")
    root = elements(drawing)
    assert not [e for e in root.iter() if e.tag in {f"{SVG}script", f"{SVG}image", f"{SVG}use", f"{SVG}foreignObject"}]
    assert drawing.count("http") == 1  # the namespace's name, which nothing fetches
    assert "@import" not in drawing
    assert "url(" not in drawing


@pytest.mark.parametrize("make", [sites.production, sites.trunk, sites.lab])
def test_every_element_is_in_the_svg_and_speaks_to_a_screen_reader(make: Any) -> None:
    site = make()
    root = elements(draw(site, format="svg"))
    labels = " ".join(group.get("aria-label", "") for group in root.iter(f"{SVG}g"))
    names = [*site.networks, *site.guests, *site.machines]
    for host in site.hosts.values():
        names += [*host.nics, *host.bonds, *host.bridges, *host.virtual_networks]
    names += [nic.tap for guest in site.guests.values() for nic in guest.nics]
    for name in names:
        assert name in labels
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None


def test_hover_shows_mac_addresses_mtu_and_vlans() -> None:
    site, state = sites.drifted()
    root = elements(draw(site, format="svg", observed={"vmserver": state}))
    tips = [tip.text or "" for tip in root.iter(f"{SVG}title")]
    eth2 = next(tip for tip in tips if tip.startswith("nic eth2"))
    for words in ("MAC 52:54:00:aa:00:02", "192.168.1.10/24", "MTU 1500 bytes"):
        assert words in eth2
    trunk = " ".join(tip.text or "" for tip in elements(draw(sites.trunk(), format="svg")).iter(f"{SVG}title"))
    assert "trunk with VLAN 10,20-29" in trunk


def test_each_network_has_a_line_style_of_its_own_besides_its_colour() -> None:
    from bascule.draw.formats.style import DARK, DASHES, LIGHT, network_style

    assert len(set(DASHES)) == len(DASHES) == len(set(LIGHT)) == len(set(DARK))
    assert len({network_style(number) for number in range(64)}) == 64


def test_title_date_and_hash_are_inside() -> None:
    site = sites.production()
    drawing = draw(site, format="svg", date="2026-11-22")
    for words in ("production", "2026-11-22", site.source.digest):
        assert words in drawing
    assert "2026" not in draw(site, format="svg")


def test_states_are_words_and_not_only_colours() -> None:
    site, state = sites.drifted()
    for form in ("svg", "text"):
        drawing = draw(site, format=form, observed={"vmserver": state}, width=120)
        for words in ("no carrier", "blocked by STP", "isolated", "down", "wanted", "drifted", "foreign"):
            assert words in drawing, (form, words)
        assert "guest_02.0: become a port of br3 (from br4)" in drawing
        assert "eth3: address 129.230.1.10/16" in drawing


def test_a_host_as_wanted_shows_no_difference() -> None:
    from bascule.model.links import Bridge, Physical, Tap
    from bascule.model.state import Address, HostState, Link, LinkFacts
    from bascule.model.values import IfName

    def link(name: str, options: Any, master: str | None = None, *ips: str) -> Link:
        where = IfName(master) if master else None
        own = tuple(Address(ip=ip) for ip in ips)
        return Link(
            name=IfName(name), options=options, master=where, up=True, facts=LinkFacts(carrier=True), addresses=own
        )

    state = HostState.of(
        [
            link("eth2", Physical(), None, "192.168.1.10/24"),
            link("eth3", Physical(), None, "129.230.1.10/16"),
            link("eth4", Physical(), "br3"),
            link("eth5", Physical(), "br4"),
            link("br3", Bridge()),
            link("br4", Bridge()),
            link("guest_01.0", Tap(), "br4"),
            link("guest_02.0", Tap(), "br3"),
            link("guest_03.0", Tap(), "br3"),
        ]
    )
    document = json.loads(draw(sites.production(), format="json", observed={"vmserver": SeenHost(state=state)}))
    presences = {node["id"]: node["presence"] for node in document["nodes"] if node.get("host")}
    assert set(presences.values()) <= {"present", "declared"}
    assert presences["vmserver/link/br3"] == "present"


def test_a_live_host_without_a_file_calls_nothing_foreign() -> None:
    _, state = sites.drifted()
    bare = Site(name="vmserver", hosts={"vmserver": Host(name="vmserver")})
    drawing = draw(bare, observed={"vmserver": state}, width=120)
    assert "foreign" not in drawing
    for name in ("br3", "br4", "docker0", "eth7", "guest_02.0", "vethabc"):
        assert name in drawing


def test_alike_guests_become_one_with_a_count_and_keep_their_names() -> None:
    nets = [sites.INTERNAL]
    host = sites.host("h", sites.nic("eth0", "internal"), sites.bridge("br0", "eth0"))
    guests = [sites.guest(f"web-{i:02}", "h", sites.plug("br0", "dhcp")) for i in range(1, 21)]
    guests.append(sites.guest("db", "h", sites.plug("br0", "dhcp")))
    site = sites.site("farm", nets, [host], guests)
    drawing = draw(site, format="svg")
    assert "web-01…web-20 ×20" in drawing
    assert "web-13" in drawing  # on pointing
    assert "web-13" not in draw(site, width=80)  # between web-01 and web-20
    assert draw(site, format="svg", collapse=None).count(">web-13<") == 1
    document = json.loads(draw(site, format="json"))
    assert len([node for node in document["nodes"] if node["kind"] == "guest"]) == 21


@pytest.mark.parametrize("mode", list(Mode))
def test_a_virtual_network_says_how_it_leads_out(mode: Mode) -> None:
    words = {
        Mode.NAT: ["masquerade", "out as 192.168.1.10", "in :2222 → vm1 tcp/22", "all else: no way in"],
        Mode.ROUTED: ["routing", "no translation"],
        Mode.ISOLATED: ["no way out"],
        Mode.OPEN: ["routing", "host's rules decide"],
    }[mode]
    drawing = draw(sites.lab(mode), width=120)
    for word in words:
        assert word in drawing


MERMAID = re.compile(
    "|".join(
        (
            r"flowchart TB",
            r'  subgraph host\d+ \["[^"]*"\]',
            r"  end",
            r'(  ){1,2}n\d+(\["[^"]*"\]|\[\["[^"]*"\]\]|\(\["[^"]*"\]\)|\{\{"[^"]*"\}\}|\[/"[^"]*"/\])',
            r"  n\d+ (---|===|-\. wanted \.-|-- drifted ---) n\d+",
            r"  linkStyle \d+(,\d+)* stroke-width:4px",
            r"  classDef \w+ [\w:# -]+",
            r"  class n\d+(,n\d+)* \w+",
        )
    )
)
"""The lines of Mermaid's flowcharts that we use; its own parser (version 11) takes them."""


@pytest.mark.parametrize("drawn", [(sites.production(), {}), (sites.trunk(), {}), sites.drifted()])
def test_mermaid_is_of_the_lines_that_its_parser_takes(drawn: Any) -> None:
    site, state = drawn
    observed = {"vmserver": state} if state else None
    way = ("guest_02", "customer") if site.name == "production" else None
    for line in draw(site, format="mermaid", observed=observed, highlight=way).splitlines():
        assert MERMAID.fullmatch(line), line


@pytest.mark.parametrize("words", ['a "b"', "<b>&amp;", "end", "#35;", "1. x", "x]", "y)", "{{", "--x"])
def test_mermaid_keeps_words_inside_their_quotes(words: str) -> None:
    host = sites.host("h", sites.nic("eth0"), sites.bridge("br0", "eth0"))
    drawing = draw(sites.site("s", [], [host], [sites.guest(words, "h", sites.plug("br0"))]), format="mermaid")
    assert all(MERMAID.fullmatch(line) for line in drawing.splitlines())


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
@pytest.mark.parametrize("make", [sites.production, sites.trunk, sites.lab])
def test_graphviz_takes_the_dot(make: Any) -> None:
    drawn = draw(make(), format="dot", highlight=None)
    done = subprocess.run(["dot", "-Tsvg"], input=drawn.encode(), capture_output=True, timeout=HUNG_S)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UsageFault, match=r"error\[FORMAT\]: 'png' is not a picture format"):
        draw(sites.production(), format="png")


def test_a_crowded_picture_has_every_address_and_says_what_it_leaves_out() -> None:
    drawing = draw(sites.many(60), format="svg", collapse=None)
    shown = re.findall(r">([^<>]*)</text>", drawing)
    assert {"10.0.1.1", "10.1.0.254"} <= set(shown), "a guest with two NICs has both addresses"
    assert "tcp/80" not in shown
    assert "guest (what it serves is left out)" in shown
    assert "guest" in re.findall(r">([^<>]*)</text>", draw(sites.many(3), format="svg"))


def test_long_names_that_differ_at_their_end_stay_different() -> None:
    names = [f"a-guest-with-a-name-as-long-as-this-{number}" for number in ("01", "02")]
    cut = {clip(name, 20) for name in names}
    assert cut == {"a-guest-wi…s-this-01", "a-guest-wi…s-this-02"}


def test_what_decides_on_packets_and_is_of_no_link_stands_behind_the_hosts_name() -> None:
    text = (
        b"site: s\nhosts: {h: {memory: 64GiB, nics: {e0: {address: 10.0.0.5/24}}, bridges: {b0: {uplink: none}, b1: "
        b"{uplink: none}}, rules: [{from: 10.9.0.0/16, action: prohibit, priority: 7}], "
        b"routes: [{to: 10.6.0.0/16, type: blackhole}, {to: 10.7.0.0/16, type: throw}]}}\n"
    )
    site = parse(text, "s.yaml")
    said = "64 GiB memory, 1 policy rule, 2 routes on no single link"
    assert f"h · {said}" in draw(site, format="text", width=100)
    assert said in draw(site, format="svg")
