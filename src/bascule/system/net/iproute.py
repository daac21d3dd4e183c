"""Many changes through one run of ``ip -batch`` or ``bridge -batch``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from bascule.system.net.netns import Namespace
from bascule.system.run import run

_FAILED = re.compile(r"Command failed -:(\d+)")


class BatchError(Struct, frozen=True):
    """The line that failed (counted from 0; None when the tool did not say) and the kernel's reason."""

    line: int | None
    reason: str


def batch(tool: str, text: str, *, namespace: Namespace | None = None, keep: Sequence[int] = ()) -> BatchError | None:
    """Feed the lines to the tool, which stops at the first that fails; None when all went through.

    Raises MissingTool.
    """
    result = run((*tool.split(), "-batch", "-"), stdin=text, namespace=namespace, check=False, keep=keep)
    if result.status == 0:
        return None
    found = _FAILED.search(result.stderr)
    reasons = [line for line in result.stderr.splitlines() if line.strip() and not _FAILED.search(line)]
    reason = "; ".join(reasons) or f"{tool} ended with status {result.status}"
    return BatchError(
        int(found[1]) - 1 if found else None, reason.removeprefix("RTNETLINK answers: ").removeprefix("Error: ")
    )
