"""ethtool: the driver behind a NIC, and the LED at its port."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

from bascule.errors import BasculeError, CommandFailed, MissingTool, Problem, UsageFault
from bascule.system.run import run

REFUSED_S = 0.5  # a driver that cannot blink says so at once; one that can takes whole seconds


def driver(link: str) -> str:
    """The name of a link's driver, as ``i40e``; empty where nobody says."""
    try:
        result = run(("ethtool", "-i", link), check=False)
    except MissingTool:
        return ""
    found = re.search(r"^driver: (\S+)", result.stdout, re.MULTILINE)
    return found[1] if found and result.status == 0 else ""


def identify(link: str, seconds: int, begun: Callable[[], object] | None = None) -> None:
    """Let the LED at a port blink, and return when it is over; ``begun`` is called unless the driver refuses at once.

    Raises UsageFault for a link that is not there, MissingTool for a driver that cannot, and as ``run`` does.
    """
    call = partial(run, ("ethtool", "--identify", link, str(seconds)), check=False, timeout_s=seconds + 30)
    with ThreadPoolExecutor(1) as pool:  # a new thread is in our namespace
        blinking = pool.submit(call)
        if begun is not None and not wait([blinking], REFUSED_S).done:
            begun()
        result = blinking.result()
    if result.status == 0:
        return
    words = result.stderr.strip() or result.stdout.strip()
    if "No such device" in words:
        raise UsageFault(Problem(code="NO-LINK", message=f"there is no link '{link}'"))
    if "not supported" in words:
        name = driver(link)
        raise MissingTool(
            Problem(
                code="BLINK-UNSUPPORTED",
                message=f"the driver of '{link}'{f' ({name})' if name else ''} cannot blink its LED",
                hint=f"'bascule survey {link}' recognises the wire without looking; or unplug the cable and see "
                f"whether 'ip link show {link}' says NO-CARRIER",
            )
        )
    raise _refused(link, words, result.status)


def _refused(link: str, words: str, status: int) -> BasculeError:
    if "not permitted" in words:
        from bascule.errors import NotPermitted

        hint = "run it as root"
        return NotPermitted(Problem(code="NOT-PERMITTED", message=f"blinking '{link}' was refused", hint=hint))
    return CommandFailed(
        Problem(code="BLINK-FAILED", message=f"ethtool could not blink '{link}': {words or f'exit status {status}'}")
    )
