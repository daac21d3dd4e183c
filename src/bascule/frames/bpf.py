"""Classic BPF: an assembler for the programs by which the kernel decides what a socket hears (linux/filter.h)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# linux/bpf_common.h: class | size | mode; X is the index register
LD_W, LD_H, LD_B = 0x20, 0x28, 0x30
LD_W_X, LD_H_X, LD_B_X = 0x40, 0x48, 0x50  # at X + k
LDX_MSH = 0xB1  # X = 4 * (byte[k] & 15), the length of an IPv4 header
JA, JEQ, JGE, JSET, RET = 0x05, 0x15, 0x35, 0x45, 0x06
PKTTYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
OUTGOING = 4  # PACKET_OUTGOING (linux/if_packet.h)
SNAPLEN = 2048  # bytes that are kept of a frame

ACCEPT, NEXT = "accept", "next"
Test = tuple[int, int, str, str]
"""One step of a block: code, constant, and where a jump goes if true and if false (empty: on)."""
Block = Sequence[Test]
"""Steps that end in ACCEPT, or in NEXT, which is the block behind this one."""


class Instruction(NamedTuple):
    """One instruction (struct sock_filter)."""

    code: int
    jt: int
    jf: int
    k: int


class Assembler:
    """Instructions with named targets. A conditional jump reaches 255 instructions forward, JA any distance."""

    def __init__(self) -> None:
        self._lines: list[Test] = []
        self._labels: dict[str, int] = {}

    def add(self, code: int, k: int, yes: str = "", no: str = "") -> None:
        """One instruction; the targets of a jump are names, an empty one is the next instruction."""
        self._lines.append((code, k, yes, no))

    def label(self, name: str) -> None:
        """Name the place of the next instruction."""
        self._labels[name] = len(self._lines)

    def program(self) -> tuple[Instruction, ...]:
        """All of it, with the jumps resolved."""
        made = []
        for at, (code, k, yes, no) in enumerate(self._lines):
            if code == JA:
                made.append(Instruction(JA, 0, 0, self._labels[yes] - at - 1))
                continue
            jumps = [self._labels[name] - at - 1 if name else 0 for name in (yes, no)]
            made.append(Instruction(code, jumps[0], jumps[1], k))
        return tuple(made)


def any_of(*blocks: Block, refuse_outgoing: bool = False, snaplen: int = SNAPLEN) -> tuple[Instruction, ...]:
    """The frames that any of the blocks accepts, cut to ``snaplen`` bytes. A block ends with a jump."""
    asm = Assembler()
    if refuse_outgoing:
        asm.add(LD_W, PKTTYPE)
        asm.add(JEQ, OUTGOING, "", "0")
        asm.add(RET, 0)
    for number, block in enumerate(blocks):
        names = {"": "", ACCEPT: f"{ACCEPT} {number}", NEXT: f"{number + 1}"}
        asm.label(f"{number}")
        for code, k, yes, no in block:
            asm.add(code, k, names[yes], names[no])
        asm.label(names[ACCEPT])
        asm.add(RET, snaplen)
    asm.label(f"{len(blocks)}")
    asm.add(RET, 0)
    return asm.program()


def loads(*fields: tuple[int, int, int]) -> list[Test]:
    """Steps that load a field and go on only if it has a value: (code, offset, value)."""
    return [step for code, at, value in fields for step in ((code, at, "", ""), (JEQ, value, "", NEXT))]


def one_of(values: Iterable[int]) -> list[Test]:
    """The end of a block: the loaded field has one of the values."""
    *some, last = values
    return [*((JEQ, value, ACCEPT, "") for value in some), (JEQ, last, ACCEPT, NEXT)]
