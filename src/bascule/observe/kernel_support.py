"""Which links of a plan this kernel cannot make: asked by making one of each kind in a namespace of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bascule.errors import BasculeError, Problem
from bascule.model.links import Bridge
from bascule.model.state import HostState, Link
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.net.rtnetlink import Message, Rtnetlink

_KINDS: dict[str, tuple[str, str, str, Callable[[int], Message]]] = {  # code, what it is, its module, such a link
    "vlan": ("KERNEL-VLAN", "802.1Q links", "8021q", lambda parent: rtnetlink.add_vlan("b.2", parent, 2, None)),
    "bond": ("KERNEL-BOND", "bonds", "bonding", lambda _: rtnetlink.add_other("o", "bond")),
    "filtering": (
        "KERNEL-BRIDGE-VLAN",
        "bridges that filter VLANs",
        "bridge, with CONFIG_BRIDGE_VLAN_FILTERING",
        lambda _: rtnetlink.add_filtering_bridge("o"),
    ),
}


def not_made_here(before: HostState, after: HostState) -> Iterator[Problem]:
    """A problem for each kind of link that is to be made and that the kernel does not make.

    Nothing where this user may not ask: it takes the right to make a namespace.
    """
    wanted: dict[str, list[str]] = {}
    for name, link in after.links.items():
        kind = _kind(link)
        if kind in _KINDS and (name not in before.links or _kind(before.links[name]) != kind):
            wanted.setdefault(kind, []).append(name)
    for kind, names in wanted.items():
        code, what, module, made = _KINDS[kind]
        there = kernel_makes(made)
        if there is None:
            return
        if not there:
            words = f"{', '.join(names)} cannot be made: this kernel has no {what}"
            yield Problem(code=code, message=words, hint=f"modprobe {module}, or boot a kernel that has it")


def lacking() -> tuple[tuple[str, str, str], ...] | None:
    """What this kernel does not make: the kind of link, in words, and its module. None where this user may not ask."""
    found = {kind: kernel_makes(made) for kind, (_, _, _, made) in _KINDS.items()}
    if None in found.values():
        return None
    return tuple((kind, what, module) for kind, (_, what, module, _) in _KINDS.items() if not found[kind])


def _kind(link: Link) -> str:
    options = link.options
    if isinstance(options, Bridge) and options.by_kernel and options.vlan_filtering:
        return "filtering"
    return options.kind


def kernel_makes(link: Callable[[int], Message]) -> bool | None:
    """Whether the kernel makes such a link on another one: asked by making one in a namespace of its own.

    None where this user may make no namespace.
    """
    try:
        fresh = Namespace.new("probe")
    except PermissionError:
        return None
    with fresh as namespace, Rtnetlink(namespace) as rtnl:
        rtnl.send([rtnetlink.add_bridge("b")])
        try:
            rtnl.send([link(links.index_of(namespace, "b"))])
        except BasculeError:
            return False
    return True
