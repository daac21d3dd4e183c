from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.model.values import IpAddress
from bascule.probe import bpf, frames
from bascule.probe.capture import SPANS, _spans
from bascule.probe.parse import parse_arp, parse_dhcp, parse_frame, parse_packet
from bascule.probe.protocols import greeting

A, B = b"\x52\x54\x00\x00\x00\x01", b"\x52\x54\x00\x00\x00\x02"
FOUR, FOUR2 = IPv4Address("192.168.1.10"), IPv4Address("192.168.1.33")
SIX, SIX2 = IPv6Address("fd00::1"), IPv6Address("fd00::2")
SYN = bytes.fromhex("c0000050 00000001 00000000 50020000 00000000")


def over(src: IpAddress, dst: IpAddress, protocol: int, body: bytes) -> bytes:
    ethertype = frames.ETH_IPV4 if src.version == 4 else frames.ETH_IPV6
    return frames.ethernet(B, A, ethertype, frames.ip(src, dst, protocol, body))


KINDS = [
    frames.arp(1, A, FOUR, FOUR2),
    frames.arp(2, A, FOUR, FOUR2, target_mac=B, dst=B),
    over(FOUR, FOUR2, frames.ICMP, frames.echo(7, 9, b"payload")),
    over(SIX, SIX2, frames.ICMPV6, frames.echo6(7, 9, b"payload")),
    over(FOUR, FOUR2, frames.UDP, frames.udp(FOUR, FOUR2, 1, 2, b"x" * 30)),
    over(SIX, SIX2, frames.UDP, frames.udp(SIX, SIX2, 1, 2, b"x" * 30)),
    frames.solicitation(A, SIX, SIX2),
    over(FOUR, FOUR2, frames.TCP, SYN),
    frames.ethernet(B, A, frames.ETH_VLAN, b"\x00\x1e\x08\x06" + frames.arp(1, A, FOUR, FOUR2)[14:]),
]


@settings(deadline=None)  # other work on the machine is no fault
@given(st.binary(max_size=200))
def test_noise_never_raises(data: bytes) -> None:
    parse_frame(data)
    parse_arp(data)
    parse_packet(data)
    parse_dhcp(data)
    greeting(data)


@settings(deadline=None)  # other work on the machine is no fault
@given(st.lists(st.tuples(st.integers(1, 254), st.binary(max_size=60)), max_size=8), st.data())
def test_dhcp_options_are_read_back_and_never_raise(options: list[tuple[int, bytes]], data: st.DataObject) -> None:
    others = [(code, value) for code, value in options if code != frames.OPT_TYPE]
    message = frames.dhcp(frames.DHCP_DISCOVER, 7, A, others)
    read = parse_dhcp(message)
    assert read is not None
    assert (read.xid, read.mac, read.type) == (7, "52:54:00:00:00:01", frames.DHCP_DISCOVER)
    for code, _ in others:
        assert read.options[code] == b"".join(value for other, value in others if other == code)
    parse_dhcp(message[: data.draw(st.integers(0, len(message)))])


@settings(deadline=None)  # other work on the machine is no fault
@given(st.sampled_from(KINDS), st.data())
def test_frames_cut_and_bent_never_raise(frame: bytes, data: st.DataObject) -> None:
    bent = bytearray(frame)
    for _ in range(data.draw(st.integers(0, 6))):
        bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.integers(0, 255))
    parse_frame(bytes(bent[: data.draw(st.integers(0, len(bent)))]))


def test_an_error_that_quotes_an_error_ends() -> None:
    inner = frames.ip(FOUR, FOUR2, frames.ICMP, frames.echo(1, 2, b""))
    for _ in range(50):
        inner = frames.ip(FOUR, FOUR2, frames.ICMP, b"\x03\x01" + bytes(6) + inner)
    packet = parse_packet(inner)
    assert packet is not None
    assert packet.quoted is not None


def test_what_is_built_is_read_back() -> None:
    arp = parse_frame(KINDS[1])
    assert arp and arp.arp
    assert (arp.arp.sender, arp.arp.target, arp.arp.operation) == (FOUR, FOUR2, 2)
    echo = parse_frame(KINDS[2])
    assert echo and echo.packet
    assert (echo.packet.type, echo.packet.identifier, echo.packet.sequence, echo.packet.payload) == (
        8,
        7,
        9,
        b"payload",
    )
    udp = parse_frame(KINDS[5])
    assert udp and udp.packet
    assert (udp.packet.source_port, udp.packet.port, udp.packet.dst) == (1, 2, SIX2)
    asks = parse_frame(KINDS[6])
    assert asks and asks.packet and asks.packet.neighbour
    assert asks.packet.neighbour.target == SIX2
    assert asks.packet.neighbour.link == "52:54:00:00:00:01"
    assert asks.dst == "33:33:ff:00:00:02"
    syn = parse_frame(KINDS[7])
    assert syn and syn.packet and syn.packet.is_first
    tagged = parse_frame(KINDS[8])
    assert tagged and tagged.arp and tagged.vlans == (30,)


