"""The route files beside ifcfg files, in the words of ip(8) or in those of RHEL 3."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bascule.model.values import classful
from bascule.persist.config import StaticRoute
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.host_routes import parse_route, tell_tuning
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.shell import assignments
from bascule.persist.formats.values import parse_ip, parse_number, parse_prefix
from bascule.persist.ifcfg import FOLDER, SKIPPED
from bascule.persist.parsed import IGNORED


def read_routes(path: str, text: str, builder: Builder, called: Mapping[str, str]) -> None:
    """One file ``route-NAME`` or ``route6-NAME``; those of rules are left over.

    NAME is the link's, or what its ifcfg file is named after (ifup-routes, network-scripts); ``called`` has the link.
    """
    kind, _, name = path.removeprefix(f"{FOLDER}/").partition("-")
    left = builder.left
    name = called.get(name, name)
    if name.endswith(SKIPPED):
        left.add(path, 0, "", f"{IGNORED} the scripts do with such a name")
        return
    if kind.startswith("rule"):
        for number, line in enumerate(text.split("\n"), 1):
            with left.unless_taken(path, number, line):
                if words := line.partition("#")[0].split():
                    builder.rules.append(parse_rule_words(words, ipv6=kind == "rule6"))
        return
    try:
        draft = builder.draft(name, path, 0)
    except ValueError as wrong:
        left.add(path, 0, name, str(wrong))
        return
    if re.search(r"^\s*ADDRESS[0-9]+=", text, re.MULTILINE):
        _old_routes(path, text, draft, builder)
        return
    for number, line in enumerate(text.split("\n"), 1):
        route_words = line.partition("#")[0].split()
        if not route_words:
            continue
        try:
            route, dev = parse_route(route_words, ipv6=kind == "route6")
        except ValueError as wrong:
            left.add(path, number, line, str(wrong))
            continue
        if dev and dev != name:
            left.add(path, number, line, f"a route on {dev} in the file of {name}")
        else:
            builder.add_route(draft, route, path, number, line)
            tell_tuning(left, route.dst, route_words, path, number)


def _old_routes(path: str, text: str, draft: LinkDraft, builder: Builder) -> None:
    """``ADDRESS0= NETMASK0= GATEWAY0=``, the way of RHEL 3 and of the desktop tool."""
    found = {a.key: a for a in assignments(path, text, builder.left)}
    used: set[str] = set()
    for key, assignment in found.items():
        if not (match := re.fullmatch(r"ADDRESS([0-9]+)", key)):
            continue
        mask, gateway, metric = (found.get(f"{word}{match[1]}") for word in ("NETMASK", "GATEWAY", "METRIC"))
        used |= {key, *(a.key for a in (mask, gateway, metric) if a)}
        with builder.left.unless_taken(path, assignment.line, f"{key}={assignment.value}"):
            draft.routes.append(
                StaticRoute(
                    dst=parse_prefix(assignment.value, mask.value if mask else classful(assignment.value)),
                    gateway=parse_ip(gateway.value) if gateway else "",
                    metric=parse_number(metric.value) if metric else 0,
                )
            )
    for key, assignment in found.items():
        if key not in used:
            builder.left.add(path, assignment.line, f"{key}={assignment.value}", "not taken")
