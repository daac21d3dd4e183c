"""The news for all who watch. Each has a mailbox with the newest of each kind, so a slow one falls behind by nothing.

Everything but ``publish`` and the two events belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

MOST = 64  # who may watch at once
BEAT_S = 15.0  # a line now and then shows that a client has gone, and keeps proxies from closing


class HubFull(Exception):
    """Nobody more may watch."""


class Mailbox:
    """What one client has not been told yet."""

    def __init__(self) -> None:
        self._news: dict[str, bytes] = {}
        self._rings = asyncio.Event()

    def put(self, kind: str, event: bytes) -> None:
        """Replace what it was going to be told of this kind."""
        self._news.pop(kind, None)
        self._news[kind] = event
        self._rings.set()

    @property
    def is_empty(self) -> bool:
        """Whether it has been told everything."""
        return not self._news

    async def take(self) -> bytes:
        """What is new, or a comment when nothing is for a while."""
        try:
            await asyncio.wait_for(self._rings.wait(), BEAT_S)
        except TimeoutError:
            return b": nothing new\n\n"
        self._rings.clear()
        news, self._news = self._news, {}
        return b"".join(news.values())


class Hub:
    """Tells everybody."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._latest: dict[str, bytes] = {}
        self._boxes: set[Mailbox] = set()
        self._closed = False
        self.watched = threading.Event()
        self.newcomer = threading.Event()  # somebody came who could not be told what the others know

    def publish(self, kind: str, document: Mapping[str, Any]) -> None:
        """Tell everybody, from any thread."""
        text = json.dumps(document, separators=(",", ":"), default=str)
        event = f"event: {kind}\ndata: {text}\n\n".encode("utf-8", "replace")
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, kind, event)

    def _tell(self, kind: str, event: bytes) -> None:
        if self._boxes:
            self._latest[kind] = event
        for box in self._boxes:
            box.put(kind, event)

    async def listen(self, box: Mailbox) -> AsyncIterator[bytes]:
        """The stream of one client, until it goes or the server ends."""
        try:
            yield b"retry: 1000\n\n"
            while not (self._closed and box.is_empty):
                yield await box.take()
        finally:
            self.leave(box)

    def join(self) -> Mailbox:
        """A mailbox with all that the others know. Raises HubFull."""
        if len(self._boxes) >= MOST or self._closed:
            raise HubFull
        box = Mailbox()
        for kind, event in self._latest.items():
            box.put(kind, event)
        self._boxes.add(box)
        if not self._latest:
            self.newcomer.set()
        self.watched.set()
        return box

    def leave(self, box: Mailbox) -> None:
        """A client has gone; with the last one, what was known grows old and is forgotten."""
        self._boxes.discard(box)
        if not self._boxes:
            self.watched.clear()
            self._latest.clear()

    def close(self) -> None:
        """Let every stream end."""
        self._closed = True
        for box in self._boxes:
            box.put("end", b"event: end\ndata: {}\n\n")
