"""What a guest's own programs say when its agent (a real qemu-ga) is told to run them, and what they do not say."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.errors import CommandFailed
from bascule.guests.agent_channel import agent_socket
from bascule.model.values import Mac
from bascule.probe import inside
from bascule.probe.inside import InsideAnswer, ask_inside, understand
from bascule.probe.question import Protocol, Response
from bascule.system import qemu_agent
from bascule.system.net.netns import Namespace
from bascule.system.qemu_agent import SocketChannel, execute
from bascule.system.run import run
from tests.lab import Lab
from tests.patience import patient

RULE = "table ip f {\nchain c {\ntype filter hook input priority 0\ntcp dport 80 %s\n}\n}\n"
MAC, OTHER = Mac("52:54:00:00:00:05"), Mac("52:54:00:00:00:06")


class Room(Struct):
    """A guest of two NICs whose agent is at ``path``, and a neighbour who serves tcp/80 and udp/7."""

    path: Path
    near: Namespace

    def ask(self, words: str, address: str = "10.0.0.9", sender: str = "10.0.0.5", mac: Mac = MAC) -> InsideAnswer:
        protocol, _, port = words.partition("/")
        with contextlib.closing(SocketChannel(self.path)) as channel:
            number = int(port or 0)
            return ask_inside(channel, "g", mac, Protocol(protocol), ip_address(address), number, sender)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    if shutil.which("qemu-ga") is None:
        pytest.skip("qemu-ga is not installed")
    lab, folder = Lab(), tmp_path_factory.mktemp("agent")
    guest, near = lab.namespace("guest"), lab.namespace("near")
    for number, mac in ((0, MAC), (1, OTHER)):
        lab.ip(guest, f"link add eth{number} address {mac} type veth peer name near{number}")
        lab.ip(guest, f"link set near{number} netns /proc/{os.getpid()}/fd/{near.fd}")
        lab.ip(near, f"addr add 10.0.{number}.9/24 dev near{number}")
        lab.ip(near, f"-6 addr add fd0{number}::9/64 dev near{number} nodad")
        lab.ip(near, f"link set near{number} up")
        lab.ip(guest, f"addr add 10.0.{number}.5/24 dev eth{number}")
        lab.ip(guest, f"-6 addr add fd0{number}::5/64 dev eth{number} nodad")
        lab.ip(guest, f"link set eth{number} up")
    with near.entered():
        server = socket.create_server(("", 80))
        echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        echo.bind(("", 7))
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("", 9))
    lab.keep(server.close)
    lab.keep(silent.close)

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                echo.sendto(*echo.recvfrom(100))

    threading.Thread(target=answer, daemon=True).start()
    lab.keep(echo.close)
    path = folder / "agent"
    with guest.entered():
        agent = subprocess.Popen(
            ("qemu-ga", "-m", "unix-listen", "-p", str(path), "-t", str(folder), "-f", str(folder / "pid")),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    lab.keep(agent.wait)
    lab.keep(agent.kill)
    end = time.monotonic() + patient(2)
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    yield Room(path, near)
    lab.close()


@pytest.mark.kernel
def test_what_it_hears(room: Room) -> None:
    assert room.ask("icmp") == InsideAnswer(response=Response.REPLY)
    assert room.ask("icmp", "fd00::9", "fd00::5") == InsideAnswer(response=Response.REPLY)
    assert room.ask("tcp/80") == InsideAnswer(response=Response.REPLY)
    assert room.ask("tcp/81") == InsideAnswer(response=Response.REFUSED, detail="connection refused")
    assert room.ask("udp/7") == InsideAnswer(response=Response.REPLY)
    assert room.ask("udp/8") == InsideAnswer(response=Response.REFUSED, detail="connection refused")
    assert room.ask("arp") == InsideAnswer(response=Response.REPLY)
    assert room.ask("icmp", "10.9.9.9").response is Response.NO_ROUTE
    run(("nft", "-f", "-"), stdin=RULE % "reject with icmp host-prohibited", namespace=room.near)
    # the second SYN's at the latest: what comes while the first is still being sent is no error yet
    assert room.ask("tcp/80") == InsideAnswer(response=Response.UNREACHABLE, detail="no route to host")
    run(("nft", "flush", "ruleset"), namespace=room.near)


@pytest.mark.kernel
def test_silence_of_one_who_is_there_and_of_nobody(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "WAIT_S", 1)
    run(("nft", "-f", "-"), stdin=RULE % "drop", namespace=room.near)
    assert room.ask("tcp/80") == InsideAnswer(response=Response.SILENCE)
    run(("nft", "flush", "ruleset"), namespace=room.near)
    assert room.ask("udp/9") == InsideAnswer(response=Response.SILENCE)
    assert room.ask("tcp/80", "10.0.0.77") == InsideAnswer(response=Response.SILENCE, is_there=False)


@pytest.mark.kernel
def test_what_would_be_another_question_is_not_asked(room: Room) -> None:
    by_other = room.ask("icmp", "10.0.1.9")
    assert by_other.response is Response.NOT_ASKED
    assert by_other.detail == "g sends to 10.0.1.9 by its eth1, not by the NIC that was asked about"
    assert room.ask("icmp", "10.0.1.9", "10.0.1.5", OTHER).response is Response.REPLY
    assert room.ask("icmp", sender="10.0.0.6").detail == "g sends from 10.0.0.5, not from 10.0.0.6 as the model has it"
    assert room.ask("icmp", mac=Mac("52:54:00:00:00:77")).detail == "g has no NIC 52:54:00:00:00:77 inside"
    assert room.ask("dhcp").response is Response.NOT_ASKED


@pytest.mark.kernel
def test_an_agent_that_refuses_hangs_or_is_not_there(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(said: str) -> None:
        assert caught.value.problems[0].code == "GUEST-AGENT"
        assert said in caught.value.problems[0].message

    with contextlib.closing(SocketChannel(room.path)) as channel:
        with pytest.raises(CommandFailed) as caught:
            channel.ask("guest-none")
        wrong("the guest agent refused 'guest-none': The command guest-none has not been found")
        with pytest.raises(CommandFailed) as caught:
            execute(channel, "sleep 5", timeout_s=0.1)
        wrong("the guest did not end within 0.1 s")
    with pytest.raises(CommandFailed) as caught:
        SocketChannel(tmp_path / "nobody")
    wrong("no agent answers at")
    monkeypatch.setattr(qemu_agent, "ANSWER_S", 0.1)
    with socket.socket(socket.AF_UNIX) as door:  # as QEMU's is while nobody listens in the guest
        door.bind(str(tmp_path / "silent"))
        door.listen()
        with pytest.raises(CommandFailed) as caught:
            SocketChannel(tmp_path / "silent")
    wrong("nothing came")


SAID = [
    (1, "nc: connect to 10.0.0.9 port 80 (tcp) failed: Connection refused", "refused", "connection refused"),
    (1, "nc: can't connect to remote host (10.0.0.9): Connection refused", "refused", "connection refused"),
    (1, "nc: connect to 10.0.0.9 port 80 (tcp) timed out: Operation now in progress", "no answer", ""),
    (126, "", "could not be asked", "g has no program that asks by tcp"),
    (2, "nc: invalid option -- 'z'", "could not be asked", "nc: invalid option -- 'z'"),
    (0, "/bin/bash\n/usr/bin/timeout", "reply", ""),
]


@pytest.mark.parametrize(("status", "words", "response", "detail"), SAID)
def test_words_of_programs(status: int, words: str, response: str, detail: str) -> None:
    said = (
        f"route: 10.0.0.9 dev eth0 src 10.0.0.5 uid 0\n    cache\nasked:\n{words}\nstatus: {status}\n"
        f"neighbour: 10.0.0.9 dev eth0 lladdr 02:00:00:00:00:09 REACHABLE\n"
        f"2: eth0@if3: <UP> mtu 1500\\    link/ether {MAC} brd ff:ff:ff:ff:ff:ff\n"
    )
    found = understand(said, "g", MAC, Protocol.TCP, ip_address("10.0.0.9"), "10.0.0.5")
    assert (found.response, found.detail) == (response, detail)
    assert understand("sh: syntax error", "g", MAC, Protocol.TCP, ip_address("10.0.0.9"), "").response == (
        Response.NOT_ASKED
    )


def test_the_socket_on_a_command_line() -> None:
    proxmox = (
        "/usr/bin/kvm -id 100 -chardev socket,id=qmp,path=/run/qemu-server/100.qmp,server=on,wait=off "
        "-chardev socket,path=/run/qemu-server/100.qga,server=on,wait=off,id=qga0 -device virtio-serial,id=qga0 "
        "-device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 -netdev type=tap,id=net0,ifname=tap100i0"
    )
    assert agent_socket(proxmox.split()) == Path("/run/qemu-server/100.qga")
    assert agent_socket(proxmox.replace("org.qemu.guest_agent.0", "com.redhat.spice.0").split()) is None
    assert agent_socket(("qemu-system-x86_64",)) is None
