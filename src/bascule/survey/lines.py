"""The evidence of one NIC as lines for people: kind, sentence, frames. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct

from bascule.frames.findings import Lacp, Remark, Routing, Sender
from bascule.frames.vendors import hypervisor, maker
from bascule.model.values import IpNetwork, count, listed
from bascule.survey.evidence import NicTraffic
from bascule.survey.facts import WireSegment, clusters
from bascule.survey.neighbours import SWITCH, Device, bpdus, nested, port_words
from bascule.topology.layer2 import tag_words

MOST = 12  # lines of one kind


class Evidence(Struct, frozen=True):
    """One line of evidence and the frames behind it."""

    kind: str
    detail: str
    frames: int


def evidence(
    heard: NicTraffic,
    devices: Iterable[Device],
    segments: Iterable[WireSegment],
    declared: Iterable[IpNetwork] = (),
    makers: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Evidence, ...]:
    """Everything that was heard, strongest kinds first; senders are summed up by the declared subnets.

    ``makers`` are names by the prefix of a MAC, beside those of the common makers.
    """
    lines = [*_devices(devices, makers), *_trees(heard, makers), *_lags(heard)]
    known = tuple(declared)
    for seg in segments:
        lines += _segment(heard, seg, known)
        lines += _makers(heard, seg, makers)
    remarks: Counter[tuple[str, str]] = Counter()
    for remark, _, frames in heard.of(Remark):
        remarks[remark.kind, remark.text] += frames
    lines += [Evidence(kind, text, frames) for (kind, text), frames in remarks.most_common(MOST)]
    lines += [Evidence("skipped", reason, frames) for reason, frames in list(heard.skips.items())[:MOST]]
    return tuple(lines)


PLATFORM = 60  # characters of what a device says that it is


def _devices(devices: Iterable[Device], makers: Mapping[str, str]) -> Iterator[Evidence]:
    counted: Counter[tuple[str, str]] = Counter()
    for device in devices:
        said = device.said
        if said.protocol == "VTP":
            continue
        port = port_words(said.port, said.port_text) or "?"
        name = said.name or said.chassis or device.mac
        if not said.name and (made := maker(device.mac, makers)):
            name += f" ({made})"
        words = f"{name} {'' if port.lower().startswith('port') else 'port '}{port}"
        names = dict(said.vlan_names)
        if said.native_vlan is not None:
            label = names.pop(said.native_vlan, "")
            words += f", native VLAN {said.native_vlan}" + (f" ({label})" if label else "")
        if said.voice_vlan is not None:
            words += f", voice VLAN {said.voice_vlan}"
        if others := [f"{vid} ({label})" if label else str(vid) for vid, label in sorted(names.items())]:
            words += f", knows VLAN {listed(others, most=4)}"
        if said.mtu is not None:
            words += f", frames up to {said.mtu} bytes"
        if said.platform:
            words += f", {said.platform if len(said.platform) <= PLATFORM else said.platform[:PLATFORM] + '…'}"
        if said.inventory:
            words += f", {said.inventory}"
        if said.domain:
            words += f", VTP domain {said.domain}"
        if said.addresses:
            words += f", managed at {said.addresses[0]}"
        if device.role != SWITCH:
            words += f": {_taken_for(device.role)} ({device.why})"
        counted[said.protocol.lower(), words] += device.frames
    for (kind, words), frames in counted.most_common(MOST):
        yield Evidence(kind, words, frames)


def _taken_for(role: str) -> str:
    return (
        "not known to be a switch"
        if role == "unknown"
        else f"{'an' if role[0] in 'aeiou' else 'a'} {role}, not the switch"
    )


def _trees(heard: NicTraffic, makers: Mapping[str, str]) -> Iterator[Evidence]:
    trees: Counter[tuple[str, str, str, int, str]] = Counter()
    vlans: dict[tuple[str, str, str, int, str], set[int]] = {}
    for bpdu, _, frames, tags in bpdus(heard):
        where = "" if bpdu.vlan is not None and (tags == () or tags == (bpdu.vlan,)) else f" ({tag_words(tags)})"
        where = where if tags else ""
        variant = f"{bpdu.variant} of region {bpdu.region}" if bpdu.region else bpdu.variant
        key = (variant, bpdu.root if bpdu.vlan is None else "", bpdu.bridge[5:], bpdu.port, where)
        trees[key] += frames
        if bpdu.vlan is not None:
            vlans.setdefault(key, set()).add(bpdu.vlan)
    for key, frames in trees.most_common(MOST):
        variant, root, bridge, port, where = key
        made = maker(bridge, makers)
        words = f"{variant} from bridge {bridge or 'unknown'}{f' ({made})' if made else ''} port {port}"
        words += f", root {root[5:]}" if root else ""
        if key in vlans:
            words += f", VLAN {listed(map(str, sorted(vlans[key])))}"
        yield Evidence("stp" if key not in vlans else "pvst", words + where, frames)
    for inner, frames in nested(heard).items():
        yield Evidence("stp", f"from bridge {inner}: a virtual machine's, not the switch's", frames)


def _makers(heard: NicTraffic, seg: WireSegment, makers: Mapping[str, str]) -> Iterator[Evidence]:
    """Whose the senders' MACs are: guests of which hypervisor, NICs of which maker."""
    machines: dict[str, int] = defaultdict(int)
    for _, src, frames in heard.of(Sender, seg.tags):
        machines[src] += frames
    guests: Counter[str] = Counter(whose for mac in machines if (whose := hypervisor(mac)))
    others = Counter(maker(mac, makers) for mac in machines if not hypervisor(mac))
    unknown = others.pop("", 0)
    if not guests and not others:
        return
    words = [count(number, f"{name} guest") for name, number in guests.most_common()]
    words += [f"{number} {name}" for name, number in others.most_common()]
    words += [f"{unknown} unknown"] if unknown else []
    where = f" ({tag_words(seg.tags)})" if seg.tags else ""
    yield Evidence("makers", f"{count(len(machines), 'machine')}: {listed(words)}{where}", sum(machines.values()))


