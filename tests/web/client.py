"""A browser's side of the line, from inside a network namespace."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

from bascule.system.net.netns import Namespace
from tests import prefork
from tests.patience import HUNG_S, patient


class Served:
    """``bascule serve`` as a process of its own."""

    def __init__(self, room: Namespace, *words: str, listen: str = "127.0.0.1:0") -> None:
        self.room = room
        with room.entered():
            self.process = prefork.start(
                "serve", *words, "--listen", listen, "--json",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        lines = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        self.told: dict[str, Any] = json.loads("".join(lines))
        self.port = int(self.told["url"].split("/")[2].rpartition(":")[2])
        self.address = self.told["url"].split("/")[2].rpartition(":")[0].strip("[]")

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=HUNG_S)
        with self.room.entered():
            connection.sock = socket.create_connection((self.address, self.port), timeout=HUNG_S)
        return connection

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        connection = self.connect()
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def stream(self, **headers: str) -> Stream:
        return Stream(self, headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            _, errors = self.process.communicate(timeout=HUNG_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, errors


class Stream:
    """Server-sent events, as they come."""

    def __init__(self, served: Served, headers: dict[str, str]) -> None:
        self.connection = served.connect()
        self.connection.request("GET", "/events", headers=headers)
        self.answer = self.connection.getresponse()
        self.latest: dict[str, Any] = {}

    def events(self) -> Iterator[tuple[str, Any]]:
        kind = ""
        while line := self.answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                self.latest[kind] = json.loads(value)
                yield kind, self.latest[kind]

    def until(self, kind: str, wanted: Callable[[Any], bool], *, within_s: float = 20.0) -> Any:
        """The first event of a kind that is as wanted."""
        end = time.monotonic() + patient(within_s)
        for name, data in self.events():
            if name == kind and wanted(data):
                return data
            assert time.monotonic() < end, (
                f"no such {kind} within {within_s} s; the last: {self.latest.get('trouble')}, {self.latest.get(kind)}"
            )
        raise AssertionError("the stream ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.answer.close()
