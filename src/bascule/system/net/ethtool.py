"""ethtool: the driver behind a NIC, the LED at its port, and what wakes the machine by it."""

from __future__ import annotations

import ctypes
import re
import socket
import struct
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from bascule.errors import BasculeError, CommandFailed, MissingTool, UsageFault
from bascule.system.net.links import ethtool_ioctl
from bascule.system.run import run

_GET_WAKE = 0x5  # ETHTOOL_GWOL (linux/ethtool.h)
REFUSED_S = 0.5  # a driver that cannot blink says so at once; one that can takes whole seconds


def driver(link: str) -> str:
    """The name of a link's driver, as ``i40e``; empty where nobody says."""
    try:
        result = run(("ethtool", "-i", link), check=False)
    except MissingTool:
        return ""
    found = re.search(r"^driver: (\S+)", result.stdout, re.MULTILINE)
    return found[1] if found and result.status == 0 else ""


class WakeBits(Struct, frozen=True):
    """Masks of WAKE_*: which packets a driver can wake the machine by, and which do now."""

    able: int
    now: int


def wake_on_lan(link: str) -> WakeBits | None:
    """What wakes the machine by a link of the namespace that we are in; None where its driver has no such thing."""
    told = ctypes.create_string_buffer(struct.pack("=I16x", _GET_WAKE), 20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            ethtool_ioctl(sock, link, told)
        except OSError:
            return None
    _, able, now = struct.unpack_from("=III", told.raw)
    return WakeBits(able, now)


def identify(link: str, seconds: int, begun: Callable[[], object] | None = None) -> None:
    """Let the LED at a port blink, and return when it is over; ``begun`` is called unless the driver refuses at once.

    Raises UsageFault for a link that is not there, MissingTool for a driver that cannot, and as ``run`` does.
    """
    from concurrent.futures import ThreadPoolExecutor, wait  # with logging, for a plan that lets nothing blink

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
        raise UsageFault.of("NO-LINK", f"there is no link '{link}'")
    if "not supported" in words:
        name = driver(link)
        raise MissingTool.of(
            "BLINK-UNSUPPORTED",
            f"the driver of '{link}'{f' ({name})' if name else ''} cannot blink its LED",
            hint=f"'bascule survey {link}' recognises the wire without looking; or unplug the cable and see "
            f"whether 'ip link show {link}' says NO-CARRIER",
        )
    raise _refused(link, words, result.status)


def _refused(link: str, words: str, status: int) -> BasculeError:
    if "not permitted" in words:
        from bascule.errors import NotPermitted

        hint = "run it as root"
        return NotPermitted.of("NOT-PERMITTED", f"blinking '{link}' was refused", hint=hint)
    return CommandFailed.of("BLINK-FAILED", f"ethtool could not blink '{link}': {words or f'exit status {status}'}")
