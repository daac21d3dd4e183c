"""Others' rulesets on the host of the lab: those that programs made themselves, and variants of our own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bascule.system.net.netns import Namespace
from tests.real_hosts.field import Field

MADE = Path(__file__).parent / "rulesets"
EMPTY = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"


def load(where: Namespace, *names: str) -> None:
    """Load rulesets by the names of their files: ``.v4`` and ``.v6`` are iptables', ``.nft`` is nft's."""
    tools = {".v4": ("iptables-nft-restore",), ".v6": ("ip6tables-nft-restore",), ".nft": ("nft", "-f", "-")}
    for name in names:
        feed(where, (MADE / name).read_text(), *tools[Path(name).suffix])


def feed(where: Namespace, text: str, *program: str) -> None:
    """Give a text to a program there, nft if none is named."""
    with where.entered():
        subprocess.run(program or ("nft", "-f", "-"), input=text, text=True, check=True, capture_output=True)


def clear(where: Namespace) -> None:
    """No rules, of any kind."""
    feed(where, "flush ruleset")
    for tool in ("iptables-legacy-restore", "ip6tables-legacy-restore"):
        feed(where, EMPTY, tool)


def connects(field: Field, where: Namespace, address: str, port: int = 80, *, seconds: float = 5) -> bool:
    """Whether a TCP connection comes about within so many seconds: a new one, under a source port of its own."""
    words = ("timeout", str(seconds), "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}")
    return field.run(*words, where=where).returncode == 0
