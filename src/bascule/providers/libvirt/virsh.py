"""The commands that change libvirt, as the lines of ``virsh`` that an administrator would type."""

from __future__ import annotations

from bascule.plan.change import Command

FROM_STDIN = "/dev/stdin"


def virsh(uri: str, *words: str, xml: str = "") -> Command:
    """``virsh -c URI WORDS``, with a document as its input."""
    return Command("virsh", ("-c", uri, *words), xml)


def device(uri: str, verb: str, domain: str, xml: str, *, live: bool) -> Command:
    """``attach``, ``update`` or ``detach`` of a device, in the running domain or in its definition."""
    return virsh(uri, f"{verb}-device", domain, FROM_STDIN, "--live" if live else "--config", xml=xml)


def net_update(uri: str, network: str, command: str, section: str, xml: str, *, parent: int) -> Command:
    """A change of one section of a network, in its definition and in what runs."""
    words = ["net-update", network, command, section, "--xml", xml, "--config", "--live"]
    words += ["--parent-index", str(parent)] if parent >= 0 else []
    return virsh(uri, *words)
