"""By which addresses outside a tunnel's packets leave the host: of kernel tunnels, and of programs that carry one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Set
from ipaddress import ip_address

from bascule.errors import BasculeError
from bascule.system.net.fdb import kernel_rows
from bascule.system.process import proc
from bascule.system.run import rows, run

FAR_ENDS = ("remote", "remote6")  # as ip-link(8) names the far end of a kernel tunnel


def of_link(name: str) -> tuple[str, ...]:
    """The far ends of a tunnel that is a link: as the kernel knows them, or the peers of the program that holds it."""
    holders = {pid for pid in proc.pids() if _holds(pid, name)}
    return tuple(dict.fromkeys((*_of_kernel(name), *_peers(holders))))


def of_connection(address: str, port: str) -> tuple[str, ...]:
    """The peers outside of the program at the far end of a connection within this host, such as an ssh that relays."""
    for local, _, pids in _sockets():
        if local == (address, port):
            return tuple(dict.fromkeys(_peers(set(pids))))
    return ()


def _of_kernel(name: str) -> Iterator[str]:
    try:
        for row in rows(("ip", "-d", "-j", "link", "show", "dev", name)):
            data = row.get("linkinfo", {}).get("info_data", {})
            yield from (str(data[key]) for key in FAR_ENDS if data.get(key) not in {None, "any"})
        yield from (entry["dst"] for entry in kernel_rows() if entry.get("ifname") == name and "dst" in entry)
        for line in run(("wg", "show", name, "endpoints")).stdout.splitlines():
            yield _parted(line.split()[-1])[0]
    except (BasculeError, ValueError, IndexError):
        return  # no such program, or no such tunnel


def _holds(pid: int, name: str) -> bool:
    """Whether a process has a tun link open, by what the kernel says of its files (tun_chr_show_fdinfo() in Linux)."""
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for descriptor in (proc.PROC / f"{pid}/fdinfo").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if f"iff:\t{name}\n" in descriptor.read_text():
                    return True
    return False


def _peers(processes: Set[int]) -> Iterator[str]:
    """Whom some processes are connected to outside of this host."""
    for _, (address, _), pids in _sockets() if processes else ():
        if not processes.isdisjoint(pids) and not ip_address(address).is_loopback:
            yield address


def _sockets() -> Iterator[tuple[tuple[str, str], tuple[str, str], list[int]]]:
    """The connected sockets here, as ss(8) lists them: own and other end, and the processes."""
    try:
        listed = run(("ss", "-H", "-n", "-p", "-t", "-u", "state", "connected")).stdout
    except BasculeError:
        return
    for line in listed.splitlines():
        cells = line.split()
        if len(cells) > 5 and "*" not in cells[5]:
            yield _parted(cells[4]), _parted(cells[5]), [int(pid) for pid in re.findall(r"pid=(\d+)", line)]


def _parted(end: str) -> tuple[str, str]:
    address, _, port = end.rpartition(":")
    return address.strip("[]").partition("%")[0].removeprefix("::ffff:"), port
