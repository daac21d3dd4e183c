"""The kernel's filter machine in a few lines (linux/Documentation/networking/filter.rst)."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.frames.bpf import (
    JA,
    JEQ,
    JGE,
    JSET,
    LD_B,
    LD_B_X,
    LD_H,
    LD_H_X,
    LD_W,
    LD_W_X,
    LDX_MSH,
    PKTTYPE,
    RET,
    Instruction,
)

SIZES = {LD_W: 4, LD_H: 2, LD_B: 1, LD_W_X: 4, LD_H_X: 2, LD_B_X: 1}


def run(program: Sequence[Instruction], frame: bytes, packet_type: int = 0) -> int:
    """What a filter returns for a frame: how many bytes of it pass."""
    accumulator = index = at = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        size = SIZES.get(code)
        if code == RET:
            return k
        if code == JA:
            at += k
        elif code == LDX_MSH:
            if k >= len(frame):
                return 0
            index = (frame[k] & 15) * 4
        elif size and k == PKTTYPE:
            accumulator = packet_type
        elif size:
            start = k + (index if code in {LD_W_X, LD_H_X, LD_B_X} else 0)
            if start + size > len(frame):
                return 0
            accumulator = int.from_bytes(frame[start : start + size], "big")
        else:
            held = {JEQ: accumulator == k, JGE: accumulator >= k, JSET: bool(accumulator & k)}[code]
            at += yes if held else no
