"""What Bascule asks of libvirt, whichever way it is asked, and what goes wrong then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from bascule.errors import BasculeError, CommandFailed, MissingTool, NotPermitted
from bascule.model.domain import DomainText, LeaseText, NetworkText

# virDomainState of libvirt/include/libvirt/libvirt-domain.h: the states of a domain that has a process and does nothing
HALTED = {3: "paused", 6: "crashed", 7: "suspended"}


class Hypervisor(Protocol):
    """A connection. Every method raises CommandFailed, NotPermitted or MissingTool with libvirt's own words."""

    uri: str

    def domains(self) -> tuple[DomainText, ...]:
        """All domains, running or shut off."""

    def domain(self, name: str) -> DomainText:
        """One domain by name; raises with the code LIBVIRT-NO-DOMAIN."""

    def networks(self) -> tuple[NetworkText, ...]:
        """All virtual networks, active or not."""

    def define_domain(self, xml: str) -> None:
        """Write a definition; replaces one of the same name and UUID."""

    def undefine_domain(self, name: str) -> None:
        """Take a definition away."""

    def start_domain(self, name: str) -> None:
        """Start it."""

    def stop_domain(self, name: str) -> None:
        """Pull the plug (libvirt: destroy)."""

    def shutdown_domain(self, name: str, mode: str) -> None:
        """Ask the guest to shut down: by ``acpi``, by its ``agent``, or by what libvirt tries first (empty)."""

    def set_domain_autostart(self, name: str, *, on: bool) -> None:
        """Whether a domain starts with the host."""

    def attach_device(self, name: str, xml: str, *, live: bool) -> None:
        """Add a device: to the running domain (``live``) or to its definition."""

    def update_device(self, name: str, xml: str, *, live: bool) -> None:
        """Change a device: of the running domain (``live``) or of its definition."""

    def detach_device(self, name: str, xml: str, *, live: bool) -> None:
        """Remove a device; for a running domain the guest has to agree."""

    def define_network(self, xml: str) -> None:
        """Write a network's definition."""

    def undefine_network(self, name: str) -> None:
        """Take a network's definition away."""

    def start_network(self, name: str) -> None:
        """Start a network; one that runs is left alone."""

    def set_autostart(self, network: str, *, on: bool) -> None:
        """Whether a network starts with the host."""

    def stop_network(self, name: str) -> None:
        """Stop a network; taps on its bridge lose their master."""

    def update_network(
        self, name: str, command: str, section: str, xml: str, *, parent: int = -1, live: bool = True
    ) -> None:
        """Change one section of a network (libvirt's net-update) in the definition and, ``live``, in what runs."""

    def leases(self, network: str) -> tuple[LeaseText, ...]:
        """The leases that a network has given."""

    def agent_addresses(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """What the guest's own agent says: addresses (``ip/prefix``) by MAC; empty without an agent."""

    def ask_agent(self, name: str, message: str, *, timeout_s: int) -> str:
        """The answer of a guest's own agent to one JSON document of its protocol."""

    def close(self) -> None:
        """End the connection."""


_KINDS: tuple[tuple[str, str, str | None], ...] = (  # words in libvirt's message, code, hint
    (r"[Dd]omain not found|failed to get domain", "LIBVIRT-NO-DOMAIN", "`bascule guest list` shows the domains"),
    (r"[Nn]etwork not found|failed to get network", "LIBVIRT-NO-NETWORK", "`virsh net-list --all` shows the networks"),
    (
        r"End of file while reading|Connection reset|[Bb]roken pipe|client socket is closed|connection closed",
        "LIBVIRT-GONE",
        "libvirtd ended in the middle; look at `journalctl -u libvirtd`, start it and run this again",
    ),
    (
        r"[Ff]ailed to connect|Cannot connect|Connection refused|No such file or directory.*sock|unable to connect",
        "LIBVIRT-NOT-RUNNING",
        "start it: systemctl start libvirtd, or virtqemud and virtnetworkd where the daemons are separate",
    ),
    (
        r"Cannot get interface MTU on '([^']*)'|Cannot get interface flags on '([^']*)'|bridge \S+ doesn't exist",
        "LIBVIRT-NO-BRIDGE",
        "make the bridge first: `bascule plan` says what is missing, `bascule apply` makes it",
    ),
    (r"add bridge \S+ port \S+: Device or resource busy", "LIBVIRT-PORT-BUSY", "somebody else plugged the tap in"),
    (r"not supported by the connection driver|unsupported flags", "LIBVIRT-NO-SUPPORT", None),
    (r"domain is not running|not active", "LIBVIRT-NOT-RUNNING-DOMAIN", None),
    (r"already (in use|exists|defined)", "LIBVIRT-EXISTS", None),
    (
        r"cannot (modify|change)|unable to change|[Uu]nsupported|not supported|not implemented",
        "LIBVIRT-NOT-LIVE",
        "it takes effect at the guest's next start",
    ),
)


def libvirt_error(doing: str, message: str) -> BasculeError:
    """The error for what libvirt said. ``doing`` is a phrase like "re-plugging guest_01"."""
    words = re.sub(r"^error: ", "", message.strip())
    words = " ".join(line.removeprefix("error: ").strip() for line in words.splitlines() if line.strip())
    text = f"{doing}: libvirt says: {words}"
    if re.search(r"\bssh: |Host key verification failed|Permission denied \((publickey|password|keyboard)", words):
        way = "see that this user comes there without a question: ssh HOST true"
        return CommandFailed.of("LIBVIRT-NO-SSH", text, hint=way)
    if re.search(r"[Pp]ermission denied|authentication (failed|unavailable)|access denied", words):
        return NotPermitted.of(
            "LIBVIRT-NOT-PERMITTED", text, hint="run it as root, or as a member of the group libvirt"
        )
    for pattern, code, hint in _KINDS:
        if re.search(pattern, words):
            return CommandFailed.of(code, text, hint=hint)
    return CommandFailed.of("LIBVIRT", text)


def no_way_in(uri: str) -> MissingTool:
    """The error when libvirt's client side is not installed."""
    return MissingTool.of(
        "LIBVIRT-NO-CLIENT",
        f"libvirt's Python binding cannot be loaded and virsh is not in PATH, so {uri} cannot be asked",
        hint="apt-get install python3-libvirt libvirt-clients, dnf install python3-libvirt libvirt-client, "
        "or zypper install python3-libvirt-python libvirt-client",
    )
