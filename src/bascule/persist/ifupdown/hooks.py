"""The commands that stand in ``up`` and ``pre-up`` lines: those that say what the network is are taken."""

from __future__ import annotations

import re
import shlex
from ipaddress import ip_interface
from typing import Any

from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import HostRoute
from bascule.model.links import Bond, Bridge, BridgePort, LinkOptions
from bascule.model.links.options import defaults_of
from bascule.model.links.wake_on_lan import ethtool_words
from bascule.model.state import PortVlans
from bascule.model.values import parse_ifname, parse_mac, parse_vid
from bascule.persist.config import StaticRoute
from bascule.persist.formats import sysfs
from bascule.persist.formats.bonding import parse_bond_option
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.host_routes import is_host_route, parse_route, tell_tuning
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.values import (
    ROUTE_TYPES,
    default_of,
    parse_address,
    parse_bool,
    parse_ip,
    parse_mask,
    parse_mtu,
    parse_number,
    parse_prefix,
    parse_privacy,
    parse_vids,
    ticks,
)
from bascule.persist.formats.vlans import without
from bascule.persist.ifupdown.dhclient import SYSCTLS
from bascule.persist.ifupdown.includes import Line
from bascule.persist.ifupdown.words import wait_for_link_local
from bascule.persist.parsed import without_secrets

_BRD = ("brd", "broadcast")
_SET: dict[str, type[LinkOptions]] = {"bridge": Bridge, "bridge_slave": BridgePort, "bond": Bond}
_LINK_WORDS = re.compile(r"ip link (?:set(?: dev)?|del(?:ete)?(?: dev)?) (\S+)")
_NOTHING = re.compile(
    r"(ifconfig \S+ (0\.0\.0\.0 )?(up|down)|ip link set( dev)? \S+ (up|down)|true|:"
    r"|ip link set( dev)? \S+ addrgenmode none|ip -6 addr(ess)? flush dev \S+ scope link"
    r"|ip( -[46])? rule del .*"
    r"|(ip( -[46])?|) ?route del(ete)? .*|brctl (delif|delbr) .*|ip addr(ess)? del .*|ip link del.*|sleep [0-9.]+)"
)


def hook(builder: Builder, draft: LinkDraft, file: str, line: int, option: str, text: str) -> None:
    """One command line; what is not understood is left over."""
    if f"{option} {text}" in wait_for_link_local(draft.name):
        builder.left.passes(file, line, f"{option} {text}")
        return
    named = _LINK_WORDS.match(text)
    if named and named[1] != draft.name and named[1] in " ".join(draft.hooks).split():
        draft.hooks.append(f"{option} {text}")  # of a link that another line of these makes
        return
    if "route del" in text:
        _goes_without(draft, option, text)
    elif _NOTHING.fullmatch(text) and not set(text) & set("&;|"):
        return  # the commonest by far
    script = re.sub(r"\$\{?IFACE\}?|--", lambda m: draft.name if m[0] != "--" else "", text)
    script = re.sub(r"\s*\|\|\s*(true|:)\s*$", "", script)
    commands = _Commands(builder, draft, file, line)
    for number, part in enumerate(re.split(r"\s*(?:&&|;)\s*", script.strip())):
        try:
            if part and not commands.understood(part, is_down=option.endswith("down")):
                if number == 0 and without_secrets(text) == text and text.isprintable() and not text.endswith("\\"):
                    draft.hooks.append(f"{option} {text}")  # as a whole: nothing of it was taken
                    return
                raise ValueError("a command; files are read, not run")
        except ValueError as wrong:
            builder.left.add(file, line, f"{option} {text}", str(wrong))
            return


def takes_host_route(builder: Builder, line: Line) -> bool:
    """Whether a command of the loopback sets a route that stands on no single link, or takes it away again."""
    text = " ".join(line.words[1:])
    words = [word for word in re.sub(r"\|\|\s*(true|:)\s*$", "", text).split() if word != "--"]
    words = _in_full(words[1:]) if words and words[0].rpartition("/")[2] == "ip" else []
    ipv6 = words[:1] == ["-6"]
    words = words[1:] if words[:1] in (["-6"], ["-4"]) else words
    is_down = line.key.endswith("down")
    if words[:1] != ["route"] or not is_host_route(words) or words[1:2] not in ([["del"]] if is_down else _SETS):
        return False
    try:
        route, _ = parse_route(words[2:], ipv6=ipv6)
    except ValueError:
        return False
    if not is_down and isinstance(route, HostRoute):
        builder.routes.append((route, line.file, line.number, line.text))
        tell_tuning(builder.left, route.dst, words[2:], line.file, line.number)
    return True


_SETS = (["add"], ["append"], ["replace"])
_OBJECTS = ("address", "route", "rule", "link", "neighbour")  # the first that begins so is meant, as ip(8) does it
_VERBS = ("add", "append", "replace", "del", "set", "flush", "change")


