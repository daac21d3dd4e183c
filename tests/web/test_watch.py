"""The monitor and the watcher where they could fail a reader: a storm of changes, two questions at once."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from bascule import workflow
from bascule.errors import BasculeError
from bascule.system.net.netlink import NetlinkMonitor
from bascule.system.run import run
from bascule.verify.live import Verified
from bascule.web.hub import Hub
from bascule.web.source import Source
from bascule.web.watch import Watcher
from tests.lab import Lab
from tests.patience import HUNG_S, patient

ROOT = Path(__file__).parents[2]


def test_the_bell_rings_in_a_storm(lab: Lab) -> None:
    room = lab.namespace("storm")
    lab.ip(room, "link add ve0 type veth peer name ve1")
    ended = threading.Event()

    def storm() -> None:
        lines = "link set ve0 up\nlink set ve0 down\n" * 50
        while not ended.is_set():
            run(("ip", "-batch", "-"), namespace=room, stdin=lines)

    with room.entered():
        monitor = NetlinkMonitor()
    thread = threading.Thread(target=storm)
    thread.start()
    try:
        start = time.monotonic()
        assert monitor.wait(HUNG_S)
        assert time.monotonic() - start < HUNG_S / 2  # though it never was quiet
    finally:
        ended.set()
        thread.join()
        monitor.close()


def test_the_questions_are_asked_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(site_file: str, **_: object) -> Verified:
        begun.set()
        go_on.wait(HUNG_S)
        raise BasculeError.of("X", "the host has no legs", hint="give it some")

    monkeypatch.setattr(workflow, "verify", slow)

    async def make() -> Watcher:
        return Watcher(Source(str(ROOT / "examples" / "production.yaml"), None), Hub())

    watcher = asyncio.run(make())
    assert watcher.ask()
    assert begun.wait(HUNG_S)
    assert not watcher.ask()
    assert watcher._asking.running
    go_on.set()
    end = time.monotonic() + patient(10)
    while watcher._asking.running and time.monotonic() < end:
        time.sleep(0.01)
    assert watcher._asking.problem == "the host has no legs; give it some"
    begun.clear()
    while not watcher.ask():  # the next may come when the lock is given back
        assert time.monotonic() < end
        time.sleep(0.01)
    assert begun.wait(HUNG_S)
