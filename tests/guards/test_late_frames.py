"""A frame that comes late has come, and one that a switch lost was not stopped: neither is taken for a guard."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_interface

from bascule.frames import bpf
from bascule.model.values import IfName
from bascule.policy.guards.ports import guarded_ports
from bascule.probe.domain import ProbeAttachment
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import Listener, open_packet
from bascule.verify.checks import Check
from bascule.verify.guards.frames import AttackedPort, attack_from
from tests.guards.segment import PARTIES, site
from tests.lab import Lab

LATE_S = 0.06  # more than nothing is heard for until the judgement
BURST = 40  # frames that come within a moment, of which a switch in user space takes so many


@contextmanager
def slow_cable(host: Namespace, *, loses: bool = False) -> Iterator[None]:
    """Carry what comes by web.0 to db.0, each frame so much later, and not all of a burst; with ``loses`` nothing."""
    stop = threading.Event()
    with host.entered():
        heard, raw = Listener(IfName("web.0"), bpf.any_of([])), open_packet(IfName("db.0"), protocol=0)

    def carry() -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        while not stop.wait(0.005):
            now = time.monotonic()
            waiting.extend((now + LATE_S, data) for data, _ in [*heard.frames(4096)][:BURST])
            while waiting and waiting[0][0] <= now:
                frame = waiting.popleft()[1]
                if not loses:
                    raw.send(frame)

    thread = threading.Thread(target=carry)
    with closing(heard), raw:
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def guest(lab: Lab, host: Namespace, name: str) -> ProbeAttachment:
    party = {"web": PARTIES.me, "db": PARTIES.other}[name]
    inside = lab.namespace(name)
    path = f"/proc/{os.getpid()}/fd/{inside.fd}"
    lab.ip(host, f"link add {name}.0 type veth peer name eth0 address {party.mac} netns {path}")
    lab.ip(host, f"link set {name}.0 addrgenmode none up")
    lab.ip(inside, "link set eth0 addrgenmode none up")
    return ProbeAttachment(
        endpoint=name, namespace=inside, link=IfName("eth0"), mac=party.mac, network="lan",
        addresses=(ip_interface(f"{party.ip4}/24"), ip_interface(f"{party.ip6}/64")),
    )  # fmt: skip


def attacked(lab: Lab, *, loses: bool) -> Check:
    host = lab.namespace("host")
    web, db = guest(lab, host, "web"), guest(lab, host, "db")
    some = site()
    port = next(one for one in guarded_ports(some, some.hosts["h"]) if one.guest == "web")
    with slow_cable(host, loses=loses):
        return attack_from(AttackedPort(port=port, host=host, inside=web, others=(db,), parties=PARTIES))


def test_a_slow_switch_that_loses_bursts_stops_nothing_and_loses_nothing(lab: Lab) -> None:
    found = attacked(lab, loses=False)
    assert found.ok is False
    tagged = 5  # a tag that the kernel took off is not carried
    assert int(found.detail.split(": ")[1].split()[0]) <= tagged, found.detail
    assert "lost" not in found.detail


def test_a_cut_cable_is_not_taken_for_a_guard_that_holds(lab: Lab) -> None:
    found = attacked(lab, loses=True)
    assert found.ok is False
    assert "stopped" not in found.detail
    assert re.search(r"none of \d+ kinds of legitimate frames passed", found.detail)
