"""A container's macvlan is on our NIC only if its namespace knows ours by that number: indexes are alike everywhere."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bascule.observe.held import holders
from bascule.system.net.netns import Namespace
from bascule.system.run import rows
from tests.lab import Lab

pytestmark = pytest.mark.kernel


def move(lab: Lab, link: str, one: Namespace, other: Namespace) -> None:
    with other.entered():
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    lab.ip(one, f"link set {link} netns /proc/{os.getpid()}/fd/{fd}")
    os.close(fd)


@contextmanager
def held_by_a_process(container: Namespace) -> Iterator[None]:
    """A process in it, as a container has."""
    with container.entered():
        sleeper = subprocess.Popen(("sleep", "60"))
    try:
        yield
    finally:
        sleeper.kill()
        sleeper.wait()


def test_no_program_is_started_in_a_namespace_that_has_nothing_of_ours(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, third, container = lab.host("eth0"), lab.host("eth0"), lab.namespace("container")
    lab.ip(third, "link add mac0 link eth0 type macvlan mode bridge")
    move(lab, "mac0", third, container)
    asked: list[tuple[int, int]] = []

    def counted(words: Any, *, namespace: Namespace) -> Any:
        asked.append(namespace.identity)
        return rows(words, namespace=namespace)

    monkeypatch.setattr("bascule.observe.held.rows", counted)
    with held_by_a_process(container):
        for host, starts in ((ours, 0), (third, 1)):
            asked.clear()
            with host.entered():
                holders({socket.if_nametoindex("eth0"): "eth0"})
            assert asked.count(container.identity) == starts


def test_an_equal_number_in_a_third_namespace_is_not_ours(lab: Lab) -> None:
    ours, third, container = lab.host("eth0"), lab.host("eth0"), lab.namespace("container")
    for namespace in (ours, third):
        lab.ip(namespace, "link set eth0 up")
    lab.ip(third, "link add mac0 link eth0 type macvlan mode bridge")
    move(lab, "mac0", third, container)
    lab.ip(container, "link set mac0 up")
    with held_by_a_process(container):
        for namespace, held in ((ours, False), (third, True)):
            with namespace.entered():
                index = socket.if_nametoindex("eth0")
                assert bool(holders({index: "eth0"})) is held
