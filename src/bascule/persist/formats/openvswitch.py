"""Bridges of Open vSwitch in a host's configuration: its database keeps the rows, files say them again. Pure.

ifupdown and ifcfg hand words on to ovs-vsctl(8), so the columns of ports and bridges (ovs-vswitchd.conf.db(5)) are
written and read here as it takes them: ``tag=10 trunks=20-29 other_config:lacp-time=fast``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from bascule.model.links import OpenVSwitch, OpenVSwitchBond
from bascule.model.site import Host
from bascule.model.state import tagged_vlans
from bascule.model.values import parse_mac, series
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.values import parse_mtu, parse_number, up_to
from bascule.providers.ovs.overlay import columns_of, vlans_of
from bascule.providers.ovs.state import PRIMARY, RATE, PortRow

BRIDGE, BOND = OpenVSwitch.kind, OpenVSwitchBond.kind
TYPES = {"ovsbridge": BRIDGE, "ovsport": "", "ovsbond": BOND}  # in the words of the scripts of distributions
MAC = "other_config:hwaddr"
LAST = 4095
_FLAGS = {"true": True, "false": False}
_MODES = ("access", "trunk", "native-tagged", "native-untagged")
_BONDS = ("active-backup", "balance-slb", "balance-tcp")


def is_switch(link: LinkConfig | None) -> bool:
    """Whether Open vSwitch makes a link."""
    return link is not None and not link.options.by_kernel


def is_of_switch(link: LinkConfig, config: NetworkConfig) -> bool:
    """Whether it is a bridge of Open vSwitch or a port of one; a member of its bond is a NIC like others."""
    return any(one is not None and isinstance(one.options, OpenVSwitch) for one in (link, config.over(link)))


def refuse(config: NetworkConfig, dialect: str) -> None:
    """Raise Inexpressible for every bridge of Open vSwitch, where a dialect has no words for what goes beside it."""
    gaps = Gaps(dialect)
    for link in config.links.values():
        if is_switch(link):
            gaps.add(link.name, "kind", "openvswitch")
    gaps.check()


def unsaid(host: Host, config: NetworkConfig, dialect: str, gaps: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """What of each bridge a dialect has no words for, so that the database alone keeps it: the bridge, a sentence."""
    for name, link in config.links.items():
        if not isinstance(link.options, OpenVSwitch):
            continue
        ports = [port for port in config.links.values() if port.master == name]
        declared = host.bridges.get(name)
        there = {
            "its ports": bool(ports),
            "VLANs": any(port.vlans for port in ports),
            "STP": bool(link.options.stp_state and not link.options.rstp),
            "RSTP": bool(link.options.rstp),
            "snooping": bool(link.options.mcast_snooping),
            "fail mode": bool(link.options.fail_mode),
            "datapath": bool(link.options.datapath),
            "mirrors": bool(declared and declared.mirrors),
            "patch ports": any(not patch.by_kernel for patch in declared.patches) if declared else False,
        }
        pairs = [patch.name for patch in declared.patches if patch.by_kernel] if declared else []
        if pairs:
            yield (
                name,
                f"the veth pair {series(pairs)}: no file keeps it; 'bascule apply' makes it again after a restart",
            )
        if told := [words for words in gaps or () if there.get(words)]:
            yield name, f"{series(told)}: {dialect} does not support that; Open vSwitch's own database keeps it"


def refuse_missing(host: Host, config: NetworkConfig, dialect: str, why: Callable[[bool], str | None]) -> None:
    """Raise Inexpressible where whoever reads a dialect's files here makes no such bridge, or none with such ports."""
    gaps = Gaps(dialect)
    for name, link in config.links.items():
        declared = host.bridges.get(name) if isinstance(link.options, OpenVSwitch) else None
        if declared is not None and (reason := why(bool(declared.mirrors or declared.patches))):
            gaps.add(name, "kind", "openvswitch", reason)
    gaps.check()


# ---- as ovs-vsctl takes them


