"""Others' firewall rules in a host of the twin, as they stand on the machine that it stands for."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.errors import BasculeError
from bascule.observe.foreign_rules import ForeignRules
from bascule.plan.change import Note
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import write_sysctl
from bascule.system.run import run


def load_foreign_rules(host: str, rules: ForeignRules, namespace: Namespace) -> Iterator[Note]:
    """Load them, now that the host's links are there; what stands and what could not be loaded is told."""
    loaded = []
    for text in rules.texts:
        try:
            run(text.program, stdin=text.text, namespace=namespace)
            loaded.append(text.words)
        except BasculeError as error:
            words = " ".join(error.problems[0].message.split()).partition(" failed: ")[2] or error.problems[0].message
            yield _missing(host, f"{text.words} could not be loaded: {words[:200]}")
    for key, value in rules.switches.items():
        try:
            write_sysctl(key, value, namespace=namespace)
        except OSError as error:
            yield _missing(host, f"{key.replace('/', '.')} = {value} could not be set: {error.strerror}")
    for bridge, options in rules.on_bridges.items():
        pairs = [word for option in options for word in (option, "1")]
        try:
            run(("ip", "link", "set", bridge, "type", "bridge", *pairs), namespace=namespace)
        except BasculeError:
            yield _missing(host, f"{', '.join(options)} of {bridge} could not be set")
    yield from (_missing(host, gap) for gap in rules.gaps)
    if loaded:
        told = f"others' firewall rules stand in the twin as here: {', '.join(loaded)}"
        yield Note(kind="foreign", subject=host, text=told)


def _missing(host: str, text: str) -> Note:
    return Note(kind="warning", subject=host, text=f"{text}; what it does to frames was not rehearsed")
