"""Where parsers put together what they find, in any order, before it becomes a NetworkConfig."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from msgspec import Struct, field

from bascule.model.dhcp.identity import ClientId
from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import LISTENING, MAIN_TABLE, HostRoute, Ipv6, Ipv6Privacy, PolicyRule
from bascule.model.links import (
    Bond,
    Bridge,
    BridgePort,
    Dummy,
    LinkOptions,
    OpenVSwitch,
    OpenVSwitchBond,
    Physical,
    Vlan,
)
from bascule.model.links.wake_on_lan import Modes
from bascule.model.state import PortVlans
from bascule.model.values import IfName, Mac, parse_ifname
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats.gaps import DOMAIN, PATH
from bascule.persist.formats.host_routes import with_links
from bascule.persist.formats.rules import with_priorities
from bascule.persist.formats.values import default_of, parse_ip
from bascule.persist.parsed import Parsed, UnparsedLines

KINDS: dict[str, type[LinkOptions]] = {
    kind.kind: kind for kind in (Physical, Bridge, Bond, Vlan, Dummy, OpenVSwitch, OpenVSwitchBond)
}
MASTERS = frozenset(kind.kind for kind in (Bridge, Bond, OpenVSwitch, OpenVSwitchBond))
SHORTEST_DELAY = 200  # ticks that a port listens and learns at least where there is a spanning tree
OPTIONS = {kind: frozenset(f for f in options.__struct_fields__) for kind, options in KINDS.items()}


ODD_NAMES = {
    **dict.fromkeys(("tap", "vnet", "macvtap"), "a guest's tap"),
    **dict.fromkeys(("tun", "ppp", "wg", "gre", "sit", "tailscale", "zt"), "a tunnel"),
}


def _stem(name: str) -> str:
    """``tap`` of ``tap0``; nothing where no number follows."""
    found = re.fullmatch(r"([a-z]+)[0-9]+", name)
    return found[1] if found else ""


class LinkDraft(Struct):
    """A link under construction. ``file`` and ``line`` say where it was first named."""

    name: IfName
    file: str
    line: int
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    port: dict[str, Any] = field(default_factory=dict)
    vlans: list[PortVlans] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    routes: list[StaticRoute] = field(default_factory=list)
    dns: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    master: IfName | None = None
    parent: IfName | None = None
    pin_mac: Mac | None = None
    pin_path: str | None = None
    mac: Mac | None = None
    mtu: int | None = None
    wol: Modes | None = None
    dhcp4: bool = False
    client_id: ClientId = ClientId()
    metric: int | None = None
    unused: set[tuple[Offer, int]] = field(default_factory=set)
    ipv6: Ipv6 = Ipv6.OFF
    ipv6_privacy: Ipv6Privacy | None = None
    onboot: bool = True
    drops_untagged: bool = False  # as a port
    no_vlan: set[int] = field(default_factory=set)  # that are taken away from it as a port

    def build(self) -> LinkConfig:
        """The frozen link."""
        return LinkConfig(
            name=self.name,
            options=KINDS[self.kind](**self.options) if self.options else KINDS[self.kind](),
            master=self.master,
            parent=self.parent,
            pin_mac=self.pin_mac,
            pin_path=self.pin_path,
            mac=self.mac,
            mtu=self.mtu,
            wol=self.wol if self.kind == "" else None,
            dhcp4=self.dhcp4,
            client_id=self.client_id,
            metric=self.metric,
            unused=frozenset(self.unused),
            ipv6=self.ipv6,
            ipv6_privacy=self.ipv6_privacy,
            addresses=tuple(self.addresses),
            routes=tuple(self.routes),
            dns=tuple(self.dns),
            search=tuple(dict.fromkeys(self.search)),
            hooks=tuple(dict.fromkeys(self.hooks)),
            port=BridgePort(**self.port) if self.port else None,
            vlans=tuple(self.vlans),
            onboot=self.onboot,
        )


def setter(field: str, parse: Callable[[str], Any]) -> Callable[[LinkDraft, str], None]:
    """What takes a text into one field of a link."""

    def put(draft: LinkDraft, text: str) -> None:
        setattr(draft, field, parse(text))

    return put


def option_setter(field: str, parse: Callable[[str], Any]) -> Callable[[LinkDraft, str], None]:
    """What takes a text into one option of a link."""

    def put(draft: LinkDraft, text: str) -> None:
        draft.options[field] = parse(text)

    return put


def add_gateway(draft: LinkDraft, text: str) -> None:
    """A default gateway of either family."""
    gateway = parse_ip(text)
    draft.routes.append(StaticRoute(dst=default_of(gateway), gateway=gateway))


class Builder:
    """All drafts of a host, and what could not be taken."""

    __slots__ = ("drafts", "excluded", "implied", "left", "routes", "rules", "unmanaged", "unsure")

    def __init__(self) -> None:
        self.drafts: dict[IfName, LinkDraft] = {}
        self.left = UnparsedLines()
        self.implied: dict[str, str] = {}  # masters that are named by their ports, and their kind
        self.unmanaged: list[str] = []
        self.excluded: dict[
            str, str
        ] = {}  # links that are not supported, and why: they are nobody's port and no hardware
        self.unsure: set[IfName] = set()  # masters with ports that nobody can tell
        self.rules: list[PolicyRule] = []
        self.routes: list[tuple[HostRoute, str, int, str]] = []  # with the place and the text of each

    def draft(self, name: str, file: str, line: int) -> LinkDraft:
        """The draft of a link, made if it is new. Raises ValueError for a name that the kernel does not take."""
        known = self.drafts.get(name)  # type: ignore[call-overload]  # a key is a checked name
        if known is not None:
            return known  # type: ignore[no-any-return]
        draft = LinkDraft(parse_ifname(name), file, line)
        self.drafts[draft.name] = draft
        return draft

    def exclude(self, name: str, why: str) -> None:
        """A link that is not supported: ``why`` says what it is ("a team, which is not supported")."""
        self.excluded[name] = why

    def enslave(self, port: str, master: str, file: str, line: int) -> LinkDraft | None:
        """Put a link, which may be new, under a master; a second master is left over, and so is a link not taken."""
        if port in self.excluded:
            self.left.add(file, line, f"{port} under {master}", f"{port} is {self.excluded[port]}")
            self.doubt(master)
            return None
        try:
            draft = self.draft(port, file, line)
            parse_ifname(master)
        except ValueError as wrong:
            self.left.add(file, line, port, str(wrong))
            return None
        if draft.master is not None and draft.master != master:
            self.left.add(file, line, f"{port} under {master}", f"it is under {draft.master} already")
            return draft
        draft.master = IfName(master)
        return draft

    def add_route(self, draft: LinkDraft, route: StaticRoute | HostRoute, file: str, line: int, text: str) -> None:
        """A route that stands at a link: the link's own, or one of the whole host."""
        if isinstance(route, StaticRoute):
            draft.routes.append(route)
        else:
            self.routes.append((route, file, line, text))

    def doubt(self, master: str) -> None:
        """A master has a port that nobody can tell."""
        self.unsure.add(IfName(master))

    def finish(self) -> Parsed:
        """The configuration; what does not fit together is taken out and listed."""
        self._exclude_by_name()
        self._drop_excluded()
        for draft in list(self.drafts.values()):
            self._check_master(draft)
        self._break_loops()
        while any(self._check_vlan(draft) for draft in list(self.drafts.values()) if draft.kind == "vlan"):
            pass  # a VLAN that is dropped may leave another one without parent
        links = []
        for draft in self.drafts.values():
            if draft.master is not None and (what := ", ".join(_of_a_speaker(draft))):
                self.left.add(draft.file, 0, f"{draft.name}: {what}", f"it is a port of {draft.master}")
            self._check_options(draft)
            self._check_words(draft)
            self._keep_default_vlan(draft)
            links.append(draft.build())
        return Parsed(
            config=NetworkConfig.of(links, self.unmanaged, with_priorities(self.rules), self._host_routes(links)),
            left=self.left.done(),
            places={draft.name: (draft.file, draft.line) for draft in self.drafts.values()},
            unsure=frozenset(self.unsure & self.drafts.keys()),
            snooping=frozenset(d.name for d in self.drafts.values() if d.options.get("mcast_snooping")),
            passed=tuple(self.left.passed),
            unmanaged=tuple(dict.fromkeys(self.unmanaged)),
        )

    def _host_routes(self, links: Collection[LinkConfig]) -> Iterator[HostRoute]:
        """The routes on no single link, each way with the link on which its router is a neighbour."""
        for route, file, line, text in self.routes:
            found, lost = with_links(route, links)
            if lost:
                self.left.add(file, line, text, f"nothing tells on which link {' and '.join(lost)} is")
            else:
                yield found

    def _exclude_by_name(self) -> None:
        """Links that are named like a tap or a tunnel, and of which nothing says that they are hardware."""
        for draft in self.drafts.values():
            what = "" if draft.kind or draft.pin_mac or draft.pin_path else ODD_NAMES.get(_stem(draft.name), "")
            if what and draft.name not in self.excluded:
                self.exclude(draft.name, f"{what} by its name, which is not supported")

    def _drop_excluded(self) -> None:
        """Links that are not supported, and the ports of such: a NIC that the site file named would be taken off."""
        for draft in list(self.drafts.values()):
            if draft.master is not None and draft.master in self.excluded:
                self.exclude(draft.name, f"a port of {draft.master}, and that is {self.excluded[draft.master]}")
        for name, why in self.excluded.items():
            draft_or_none = self.drafts.get(name)  # type: ignore[call-overload]  # a key is a checked name
            if draft_or_none is not None:
                said = _with_all(draft_or_none)
                self.left.add(draft_or_none.file, draft_or_none.line, said, f"left out, it is {why}")
                if draft_or_none.master is not None:
                    self.doubt(draft_or_none.master)
                self._drop(draft_or_none)

    def _check_master(self, draft: LinkDraft) -> None:
        if draft.master is None:
            return
        master = self.drafts.get(draft.master)
        if master is None or master.kind not in MASTERS:
            why = "is not configured" if master is None else "is neither bridge nor bond"
            self.left.add(draft.file, draft.line, draft.name, f"its master {draft.master} {why}")
            draft.master = None

    def _check_vlan(self, draft: LinkDraft) -> bool:
        """Whether it had to be dropped."""
        if draft.parent is None or not draft.options.get("id") or draft.parent in self.excluded:
            why = "a VLAN without its number or the link below it"
            why = f"a VLAN of {draft.parent}, {self.excluded[draft.parent]}" if draft.parent in self.excluded else why
            self.left.add(draft.file, draft.line, _with_all(draft), why)
            self.doubt(draft.master) if draft.master else None
            self._drop(draft)
            return True
        if draft.parent not in self.drafts:
            try:
                self.draft(draft.parent, draft.file, draft.line)
            except ValueError as wrong:
                self.left.add(draft.file, draft.line, _with_all(draft), f"a VLAN of a link that cannot be: {wrong}")
                self._drop(draft)
                return True
        return False

    def _check_options(self, draft: LinkDraft) -> None:
        known = OPTIONS[draft.kind]
        for key in [key for key in draft.options if key not in known]:
            what = draft.kind or "NIC"
            self.left.add(draft.file, draft.line, f"{draft.name}: {key} {draft.options.pop(key)}", f"it is a {what}")

    def _check_words(self, draft: LinkDraft) -> None:
        """What a kind of link has no use for, and words that are none."""
        for key in ("stp_state", "vlan_filtering", "mcast_snooping", "mcast_querier"):
            if key in draft.options:
                draft.options[key] = int(bool(draft.options[key]))
        tree = draft.kind == Bridge.kind and draft.options.get("stp_state")
        if tree and draft.options.get("forward_delay", SHORTEST_DELAY) < SHORTEST_DELAY:
            draft.options["forward_delay"] = SHORTEST_DELAY  # as the kernel does (net/bridge/br_stp_if.c)
        if draft.kind and (draft.pin_mac or draft.pin_path):
            self.left.add(draft.file, draft.line, draft.name, "only hardware is tied to a MAC or slot")
            draft.pin_mac = draft.pin_path = None
        if draft.pin_path is not None and not PATH.fullmatch(draft.pin_path):
            self.left.add(draft.file, draft.line, draft.pin_path, "not the path of a slot")
            draft.pin_path = None
        offered = {4: draft.dhcp4, 6: draft.ipv6 in LISTENING}
        for offer, version in sorted(draft.unused):
            if not offered[version] or draft.master is not None:
                text = f"{draft.name}: no {offer} of IPv{version} is used"
                self.left.passes(draft.file, draft.line, text)
        if draft.kind != "vlan":
            draft.parent = None
        for word in [word for word in draft.search if not DOMAIN.fullmatch(word)]:
            self.left.add(draft.file, draft.line, word, "not a domain")
            draft.search.remove(word)

    def _keep_default_vlan(self, draft: LinkDraft) -> None:
        """The kernel puts a port into the bridge's default VLAN, and it stays there until somebody takes it out."""
        master = self.drafts.get(draft.master) if draft.master else None
        if master is None or master.kind != Bridge.kind or not master.options.get("vlan_filtering") or not draft.vlans:
            return
        default = int(master.options.get("vlan_default_pvid", Bridge().vlan_default_pvid))
        has = any(vlan.pvid or vlan.first <= default <= vlan.last for vlan in draft.vlans)
        if default and not has and not draft.drops_untagged and default not in draft.no_vlan:
            draft.vlans.append(PortVlans(first=default, last=default, pvid=True, untagged=True))

    def _drop(self, draft: LinkDraft) -> None:
        self.drafts.pop(draft.name, None)
        for other in self.drafts.values():
            if other.master == draft.name:
                other.master = None
            if other.parent == draft.name:
                other.parent = None

    def _break_loops(self) -> None:
        for draft in list(self.drafts.values()):
            seen = {draft.name}
            over, below = draft.master, draft.parent
            while over is not None and over in self.drafts:
                if over in seen:
                    self.left.add(draft.file, draft.line, draft.name, f"it would be above its own master {over}")
                    draft.master = None
                    break
                seen.add(over)
                over = self.drafts[over].master
            seen = {draft.name}
            while below is not None and below in self.drafts:
                if below in seen:
                    self.left.add(draft.file, draft.line, _with_all(draft), "a VLAN on itself")
                    self._drop(draft)
                    break
                seen.add(below)
                below = self.drafts[below].parent


def _with_all(draft: LinkDraft) -> str:
    """A link that is left out, with what is lost with it."""
    vlan = [f"VLAN {draft.options['id']}"] if draft.kind == "vlan" and draft.options.get("id") else []
    said = ", ".join([*vlan, *_of_a_speaker(draft)])
    return f"{draft.name}: {said}" if said else str(draft.name)


def _of_a_speaker(draft: LinkDraft) -> Iterator[str]:
    """What a port has no use for, and what is lost with a link that is left out."""
    hardware = {"NIC": draft.pin_mac, "slot": draft.pin_path, "MAC": draft.mac, "MTU": draft.mtu}
    yield from (f"{key} {value}" for key, value in hardware.items() if value and draft.master is None)
    yield from draft.addresses
    yield from ["dhcp"] if draft.dhcp4 else []
    for route in draft.routes:
        more = (("via", route.gateway), ("metric", route.metric), ("table", route.table != MAIN_TABLE and route.table))
        yield " ".join(["route", route.dst, *(f"{key} {value}" for key, value in more if value)])
    yield from (f"name server {server}" for server in draft.dns)
    yield from (f"domain {domain}" for domain in draft.search)
