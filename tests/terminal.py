"""Bascule on a terminal, with somebody who types."""

from __future__ import annotations

import os
import pty
from collections.abc import Mapping

from bascule.system.net.netns import Namespace
from tests import prefork
from tests.lab import called


def on_a_terminal(
    host: Namespace, environment: Mapping[str, str], *words: str, hostname: str, answer: bytes = b""
) -> bytes:
    """All that a command line prints in a namespace, on a machine of this name; ``answer`` is typed at once."""
    leader, follower = pty.openpty()
    with host.entered(), called(hostname):
        process = prefork.start(
            *words, env={**os.environ, **environment}, stdin=follower, stdout=follower, stderr=follower
        )
    os.close(follower)
    os.write(leader, answer)
    text = b""
    try:
        while part := os.read(leader, 4096):
            text += part
    except OSError:
        pass
    process.wait()
    os.close(leader)
    return text
