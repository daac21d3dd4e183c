from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from benchmarks.ping_matrix import arp_replies_to
from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.frames import bpf, filters
from bascule.frames.codecs import arp, dhcp, ethernet, icmp, ip
from bascule.frames.packet import read_frame, read_packet
from bascule.model.values import IpAddress
from bascule.probe.capture import SPANS, _spans
from bascule.probe.protocols import greeting
from tests.frames.machine import run

A, B = b"\x52\x54\x00\x00\x00\x01", b"\x52\x54\x00\x00\x00\x02"
FOUR, FOUR2 = IPv4Address("192.168.1.10"), IPv4Address("192.168.1.33")
SIX, SIX2 = IPv6Address("fd00::1"), IPv6Address("fd00::2")
SYN = bytes.fromhex("c0000050 00000001 00000000 50020000 00000000")


def over(src: IpAddress, dst: IpAddress, protocol: int, body: bytes) -> bytes:
    ethertype = ethernet.IPV4 if src.version == 4 else ethernet.IPV6
    return ethernet.frame(B, A, ethertype, ip.packet(src, dst, protocol, body))


KINDS = [
    arp.build(1, A, FOUR, FOUR2),
    arp.build(2, A, FOUR, FOUR2, target_mac=B, dst=B),
    over(FOUR, FOUR2, ip.ICMP, icmp.echo(7, 9, b"payload")),
    over(SIX, SIX2, ip.ICMPV6, icmp.echo6(7, 9, b"payload")),
    over(FOUR, FOUR2, ip.UDP, ip.udp(FOUR, FOUR2, 1, 2, b"x" * 30)),
    over(SIX, SIX2, ip.UDP, ip.udp(SIX, SIX2, 1, 2, b"x" * 30)),
    icmp.solicitation(A, SIX, SIX2),
    over(FOUR, FOUR2, ip.TCP, SYN),
    ethernet.frame(B, A, ethernet.VLAN, b"\x00\x1e\x08\x06" + arp.build(1, A, FOUR, FOUR2)[14:]),
]


@settings(deadline=None)  # other work on the machine is no fault
@given(st.binary(max_size=200))
def test_noise_never_raises(data: bytes) -> None:
    read_frame(data)
    arp.read(data)
    read_packet(data)
    dhcp.read(data)
    greeting(data)


@settings(deadline=None)  # other work on the machine is no fault
@given(st.lists(st.tuples(st.integers(1, 254), st.binary(max_size=60)), max_size=8), st.data())
def test_dhcp_options_are_read_back_and_never_raise(options: list[tuple[int, bytes]], data: st.DataObject) -> None:
    others = [(code, value) for code, value in options if code != dhcp.TYPE]
    message = dhcp.build(dhcp.DISCOVER, 7, A, others)
    read = dhcp.read(message)
    assert read is not None
    assert (read.xid, read.mac, read.type) == (7, "52:54:00:00:00:01", dhcp.DISCOVER)
    for code, _ in others:
        assert read.options[code] == b"".join(value for other, value in others if other == code)
    dhcp.read(message[: data.draw(st.integers(0, len(message)))])


@settings(deadline=None)  # other work on the machine is no fault
@given(st.sampled_from(KINDS), st.data())
def test_frames_cut_and_bent_never_raise(frame: bytes, data: st.DataObject) -> None:
    bent = bytearray(frame)
    for _ in range(data.draw(st.integers(0, 6))):
        bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.integers(0, 255))
    read_frame(bytes(bent[: data.draw(st.integers(0, len(bent)))]))


def test_an_error_that_quotes_an_error_ends() -> None:
    inner = ip.packet(FOUR, FOUR2, ip.ICMP, icmp.echo(1, 2, b""))
    for _ in range(50):
        inner = ip.packet(FOUR, FOUR2, ip.ICMP, b"\x03\x01" + bytes(6) + inner)
    packet = read_packet(inner)
    assert packet is not None
    assert packet.quoted is not None


