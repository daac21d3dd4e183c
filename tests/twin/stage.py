"""What the tests of the twin share: a sandbox or a skip, the host's plan as a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bascule.errors import NotPermitted
from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin import Twin

PLAN = """link add br3 type bridge forward_delay 0
link add br4 type bridge forward_delay 0
link set eth4 master br3 up
link set eth5 master br4 up
link set br3 up
link set br4 up
link set eth2 up
link set eth3 up
addr add 192.168.1.10/24 dev eth2
addr add 129.230.1.10/16 dev eth3
"""


def inside(work: Callable[[], Any]) -> Any:
    """In a sandbox; skipped with the reason where this user may have none."""
    try:
        return sandboxed(work)
    except NotPermitted as refusal:
        if refusal.problems[0].code == "SANDBOX-FORBIDDEN":
            pytest.skip(str(refusal))
        raise


def ip(namespace: Namespace, words: str) -> Any:
    return json.loads(run(("ip", "-j", *words.split()), namespace=namespace).stdout or "[]")


def apply(twin: Twin, text: str = PLAN, host: str = "vmserver") -> None:
    run(("ip", "-batch", "-"), stdin=text, namespace=twin.host(host))
