"""News for many: the slow fall behind by nothing, the late are told all, the dead are forgotten."""

from __future__ import annotations

import asyncio

import pytest

from bascule.web.hub import MOST, Hub, HubFull


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_slow_client_gets_the_newest_of_each_kind() -> None:
    async def run() -> bytes:
        hub = Hub()
        box = hub.join()
        for number in range(1000):
            hub.publish("state", {"n": number})
        hub.publish("traffic", {"t": 1})
        await settle()
        return await box.take()

    told = asyncio.run(run())
    assert told == b'event: state\ndata: {"n":999}\n\nevent: traffic\ndata: {"t":1}\n\n'


def test_who_comes_later_is_told_what_is_known() -> None:
    async def run() -> None:
        hub = Hub()
        first = hub.join()
        assert hub.newcomer.is_set()
        hub.newcomer.clear()
        hub.publish("state", {"n": 1})
        await settle()
        second = hub.join()
        assert not hub.newcomer.is_set()
        assert await first.take() == await second.take() == b'event: state\ndata: {"n":1}\n\n'

    asyncio.run(run())


def test_the_last_to_go_takes_what_was_known_along() -> None:
    async def run() -> None:
        hub = Hub()
        box = hub.join()
        hub.publish("state", {"n": 1})
        await settle()
        hub.leave(box)
        assert not hub.watched.is_set()
        hub.newcomer.clear()
        hub.join()
        assert hub.newcomer.is_set()  # must be looked at again: the old state may be days old
        assert hub.watched.is_set()

    asyncio.run(run())


def test_there_is_an_end_of_the_room() -> None:
    async def run() -> None:
        hub = Hub()
        boxes = [hub.join() for _ in range(MOST)]
        with pytest.raises(HubFull):
            hub.join()
        hub.leave(boxes[0])
        hub.join()

    asyncio.run(run())


def test_a_stream_ends_with_the_server_and_leaves_nothing() -> None:
    async def run() -> list[bytes]:
        hub = Hub()
        box = hub.join()
        stream = hub.listen(box)
        told = [await anext(stream)]
        hub.close()
        told += [event async for event in stream]
        assert not hub.watched.is_set()
        return told

    assert asyncio.run(run()) == [b"retry: 1000\n\n", b"event: end\ndata: {}\n\n"]
