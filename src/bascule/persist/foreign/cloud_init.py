"""cloud-init writes its network file anew at the next boot, unless its own switch says that it must not.

The switch is ``network: {config: disabled}`` in a file below /etc/cloud/cloud.cfg.d, as the head of the file that it
writes says itself (cloud-init's documentation, "Disable cloud-init's network configuration").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FOLDER = "etc/cloud/cloud.cfg.d"
READS = (f"{FOLDER}/*.cfg",)
FILE = f"{FOLDER}/99-disable-network-config.cfg"
TEXT = "network: {config: disabled}\n"

_OFF = re.compile(r"^network:\s*(?:\{\s*[\"']?config[\"']?:\s*[\"']?|\n\s+config:\s*[\"']?)disabled\b", re.MULTILINE)


def wrote(path: str, text: str) -> bool:
    """Whether a configuration file is cloud-init's own: its name or its first lines say so."""
    head = "\n".join(text.splitlines()[:6])
    return "cloud-init" in path or "cloud-init" in head or "generated from information provided by" in head


def switch(moved: Mapping[str, str], existing: Mapping[str, str]) -> Mapping[str, str]:
    """The file that turns it off, where a file of its own is moved (paths and texts) and nothing turns it off yet."""
    if FILE in existing and existing[FILE].startswith("# Written by bascule "):
        return {FILE: TEXT}
    is_off = any(path.startswith(f"{FOLDER}/") and _OFF.search(text) for path, text in existing.items())
    wanted = not is_off and any(wrote(path, text) for path, text in moved.items())
    return {FILE: TEXT} if wanted else {}
