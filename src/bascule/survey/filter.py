"""The kernel filter of a survey: classic BPF that lets control frames through and keeps data frames in the kernel.

It says yes to what survey/frame.py and the decoders know, and to nothing else; what the host itself sends on the link
never passes. The kernel has taken the outer VLAN tag off before; one or two further tags are stepped over.
"""

from __future__ import annotations

from bascule.survey.frame import ETHER_TYPES, ICMP6_TYPES, IP_PROTOCOLS, UDP_PORTS
from bascule.system.net.packet import SNAPLEN, Instruction

# linux/bpf_common.h: class | size | mode
LD_W, LD_H, LD_B = 0x20, 0x28, 0x30
LD_H_X, LDX_MSH = 0x48, 0xB1  # half word at x + k; x = 4 * (byte[k] & 15), the length of an IPv4 header
JEQ, JGT, JGE, JSET, JA, RET = 0x15, 0x25, 0x35, 0x45, 0x05, 0x06
AD_PKTTYPE, OUTGOING = 0xFFFFF000 + 4, 4  # SKF_AD_OFF + SKF_AD_PKTTYPE; linux/if_packet.h

# the first four bytes of a group address and its last two
GROUPS = (
    (0x0180C200, range(0x0030)),  # IEEE 802.1: STP, LACP, LLDP, EAPOL, GVRP
    (0x01000CCC, range(0xCCCC, 0xCCCE)),  # Cisco: CDP, DTP, VTP, UDLD, PVST+
    (0x00E02B00, range(0x0003)),  # Extreme
    (0x01E052CC, range(0xCCCC, 0xCCCD)),  # Foundry
)
PAUSE = 0x8808  # MAC control: flow control of the link, never of interest
TAGS = (0x8100, 0x88A8)


class _Assembler:
    """Instructions with named targets."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, str, int]] = []
        self.labels: dict[str, int] = {}

    def add(self, code: int, k: int, yes: str = "", no: str = "") -> None:
        self.lines.append((code, yes, no, k))

    def label(self, name: str) -> None:
        self.labels[name] = len(self.lines)

    def program(self) -> tuple[Instruction, ...]:
        made = []
        for at, (code, yes, no, k) in enumerate(self.lines):
            if code == JA:
                made.append(Instruction(JA, 0, 0, self.labels[yes] - at - 1))
                continue
            jumps = [self.labels[name] - at - 1 if name else 0 for name in (yes, no)]
            made.append(Instruction(code, jumps[0], jumps[1], k))
        return tuple(made)


def control_filter() -> tuple[Instruction, ...]:
    """The filter of a survey."""
    asm = _Assembler()
    asm.add(LD_B, AD_PKTTYPE)
    asm.add(JEQ, OUTGOING, "drop0")
    asm.add(LD_H, 12)
    asm.add(JEQ, PAUSE, "drop0")
    # 802.3 frames (a length instead of a type) and everything to the protocols' own groups
    asm.add(LD_W, 0)
    for number, (head, tails) in enumerate(GROUPS):
        asm.add(JEQ, head, "", f"group{number}")
        asm.add(LD_H, 4)
        asm.add(JGE, tails.start, "", "plain")
        asm.add(JGE, tails.stop, "plain", "take0")
        asm.label(f"group{number}")
    asm.label("plain")
    asm.add(JA, 0, "start")
    asm.label("take0")
    asm.add(RET, SNAPLEN)
    asm.label("drop0")
    asm.add(RET, 0)
    asm.label("start")
    for shift in (0, 4, 8):
        _layer(asm, shift)
    return asm.program()


def _layer(asm: _Assembler, shift: int) -> None:
    """The same questions behind ``shift`` bytes of further tags; every layer has its own exits, as jumps are short."""
    take, drop, ip4, ip6, udp6, icmp6, after = (
        f"{word}-{shift}" for word in ("take", "drop", "ip4", "ip6", "udp6", "icmp6", "after")
    )
    asm.add(LD_H, 12 + shift)
    asm.add(JEQ, 0x0800, ip4)
    asm.add(JEQ, 0x86DD, ip6)
    for kind in sorted(ETHER_TYPES):
        asm.add(JEQ, kind, take)
    for kind in TAGS:
        asm.add(JEQ, kind, after)
    asm.add(JA, 0, drop)

    asm.label(ip4)
    asm.add(LD_B, 23 + shift)
    for protocol in sorted(IP_PROTOCOLS):
        asm.add(JEQ, protocol, take)
    asm.add(JEQ, 17, "", drop)
    asm.add(LD_H, 20 + shift)
    asm.add(JSET, 0x1FFF, drop)  # a later fragment has no ports
    asm.add(LDX_MSH, 14 + shift)
    for offset in (16, 14):  # destination port, then source port
        asm.add(LD_H_X, offset + shift)
        for port in sorted(UDP_PORTS):
            asm.add(JEQ, port, take)
    asm.label(drop)
    asm.add(RET, 0)
    asm.label(take)
    asm.add(RET, SNAPLEN)

    asm.label(ip6)
    six, drop6 = f"take6-{shift}", f"drop6-{shift}"
    asm.add(LD_B, 20 + shift)
    asm.add(JEQ, 17, udp6)
    asm.add(JEQ, 58, icmp6)
    for protocol in sorted(IP_PROTOCOLS):
        asm.add(JEQ, protocol, six)
    asm.add(JEQ, 0, "", drop6)  # hop-by-hop options: MLD is behind them
    asm.add(LD_B, 54 + shift)
    asm.add(JEQ, 58, "", drop6)
    asm.add(LD_B, 62 + shift)
    asm.add(JA, 0, f"type-{shift}")
    asm.label(icmp6)
    asm.add(LD_B, 54 + shift)
    asm.label(f"type-{shift}")
    for kind in sorted(ICMP6_TYPES):
        asm.add(JEQ, kind, six)
    asm.add(JA, 0, drop6)
    asm.label(udp6)
    for offset in (56, 54):
        asm.add(LD_H, offset + shift)
        for port in sorted(UDP_PORTS):
            asm.add(JEQ, port, six)
    asm.label(drop6)
    asm.add(RET, 0)
    asm.label(six)
    asm.add(RET, SNAPLEN)
    asm.label(after)
    if shift == 8:
        asm.add(RET, 0)
