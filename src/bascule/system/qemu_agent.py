"""The QEMU guest agent (qemu-ga): JSON questions to a program inside a guest, over QEMU's socket or through libvirt.

The protocol: qemu.readthedocs.io, "QEMU Guest Agent Protocol Reference".
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from bascule.errors import BasculeError, CommandFailed
from bascule.system.closing import Closing
from bascule.system.libvirt import Hypervisor
from bascule.system.line_socket import LineSocket

ANSWER_S = 3  # an agent that is there answers at once; qemu.git's own tests wait as long
POLL_S = 0.05


class GuestAgentChannel(Protocol):
    """A way to an agent. Every failure is a CommandFailed with the code GUEST-AGENT, or libvirt's own."""

    def ask(self, command: str, **arguments: Any) -> Any:
        """The ``return`` value of a command."""

    def close(self) -> None:
        """Hang up."""


class SocketChannel(Closing):
    """The socket of a QEMU that was started by hand, or by a manager that does not hold it all the time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._failures():
            self._socket = LineSocket(path, timeout_s=ANSWER_S)
        try:
            number = int.from_bytes(os.urandom(4), "big")
            self._send("guest-sync", id=number)
            while self._receive() != {"return": number}:  # what somebody asked before us, and did not wait for
                pass
        except BasculeError:
            self._socket.close()
            raise

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            text = f"no agent answers at {self._path}: {'nothing came' if isinstance(error, TimeoutError) else error}"
            raise CommandFailed.of("GUEST-AGENT", text) from error

    def _send(self, command: str, **arguments: Any) -> None:
        with self._failures():
            self._socket.send(json.dumps({"execute": command, "arguments": arguments}))

    def _receive(self) -> Any:
        with self._failures():
            return json.loads(self._socket.receive())

    def ask(self, command: str, **arguments: Any) -> Any:
        """As any channel."""
        self._send(command, **arguments)
        return _returned(command, self._receive())

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class LibvirtChannel(Struct, frozen=True):
    """Libvirt holds the socket of its guests, and hands questions on."""

    hypervisor: Hypervisor
    domain: str

    def ask(self, command: str, **arguments: Any) -> Any:
        """As any channel."""
        message = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
        return _returned(command, json.loads(self.hypervisor.ask_agent(self.domain, message, timeout_s=ANSWER_S)))

    def close(self) -> None:
        """Hang up."""
        self.hypervisor.close()


def _returned(command: str, answer: Any) -> Any:
    if "return" not in answer:
        said = answer.get("error", {}).get("desc", answer)
        raise CommandFailed.of("GUEST-AGENT", f"the guest agent refused '{command}': {said}")
    return answer["return"]


def execute(channel: GuestAgentChannel, script: str, *, timeout_s: float) -> str:
    """What a script of the guest's own shell prints, both outputs together. Raises CommandFailed."""
    words = ["-c", f"{{ {script}\n}} 2>&1"]
    started = channel.ask("guest-exec", path="/bin/sh", arg=words, **{"capture-output": True})
    end = time.monotonic() + timeout_s
    while not (done := channel.ask("guest-exec-status", pid=started["pid"]))["exited"]:
        if time.monotonic() > end:
            text = f"the guest did not end within {timeout_s:g} s what its agent started"
            raise CommandFailed.of("GUEST-AGENT", text)
        time.sleep(POLL_S)
    return base64.b64decode(done.get("out-data", "")).decode(errors="replace")
