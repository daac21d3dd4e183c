"""The steps that lead the kernel from one state to another, in an order that it takes.

It costs no frame needlessly: a bridge is up and has the host's address before the NIC is enslaved, and routes move
before the old address is deleted (see ``step.Phase``).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping

from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, REDIRECTS, conf, first_value, link_of
from bascule.model.links import Tap, Veth
from bascule.model.state import BY_SECRET, HostState, Link
from bascule.model.values import IfName
from bascule.plan.address_migration import set_anew
from bascule.plan.change import Command, Risk
from bascule.plan.step import PLUG_S, Phase, Step, ip, step
from bascule.providers.kernel.diff.addresses import out_of_order
from bascule.providers.kernel.diff.links import (
    as_created,
    create,
    creation_order,
    differing,
    link_steps,
    must_be_remade,
)
from bascule.providers.kernel.diff.parameters import parameter_words
from bascule.providers.kernel.diff.routes import first_again, neighbour_steps, route_steps, rule_steps
from bascule.providers.kernel.link_stack import carriers, depth, joins_bond, leaves_bond, let_go, with_what_sits_on

MANY = 4  # links; as many are deleted as a group
FIRST_GROUP = 0xBA5C  # of the numbers that are tried for it


def steps(before: HostState, after: HostState) -> list[Step]:
    """What turns the kernel's part of ``before`` into that of ``after``; nothing when they say the same.

    Links that only ``before`` has are deleted if their kind can be made again, links that only ``after`` has are made
    if it can; a tap or a NIC that comes or goes is nobody's to make.
    """
    stacked = {Phase.SETTINGS, Phase.RAISE, Phase.LINK_UP}  # a VLAN comes up after its NIC, and its frames fit into it

    late = _made_by_others(before, after)

    def order(one: Step) -> tuple[Phase, int]:
        return one.phase, depth(one.subject, after.links) if one.phase in stacked else 0

    found = sorted(_steps(before, after), key=order)  # stable: links keep their order in a phase
    return [
        replace(one, phase=max(one.phase, Phase.SWITCHED)) if one.subject in late and one.phase else one
        for one in found
    ]


def _made_by_others(before: HostState, after: HostState) -> set[IfName]:
    """The links that are not there before their own maker has made them, or what they sit on."""
    made = {name for name, link in after.links.items() if not _is_kernels(link) and _is_new(link, before)}
    return with_what_sits_on(made, after.links) if made else made


def _is_kernels(link: Link) -> bool:
    return link.options.by_kernel


def _is_new(link: Link, before: HostState) -> bool:
    old = before.links.get(link.name)
    return old is None or type(old.options) is not type(link.options)


def _steps(before: HostState, after: HostState) -> Iterator[Step]:
    gone = [link for name, link in before.links.items() if name not in after.links and _is_makeable(link)]
    changed = {name for name, link in after.links.items() if not _is_as_wanted(before.links.get(name), link)}
    remade = {
        name
        for name in changed
        if name in before.links
        and after.links[name].options.virtual
        and must_be_remade(before.links[name], after.links[name])
        and (_is_kernels(before.links[name]) or _is_kernels(after.links[name]))
    }
    swept = with_what_sits_on(remade, before.links)
    going = {link.name: link for link in gone}
    gone = [link for link in gone if link.name not in swept and not _is_second_end(link, going)]
    remade = swept & after.links.keys()
    for name in sorted(remade, key=lambda x: (-depth(x, before.links), x)):
        words = f"is made anew: {differing(before.links[name], after.links[name])} cannot change in place"
        if not _is_kernels(before.links[name]):
            continue  # who has made it deletes it
        yield step(Phase.REMAKE, name, words, ip("link", "del", "dev", name), risk=Risk.DETACHES, outage_s=PLUG_S)
    had = {address.ip for link in before.links.values() for address in link.addresses}
    carrying, lowered = carriers(after.links), set()
    affected = changed | remade | {name for name, link in after.links.items() if link.master in remade}
    yield from _sysctl_steps(before, after, remade, early=True)
    for link in creation_order(after.links):
        old = None if link.name in remade else before.links.get(link.name)
        if link.name not in affected or (old is None and not link.is_makeable):
            continue
        if old is None:
            if _is_kernels(link) and not _is_second_end(link, after.links):
                yield create(link, after.links)
            old, released = as_created(link), False
        else:
            released = leaves_bond(old, link, before, remade)
            old = let_go(old, link, before, remade)
            if old.up and joins_bond(old, link, after):
                lowered.add(link.name)
        yield from link_steps(old, link, before, after, had, carries=link.name in carrying, released=released)
    yield from _sysctl_steps(before, after, remade)
    lost = {link.name for link in gone} | remade
    reset = {
        name
        for name in changed - remade
        if (old := before.links.get(name)) is not None
        and old.addresses
        and (out_of_order(old, after.links[name]) or set_anew(old, after.links[name]))
    }
    yield from route_steps(before, after, lost, lowered=lowered, reset=reset)
    yield from first_again(before, after)
    yield from rule_steps(before, after)
    yield from neighbour_steps(before, after, lost)
    yield from _deletions(sorted(gone, key=lambda x: (-depth(x.name, before.links), x.name)), before, after)


def _is_as_wanted(old: Link | None, new: Link) -> bool:
    """Whether a link is there and is all that is wanted of it; what a port leaves to the kernel is as it is."""
    if old is None or old.port is None or new.port is None:
        return old == new
    return not new.port.arguments(old.port) and old == replace(new, port=old.port)


def _is_makeable(link: Link) -> bool:
    return (link.is_makeable and _is_kernels(link)) or _is_orphan(link)


def _is_orphan(link: Link) -> bool:
    """A tap that stays though nobody holds it, as an ovs-vswitchd that was killed leaves those of its bridges.

    Only a way back does without a tap that is there, and only if its change had it made (see ``merge``).
    """
    return isinstance(link.options, Tap) and link.options.persist and not link.facts.carrier


def _is_second_end(link: Link, links: Mapping[IfName, Link]) -> bool:
    """Whether the kernel makes and deletes it with the other end of its pair, which is among some links."""
    peer = links.get(link.parent) if link.parent and isinstance(link.options, Veth) else None
    return peer is not None and peer.name < link.name


def _deletions(gone: list[Link], before: HostState, after: HostState) -> Iterator[Step]:
    """The kernel waits for every processor with each link that it deletes, or once for all links of a group."""
    ports: dict[str, list[str]] = {}
    for name, port in before.links.items() if gone else ():
        if port.master is not None and after.links.get(name, port).master == port.master:
            ports.setdefault(port.master, []).append(name)
    group = _free_group(before) if len(gone) >= MANY else ""
    for link in gone:
        left = ", ".join(sorted(ports.get(link.name, ())))
        words = f"delete {link.options.kind}" + (f", which leaves {left} without a master" if left else "")
        command = ip("link", "set", "dev", link.name, "group", group) if group else ip("link", "del", "dev", link.name)
        last = (ip("link", "del", "group", group),) if group and link is gone[-1] else ()
        yield step(Phase.DELETE, link.name, words, command, *last, risk=Risk.DETACHES)


def _free_group(state: HostState) -> str:
    """A group number that no link has."""
    taken = {link.group for link in state.links.values()}
    return next(str(number) for number in itertools.count(FIRST_GROUP) if str(number) not in taken)


_SET_ALONG = {REDIRECTS: FORWARDING[4]}  # by the kernel: a router takes none, a host does


def _with_their_mtu(before: HostState, after: HostState) -> dict[str, str]:
    """The MTUs of IPv6 that the kernel sets itself as it sets those of their links (addrconf_notify)."""
    found: dict[str, str] = {}
    for name, link in after.links.items():
        old, key = before.links.get(name), conf(6, name, "mtu")
        if old is not None and link.mtu and old.mtu != link.mtu and key in before.sysctls:
            found[key] = str(link.mtu)
    return found


def _is_there(name: str, before: HostState, after: HostState) -> bool:
    """Whether a link, or no link at all, has the parameter by then: a tap that has gone does not come back."""
    if name in {"", "all", "default"}:
        return True
    link = after.links.get(IfName(name))
    return link is not None and link.options.is_link and (name in before.links or link.is_makeable)


def _is_early(key: str, value: str, before: HostState) -> bool:
    link = before.links.get(IfName(link_of(key))) if key.endswith("/accept_ra") and value == "0" else None
    return key.endswith("/stable_secret") or (link is not None and link.addrgenmode in BY_SECRET)


def _links_forwarding(key: str, state: HostState) -> list[str]:
    """Where it is whether the host forwards, the parameters of links that the kernel sets to the same value with it."""
    version = next((version for version, own in FORWARDING.items() if own == key), None)
    if version is None:
        return []
    return [own for name in (*state.links, "default") if (own := conf(version, name, "forwarding")) in state.sysctls]


def _set_along_off(after: HostState) -> Iterator[str]:
    """What somebody has links forward on a host that does not: it is set again after that of the host."""
    for key in FORWARDING.values():
        if after.sysctls.get(key) == "0":
            yield from _links_forwarding(key, after)


def _sysctl_steps(
    before: HostState, after: HostState, remade: Collection[IfName], *, early: bool = False
) -> Iterator[Step]:
    """Whether to forward comes last: with IPv6 the kernel drops what routers advertised to links not ready for it.

    ``early`` are those alone that must stand before a link's addrgenmode changes: without its secret it refuses the
    mode, and an advertisement that comes in between would give it one more address, made in the other mode.
    """
    known = dict(before.sysctls) | _with_their_mtu(before, after)
    late = (*FORWARDING.values(), *_SET_ALONG, *_set_along_off(after))
    # of thousands nearly all are right; those that the kernel sets along are not known to be before their turn
    asked = (key for key, value in after.sysctls.items() if remade or key in late or known.get(key) != value)
    for key in sorted(asked, key=lambda key: (late.index(key) + 1 if key in late else 0, key)):
        value = after.sysctls[key]
        if known.get(key) == value and not remade:
            continue
        if _is_early(key, value, before) != early:
            continue
        name = link_of(key)
        if not _is_there(name, before, after):
            continue
        begins = known.get(key) if name not in remade else first_value(key, before.sysctls)
        if begins != value:
            words = parameter_words(key, value)
            risk = Risk.CHANGES if key in FORWARDING.values() else Risk.ADDITION
            subject = key if name in {"", "all", "default"} else name
            phase = Phase.LINK_UP if key == conf(6, name, "mtu") else Phase.SETTINGS  # it fits into its link's by then
            yield step(phase, subject, words, Command("sysctl", (key, value)), risk=risk, about="parameter")
            known |= {other: str(1 - int(value)) for other, by in _SET_ALONG.items() if by == key and other in known}
            known |= dict.fromkeys(_links_forwarding(key, after), value)
