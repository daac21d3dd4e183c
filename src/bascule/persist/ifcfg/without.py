"""network-scripts without some links: the files of each, and the line that gives the default route to it alone."""

from __future__ import annotations

import re
from collections.abc import Collection

from bascule.model.values import IfName
from bascule.persist.ifcfg import FOLDER, SKIPPED
from bascule.persist.ifcfg.parse import GLOBAL, parse
from bascule.persist.parsed import Files, Hardware

STEM = f"{FOLDER}/ifcfg-"
_ROUTES = re.compile(rf"{FOLDER}/(?:route|rule)6?-(.*)")
_DEVICE = re.compile(r"^[ \t]*(?:GATEWAYDEV|IPV6_DEFAULTDEV)=[\"']?([\w.:-]+)[\"']?[ \t]*(?:#.*)?\n?", re.MULTILINE)


def without(files: Files, names: Collection[IfName], hardware: Hardware) -> dict[str, str | None]:
    """What is left of each file that speaks for one of the links.

    ``GATEWAYDEV`` in /etc/sysconfig/network keeps the scripts from a default route over any other link.
    """
    found: dict[str, str | None] = {}
    stems = set(names)  # a file of routes is called as the link is, or as its own ifcfg file
    for path, text in files.items():
        is_link = path.startswith(STEM) and not path.endswith(SKIPPED)
        if is_link and parse({path: text}, hardware).config.subjects & set(names):
            found[path] = None
            stems.add(IfName(path.removeprefix(STEM)))
    for path, text in files.items():
        routes = _ROUTES.fullmatch(path)
        if routes and routes[1] in stems:
            found[path] = None
        elif path == GLOBAL:
            left = _DEVICE.sub(lambda line: "" if line[1] in names else line[0], text)
            if left != text:
                found[path] = left
    return found
