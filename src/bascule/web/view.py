"""What a page is told of a host, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from bascule.draw import make_scene
from bascule.draw.answers import AnsweredExpectation, answers, as_expected, chain, ways_of
from bascule.draw.formats.embed import embed
from bascule.draw.scene.compare import SeenHost, link_state
from bascule.draw.scene.elements import Path, Scene, link_id
from bascule.model.links import Bridge, Loopback, Macvtap, Tap
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.plan.change import Plan
from bascule.system.net.counters import Count
from bascule.verify.checks import Check
from bascule.verify.expectations import Outcome
from bascule.verify.words import WORDS

COLLAPSE = 12  # from how many alike guests on one box stands for all
MIN_S = 0.05  # below this, two readings of the counters tell no rate


class LastAnswers(Struct, frozen=True, kw_only=True):
    """The last time that the questions were asked: ``at`` is when, in words; ``digest`` is of the file then."""

    at: str = ""
    digest: str = ""
    running: bool = False
    problem: str = ""
    checks: tuple[Check, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


def state_document(
    site: Site,
    host: Host,
    observed: HostState,
    *,
    plan: Plan | None,
    problems: Sequence[str],
    asking: LastAnswers,
) -> dict[str, Any]:
    """All but the learned MACs, the traffic and what guards stop, which change all the time."""
    seen = SeenHost(state=observed, plan=Plan() if plan is None else plan)
    scene = make_scene(site, observed={host.name: seen}, collapse=COLLAPSE)
    answered = answers(asking.outcomes) if asking.digest == site.source.digest else ()
    ways = ways_of(scene, answered)
    owners = {str(nic.tap): nic.guest for nic in site.guest_nics(host.name)}
    to_do = {f"{change.subject}: {change.action}" for change in seen.plan.changes}  # each stands in ``changes``
    return {
        "site": site.name,
        "host": host.name,
        "sha256": site.source.digest,
        "problems": list(problems),
        "svg": embed(scene, ways, right=as_expected(answered), live=True),
        "changes": _changes(plan),
        "drift": [words for words in scene.drift if words not in to_do],
        "ports": [_port(host, owners, link) for link in _in_order(observed)],
        "asking": {
            "at": asking.at,
            "running": asking.running,
            "problem": asking.problem,
            "stale": bool(asking.at) and asking.digest != site.source.digest,
            "broken": [_broken(check) for check in asking.checks if check.ok is False],
            "checks": len([check for check in asking.checks if check.ok is not None]),
        },
        "asks": _asks(site, scene, answered, ways),
    }


def _broken(check: Check) -> str:
    return f"{check.subject}, {WORDS.get(check.id, check.id)}: {check.detail}"


def _changes(plan: Plan | None) -> list[dict[str, Any]]:
    if plan is None:
        return []
    found = []
    for subject, group in groupby(sorted(plan.changes, key=lambda change: change.subject), key=lambda c: c.subject):
        changes = list(group)
        actions = ", ".join(dict.fromkeys(change.action for change in changes))
        found.append({"subject": subject, "action": actions, "reason": changes[0].reason})
    return found


def _asks(
    site: Site, scene: Scene, answered: Sequence[AnsweredExpectation], ways: Mapping[str, Path]
) -> list[dict[str, Any]]:
    listed = []
    for place, expected in enumerate(site.expectations):
        answer = answered[place] if place < len(answered) else None
        entry: dict[str, Any] = {
            "from": expected.source,
            "to": expected.target,
            "service": str(expected.service),
            "verdict": str(expected.verdict),
            "seen_as": expected.seen_as or "",
        }
        if answer is not None:
            entry |= {"observed": answer.observed, "ok": answer.ok, "sentence": answer.sentence}
            if (path := ways.get(f"w{place}")) is not None:
                entry |= {"way": f"w{place}", "hops": chain(scene, path), "reached": path.reached}
        listed.append(entry)
    return listed


def _in_order(observed: HostState) -> list[Link]:
    """Each bridge with its ports under it, then what is on no bridge."""
    links = [link for link in observed.links.values() if not isinstance(link.options, Loopback)]
    bridges = [link for link in links if isinstance(link.options, Bridge)]
    ports: dict[str, list[Link]] = {str(bridge.name): [] for bridge in bridges}
    rest: list[Link] = []
    for link in links:
        if not isinstance(link.options, Bridge):
            ports.get(str(link.master or ""), rest).append(link)
    return [link for bridge in bridges for link in (bridge, *ports[str(bridge.name)])] + rest


def _port(host: Host, owners: Mapping[str, str], link: Link) -> dict[str, Any]:
    guest = owners.get(link.name, "")
    nic = host.nics.get(link.name)
    is_guests = bool(guest) or isinstance(link.options, Tap | Macvtap)
    return {
        "name": link.name,
        "id": link_id(host.name, link.name),
        "kind": link.options.kind or "nic",
        "bridge": link.master or "",
        "vlans": ", ".join(f"{one.span}{' untagged' * one.untagged}" for one in link.vlans if one.last),
        "state": str(link_state(link)),
        "mac": link.mac or "",
        "mtu": link.mtu,
        "whose": guest or (nic.network if nic and nic.network else ""),
        "addresses": [address.ip for address in link.addresses if not address.is_link_local],
        "side": "guest" if is_guests else "bridge" if isinstance(link.options, Bridge) else "wire",
    }


def rates(before: Mapping[str, Count], after: Mapping[str, Count], seconds: float) -> dict[str, list[float]]:
    """Link → received bit/s, sent bit/s, received frames/s, sent frames/s, of those where something passed."""
    found = {}
    if seconds < MIN_S:
        return {}
    for name, now in after.items():
        was = before.get(name)
        if was is None or now == was:
            continue
        steps = (
            8 * (now.rx_bytes - was.rx_bytes),
            8 * (now.tx_bytes - was.tx_bytes),
            now.rx_frames - was.rx_frames,
            now.tx_frames - was.tx_frames,
        )
        if min(steps) >= 0:  # else the link was made anew in between
            found[name] = [round(step / seconds, 1) for step in steps]
    return found
