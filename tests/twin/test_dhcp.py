"""The DHCP client against servers that are silent, refuse, or are two; dnsmasq is met in the production twin."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bascule.frames.codecs import dhcp
from bascule.frames.packet import read_frame
from bascule.model.values import Mac
from bascule.probe.dhcp_client import DhcpNic, acquire, discover
from bascule.system.net import rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.net.rtnetlink import VethEnd
from tests.patience import patient
from tests.twin.stage import inside

pytestmark = pytest.mark.kernel

MAC, SERVER_MAC = Mac("52:54:00:00:00:aa"), Mac("52:54:00:00:00:01")
Answer = tuple[int, str] | tuple[int, str, int]  # message type, server's address, another transaction
Behaviour = Callable[[dhcp.DhcpMessage], list[Answer]]


def reply(xid: int, kind: int, server: str) -> bytes:
    """A server's answer as a frame, written out here so that the client is not tested with its own hands."""
    yours = bytes(4) if kind == dhcp.NAK else IPv4Address("10.0.0.77").packed
    mac = bytes.fromhex(MAC.replace(":", ""))
    bootp = struct.pack("!BBBBIHH4s4s4s4s", 2, 1, 6, 0, xid, 0, 0, bytes(4), yours, bytes(4), bytes(4))
    options = b"\x35\x01" + bytes((kind,)) + b"\x36\x04" + IPv4Address(server).packed
    options += b"\x01\x04\xff\xff\xff\x00\x33\x04" + (600).to_bytes(4, "big") + b"\x03\x04\x0a\x00\x00\x01\xff"
    payload = bootp + mac + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63" + options
    udp = struct.pack("!HHHH", 67, 68, 8 + len(payload), 0) + payload  # checksum 0: none
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, IPv4Address(server).packed, b"\xff" * 4)
    return mac + bytes.fromhex(SERVER_MAC.replace(":", "")) + b"\x08\x00" + ip + udp


@contextmanager
def server(behaviour: Behaviour) -> Iterator[tuple[Namespace, list[dhcp.DhcpMessage]]]:
    """A wire with a client's NIC eth0 on it, and a server that behaves so at its other end."""
    heard: list[dhcp.DhcpMessage] = []
    stop = threading.Event()
    with Namespace.new("client") as client, Namespace.new("server") as far:
        rtnetlink.change(client, [rtnetlink.add_veth(VethEnd(name="eth0", mac=MAC), VethEnd(name="s", namespace=far))])
        rtnetlink.change(far, [rtnetlink.set_link("s", up=True)])
        rtnetlink.change(client, [rtnetlink.set_link("eth0", up=True)])
        with far.entered():
            door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            door.bind(("s", 0x0800))

        def serve() -> None:
            while True:
                if not select.select([door], [], [], 0.02)[0]:
                    if stop.is_set():  # and all that was sent has been heard
                        return
                    continue
                frame = read_frame(door.recv(2000))
                question = dhcp.read(frame.packet.payload) if frame and frame.packet else None
                if question is None or question.is_reply:
                    continue
                heard.append(question)
                for kind, address, *xid in behaviour(question):
                    door.send(reply(xid[0] if xid else question.xid, kind, address))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield client, heard
        finally:
            stop.set()
            thread.join()
            door.close()


def ask(behaviour: Behaviour, timeout_s: float = patient(2), *, only_look: bool = False) -> Any:
    def work() -> Any:
        with server(behaviour) as (namespace, heard):
            client = DhcpNic(namespace=namespace, link="eth0", mac=MAC, hostname="g")
            if only_look:
                found: Any = discover([client], wait_s=timeout_s)[client]
            else:
                found = acquire([client], timeout_s=timeout_s)[client]
            return found, heard

    return inside(work)


def once(heard: list[dhcp.DhcpMessage]) -> list[dhcp.DhcpMessage]:
    """Without what a client asks again: a busy machine answers late."""
    return [next(same) for _, same in groupby(heard, lambda q: (q.type, q.xid))]


def good(question: dhcp.DhcpMessage) -> list[Answer]:
    if question.type == dhcp.DISCOVER:
        return [(dhcp.OFFER, "10.0.0.1")]
    return [(dhcp.ACK, "10.0.0.1")]


def test_four_messages_make_a_lease() -> None:
    lease, heard = ask(good)
    heard = once(heard)
    assert [q.type for q in heard] == [dhcp.DISCOVER, dhcp.REQUEST]
    assert heard[1].address(dhcp.ADDRESS) == IPv4Address("10.0.0.77")
    assert heard[1].server == IPv4Address("10.0.0.1")
    assert heard[0].options[dhcp.HOSTNAME] == b"g"
    assert heard[0].xid == heard[1].xid
    assert str(lease.address) == "10.0.0.77/24"
    assert (lease.lease_s, [str(r) for r in lease.routers]) == (600, ["10.0.0.1"])


def test_silence_is_no_lease_and_ends_in_time() -> None:
    lease, heard = ask(lambda _: [], 1.5)
    assert lease is None
    assert len(heard) >= 2  # it asked again


def test_after_a_refusal_it_begins_anew() -> None:
    refused: list[int] = []

    def refuse_once(question: dhcp.DhcpMessage) -> list[Answer]:
        if question.type == dhcp.REQUEST and not refused:
            refused.append(question.xid)
            return [(dhcp.NAK, "10.0.0.1")]
        return good(question)

    lease, heard = ask(refuse_once)
    assert lease is not None
    heard = once(heard)
    kinds = [q.type for q in heard]
    assert kinds == [dhcp.DISCOVER, dhcp.REQUEST] * 2
    assert heard[0].xid != heard[2].xid


def test_a_server_that_always_refuses_does_not_keep_it_running_in_a_circle() -> None:
    def refuse(question: dhcp.DhcpMessage) -> list[Answer]:
        return [(dhcp.NAK, "10.0.0.1")] if question.type == dhcp.REQUEST else good(question)

    lease, heard = ask(refuse, 0.7)
    assert lease is None
    assert len(heard) <= 8


def test_all_offers_are_seen_and_none_is_taken() -> None:
    for seconds in (0.2, 2.0, 20.0):  # a busy machine answers late
        offers, heard = ask(lambda q: [(dhcp.OFFER, "10.0.0.1"), (dhcp.OFFER, "10.0.0.2")], seconds, only_look=True)
        assert {q.type for q in heard} == {dhcp.DISCOVER}
        if len(offers) > 1:
            break
    assert {str(offer.server) for offer in offers} == {"10.0.0.1", "10.0.0.2"}


def test_answers_to_others_are_not_taken() -> None:
    lease, heard = ask(lambda q: [(dhcp.OFFER, "10.0.0.1", q.xid ^ 1)], 0.3)
    assert lease is None
    assert {q.type for q in heard} == {dhcp.DISCOVER}


@given(st.binary(max_size=600))
def test_no_bytes_make_the_reader_stumble(junk: bytes) -> None:
    dhcp.read(junk)
    dhcp.read(b"\x02\x01\x06" + bytes(233) + b"\x63\x82\x53\x63" + junk)
