"""How other programs call the bridges that they make, and the ends of guests and containers on them. Pure."""

from __future__ import annotations

import re

_BRIDGE = re.compile(
    r"docker[0-9]+|docker_gwbridge|br-[0-9a-f]{12}|buildkit[0-9]+|podman[0-9]+|cni-podman[0-9]+|nerdctl[0-9]+"
    r"|virbr[0-9]+(-nic)?|mpqemubr[0-9]+|lxcbr[0-9]+|lxdbr[0-9]+|incusbr[0-9]+"
    r"|cni[0-9]+|cbr[0-9]+|kube-bridge|weave|cilium_.*|flannel.*"
    r"|ovs-system|br-int|br-tun|fwbr[0-9]+i[0-9]+|(brq|qbr)[0-9a-f]{8}-[0-9a-f]{2}"
)
_GUEST_END = re.compile(
    r"veth[0-9a-z]+|tap.*|vnet[0-9]+|lxc.*|cali.*|vb-.*|ve-.*|fwln.*|fwpr.*|(qvb|qvo|qr-|qg-|ns-)[0-9a-f]{8}-[0-9a-f]{2}"
)


def is_bridge_of_program(name: str) -> bool:
    """Whether a program makes, names and removes it as it pleases."""
    return _BRIDGE.fullmatch(name) is not None


def is_end_of_guest(name: str) -> bool:
    """Whether whoever runs a guest or a container calls the host's end of its NIC so."""
    return _GUEST_END.fullmatch(name) is not None
