"""Inside the Debian machine: what TCP carries from guest to guest over the kernel's bridge and over Open vSwitch.

Two network namespaces with a veth each stand for the guests; Open vSwitch moves frames in the kernel. Started as
``datapath.py ROUNDS SHARE SECONDS``, a round being that share of the seconds of a bare boot; a JSON object with the
bytes of each round leaves on the second serial line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PIECE, PORT = 1 << 16, 5001
ENDS = {"a": "10.0.0.1", "b": "10.0.0.2"}
BRIDGE = ("link add br0 type bridge forward_delay 0", "link set br0 up")
SWITCHES: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "bridge": (
        lambda: ip(*BRIDGE, *(f"link set {end}0 master br0" for end in ENDS)),
        lambda: ip("link del br0"),
    ),
    "openvswitch": (
        lambda: vsctl("add-br", "br0", *(word for end in ENDS for word in ("--", "add-port", "br0", f"{end}0"))),
        lambda: vsctl("del-br", "br0"),
    ),
}


def ip(*lines: str) -> None:
    """Lines of ip(8)."""
    subprocess.run(("ip", "-batch", "-"), input="\n".join(lines), text=True, check=True)


def vsctl(*words: str) -> None:
    """A transaction of Open vSwitch, done when this returns."""
    subprocess.run(("ovs-vsctl", *words), check=True)


def carried(seconds: float) -> int:
    """Bytes of one TCP connection from a to b."""
    count = f"""
import socket
door = socket.create_server(("{ENDS["b"]}", {PORT}))
print("listens", flush=True)
peer, got, held = door.accept()[0], 0, bytearray({PIECE})
while number := peer.recv_into(held):
    got += number
print(got)
"""
    listener = ("ip", "netns", "exec", "b", sys.executable, "-c", count)
    with subprocess.Popen(listener, stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout is not None
        there.stdout.readline()
        send = f"""
import socket, time
door = socket.create_connection(("{ENDS["b"]}", {PORT}))
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    door.sendall(bytes({PIECE}))
"""
        subprocess.run(("ip", "netns", "exec", "a", sys.executable, "-c", send), check=True)
        return int(there.stdout.readline())


def main(rounds: int, seconds: float) -> None:
    """One after the other, so that a slow moment meets both."""
    subprocess.run(("systemctl", "start", "openvswitch-switch"), check=True)
    for end, address in ENDS.items():
        ip(f"netns add {end}", f"link add {end}0 type veth peer name eth0 netns {end}", f"link set {end}0 up")
        inside = f"addr add {address}/24 dev eth0\nlink set eth0 up\n"
        subprocess.run(("ip", "-n", end, "-batch", "-"), input=inside, text=True, check=True)
    found: dict[str, list[int]] = {name: [] for name in SWITCHES}
    for _ in range(rounds):
        for name, (make, end_it) in SWITCHES.items():
            make()
            time.sleep(seconds / 4)
            found[name].append(carried(seconds))
            end_it()
    with Path("/dev/ttyS1").open("w") as line:
        line.write(json.dumps(found) + "\n")
    subprocess.run(("systemctl", "poweroff", "--force"), check=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]) * float(sys.argv[3]))