def test_what_is_built_is_read_back() -> None:
    arp = read_frame(KINDS[1])
    assert arp and arp.arp
    assert (arp.arp.sender, arp.arp.target, arp.arp.operation) == (FOUR, FOUR2, 2)
    echo = read_frame(KINDS[2])
    assert echo and echo.packet
    assert (echo.packet.type, echo.packet.identifier, echo.packet.sequence, echo.packet.payload) == (
        8,
        7,
        9,
        b"payload",
    )
    udp = read_frame(KINDS[5])
    assert udp and udp.packet
    assert (udp.packet.source_port, udp.packet.port, udp.packet.dst) == (1, 2, SIX2)
    asks = read_frame(KINDS[6])
    assert asks and asks.packet and asks.packet.neighbour
    assert asks.packet.neighbour.target == SIX2
    assert asks.packet.neighbour.link == "52:54:00:00:00:01"
    assert asks.dst == "33:33:ff:00:00:02"
    syn = read_frame(KINDS[7])
    assert syn and syn.packet and syn.packet.is_first
    tagged = read_frame(KINDS[8])
    assert tagged and tagged.arp


def test_checksums_against_published_vectors() -> None:
    assert ip.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3
    header = ip.packet(FOUR, FOUR2, ip.UDP, b"")
    assert ip.checksum(header) == 0
    datagram = ip.udp(SIX, SIX2, 5, 6, b"odd")
    assert ip.checksum(ip.pseudo(SIX, SIX2, ip.UDP, len(datagram)) + datagram) == 0


@settings(deadline=None)  # other work on the machine is no fault
@given(st.binary(max_size=100))
def test_payload_padding_is_no_payload(payload: bytes) -> None:
    packet = ip.packet(FOUR, FOUR2, ip.ICMP, icmp.echo(1, 1, payload))
    read = read_packet(packet + bytes(18))
    assert read is not None
    assert read.payload == payload


def test_greetings() -> None:
    assert greeting(b"bascule 192.168.1.10 4711\n") == ip_address("192.168.1.10")
    assert greeting(b"bascule ::ffff:192.168.1.10 4711 token") == ip_address("192.168.1.10")
    assert greeting(b"bascule fd00::1 4711\n") == ip_address("fd00::1")
    for other in (b"SSH-2.0-OpenSSH\r\n", b"bascule 999.1.1.1 5\n", b"bascule ", b"", b"\xff" * 64):
        assert greeting(other) is None


def test_filters_take_what_they_name() -> None:
    arp_request, arp_reply, echo, echo6, udp, udp6, asks, syn, _ = KINDS
    wanted = {
        "arp": (bpf.any_of(filters.arp_frames()), {arp_request, arp_reply}),
        "nd": (bpf.any_of(filters.neighbour_discovery()), {asks}),
        "echo": (bpf.any_of(*filters.echoes()), {echo, echo6}),
        "udp": (bpf.any_of(*filters.ports(ip.UDP, [(2, 2)])), {udp, udp6}),
        "low": (bpf.any_of(*filters.ports(ip.UDP, [(3, 65535)])), set()),
        "syn": (bpf.any_of(*filters.ports(ip.TCP, [(70, 90)])), {syn}),
        "answers": (bpf.any_of(*filters.neighbour_answers()), {arp_reply}),
        "mine": (bpf.any_of(arp_replies_to(FOUR2.packed)), {arp_reply}),
        "all": (
            bpf.any_of(filters.arp_frames(), filters.neighbour_discovery(), *filters.echoes()),
            {arp_request, arp_reply, asks, echo, echo6},
        ),
    }
    for name, (program, taken) in wanted.items():
        for frame in KINDS[:8]:
            assert bool(run(program, frame)) == (frame in taken), (name, frame.hex())
    quiet = bpf.any_of(filters.arp_frames(), refuse_outgoing=True)
    assert not run(quiet, arp_request, bpf.OUTGOING)
    assert run(quiet, arp_request)


@settings(deadline=None)  # other work on the machine is no fault
@given(st.sets(st.integers(1, 65535), max_size=300))
def test_spans_cover_every_port(ports: set[int]) -> None:
    spans = _spans(ports)
    assert len(spans) <= SPANS
    blocks = [*filters.ports(ip.TCP, spans), *filters.ports(ip.UDP, spans)]
    assert len(bpf.any_of(*blocks, *filters.echoes())) < 1600  # the kernel makes up to 2,500 of its own of 20 KiB
    assert all(any(first <= port <= last for first, last in spans) for port in ports)
