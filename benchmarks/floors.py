"""What no program of this kind can be faster than, measured in the same run: machines differ, ratios hardly do.

For a verb that is the interpreter with the same third-party imports, and the programs that read the kernel, bare.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from bascule.system.net.netns import Namespace
from benchmarks.makers import BASCULE
from benchmarks.measure import Run, process

READERS: tuple[tuple[str, ...], ...] = (  # the programs that a plan reads the host with
    ("ip", "-j", "-d", "link", "show"),
    ("ip", "-4", "-j", "addr", "show"),
    ("ip", "-6", "-j", "addr", "show"),
    ("ip", "-4", "-j", "-d", "route", "show", "table", "all"),
    ("ip", "-6", "-j", "-d", "route", "show", "table", "all"),
    ("ip", "-4", "-j", "rule", "show"),
    ("ip", "-6", "-j", "rule", "show"),
    ("nft", "-j", "list", "tables"),
)
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)
LOADER = """\
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:  # asked for and not there, by the verb as well
        pass
"""


class Interpreter:
    """``python -c`` with the third-party modules that a verb loads, and nothing of ours."""

    def __init__(self, *words: str, namespace: Namespace | None = None, env: Mapping[str, str] | None = None) -> None:
        """``words`` are those of the verb, which is run once to see what it loads."""
        argv = (sys.executable, "-X", "importtime", *BASCULE[1:], *words)
        with namespace.entered() if namespace else nullcontext():
            told = subprocess.run(argv, capture_output=True, text=True, env=env, check=False).stderr
        self.argv = (sys.executable, "-c", LOADER, *third_party(IMPORTED.findall(told)))

    def __call__(self) -> Run:
        """Start, import, end."""
        return process(self.argv)


def third_party(modules: Sequence[str]) -> list[str]:
    """Of the modules, those of other projects, in their order; what only the installation brings is left out."""
    ours = {"bascule", *sys.stdlib_module_names, *sys.builtin_module_names}
    started = ("__editable__", "_distutils_hack", "_virtualenv", "sitecustomize", "usercustomize")
    return [name for name in modules if name.partition(".")[0] not in ours and not name.startswith(started)]


def read_kernel(namespace: Namespace) -> Run:
    """The readers of a plan, one after the other."""
    return one_after_the_other([process(argv, namespace=namespace) for argv in READERS])


def one_after_the_other(runs: Sequence[Run]) -> Run:
    """Several programs as one."""
    return Run(
        sum(run.wall_s for run in runs),
        sum(run.cpu_s for run in runs),
        max((run.peak_mib for run in runs), default=0.0),
    )
