"""The kernel filter of a survey: it lets control frames through and keeps data frames in the kernel.

It says yes to what the decoders know, to what goes to the groups of IEEE Std 802.1Q, and to the frames by which a
survey proves that two NICs hang on one wire; and to nothing else. What the host itself sends on the link never passes.
The kernel has taken the outer VLAN tag off before; one or two further tags are stepped over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bascule.frames.bpf import (
    JA,
    JEQ,
    JGE,
    JSET,
    LD_B,
    LD_H,
    LD_H_X,
    LD_W,
    LDX_MSH,
    OUTGOING,
    PKTTYPE,
    RET,
    SNAPLEN,
    Assembler,
    Instruction,
)
from bascule.frames.codecs import ethernet, ip
from bascule.frames.decoder import Decoder
from bascule.frames.decoders import DECODERS
from bascule.frames.envelope import AUTHENTICATION

IEEE_GROUPS = (0x0180C200, 0x0030)  # 01:80:c2:00:00:00 and up: STP, LACP, LLDP, EAPOL, GVRP
PAUSE = 0x8808  # MAC control: flow control of the link, never of interest
TAGS = (0x8100, 0x88A8)


def control_filter(decoders: Iterable[Decoder] = DECODERS) -> tuple[Instruction, ...]:
    """The filter for these decoders."""
    known = tuple(decoders)
    values: dict[str, set[int]] = defaultdict(set)
    for kind, number in (key for decoder in known for key in decoder.keys):
        values[kind].add(number)
    values["ether"].add(ethernet.EXPERIMENTAL)
    asm = Assembler()
    asm.add(LD_B, PKTTYPE)
    asm.add(JEQ, OUTGOING, "drop")
    asm.add(LD_H, 12)
    asm.add(JEQ, PAUSE, "drop")
    _groups(asm, {group for decoder in known for group in decoder.groups})
    asm.label("take")
    asm.add(RET, SNAPLEN)
    asm.label("drop")
    asm.add(RET, 0)
    asm.label("start")
    for shift in (0, 4, 8):
        _layer(asm, shift, values)
    return asm.program()


def _groups(asm: Assembler, macs: Iterable[str]) -> None:
    """802.3 frames (a length instead of a type) and everything to the protocols' own groups."""
    heads: dict[int, list[int]] = defaultdict(list)
    for mac in sorted(macs):
        packed = ethernet.mac_bytes(mac)
        if int.from_bytes(packed[:4], "big") != IEEE_GROUPS[0]:
            heads[int.from_bytes(packed[:4], "big")].append(int.from_bytes(packed[4:], "big"))
    asm.add(LD_W, 0)
    asm.add(JEQ, IEEE_GROUPS[0], "ieee")
    for head in heads:
        asm.add(JEQ, head, f"group {head}")
    asm.add(JA, 0, "start")
    for head, tails in heads.items():
        asm.label(f"group {head}")
        asm.add(LD_H, 4)
        for tail in tails:
            asm.add(JEQ, tail, "take")
        asm.add(JA, 0, "start")
    asm.label("ieee")
    asm.add(LD_H, 4)
    asm.add(JGE, IEEE_GROUPS[1], "", "take")
    asm.add(JA, 0, "start")


def _layer(asm: Assembler, shift: int, values: dict[str, set[int]]) -> None:
    """The same questions behind ``shift`` bytes of further tags; every layer has its own exits, as jumps are short."""
    asm.add(LD_H, 12 + shift)
    asm.add(JEQ, ethernet.IPV4, f"ip {shift}")
    asm.add(JEQ, ethernet.IPV6, f"ip6 {shift}")
    for kind in sorted(values["ether"]):
        asm.add(JEQ, kind, f"take {shift}")
    for kind in TAGS:
        asm.add(JEQ, kind, f"after {shift}")
    asm.add(JA, 0, f"drop {shift}")
    _ipv4(asm, shift, values)
    _ipv6(asm, shift, values)
    asm.label(f"after {shift}")
    if shift == 8:
        asm.add(RET, 0)


def _exits(asm: Assembler, take: str, drop: str) -> None:
    asm.label(drop)
    asm.add(RET, 0)
    asm.label(take)
    asm.add(RET, SNAPLEN)


def _ipv4(asm: Assembler, shift: int, values: dict[str, set[int]]) -> None:
    take, drop = f"take {shift}", f"drop {shift}"
    asm.label(f"ip {shift}")
    asm.add(LD_B, 23 + shift)
    for protocol in sorted(values["ip"]):
        asm.add(JEQ, protocol, take)
    asm.add(JEQ, ip.UDP, "", drop)
    asm.add(LD_H, 20 + shift)
    asm.add(JSET, 0x1FFF, drop)  # a later fragment has no ports
    asm.add(LDX_MSH, 14 + shift)
    for offset in (16, 14):  # destination port, then source port
        asm.add(LD_H_X, offset + shift)
        for port in sorted(values["udp"]):
            asm.add(JEQ, port, take)
    _exits(asm, take, drop)


def _ipv6(asm: Assembler, shift: int, values: dict[str, set[int]]) -> None:
    take, drop = f"take6 {shift}", f"drop6 {shift}"
    asm.label(f"ip6 {shift}")
    asm.add(LD_B, 20 + shift)
    asm.add(JEQ, ip.UDP, f"udp6 {shift}")
    asm.add(JEQ, ip.ICMPV6, f"icmp6 {shift}")
    for protocol in sorted(values["ip6"]):
        asm.add(JEQ, protocol, take)
    asm.add(JEQ, AUTHENTICATION, f"ah {shift}")
    asm.add(JEQ, 0, "", drop)  # hop-by-hop options: MLD is behind them
    asm.add(LD_B, 54 + shift)
    asm.add(JEQ, ip.ICMPV6, "", drop)
    asm.add(LD_B, 62 + shift)
    asm.add(JA, 0, f"type {shift}")
    asm.label(f"icmp6 {shift}")
    asm.add(LD_B, 54 + shift)
    asm.label(f"type {shift}")
    for kind in sorted(values["icmp6"]):
        asm.add(JEQ, kind, take)
    asm.add(JA, 0, drop)
    asm.label(f"ah {shift}")
    asm.add(LD_B, 54 + shift)
    for protocol in sorted(values["ip6"]):
        asm.add(JEQ, protocol, take)
    asm.add(JA, 0, drop)
    asm.label(f"udp6 {shift}")
    for offset in (56, 54):
        asm.add(LD_H, offset + shift)
        for port in sorted(values["udp"]):
            asm.add(JEQ, port, take)
    _exits(asm, take, drop)
