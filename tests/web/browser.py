"""A real Chromium, driven through chromedriver's plain HTTP (W3C WebDriver), inside a network namespace."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from bascule.system.net.netns import Namespace
from tests.patience import HUNG_S, patient

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # a container's is too small
    "--window-size=1400,1000",
)


class Browser:
    """One window. ``errors`` are what the page wrote to the console."""

    def __init__(self, room: Namespace, profile: Path) -> None:
        driver = shutil.which("chromedriver")
        if driver is None:
            pytest.skip("no chromedriver here (Debian: apt-get install chromium-driver)")
        self.room = room
        with room.entered():
            self.process = subprocess.Popen(
                (driver, "--port=0"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self.process.stdout is not None
        self.port = 0
        for line in self.process.stdout:
            if "was started successfully on port" in line:
                self.port = int(line.rstrip(".\n").rpartition(" ")[2])
                break
        if not self.port:
            self.process.wait()
            pytest.fail("chromedriver did not start")
        self.path = ""
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        wishes = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wishes}})
        self.path = f"/session/{session['sessionId']}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HUNG_S)
        try:
            with self.room.entered():
                connection.sock = socket.create_connection(("127.0.0.1", self.port), timeout=HUNG_S)
            connection.request(method, self.path + path, None if body is None else json.dumps(body))
            answer = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def devtools(self, command: str, **words: Any) -> Any:
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": words})

    def open(self, url: str) -> None:
        self.call("POST", "/url", {"url": url})

    def script(self, words: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": words, "args": []})

    def wait(self, words: str, *, within_s: float = 15.0, wanted: Callable[[Any], bool] = bool) -> float:
        """Seconds until what a script returns is as wanted."""
        start = time.monotonic()
        while not wanted(found := self.script(words)):
            assert time.monotonic() - start < patient(within_s), f"{words}: {found!r}"
            time.sleep(0.03)
        return time.monotonic() - start

    def press(self, key: str) -> None:
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    @property
    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.path:
                self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.communicate()
