"""QEMU's monitor protocol (QMP): one JSON line out, one JSON line back, over the monitor's socket.

The protocol: qemu.readthedocs.io, "QEMU Machine Protocol Specification".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bascule.errors import BasculeError, CommandFailed
from bascule.system.closing import Closing
from bascule.system.line_socket import LineSocket

ANSWER_S = 10.0


class Qmp(Closing):
    """A conversation with one QEMU process. Every failure is a CommandFailed with QEMU's own words."""

    def __init__(self, path: Path, *, patience_s: float = ANSWER_S) -> None:
        self._path = path
        try:
            self._socket = LineSocket(path, timeout_s=patience_s)
            self._line()  # the greeting
        except OSError as error:
            raise self._no_answer(error) from error
        self.ask("qmp_capabilities")

    def _no_answer(self, why: object) -> BasculeError:
        return CommandFailed.of(
            "QEMU-GONE",
            f"the QEMU process behind {self._path} does not answer: {why}",
            hint="`bascule guest list` shows what runs",
        )

    def _line(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._socket.receive())
        return answer

    def ask(self, command: str, **arguments: Any) -> Any:
        """The command's ``return`` value; underscores in argument names stand for themselves."""
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            self._socket.send(json.dumps(message))
            while True:
                answer = self._line()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise CommandFailed.of("QEMU", f"QEMU refused '{command}': {answer['error'].get('desc', answer)}")
        except (OSError, ValueError) as error:
            raise self._no_answer(error) from error

    def wait_deleted(self) -> dict[str, Any]:
        """The data of the next device that QEMU has taken out. Raises CommandFailed when none comes in time."""
        try:
            while True:
                answer = self._line()
                if answer.get("event") == "DEVICE_DELETED":
                    data: dict[str, Any] = answer.get("data", {})
                    return data
        except OSError as error:
            raise self._no_answer(error) from error

    def close(self) -> None:
        """Hang up; QEMU goes on."""
        self._socket.close()
