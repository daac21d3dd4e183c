"""The kernel is seen through iproute2's JSON and changed through its batches; its parameters stand in /proc/sys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from bascule.errors import BasculeError, CommandFailed, NotPermitted, Problem
from bascule.host.live import LiveHost
from bascule.model.state import HostState
from bascule.plan.batch import Batch
from bascule.plan.change import Change, Command, Note, are_plain
from bascule.providers.effects import ObserveScope
from bascule.providers.kernel.observe import PROGRAMS, read
from bascule.providers.kernel.tokens import with_tokens
from bascule.providers.kernel.vrrp import with_keepers
from bascule.system.net import rtnetlink
from bascule.system.net.iproute import batch as run_batch
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import Parameters


class KernelEffects:
    """A full read is a handful of programs side by side, a change one run of ``ip -batch`` for all its neighbours."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """A link, an address, a route and a rule dump each, whatever their number."""
        return PROGRAMS

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> HostState:
        """Links, routes, rules and the parameters of the scope; who keeps an address is told where we are."""
        namespace = scope.where.namespace
        state = read(texts, sysctls=scope.sysctls, further=scope.further, namespace=namespace)
        state = with_tokens(state, namespace)
        return state if namespace is not None else with_keepers(state)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Run the commands; raises CommandFailed or NotPermitted with the step, the object and the kernel's reason."""
        done = 0
        for part in batch.by_tool():
            try:
                if part.commands[0].tool == "sysctl":
                    _through_sysctl(part, where.namespace)
                elif part.commands[0].tool == "sysfs":
                    _without_primary(part, where.namespace)
                else:
                    _through_iproute(part, where.namespace, keep)
            except BasculeError as error:
                error.index = None if error.index is None else done + error.index
                raise
            done += len(part.commands)
        return ()


# what was to be there is there, and what was to be taken away is away: NetworkManager takes its own addresses off a
# NIC that becomes a port, too
# (newer kernels have words of their own for an address)
GONE: dict[tuple[str, ...], set[str]] = {
    ("address", "del"): {"Cannot assign requested address", "ipv4: Address not found.", "ipv6: address not found."},
    ("route", "del"): {"No such process"},
    ("route", "append"): {"File exists"},
    ("route", "prepend"): {"File exists"},
    ("route", "replace"): {"Nexthop id does not exist."},  # the route has been set without it just before
    ("rule", "del"): {"No such file or directory"},
}


def _through_iproute(batch: Batch, namespace: Namespace | None, keep: Sequence[int]) -> None:
    done = 0
    while batch.commands:
        text = "".join(_line(command.words) + "\n" for command in batch.commands)
        error = run_batch(batch.commands[0].tool, text, namespace=namespace, keep=keep)
        if error is None:
            return
        index = error.line if error.line is not None else len(batch.commands) - 1
        if error.line is None or error.reason not in GONE.get(batch.commands[index].words[:2], ()):
            raise _failed(batch.changes[index], batch.commands[index], error.reason, done + index)
        batch, done = batch.after(index), done + index + 1


def _line(words: tuple[str, ...]) -> str:
    """Words as iproute2's batch reader takes them: it knows double quotes, and no escapes within them."""
    if are_plain(words):
        return " ".join(words)
    return " ".join(word if are_plain((word,)) else '"' + word.replace('"', "") + '"' for word in words)


def _through_sysctl(batch: Batch, namespace: Namespace | None) -> None:
    with Parameters(namespace) as parameters:
        for index, (command, change) in enumerate(zip(batch.commands, batch.changes, strict=True)):
            try:
                parameters.write(*command.words)
            except OSError as error:
                raise _failed(change, command, error.strerror or str(error), index) from error


def _without_primary(batch: Batch, namespace: Namespace | None) -> None:
    """Take bonds' primaries away: by netlink, for sysfs shows the namespace in which it was mounted."""
    for command in batch.commands:
        bond = command.words[0].split("/")[2]
        with Namespace.current() if namespace is None else nullcontext(namespace) as room:
            rtnetlink.change(room, [rtnetlink.no_primary(bond)])


def _failed(change: Change, command: Command, reason: str, index: int) -> CommandFailed | NotPermitted:
    refused = reason in {"Operation not permitted", "Permission denied"}
    problem = Problem(
        code="NOT-PERMITTED" if refused else "STEP-FAILED",
        message=f"{change.subject}: {change.action}: the kernel says '{reason}'",
        hint="run it as root" if refused else f"the command was: {command}",
    )
    error = NotPermitted(problem) if refused else CommandFailed(problem)
    error.index = index
    return error
