"""Classic BPF programs: what the kernel hands to a socket and what it keeps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bascule.probe import frames

Instruction = tuple[int, int, int, int]

LD_W, LD_H, LD_B, LDX_IP, LDH_X, LDW_X, LDB_X = 0x20, 0x28, 0x30, 0xB1, 0x48, 0x40, 0x50
JEQ, JGE, JSET, RET = 0x15, 0x35, 0x45, 0x06
PKTTYPE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE (linux/filter.h)
OUTGOING = 4  # PACKET_OUTGOING (linux/if_packet.h)
SNAP = 2048

Block = list[Instruction]
"""A straight piece of program. Jumps to ``ACCEPT`` and ``NEXT`` are resolved by :func:`program`."""
ACCEPT, NEXT, STEP = -1, -2, 0


def program(*blocks: Sequence[Instruction], refuse_outgoing: bool = False, snap: int = SNAP) -> list[Instruction]:
    """The frames that any of the blocks accepts, cut to ``snap`` bytes. A block that ends without ACCEPT passes on."""
    code: Block = []
    if refuse_outgoing:
        code += [(LD_W, 0, 0, PKTTYPE), (JEQ, 0, 1, OUTGOING), (RET, 0, 0, 0)]
    for block in blocks:
        size = len(block)
        for position, (op, yes, no, k) in enumerate(block):
            # ACCEPT is the return right behind the block; NEXT is behind that
            goal = {ACCEPT: size - position - 1, NEXT: size - position, STEP: 0}
            jumps = op & 0x07 == 0x05
            code.append((op, goal.get(yes, yes) if jumps else 0, goal.get(no, no) if jumps else 0, k))
        code.append((RET, 0, 0, snap))
    return [*code, (RET, 0, 0, 0)]


def arp_frames() -> Block:
    """All of ARP."""
    return [(LD_H, 0, 0, 12), (JEQ, ACCEPT, NEXT, frames.ETH_ARP)]


def neighbour_answers() -> list[Block]:
    """ARP replies and neighbour advertisements: what an asker waits for, without the others' questions."""
    return [
        [
            (LD_H, 0, 0, 12),
            (JEQ, STEP, NEXT, frames.ETH_ARP),
            (LD_H, 0, 0, 20),
            (JEQ, ACCEPT, NEXT, frames.ARP_REPLY),
        ],
        [
            (LD_H, 0, 0, 12),
            (JEQ, STEP, NEXT, frames.ETH_IPV6),
            (LD_B, 0, 0, 20),
            (JEQ, STEP, NEXT, frames.ICMPV6),
            (LD_B, 0, 0, 54),
            (JEQ, ACCEPT, NEXT, frames.ADVERTISEMENT),
        ],
    ]


def arp_replies_to(address: bytes) -> Block:
    """ARP replies for one IPv4 address (in the field of the target)."""
    return [
        (LD_H, 0, 0, 12),
        (JEQ, STEP, NEXT, frames.ETH_ARP),
        (LD_H, 0, 0, 20),
        (JEQ, STEP, NEXT, frames.ARP_REPLY),
        (LD_W, 0, 0, 38),
        (JEQ, ACCEPT, NEXT, int.from_bytes(address, "big")),
    ]


def neighbour_discovery() -> Block:
    """Neighbour solicitations and advertisements."""
    return [
        (LD_H, 0, 0, 12),
        (JEQ, STEP, NEXT, frames.ETH_IPV6),
        (LD_B, 0, 0, 20),
        (JEQ, STEP, NEXT, frames.ICMPV6),
        (LD_B, 0, 0, 54),
        (JEQ, ACCEPT, STEP, frames.SOLICITATION),
        (JEQ, ACCEPT, NEXT, frames.ADVERTISEMENT),
    ]


def dhcp_to_client() -> Block:
    """UDP over IPv4 to port 68."""
    return [
        (LD_H, 0, 0, 12),
        (JEQ, STEP, NEXT, frames.ETH_IPV4),
        (LD_B, 0, 0, 23),
        (JEQ, STEP, NEXT, frames.UDP),
        (LDX_IP, 0, 0, 14),
        (LDH_X, 0, 0, 16),
        (JEQ, ACCEPT, NEXT, 68),
    ]


def echo_replies(identifier: int) -> Block:
    """ICMP echo replies over IPv4 with our identifier."""
    return [
        (LD_H, 0, 0, 12),
        (JEQ, STEP, NEXT, frames.ETH_IPV4),
        (LD_B, 0, 0, 23),
        (JEQ, STEP, NEXT, frames.ICMP),
        (LDX_IP, 0, 0, 14),
        (LDB_X, 0, 0, 14),
        (JEQ, STEP, NEXT, frames.ECHO_REPLY),
        (LDH_X, 0, 0, 18),
        (JEQ, ACCEPT, NEXT, identifier),
    ]


def echoes() -> list[Block]:
    """ICMP echo requests and replies, both families."""
    four: Block = [
        (LD_H, 0, 0, 12),
        (JEQ, STEP, NEXT, frames.ETH_IPV4),
        (LD_B, 0, 0, 23),
        (JEQ, STEP, NEXT, frames.ICMP),
        (LDX_IP, 0, 0, 14),
        (LDB_X, 0, 0, 14),
        (JEQ, ACCEPT, STEP, frames.ECHO_REQUEST),
        (JEQ, ACCEPT, NEXT, frames.ECHO_REPLY),
    ]
    six: Block = [
        (LD_H, 0, 0, 12),
        (JEQ, STEP, NEXT, frames.ETH_IPV6),
        (LD_B, 0, 0, 20),
        (JEQ, STEP, NEXT, frames.ICMPV6),
        (LD_B, 0, 0, 54),
        (JEQ, ACCEPT, STEP, frames.ECHO6_REQUEST),
        (JEQ, ACCEPT, NEXT, frames.ECHO6_REPLY),
    ]
    return [four, six]


def port_blocks(protocol: int, spans: Iterable[tuple[int, int]]) -> list[Block]:
    """UDP datagrams or opening TCP segments to or from ports in the spans, both families."""
    blocks: list[Block] = []
    for first, last in spans:
        span: Block = [(JGE, STEP, NEXT, first), (JGE, NEXT, ACCEPT, last + 1)]
        syn4: Block = [(LDB_X, 0, 0, 14 + 13), (JSET, STEP, NEXT, 0x02)] if protocol == frames.TCP else []
        syn6: Block = [(LD_B, 0, 0, 54 + 13), (JSET, STEP, NEXT, 0x02)] if protocol == frames.TCP else []
        for at in (0, 2):  # source, destination
            head4: Block = [(LD_H, 0, 0, 12), (JEQ, STEP, NEXT, frames.ETH_IPV4), (LD_B, 0, 0, 23)]
            head6: Block = [(LD_H, 0, 0, 12), (JEQ, STEP, NEXT, frames.ETH_IPV6), (LD_B, 0, 0, 20)]
            is_it: Block = [(JEQ, STEP, NEXT, protocol)]
            blocks.append([*head4, *is_it, (LDX_IP, 0, 0, 14), *syn4, (LDH_X, 0, 0, 14 + at), *span])
            blocks.append([*head6, *is_it, *syn6, (LD_H, 0, 0, 54 + at), *span])
    return blocks
