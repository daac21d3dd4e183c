"""The QEMU guest agent of the guest behind a tap: through libvirt, or over the socket on its QEMU's command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bascule.model.values import IfName
from bascule.providers.libvirt.effects import may_be_here
from bascule.providers.libvirt.observe import observe
from bascule.system.libvirt import connect
from bascule.system.process.programs import programs
from bascule.system.qemu_agent import GuestAgentChannel, LibvirtChannel, SocketChannel

AGENT = "org.qemu.guest_agent.0"  # the name by which qemu-ga finds its port


def agent_behind(tap: IfName) -> GuestAgentChannel | None:
    """The way to the agent of the guest that runs behind a tap; None where it has no channel for one.

    Raises BasculeError where there is a channel and nobody answers.
    """
    if may_be_here():
        hypervisor = connect()
        for domain in observe(hypervisor).seen_domains:
            if domain.running and any(nic.tap == tap for nic in domain.nics):
                return LibvirtChannel(hypervisor, domain.name)
        hypervisor.close()
    for program in programs():
        if any(f"ifname={tap}" in word.split(",") for word in program.argv):
            path = agent_socket(program.argv)
            return SocketChannel(path) if path is not None else None
    return None


def agent_socket(argv: Sequence[str]) -> Path | None:
    """The socket that a QEMU holds for its guest's agent, from its command line."""
    ports = [dict(re.findall(r"(\w+)=([^,]*)", word)) for word in argv]
    held = next((one.get("chardev") for one in ports if one.get("name") == AGENT), None)
    found = next((one["path"] for one in ports if held and one.get("id") == held and "path" in one), None)
    return Path(found) if found else None