def test_checksums_against_published_vectors() -> None:
    assert frames.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3
    header = frames.ip(FOUR, FOUR2, frames.UDP, b"")
    assert frames.checksum(header) == 0
    datagram = frames.udp(SIX, SIX2, 5, 6, b"odd")
    assert frames.checksum(frames.pseudo(SIX, SIX2, frames.UDP, len(datagram)) + datagram) == 0


@settings(deadline=None)  # other work on the machine is no fault
@given(st.binary(max_size=100))
def test_payload_padding_is_no_payload(payload: bytes) -> None:
    packet = frames.ip(FOUR, FOUR2, frames.ICMP, frames.echo(1, 1, payload))
    read = parse_packet(packet + bytes(18))
    assert read is not None
    assert read.payload == payload


def test_greetings() -> None:
    assert greeting(b"bascule 192.168.1.10 4711\n") == ip_address("192.168.1.10")
    assert greeting(b"bascule ::ffff:192.168.1.10 4711 token") == ip_address("192.168.1.10")
    assert greeting(b"bascule fd00::1 4711\n") == ip_address("fd00::1")
    for other in (b"SSH-2.0-OpenSSH\r\n", b"bascule 999.1.1.1 5\n", b"bascule ", b"", b"\xff" * 64):
        assert greeting(other) is None


def run_program(program: list[bpf.Instruction], frame: bytes, kind: int = 0) -> int:
    """The kernel's filter machine in a few lines: what a program makes of a frame."""
    accumulator = index = at = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        size = {bpf.LD_W: 4, bpf.LD_H: 2, bpf.LD_B: 1, bpf.LDW_X: 4, bpf.LDH_X: 2, bpf.LDB_X: 1}.get(code)
        if code == bpf.RET:
            return k
        if code == bpf.LDX_IP:
            if k >= len(frame):
                return 0
            index = (frame[k] & 15) * 4
        elif size and k == bpf.PKTTYPE:
            accumulator = kind
        elif size:
            start = k + (index if code in {bpf.LDW_X, bpf.LDH_X, bpf.LDB_X} else 0)
            if start + size > len(frame):
                return 0
            accumulator = int.from_bytes(frame[start : start + size], "big")
        else:
            held = {bpf.JEQ: accumulator == k, bpf.JGE: accumulator >= k, bpf.JSET: bool(accumulator & k)}[code]
            at += yes if held else no


def test_filters_take_what_they_name() -> None:
    arp_request, arp_reply, echo, echo6, udp, udp6, asks, syn, _ = KINDS
    wanted = {
        "arp": (bpf.program(bpf.arp_frames()), {arp_request, arp_reply}),
        "nd": (bpf.program(bpf.neighbour_discovery()), {asks}),
        "echo": (bpf.program(*bpf.echoes()), {echo, echo6}),
        "udp": (bpf.program(*bpf.port_blocks(frames.UDP, [(2, 2)])), {udp, udp6}),
        "low": (bpf.program(*bpf.port_blocks(frames.UDP, [(3, 65535)])), set()),
        "syn": (bpf.program(*bpf.port_blocks(frames.TCP, [(70, 90)])), {syn}),
        "answers": (bpf.program(*bpf.neighbour_answers()), {arp_reply}),
        "mine": (bpf.program(bpf.arp_replies_to(FOUR2.packed)), {arp_reply}),
        "all": (
            bpf.program(bpf.arp_frames(), bpf.neighbour_discovery(), *bpf.echoes()),
            {arp_request, arp_reply, asks, echo, echo6},
        ),
    }
    for name, (program, taken) in wanted.items():
        for frame in KINDS[:8]:
            assert bool(run_program(program, frame)) == (frame in taken), (name, frame.hex())
    quiet = bpf.program(bpf.arp_frames(), refuse_outgoing=True)
    assert not run_program(quiet, arp_request, bpf.OUTGOING)
    assert run_program(quiet, arp_request)


@settings(deadline=None)  # other work on the machine is no fault
@given(st.sets(st.integers(1, 65535), max_size=300))
def test_spans_cover_every_port(ports: set[int]) -> None:
    spans = _spans(ports)
    assert len(spans) <= SPANS
    blocks = [*bpf.port_blocks(frames.TCP, spans), *bpf.port_blocks(frames.UDP, spans)]
    assert len(bpf.program(*blocks, *bpf.echoes())) < 1600  # the kernel makes up to 2,500 of its own of 20 KiB
    assert all(any(first <= port <= last for first, last in spans) for port in ports)