def _lags(heard: NicTraffic) -> Iterator[Evidence]:
    ends: Counter[str] = Counter()
    for said, _, frames in heard.of(Lacp):
        ends[f"aggregated link of system {said.system[5:]}, key {said.key}, port {said.port}"] += frames
    for words, frames in ends.most_common(MOST):
        yield Evidence("lacp", words, frames)


def _segment(heard: NicTraffic, seg: WireSegment, declared: tuple[IpNetwork, ...]) -> Iterator[Evidence]:
    where = f" ({tag_words(seg.tags)})" if seg.tags else ""
    for (net, how), frames in sorted(seg.stated.items(), key=lambda item: -item[1])[:MOST]:
        yield Evidence(how.split()[0].lower(), f"{how} states {net}{where}", frames)
    for (ip, how, detail), frames in sorted(seg.gateways.items(), key=lambda item: -item[1])[:MOST]:
        words = f"{how} {detail} gateway {ip}".replace("  ", " ")
        yield Evidence(how.lower(), words + where, frames)
    for (kind, sender), frames in sorted(seg.servers.items())[:MOST]:
        yield Evidence(kind.split()[0].lower(), f"{kind} {sender}{where}", frames)
    for net, number, stated in clusters(seg, declared=declared)[:MOST]:
        if number:
            inside = sorted((ip for ip in seg.senders if ip in net), key=int)
            words = f"{count(number, 'sender')} in {net}{'' if stated or net in declared else ' or wider'}{where}"
            yield Evidence(
                seg.evidence_kind(inside),
                f"{words}: {listed(map(str, inside), most=3)}",
                sum(seg.senders[ip] for ip in inside),
            )
    routing: Counter[str] = Counter()
    for hello, _, frames in heard.of(Routing, seg.tags):
        routing[f"{hello.protocol} from {hello.ip} {hello.detail}".strip()] += frames
    for greeting, frames in routing.most_common(MOST):
        yield Evidence("routing", greeting + where, frames)
    if seg.names:
        names = sorted(seg.names)
        yield Evidence("names", f"{listed((text for text, _ in names), most=4)}{where}", sum(seg.names.values()))