def _in_full(words: list[str]) -> list[str]:
    """The words behind ip(8) without abbreviations: ``ip r a`` is ``ip route add``."""
    at = next((number for number, word in enumerate(words) if not word.startswith("-")), len(words))
    for number, known in ((at, _OBJECTS), (at + 1, _VERBS)):
        if number < len(words):
            full = next((one for one in known if one.startswith(words[number])), words[number])
            words = [*words[:number], full, *words[number + 1 :]]
    return words


def _in_full_of_ip(words: list[str]) -> list[str]:
    return [words[0], *_in_full(words[1:])] if words[:1] == ["ip"] else words


def _goes_without(draft: LinkDraft, option: str, text: str) -> None:
    """A default route that is taken away again when the lease has brought it is one that is not used."""
    found = re.match(r"\s*(?:/s?bin/)?(?:ip (?:-4 )?)?route del(?:ete)? (?:default|0\.0\.0\.0/0)\b(.*)", text)
    if found and draft.dhcp4 and not option.endswith("down"):
        dev = re.search(r"\bdev (\S+)", found[1])
        if dev is None or dev[1].strip("${}") in {draft.name, "IFACE"}:
            draft.unused.add((Offer.GATEWAY, 4))


class _Commands:
    """What a line's commands say, onto the drafts of the links that they name, or onto that of the line's own link."""

    def __init__(self, builder: Builder, draft: LinkDraft, file: str, line: int) -> None:
        self.builder, self.draft = builder, draft
        self.file, self.line = file, line

    def _link(self, name: str) -> LinkDraft:
        return self.builder.draft(name, self.file, self.line)

    def understood(self, part: str, *, is_down: bool) -> bool:
        """Take a command; whether it says what the network is. Raises ValueError for one with a word too many."""
        part = re.sub(r"\s+", " ", re.sub(r"^(/usr)?/s?bin/", "", part)).strip()
        if _NOTHING.fullmatch(part) or _NOTHING.fullmatch(" ".join(_in_full_of_ip(part.split()))):
            return True
        if is_down:
            return False
        words = shlex.split(part)
        if "lo" in words and "rule" not in words[:3] and not is_host_route(words):  # a rule's are of the host itself
            raise ValueError("about the loopback, which a site file does not cover")
        tool, rest = words[0] if words else "", words[1:]
        if tool == "route" and rest[:1] != ["add"] and "add" in rest[1:3]:  # route -A inet6 add, route -6 add
            rest = ["add", *(word for word in rest if word != "add")]
        if tool == "ip":
            return self._ip(_in_full(rest))
        if tool == "route" and rest[:1] == ["add"]:
            self.draft.routes.append(_old_route(rest[1:]))
            return True
        if tool == "bridge" and rest[:2] == ["vlan", "add"]:
            return self._vlan(rest[2:])
        if tool == "bridge" and rest[:2] == ["vlan", "del"]:
            return self._no_vlan(rest[2:])
        if tool == "bridge" and rest[:3] == ["link", "set", "dev"] and len(rest) > 5:
            words = ["mcast_fast_leave" if word == "fastleave" else word for word in rest[4:]]
            known = set(words[::2]) <= BridgePort.argument_fields().keys()
            return known and _options(self._link(rest[3]).port, BridgePort, words)
        if tool == "brctl":
            return self._brctl(rest)
        if tool == "ifconfig" and len(rest) > 1:
            return self._ifconfig(rest)
        if tool == "ethtool" and "wol" in rest[:1] + rest[2:3]:
            target = self._link(rest[1]) if rest[0] in {"-s", "--change"} else self.draft
            target.wol = ethtool_words(" ".join(rest))
            return True
        if tool == "echo" and rest[1:2] == [">"] and len(rest) == 3:
            return self._sysfs(rest[0], rest[2])
        if tool == "sysctl":
            return self._sysctl(rest)
        if tool == "vconfig" and rest[:1] == ["add"] and len(rest) == 3:
            return self._vlan_link(["link", rest[1], "name", f"{rest[1]}.{rest[2]}", "type", "vlan", "id", rest[2]])
        return False

    def _ip(self, rest: list[str]) -> bool:
        ipv6 = rest[:1] == ["-6"]
        if rest[:1] in (["-6"], ["-4"]):
            rest = rest[1:]
        if rest[:1] == ["route"] and rest[2:3] and rest[2] in ROUTE_TYPES and not is_host_route(rest[2:]):
            return False  # no way to somewhere: the line stays as it is
        if rest[:1] == ["route"] and rest[1:2] in _SETS:
            route, dev = parse_route(rest[2:], ipv6=ipv6)
            target = self._link(dev) if dev else self.draft
            self.builder.add_route(target, route, self.file, self.line, f"ip {' '.join(rest)}")
            tell_tuning(self.builder.left, route.dst, rest[2:], self.file, self.line)
            return True
        if rest[:2] == ["rule", "add"]:
            self.builder.rules.append(parse_rule_words(rest[2:], ipv6=ipv6))
            return True
        if rest[:1] == ["neighbour"]:  # moves by what the kernel has (persist.foreign)
            raise ValueError("a static neighbour entry, which a site file does not cover")
        if rest[:2] == ["address", "add"] and len(rest) > 2:
            return self._address(rest[2], rest[3:])
        if rest[:2] == ["link", "add"]:
            return self._vlan_link(rest[2:])
        if rest[:2] != ["link", "set"]:
            return False
        rest = rest[2:]
        if rest[:1] == ["dev"]:
            rest = rest[1:]
        if rest[1:2] == ["type"] and " ".join(rest[2:3]) in _SET:
            kind, target = _SET[rest[2]], self._link(rest[0])
            return _options(target.port if kind is BridgePort else target.options, kind, rest[3:])
        return self._link_words(rest)

    def _link_words(self, words: list[str]) -> bool:
        """``ip link set eth0 mtu 9000 master br0 up``, in any order."""
        values: dict[str, str] = {}
        rest = [word for word in words if word not in {"up", "down"}]
        while rest:
            key = rest.pop(0) if rest[0] in {"dev", "mtu", "address", "master"} else "dev"
            if not rest or key in values:
                return False
            values[key] = rest.pop(0)
        if "dev" not in values:
            return False
        target = self._link(values["dev"])
        if "mtu" in values:
            target.mtu = parse_mtu(values["mtu"])
        if "address" in values:
            target.mac = parse_mac(values["address"])
        if "master" in values:
            self.builder.enslave(target.name, values["master"], self.file, self.line)
        return True

    def _ifconfig(self, words: list[str]) -> bool:
        """``ifconfig br0:1 10.0.0.5 netmask 255.255.255.0 mtu 9000``: of an alias the address is its link's."""
        name, rest = words[0].partition(":")[0], [word for word in words[1:] if word != "up"]
        address = rest.pop(0) if rest and rest[0] not in {"netmask", "mtu", "broadcast"} else ""
        values = dict(zip(rest[::2], rest[1::2], strict=False))
        if len(rest) % 2 or set(values) - {"netmask", "mtu", "broadcast"} or (address and "netmask" not in values):
            return False
        target = self._link(name)
        if address:
            target.addresses.append(parse_address(address, values["netmask"]))
        if "mtu" in values:
            target.mtu = parse_mtu(values["mtu"])
        return True

    def _vlan_link(self, words: list[str]) -> bool:
        """``ip link add link eth0 name eth0.30 type vlan id 30``."""
        if len(words) != 8 or words[::2] != ["link", "name", "type", "id"] or words[5] != "vlan":
            return False
        made = self._link(words[3])
        made.kind, made.parent, made.options["id"] = "vlan", parse_ifname(words[1]), parse_vid(words[7])
        return True

    def _sysctl(self, words: list[str]) -> bool:
        """``sysctl -w net.ipv6.conf.eth0/30.use_tempaddr=2``: in a name a point is a slash (sysctl.d(5))."""
        said = [word for word in words if word not in {"-q", "-w"}]
        found = re.fullmatch(r"net[./]ipv6[./]conf[./](.+)[./]([a-z_]+=-?[0-9]+)", said[0]) if len(said) == 1 else None
        if found is None:
            return False
        name = found[1].replace("/", ".") if said[0].startswith("net.") else found[1]
        key, _, value = found[2].partition("=")
        gone = next((offer for offer, setting in SYSCTLS.items() if setting == found[2]), None)
        if gone is not None:
            self._link(name).unused.add(gone)
        elif key == "use_tempaddr" and value in {"0", "1", "2"}:
            self._link(name).ipv6_privacy = parse_privacy(value)
        else:
            return False
        return True

    def _address(self, text: str, words: list[str]) -> bool:
        """``ip addr add 10.0.0.5/24 brd + dev br0 label br0:1``; what follows from the address is no loss."""
        words = [word for word in words if word not in {"nodad", "noprefixroute"}]
        if len(words) % 2 or set(words[::2]) - {"dev", "brd", "broadcast", "label"}:
            return False
        values = dict(zip(words[::2], words[1::2], strict=True))
        plain = all(
            values.get(key, "+") in {"+", "-", str(ip_interface(text).network.broadcast_address)} for key in _BRD
        )
        if "dev" in values and plain:
            self._link(values["dev"]).addresses.append(parse_address(text))
            if "label" in values:
                self.builder.left.add(
                    self.file, self.line, f"label {values['label']} of {text}", "labels of addresses are not supported"
                )
        return "dev" in values and plain

    def _sysfs(self, value: str, path: str) -> bool:
        """``echo 8 > /sys/class/net/br0/bridge/group_fwd_mask``: the option of a bridge, or of a port of one."""
        found = re.fullmatch(r"/sys/class/net/([^/]+)/(bridge|brport)/(\w+)", path)
        fields = sysfs.BRIDGE_FIELD if found and found[2] == "bridge" else sysfs.PORT_FIELD
        if found is None or found[3] not in fields:
            return False
        draft, field, number = self._link(found[1]), fields[found[3]], parse_mask(value)
        if found[2] == "bridge":
            draft.options[field] = number
        else:
            draft.port[field] = bool(number) if isinstance(dict(defaults_of(BridgePort))[field], bool) else number
        return True

    def _vlan(self, words: list[str]) -> bool:
        """``bridge vlan add dev eth4 vid 10-20 pvid untagged``."""
        values: dict[str, str] = {}
        flags: set[str] = set()
        while words:
            if words[0] in {"dev", "vid"} and len(words) > 1:
                values[words[0]] = words[1]
                words = words[2:]
            elif words[0] in {"pvid", "untagged", "self", "master"}:
                flags.add(words.pop(0))
            else:
                return False
        if set(values) != {"dev", "vid"}:
            return False
        self._link(values["dev"]).vlans.append(vlan_range(values["vid"], flags))
        return True

    def _no_vlan(self, words: list[str]) -> bool:
        """``bridge vlan del dev eth4 vid 1``: a port leaves a VLAN."""
        values = dict(zip(words[::2], words[1::2], strict=False))
        if len(words) != 4 or set(values) != {"dev", "vid"}:
            return False
        draft, vid = self._link(values["dev"]), int(parse_vid(values["vid"]))
        draft.no_vlan.add(vid)
        draft.vlans = [part for vlan in draft.vlans for part in without(vlan, vid)]
        return True

    def _brctl(self, words: list[str]) -> bool:
        """The classic recipe: ``brctl addbr br3``, ``brctl addif br3 eth4``, ``brctl setfd br3 0``."""
        if len(words) < 2:
            return False
        verb, name, *values = words
        if verb == "addbr" and not values:
            self._link(name).kind = "bridge"
        elif verb == "addif" and values:
            self._link(name).kind = "bridge"
            for port in values:
                self.builder.enslave(port, name, self.file, self.line)
        elif verb == "stp" and len(values) == 1:
            self._link(name).options["stp_state"] = int(parse_bool(values[0]))
        elif verb in {"setfd", "sethello", "setmaxage", "setageing"} and len(values) == 1:
            field = {
                "setfd": "forward_delay",
                "sethello": "hello_time",
                "setmaxage": "max_age",
                "setageing": "ageing_time",
            }
            self._link(name).options[field[verb]] = ticks(values[0])
        else:
            return False
        return True


