"""What stands for netplan's links beside the units that it generates for networkd."""

from __future__ import annotations

from functools import partial

from bascule.model.values import IfName
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.ini import Section, read
from bascule.persist.formats.values import parse_bool, parse_number
from bascule.persist.netplan import SWITCH_UNITS
from bascule.persist.networkd import FOLDER as UNITS
from bascule.persist.networkd.offers import Uses
from bascule.persist.networkd.parse import UnitReader
from bascule.persist.networkd.routes import in_words, parse_route
from bascule.persist.networkd.words import (
    DHCP4,
    FLAG_FIELD,
    drops_untagged,
    parse_bridge_vlan,
    parse_networkd_privacy,
    parse_rule,
    put_client_id,
)
from bascule.persist.parsed import Files

UNIT = "10-netplan-"  # how netplan calls what it generates for networkd
DROPIN = "50-bascule.conf"


def read_dropins(files: Files, builder: Builder) -> None:
    """What stands beside netplan's generated units."""
    reader = UnitReader(builder, {path: text for path, text in files.items() if path != SWITCH_UNITS})
    for unit, paths in reader.dropins.items():
        name = unit.removeprefix(f"{UNITS}/{UNIT}")
        stem, _, kind = name.rpartition(".")
        draft = builder.drafts.get(IfName(stem))
        if draft is None or kind not in {"netdev", "network"}:
            for path in paths:
                builder.left.add(path, 0, "", "belongs to no link that netplan generates")
            continue
        uses = Uses()
        for path in paths:
            for section in read(path, files[path], builder.left, continued=True):
                if kind == "netdev":
                    reader.netdev_section(path, section, draft)
                else:
                    _port_dropin(path, section, draft, reader, uses)
        uses.settle(draft)
    for path in reader.units(".network"):
        reader.network(path, reader.unit(path), {}, set())


def _port_dropin(path: str, section: Section, draft: LinkDraft, reader: UnitReader, uses: Uses) -> None:
    if section.name in {"BridgeVLAN", "Route", "RoutingPolicyRule"}:
        with reader.builder.left.unless_taken(path, section.line, in_words(section)):
            if section.name == "BridgeVLAN":
                draft.vlans += parse_bridge_vlan(section)
                draft.drops_untagged |= drops_untagged(section)
            elif section.name == "Route":
                reader.builder.add_route(draft, parse_route(section), path, section.line, in_words(section))
            else:
                reader.builder.rules.append(parse_rule(section))
        return
    for item in section.items:
        if section.name == "Bridge" and item.key in FLAG_FIELD:
            reader.put(path, section, item, partial(_flag, draft, item.key))
        elif uses.take(section.name, item.key, item.value, partial(reader.leave, path, section, item)):
            pass
        elif section.name in DHCP4 and item.key == "RouteMetric":
            draft.metric = parse_number(item.value)
        elif section.name in DHCP4:
            reader.put(path, section, item, lambda _, a=section, b=item: put_client_id(draft, a, b))  # type: ignore[misc]
        elif (section.name, item.key) == ("Network", "IPv6PrivacyExtensions"):
            draft.ipv6_privacy = parse_networkd_privacy(item.value)
        elif (section.name, item.key) != ("Network", "KeepConfiguration"):
            reader.leave(path, section, item, "not taken beside netplan")


def _flag(draft: LinkDraft, key: str, text: str) -> None:
    field, inverse = FLAG_FIELD[key]
    draft.port[field] = parse_bool(text) != inverse