def bridge_columns(link: LinkConfig) -> list[str]:
    """The columns of a bridge that differ from those of a new one."""
    options = link.options
    assert isinstance(options, OpenVSwitch)  # only those come here
    out = [f"datapath_type={options.datapath}"] if options.datapath else []
    out += [f"fail_mode={options.fail_mode}"] if options.fail_mode else []
    spanning = {"rstp_enable": options.rstp, "stp_enable": options.stp_state and not options.rstp}
    flags = {**spanning, "mcast_snooping_enable": options.mcast_snooping}
    out += [f"{column}=true" for column, value in flags.items() if value]
    return [*out, f"{MAC}={link.mac}"] if link.mac else out


def switch_commands(link: LinkConfig) -> str:
    """What ovs-vsctl(8) is to do to a bridge beside making it, for scripts that hand it on."""
    commands = [f"set Bridge {link.name} {' '.join(words)}"] if (words := bridge_columns(link)) else []
    commands += [f"set Interface {link.name} mtu_request={link.mtu}"] if link.mtu is not None else []
    return " -- ".join(commands)


def port_columns(link: LinkConfig) -> list[str]:
    """The columns of a port that differ from those of a new one."""
    columns = columns_of(link.vlans)
    out = [f"tag={columns['tag']}"] if columns["tag"] is not None else []
    out += [f"trunks={spans_of(link)}"] if columns["trunks"] else []
    out += [f"vlan_mode={columns['vlan_mode']}"] if columns["vlan_mode"] else []
    out += ["protected=true"] if link.port is not None and link.port.isolated else []
    options = link.options
    if isinstance(options, OpenVSwitchBond):
        out.append(f"bond_mode={options.mode}")
        out += [f"lacp={options.lacp}"] if options.lacp else []
        out += [f"bond_{key}={value}" for key in ("updelay", "downdelay") if (value := getattr(options, key))]
        out += [f"other_config:{key}={value}" for key, value in bond_config(options).items()]
    return out


def spans_of(link: LinkConfig) -> str:
    """The trunks of a port: ``0,10-19``."""
    vids = columns_of(link.vlans)["trunks"]
    assert isinstance(vids, tuple)  # the column's type
    return ",".join(one.span for one in tagged_vlans(vids))


def bond_config(options: OpenVSwitchBond) -> dict[str, str]:
    """What stands in other_config of a bond's port."""
    out = {RATE: options.ad_lacp_rate} if options.ad_lacp_rate != "slow" else {}
    return out | ({PRIMARY: options.primary} if options.primary else {})


# ---- back again


