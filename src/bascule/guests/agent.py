"""Questions that the test guest asks for us, over the socket of its second serial port."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from msgspec import Struct

from bascule.errors import CommandFailed
from bascule.system.line_socket import LineSocket

_numbers = itertools.count(1)


class AgentAnswer(Struct, frozen=True, kw_only=True):
    """What came of a question: whether it was answered, and what the other side said."""

    ok: bool
    said: str


def ask(path: Path, question: str, *, timeout_s: float) -> AgentAnswer:
    """Put one question and wait for its answer; an answer to an older question is passed over.

    Raises CommandFailed when the guest says nothing in time.
    """
    number = str(next(_numbers))
    start = time.monotonic()
    try:
        with LineSocket(path, timeout_s=timeout_s) as line:
            line.send(f"{number} {question}")
            while time.monotonic() < start + timeout_s:
                head, _, rest = line.receive().strip().partition(" ")
                if head == number:
                    status, _, said = rest.partition(" ")
                    return AgentAnswer(ok=status == "0", said=said.strip())
    except OSError as error:
        raise _silent(question, str(error)) from error
    raise _silent(question, f"no answer within {timeout_s:g} s")


def _silent(question: str, why: str) -> CommandFailed:
    return CommandFailed.of("GUEST-SILENT", f"the guest did not answer '{question}': {why}")
