"""A container's macvlan is on our NIC only if its namespace knows ours by that number: indexes are alike everywhere."""

from __future__ import annotations

import os
import socket

import pytest

from bascule.observe.held import holders
from bascule.system.net.netns import Namespace
from tests.lab import Lab

pytestmark = pytest.mark.kernel


def move(lab: Lab, link: str, one: Namespace, other: Namespace) -> None:
    with other.entered():
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    lab.ip(one, f"link set {link} netns /proc/{os.getpid()}/fd/{fd}")
    os.close(fd)


def test_an_equal_number_in_a_third_namespace_is_not_ours(lab: Lab) -> None:
    ours, third, container = lab.host("eth0"), lab.host("eth0"), lab.namespace("container")
    for namespace in (ours, third):
        lab.ip(namespace, "link set eth0 up")
    lab.ip(third, "link add mac0 link eth0 type macvlan mode bridge")
    move(lab, "mac0", third, container)
    lab.ip(container, "link set mac0 up")
    with container.entered():
        holding = os.fork()
        if holding == 0:  # a process in it, as a container has
            os.execlp("sleep", "sleep", "60")
    try:
        for namespace, held in ((ours, False), (third, True)):
            with namespace.entered():
                index = socket.if_nametoindex("eth0")
                assert bool(holders({index: "eth0"})) is held
    finally:
        os.kill(holding, 9)
        os.waitpid(holding, 0)
