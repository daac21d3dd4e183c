"""What moves with the host's addresses when they change their link, and is kept for the next boot with them. Pure.

No key of a site file says these: policy rules that name a link of ours or that stood in a file that is moved aside,
permanent neighbours, and routes of kinds and with words of their own. They are on the host now, and so they are what
the next boot must make.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from bascule.model.host_links import PolicyRule
from bascule.model.site_place import NOWHERE
from bascule.model.state import FixedNeighbour, HostState, RoutingRule
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import Dialect
from bascule.persist.formats.host_routes import kernel_host_route
from bascule.persist.formats.neighbours import kind_of
from bascule.persist.formats.rules import is_same_rule, kernel_rule
from bascule.persist.formats.vlans import ADDS_VLANS_ALONE, without_default_vlan
from bascule.persist.running import not_expressed_route
from bascule.plan.change import Note


def with_carried(
    config: NetworkConfig, state: HostState, aside: Collection[PolicyRule], dialect: Dialect
) -> tuple[NetworkConfig, tuple[Note, ...]]:
    """The configuration with them, as far as the dialect has words for them, and a note for each link.

    ``state`` is what the change leads to, ``aside`` are the rules of the host's own files that are moved aside.
    """
    speakers = {name for name, link in config.links.items() if link.master is None}
    declared = {_bare(rule) for rule in config.rules}
    rules, kept, lost = list[PolicyRule](), dict[str, list[str]](), dict[str, list[str]]()
    for rule in state.rules:
        mine = sorted(speakers & set(rule.words))
        subject = mine[0] if mine else "rules"
        try:
            read = kernel_rule(rule)
        except ValueError:
            if mine:
                lost.setdefault(subject, []).append(_words(rule))
            continue
        if _bare(read) not in declared and (mine or any(is_same_rule(read, one) for one in aside)):
            rules.append(read)
            kept.setdefault(subject, []).append(_words(rule))
    neighbours = []
    for one in state.neighbours:
        if one.dev in speakers:
            said = kind_of(one) in dialect.neighbours
            neighbours += [one] if said else []
            (kept if said else lost).setdefault(one.dev, []).append(f"{kind_of(one)} {one.ip}")
    for route in state.routes:
        if kernel_host_route(route) in config.routes:
            continue
        mine = sorted(speakers & {route.dev, *(word for hop in route.nexthops for word in hop.split())})
        if mine and (words := not_expressed_route(route, state)):
            lost.setdefault(mine[0], []).append(words)
    notes = [_note(link, words, "written for the next boot as well") for link, words in kept.items()]
    no = f"{dialect.name} does not support it, so whoever sets it when the machine starts must name"
    notes += [_note(link, words, f"{no} {link}") for link, words in lost.items()]
    return _extended(config, rules, neighbours), tuple(notes)


def hook_notes(config: NetworkConfig, foreign: NetworkConfig, dialect: str) -> Iterator[Note]:
    """Commands that run when a link comes up: those that its own stanza has and the site file does not, and others'.

    ``foreign`` is what the host's own files mean that go aside.
    """
    for name, link in config.links.items():
        there = foreign.links[name].hooks if name in foreign.links else ()
        if lost := [line for line in there if line not in link.hooks]:
            said = "is moved aside with the stanza of its own file; 'as_found: {ifupdown: [...]}' at the link keeps it"
            yield Note(kind="warning", subject=name, text=f"{'; '.join(lost)}: {said}")
        if link.hooks and dialect != "ifupdown":
            text = (
                f"{'; '.join(link.hooks)}: a command of ifupdown, which {dialect} does not support: nothing runs it now"
            )
            yield Note(kind="warning", subject=name, text=text)


def as_said_by(config: NetworkConfig, dialect: str) -> NetworkConfig:
    """A configuration as a dialect says it: lines of ifupdown are its alone, and some take no VLAN off a port."""
    if dialect == "ifupdown":
        return config
    links = [replace(link, hooks=()) for link in config.links.values()]
    said = config.with_links(links)
    return without_default_vlan(said) if dialect in ADDS_VLANS_ALONE else said


def _extended(
    config: NetworkConfig, rules: Iterable[PolicyRule], neighbours: Iterable[FixedNeighbour]
) -> NetworkConfig:
    return replace(config, rules=(*config.rules, *rules), neighbours=tuple(neighbours))


def _note(link: str, words: Iterable[str], text: str) -> Note:
    return Note(kind="along", subject=link, text=f"{', '.join(words)}: {text}")


def _words(rule: RoutingRule) -> str:
    return f"rule {rule.priority} ({' '.join(rule.words)})"


def _bare(rule: PolicyRule) -> PolicyRule:
    return replace(rule, place=NOWHERE)
