"""D2: SSH through a tunnel runs over the link that the tunnel's own packets leave by, and the plan says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bascule.system.net.netns import Namespace
from tests.lab import pings
from tests.real_hosts.field import BASE, ONE_NIC, Field

TUN = """\
import fcntl, os, select, socket, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.bind(("", 1194))
if sys.argv[2:]:
    other.connect((sys.argv[1], 1194))
print(flush=True)
while True:
    for ready in select.select([tun, other], [], [])[0]:
        try:  # the other end may not be there yet, and a link that is down takes nothing
            if ready == other:
                os.write(tun, other.recv(2000))
            elif sys.argv[2:]:
                other.send(os.read(tun, 2000))
            else:
                other.sendto(os.read(tun, 2000), (sys.argv[1], 1194))
        except OSError:
            pass
"""
RELAY = """\
import socket, time
far, near = socket.create_connection(("192.168.1.50", 2222)), socket.create_connection(("127.0.0.1", 22))
print(near.getsockname()[1], flush=True)
time.sleep(600)
"""
SAID = "your own connection (from {0}.2 to {0}.1) runs over it through the tunnel {1}"


def start(field: Field, where: Namespace, *words: str) -> str:
    """A Python program there, for as long as the lab stands; its first line."""
    with where.entered():
        program = subprocess.Popen((sys.executable, "-c", *words), stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    line = program.stdout.readline().strip()
    for close in (program.wait, program.kill, program.stdout.close):
        field.lab.keep(close)
    return line


def own_line(field: Field, site: str, ssh: str) -> tuple[str, list[str]]:
    """The risk of a plan, and what it says of the own connection."""
    said = field.document("plan", field.site(site), ssh=ssh)
    return said["risk"], [f"{note['subject']}: {note['text']}" for note in said["notes"] if "your own" in note["text"]]


def test_d02_a_tunnel_of_the_kernel(real_host: Field) -> None:
    real_host.batch(
        "link add vx0 type vxlan id 7 local 192.168.1.10 remote 192.168.1.50 dstport 4789\n"
        "addr add 10.70.0.1/24 dev vx0\nlink set vx0 up\n"
    )
    risk, said = own_line(real_host, ONE_NIC, "10.70.0.2 5555 10.70.0.1 22")
    assert (risk, said) == ("management path", [f"eth0: {SAID.format('10.70.0', 'vx0')}; your address stays, on vx0"])
    assert own_line(real_host, BASE, "10.70.0.2 5555 10.70.0.1 22") == ("addition", [])


@pytest.mark.parametrize("connected", [True, False])
def test_d02_a_tunnel_of_a_program(real_host: Field, connected: bool) -> None:
    """A program that is not connected, as one that serves many, does not tell its far end."""
    for where, other in ((real_host.host, "192.168.1.50"), (real_host.pc, "192.168.1.10")):
        start(real_host, where, TUN, other, *(["connected"] if connected else []))
    real_host.batch("addr add 10.71.0.1/24 dev tun0\nlink set tun0 up\n")
    real_host.batch("addr add 10.71.0.2/24 dev tun0\nlink set tun0 up\n", real_host.pc)
    ssh = "10.71.0.2 5555 10.71.0.1 22"
    risk, (said,) = own_line(real_host, ONE_NIC, ssh)
    assert risk == "management path"
    unsure = "" if connected else ", if that goes by the default route: its far end is not known"
    assert said == f"eth0: {SAID.format('10.71.0', 'tun0')}{unsure}; your address stays, on tun0"
    if not connected:
        return
    done = real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", ssh=ssh)
    assert done.returncode == 0, done.stderr
    assert "still answering: gateway 192.168.1.1\n" in done.stdout
    assert pings(real_host.pc, "10.71.0.1")
    assert real_host.bascule("undo", "--yes").returncode == 0


def test_d02_a_relay_on_the_host(real_host: Field) -> None:
    """As `ssh -R` from the host to a machine outside: the session comes from 127.0.0.1."""
    real_host.listen(real_host.host, 22)
    real_host.listen(real_host.pc, 2222)
    port = start(real_host, real_host.host, RELAY)
    risk, said = own_line(real_host, ONE_NIC, f"127.0.0.1 {port} 127.0.0.1 22")
    words = "your own connection (from 127.0.0.1 to 127.0.0.1) runs over it through a relay on this host"
    assert (risk, said) == ("management path", [f"eth0: {words}"])
