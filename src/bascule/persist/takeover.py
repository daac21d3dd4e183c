"""The manager takes over what the kernel already has, so that nothing moves when it reloads, restarts or is confirmed.

Nothing here makes the change: that stands, whatever a manager answers. Each returns what could not be done, in words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from bascule.errors import BasculeError
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig
from bascule.persist.dialect import Dialect, dialects
from bascule.persist.files import is_ours, read_tree
from bascule.system.clock import Progress, unseen
from bascule.system.run import run


def take_over(paths: Iterable[str], progress: Progress = unseen) -> tuple[str, ...]:
    """Let whoever reads these files know them, and take the links for his own as they are."""
    told = tuple(paths)
    if told:
        progress("lets the host's configuration system read its files")
    faults, made = _generate(told)
    for each in dialects():
        faults += each.takeover.follow((*told, *made), partial(_ours, each))
    return tuple(faults)


def resume_boot(paths: Iterable[str]) -> list[str]:
    """Let managers go on with the boot by these files, which were put back; what could not be done, in words.

    They make anew what others read, as netplan does, and bring up what came while other files stood there.
    """
    told = tuple(paths)
    return [*_generate(told)[0], *(wrong for each in dialects() for wrong in each.takeover.resume_boot(told))]


def _generate(paths: Collection[str]) -> tuple[list[str], list[str]]:
    faults: list[str] = []
    made: list[str] = []
    for each in dialects():
        wrong, folders = each.takeover.generate(paths)
        faults += wrong
        made += folders
    return faults, made


@contextlib.contextmanager
def managers_paused(touched: Collection[str] | None, *, back: bool = False) -> Iterator[None]:
    """A manager that has taken links over does not meddle while they are changed.

    ``touched`` are those that will be, None stands for all of ours, ``back`` for a change that is taken back.
    Afterwards it knows nothing of them, until ``take_over`` tells it; where it fails they are as before, and it has
    them again at once: it keeps their leases.
    """
    with contextlib.ExitStack() as stack:
        rests = [
            stack.enter_context(each.takeover.paused(partial(_ours, each), touched, back=back)) for each in dialects()
        ]
        try:
            yield
        except BaseException:
            if any(rests):
                stack.close()
                take_over(())
            raise


def _ours(one: Dialect) -> Mapping[IfName, LinkConfig]:
    """The links that files of ours configure."""
    files = {path: text for path, text in read_tree("/", one.reads).files.items() if is_ours(text)}
    if not files:
        return {}
    return one.parse({**one.scaffold, **files}).config.links


def tell(*command: str) -> list[str]:
    """Run a manager's own command; what could not be done, in words."""
    try:
        run(command, timeout_s=20.0)
    except BasculeError as error:
        return [problem.message for problem in error.problems]
    return []