def _options(into: dict[str, Any], kind: type[LinkOptions], words: list[str]) -> bool:
    """``hairpin on cost 100``: an option's name and its value, for ever."""
    values: dict[str, Any] = {}
    known, defaults = kind.argument_fields(), dict(defaults_of(kind))
    while words:
        if len(words) < 2 or words[0] not in known:
            raise ValueError(f"'{words[0]}' is not supported")
        field = known[words[0]]
        parse = parse_bool if isinstance(defaults[field], bool) else parse_mask
        values[field] = parse_bond_option(field, words[1])[1] if kind is Bond else parse(words[1])
        words = words[2:]
    into.update(values)
    return True


def vlan_range(text: str, flags: set[str]) -> PortVlans:
    """``10`` or ``10-20``."""
    first, last = parse_vids(text)
    return PortVlans(first=first, last=last, pvid="pvid" in flags, untagged="untagged" in flags)


def _old_route(words: list[str]) -> StaticRoute:
    """``route add -net 10.0.0.0 netmask 255.0.0.0 gw 192.168.1.1 dev eth0``; ``route add -A inet6 default gw …``."""
    dst = ""
    words = words[2:] if words[:2] == ["-A", "inet6"] else words[1:] if words[:1] in (["-6"], ["-4"]) else words
    values: dict[str, str] = {}
    is_host = False
    while words:
        word = words.pop(0)
        if word in {"-net", "-host"}:
            is_host = word == "-host"
        elif word in {"gw", "netmask", "dev", "metric"} and words:
            values[word] = words.pop(0)
        elif not dst:
            dst = word
        else:
            raise ValueError(f"'{word}' of a route is not supported")
    gateway = parse_ip(values["gw"]) if "gw" in values else ""
    if dst == "default":
        dst = default_of(gateway)
    mask = "32" if is_host else values.get("netmask")
    return StaticRoute(dst=parse_prefix(dst, mask), gateway=gateway, metric=parse_number(values.get("metric", "0")))