class Columns:
    """What files say of rows, by table and name, until all are read."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], dict[str, str]] = {}

    def command(self, words: Iterable[str]) -> None:
        """``set Bridge ovs0 rstp_enable=true …``. Raises ValueError for any other command."""
        verb, *rest = words
        if verb == "set-fail-mode" and len(rest) == 2:
            verb, rest = "set", ["Bridge", rest[0], f"fail_mode={rest[1]}"]
        if verb != "set" or len(rest) < 3 or rest[0].capitalize() not in _KNOWN:
            raise ValueError("only 'set' of a bridge, a port or an interface is taken")
        self.take(rest[0].capitalize(), rest[1], rest[2:])

    def commands(self, text: str) -> None:
        """Several, with ``--`` between them. Raises ValueError for all that are not supported, the others are."""
        wrong: list[str] = []
        for words in map(str.split, text.split("--")):
            try:
                if words:
                    self.command(words)
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("; ".join(wrong))

    def take(self, table: str, name: str, words: Iterable[str]) -> None:
        """Columns of a row. Raises ValueError for all that are not supported, or their values; the others are taken."""
        wrong: list[str] = []
        for word in words:
            column, sign, value = word.replace('"', "").partition("=")
            head, colon, key = column.partition(":")
            column = head.replace("-", "_").lower() + colon + key
            if not sign or column not in _KNOWN[table]:
                wrong.append(f"'{word}' of Open vSwitch is not supported")
                continue
            try:
                _KNOWN[table][column](value)
            except ValueError as error:
                wrong.append(str(error))
            else:
                self.said.setdefault((table, name), {})[column] = value
        if wrong:
            raise ValueError("; ".join(wrong))

    def settle(self, builder: Builder) -> None:
        """Into the drafts of their links."""
        for (table, name), said in self.said.items():
            draft = builder.drafts.get(name)  # type: ignore[call-overload]  # a key is a checked name
            if draft is None:
                continue
            if table == "Bridge" and draft.kind == BRIDGE:
                settle_bridge(draft, said)
            elif table == "Port":
                settle_port(draft, said)
            elif table == "Interface" and "mtu_request" in said:
                draft.mtu = parse_mtu(said["mtu_request"])


def settle_bridge(draft: LinkDraft, said: Mapping[str, str]) -> None:
    """The columns of a bridge in its draft."""
    flags = {column: int(_FLAGS[said[column]]) for column in said if column.endswith("_enable")}
    rstp = flags.get("rstp_enable", 0)
    draft.options |= {
        "rstp": rstp,
        "stp_state": int(rstp or flags.get("stp_enable", 0)),
        "mcast_snooping": flags.get("mcast_snooping_enable", 0),
        "fail_mode": said.get("fail_mode", ""),
        "datapath": said.get("datapath_type", "").replace("system", ""),
    }
    if MAC in said:
        draft.mac = parse_mac(said[MAC])


def settle_port(draft: LinkDraft, said: Mapping[str, str]) -> None:
    """The columns of a port in its draft."""
    if said.keys() & {"tag", "trunks", "vlan_mode"}:
        tag = int(said["tag"]) if "tag" in said else None
        row = PortRow(name=draft.name, bridge="", interfaces=(), tag=tag, trunks=_vids(said.get("trunks", "")))
        row = PortRow(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "vlan_mode": said.get("vlan_mode")})
        draft.vlans = list(vlans_of(row))
    if said.get("protected") == "true":
        draft.port["isolated"] = True
    if draft.kind == BOND:
        draft.options |= {
            "mode": said.get("bond_mode", "active-backup"),
            "lacp": said.get("lacp", ""),
            "updelay": int(said.get("bond_updelay", 0)),
            "downdelay": int(said.get("bond_downdelay", 0)),
            "ad_lacp_rate": said.get(f"other_config:{RATE}", "slow"),
            "primary": said.get(f"other_config:{PRIMARY}"),
        }


def _vids(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for word in re.split(r"[\s,]+", text.strip("[] ")):
        if word:
            first, _, last = word.partition("-")
            low = parse_number(first, 0, LAST)
            found |= set(range(low, parse_number(last, low, LAST) + 1 if last else low + 1))
    return tuple(sorted(found))


def _one_of(*words: str) -> Callable[[str], object]:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"'{text}' is not one of {', '.join(words)}")

    return check


_flag = _one_of(*_FLAGS)


_KNOWN: dict[str, dict[str, Callable[[str], object]]] = {
    "Bridge": {
        "datapath_type": _one_of("system", "netdev", ""),
        "fail_mode": _one_of("standalone", "secure"),
        "rstp_enable": _flag,
        "stp_enable": _flag,
        "mcast_snooping_enable": _flag,
        MAC: parse_mac,
    },
    "Port": {
        "tag": up_to(LAST),
        "trunks": _vids,
        "vlan_mode": _one_of(*_MODES),
        "protected": _flag,
        "bond_mode": _one_of(*_BONDS),
        "lacp": _one_of("active", "passive", "off"),
        "bond_updelay": parse_number,
        "bond_downdelay": parse_number,
        f"other_config:{RATE}": _one_of("fast", "slow"),
        f"other_config:{PRIMARY}": str,
    },
    "Interface": {"mtu_request": parse_mtu},
}
