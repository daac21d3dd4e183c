"""A UNIX socket that is spoken to line by line."""

from __future__ import annotations

import socket
from pathlib import Path

from bascule.system.closing import Closing


class LineSocket(Closing):
    """A connection; raises OSError for all that goes wrong, TimeoutError among it."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        self._buffer = b""
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def send(self, line: str) -> None:
        """One line, without its end."""
        self._socket.sendall(line.encode() + b"\n")

    def receive(self) -> str:
        """The next line, without its end."""
        while b"\n" not in self._buffer:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionResetError("the other side hung up")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
