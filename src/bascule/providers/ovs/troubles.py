"""What is wrong with switches: nobody does what their database says, others' rules, ports whose links are gone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bascule.model.state import HostState
from bascule.model.values import IfName, count, series
from bascule.providers.ovs.diff import reopen
from bascule.providers.ovs.state import PortRow, SwitchState
from bascule.providers.protocol import SwitchTrouble

SHOWN = 6  # ports that are named


def troubles(part: SwitchState | None, state: HostState, declared: Mapping[str, bool]) -> Iterator[SwitchTrouble]:
    """All of them; ``part`` is None where nobody keeps switches."""
    needs = any(declared.values())
    if part is None:
        if needs:
            yield _dead("nobody keeps switches here, and the file has some: nothing of it can be planned", ())
        return
    if part.seen.trouble and (part.bridges or needs):
        words = "its bridges pass nothing that they have not learned, and no port joins"
        seen = f"{count(len(part.bridges), 'bridge')} in the database at {part.socket}"
        yield _dead(f"ovs-vswitchd {part.seen.trouble}: {words}", (seen, *_undone(part)))
    for bridge, words, evidence in part.besides_guards():
        yield SwitchTrouble(
            id="openvswitch-rules",
            subject=bridge,
            text=words,
            evidence=evidence[:SHOWN],
            fix="remove them (ovs-ofctl del-flows, ovs-vsctl del-controller), or give whoever needs them a bridge "
            "of its own",
            bridges=(bridge,),
        )
    yield from _unheard(part, state, declared)
    for bridge in sorted(part.bridges):
        gone = [port for port in part.ports_of(bridge) if _is_stale(port, part, state)]
        if not gone:
            continue
        names = [one.name for port in gone for one in port.interfaces]
        said = [f"{name}: {part.seen.errors.get(name, 'there is no such link')}" for name in names]
        more = [f"and {len(said) - SHOWN} more"] if len(said) > SHOWN else []
        how = f"'bascule apply' takes off what the file or Bascule put on '{bridge}'" if bridge in declared else ""
        listed = " ".join(port.name for port in gone)
        by_hand = f"for port in {listed}; do ovs-vsctl --if-exists del-port {bridge} $port; done"
        yield SwitchTrouble(
            id="openvswitch-stale",
            is_problem=False,
            subject=bridge,
            text="it has ports without a link, as a guest leaves them that crashed: each costs ovs-vswitchd a try",
            evidence=(*said[:SHOWN], *more),
            fix=f"{how}; others: {by_hand}" if how else by_hand,
            bridges=(bridge,),
        )


def _unheard(part: SwitchState, state: HostState, declared: Collection[str]) -> Iterator[SwitchTrouble]:
    """Links that were made anew under the names of ports."""
    for bridge in sorted(part.bridges):
        rows = [one for port in part.ports_of(bridge) for one in port.interfaces]
        names = [one.name for one in rows if one.name in part.unheard and IfName(one.name) in state.links]
        if not names:
            continue
        how = (
            f"'bascule apply' lets it open those that the file or Bascule put on '{bridge}'"
            if bridge in declared
            else ""
        )
        by_hand = "; ".join(" ".join(("ovs-vsctl", *one.words[2:])) for one in reopen(part.socket, names[0]))
        yield SwitchTrouble(
            id="openvswitch-unheard",
            subject=bridge,
            text=f"it hears nothing of {series(names)}: Open vSwitch listens on an earlier link of this name",
            evidence=tuple(f"no socket of ovs-vswitchd reads from {name} (/proc/net/packet)" for name in names[:SHOWN]),
            fix=f"{how}; others: {by_hand}" if how else by_hand,
            bridges=(bridge,),
        )


def _dead(text: str, evidence: tuple[str, ...]) -> SwitchTrouble:
    fix = "systemctl restart openvswitch-switch, and see 'journalctl -u ovs-vswitchd'"
    subject = "Open vSwitch"
    return SwitchTrouble(id="openvswitch-dead", subject=subject, text=text, evidence=evidence, fix=fix)


def _undone(part: SwitchState) -> Iterator[str]:
    if part.seen.cur_cfg < part.seen.next_cfg:
        yield f"{part.seen.cur_cfg} changes of {part.seen.next_cfg} are done (cur_cfg, next_cfg)"


def _is_stale(port: PortRow, part: SwitchState, state: HostState) -> bool:
    """Whether none of its links is there; what Open vSwitch makes itself has no link of the kernel's at times."""
    own = [one for one in port.interfaces if one.type == ""]
    return bool(own) and all(one.name in part.seen.errors or IfName(one.name) not in state.links for one in own)
