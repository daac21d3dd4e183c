"""Whether NetworkManager on a host can make bridges of Open vSwitch."""

from __future__ import annotations

from pathlib import Path

PLUGIN = "libnm-device-plugin-ovs.so"
LIBRARIES = ("usr/lib", "usr/lib64", "usr/lib/*-linux-gnu")


def why_no_switch(root: str | None, *, beside: bool) -> str | None:
    """Why NetworkManager cannot keep a bridge of Open vSwitch on the host below ``root``, on any without; else None."""
    if root is not None and not any(
        found for folder in LIBRARIES for found in Path(root).glob(f"{folder}/NetworkManager/*/{PLUGIN}")
    ):
        return "NetworkManager has no plugin for it here (Debian builds it without; elsewhere it is NetworkManager-ovs)"
    words = "NetworkManager makes its bridges anew at each start, without the mirrors and patch ports of others"
    return words if beside else None
