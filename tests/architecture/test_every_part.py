"""No field of what a provider keeps is forgotten by its diff, and so by plan, verify, status and draw.

A state with something of every provider is changed in one field after the other; the fields are those of the values,
so that one that is new is asked about here without a line. Links, and rows of Open vSwitch, have tests of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from msgspec import Struct, structs
from msgspec.structs import replace

from bascule.draw.scene.compare import SeenHost
from bascule.model.domain import DomainText, NetworkText
from bascule.model.guarding import Bandwidth
from bascule.model.links import Bridge, Physical, Tap
from bascule.model.state import Address, FixedNeighbour, HostState, Link, PortVlans, Route, RoutingRule
from bascule.model.values import IfName
from bascule.plan.batch import script
from bascule.plan.diff import diff
from bascule.plan.drift import drift_goal
from bascule.providers.boot_rules.state import BootRules
from bascule.providers.dnsmasq.state import DnsmasqState, Server
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.ovs.boot_flows.state import BootFlows
from bascule.providers.protocol import ThreeWay
from bascule.providers.qemu.state import QemuGuest, QemuState
from bascule.providers.registry import PROVIDERS
from bascule.providers.shaping.state import Shaping
from bascule.providers.static_fdb.state import StaticFdb
from bascule.providers.wake_on_lan import WakeOnLan
from bascule.verify.state import StateChecks

MAC = "52:54:00:00:00:01"
ADDRESS = Address(ip="192.0.2.7/24", broadcast="192.0.2.255", flags=("noprefixroute",))
LINKS = [
    Link(name=IfName("eth0"), options=Physical(), up=True, addresses=(ADDRESS,)),
    Link(name=IfName("br0"), options=Bridge(vlan_filtering=1), up=True),
    Link(name=IfName("vnet0"), options=Tap(), up=True, master=IfName("br0"), vlans=(PortVlans(first=7, last=7),)),
]
NETWORK = '<network><name>lab</name><forward mode="nat"/><bridge name="vn-lab"/></network>'
DOMAIN = '<domain type="kvm"><name>d</name><memory>1000</memory><os><type>hvm</type></os></domain>'
DEFINITION = {"name": "g", "memory": 1 << 30, "vcpus": 1, "disks": ["/a"], "iso": "", "kernel": "", "initrd": "",
              "cmdline": "", "host": "h",
              "nics": [{"index": 0, "plug": "bridge", "into": "br0", "mac": MAC, "tap": "vnet0"}]}  # fmt: skip
PARTS: dict[str, Any] = {
    "boot_rules": BootRules(file="/rules", rules="a", unit="u", udev="v"),
    "boot_flows": BootFlows(file="/flows", rules="a", script="s", unit="u"),
    "dnsmasq": DnsmasqState(folder="/f", servers={"lab": Server(arguments=("a",), script="s", unit="u")}),
    "qemu": QemuState(
        folder="/q", guests={"g": QemuGuest(definition=DEFINITION, running=True, bridges={"vnet0": "br0"})}
    ),
    "libvirt": LibvirtState(
        uri="qemu:///system",
        domains={"d": DomainText(name="d", running=False, persistent=True, autostart=False, now=DOMAIN, next=DOMAIN)},
        networks={
            "lab": NetworkText(name="lab", active=False, persistent=True, autostart=False, now=NETWORK, next=NETWORK)
        },
    ),
    "shaping": Shaping(limits={"vnet0": Bandwidth(up=1_000_000, down=1_000_000)}, udev="u"),
    "static_fdb": StaticFdb(entries={"vnet0": (MAC,)}, udev="u"),
    "wake_on_lan": {"eth0": WakeOnLan(now=("magic",), able=("magic", "unicast"))},
}
STATE = HostState.of(
    LINKS,
    routes=(
        Route(dst="198.51.100.0/24", dev="eth0", gateway="192.0.2.1", flags=("onlink",), extra=("mtu", "1400")),
        Route(dst="203.0.113.0/24", nexthops=("nexthop via 192.0.2.1 dev eth0 weight 2",)),
    ),
    rules=(RoutingRule(priority=100, words=("from", "192.0.2.0/24", "table", "52")),),
    lost_rules=(RoutingRule(priority=32767, words=("from", "all", "lookup", "default")),),
    neighbours=(FixedNeighbour(ip="192.0.2.9", dev="eth0", mac=MAC, flags=("router",)),),
    parts=PARTS,
)
BEFORE = HostState.of(
    (Link(name=IfName("eth0"), options=Physical(), up=True),),
    parts={
        "boot_rules": BootRules(file="/rules"),
        "boot_flows": BootFlows(file="/flows"),
        "dnsmasq": DnsmasqState(folder="/f"),
        "qemu": QemuState(folder="/q"),
        "libvirt": LibvirtState(uri="qemu:///system"),
        "shaping": Shaping(),
        "static_fdb": StaticFdb(),
        "wake_on_lan": {"eth0": WakeOnLan(now=(), able=("magic", "unicast"))},
    },
)
OTHER: dict[str, Any] = {  # where another text would be no value of the field
    "Address.ip": "192.0.2.8/24",
    "DomainText.next": DOMAIN.replace("1000", "2000"),
    "NetworkText.next": NETWORK.replace("nat", "route"),
    "WakeOnLan.now": ("unicast",),
}
# of a guest a change alters where its NICs are: that it runs, and what else it is defined to be, is no drift
OF_ITS_ADMINISTRATOR = ("QemuGuest.definition", "DomainText.running", "DomainText.next")
WHOLE = {"parts", "QemuGuest.definition"}  # of a part that was not asked nothing is known; a guest always has its NICs
# which rules of the kernel's own are gone no change decides, and of a tap without a bridge its link tells
OF_OTHERS = ("lost_rules without", "QemuGuest.bridges without")
KEEPERS = [one for one in PROVIDERS if one.name in PARTS]
NONE = {  # where it is kept, and by what it is done: nothing on the host differs
    *("DnsmasqState.folder", "DnsmasqState.units", "DnsmasqState.program", "QemuState.folder", "LibvirtState.uri"),
    *("LibvirtState.accel", "DnsmasqState.unmade", "QemuState.again"),  # asked when something is made, or goes back
    *("DomainText.now", "NetworkText.now"),  # of what does not run
    *("DomainText.name", "NetworkText.name", "WakeOnLan.able"),  # who it is, and what it could
    *("DomainText.persistent", "NetworkText.persistent"),  # a change defines, and never makes what is defined pass
    *("QemuGuest.running", "QemuGuest.halted", "DomainText.halted"),  # its administrator starts and resumes it
    *("Route.facts", "Route.lifetime", "Address.lifetime"),  # of the moment
}


def other(value: Any, types: str) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value is None:
        return 7 if "int" in types else "other"
    return value + "other"


def changed(value: Any, words: str = "", types: str = "") -> Iterator[tuple[str, Any]]:
    """The value with one thing in it changed, and the field that this is."""
    if words in OTHER:
        yield words, OTHER[words]
    elif isinstance(value, Struct):
        for field in structs.fields(type(value)):
            name = f"{type(value).__name__}.{field.name}"
            if name not in NONE:
                for place, one in changed(getattr(value, field.name), name, str(field.type)):
                    yield place, replace(value, **{field.name: one})
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if words not in WHOLE:
                yield f"{words} without {key}", {name: one for name, one in value.items() if name != key}
            for place, one in changed(inner, f"{words}[{key}]" if isinstance(inner, str | int) else words):
                yield place, {**value, key: one}
    elif isinstance(value, tuple) and value:
        for number, inner in enumerate(value):
            yield f"{words} without {number}", value[:number] + value[number + 1 :]
            for place, one in changed(inner, words):
                yield place, (*value[:number], one, *value[number + 1 :])
    elif isinstance(value, str | int) or value is None:
        yield words, other(value, types)


OF_LINKS = [
    (place, replace(STATE, links={**STATE.links, link.name: replace(link, **{name: one})}))
    for link, name in ((LINKS[2], "vlans"), (LINKS[0], "addresses"))
    for place, one in changed(getattr(link, name))
]
ELSEWHERE = {"links", "sysctls", "tables"}  # in test_every_field.py; parameters and tables are wholly compared
REST = [
    (place, replace(STATE, **{field.name: one}))
    for field in structs.fields(HostState)
    if field.name not in ELSEWHERE
    for place, one in changed(getattr(STATE, field.name), field.name)
]


@pytest.mark.parametrize(("place", "after"), [*OF_LINKS, *REST], ids=[place for place, _ in (*OF_LINKS, *REST)])
def test_a_field_is_seen(place: str, after: HostState) -> None:
    assert diff(STATE, after).changes, place


@pytest.mark.parametrize(("place", "now"), [*OF_LINKS, *REST], ids=[place for place, _ in (*OF_LINKS, *REST)])
def test_every_verb_says_of_it_what_the_plan_does(place: str, now: HostState) -> None:
    plan = diff(now, STATE)
    told = {(change.subject, change.action) for change in plan.changes}
    assert told or place == "DomainText.running", place
    assert told == set(SeenHost(state=now, plan=plan).drift)
    checks = [(check.subject, check.detail) for check in StateChecks(plan).rest() if check.ok is False]
    assert {(subject, f"to do: {action}") for subject, action in told} == set(checks)
    if place.startswith(OF_OTHERS):
        return
    if place.startswith(OF_ITS_ADMINISTRATOR) and not place.startswith("QemuGuest.definition[nics]"):
        return
    righted = diff(now, drift_goal(ThreeWay(before=BEFORE, wanted=STATE, now=now, applied=STATE), KEEPERS))
    said = {(change.subject, change.action) for change in righted.changes}
    assert said, "status"
    assert said <= told, "status"  # what somebody has put there beside it is his


# with what a server's unit is called the unit is written, and of where there is no tap nothing is said
NOT_IN_WORDS = ("Server.arguments", "BootRules.program", "QemuGuest.bridges")
WITHOUT_VALUES = replace(BEFORE, links={one.name: replace(one, vlans=(), addresses=()) for one in LINKS})


@pytest.mark.parametrize(("place", "one"), [*OF_LINKS, *REST], ids=[place for place, _ in (*OF_LINKS, *REST)])
def test_a_field_is_said_where_it_is_made(place: str, one: HostState) -> None:
    """Seen is not set: a route of another MTU must come with it, and not only be found to be without."""
    words = [script(diff(WITHOUT_VALUES, state)) for state in (STATE, one)]
    assert words[0] != words[1] or place.startswith(NOT_IN_WORDS)


def test_a_state_has_something_of_everything() -> None:
    assert [x.name for x in structs.fields(HostState) if x.name not in ELSEWHERE and not getattr(STATE, x.name)] == []


def test_every_provider_is_asked() -> None:
    elsewhere = {"kernel", "nft", "ovs", "files"}  # links and tables stand flat; tests/ovs has rows; files keeps none
    assert {one.name for one in PROVIDERS} == PARTS.keys() | elsewhere
