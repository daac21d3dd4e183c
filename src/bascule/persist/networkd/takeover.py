"""systemd-networkd takes over the links that a change made, or gives them up again.

From a link that it configures anew, or has no file for any more, it takes off what it has not put there itself, a
leased address as well. That is back when the server has answered, 36 ms later with networkd 252 and dnsmasq, but with
a silent server never: then it is put back for as long as the lease lasts, and networkd sets it when it is answered.

A port that leaves its bridge is to it a link that is gone and another that comes, which it configures by the files that
it has read: it puts it back at once (systemd issue 29896, "as expected"). So it leaves such ports alone from before the
change until it reads the new files.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_interface
from pathlib import Path

from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.errors import BasculeError
from bascule.model.dhcp.identity import ClientId
from bascule.model.links.bridge import Bridge
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName
from bascule.persist.manager import Ours, Takeover, concerns
from bascule.persist.networkd import LEFT_ALONE
from bascule.persist.takeover import tell
from bascule.plan.diff import diff
from bascule.providers.observe import observe
from bascule.system.clock import wait_until
from bascule.system.disk.durable import make_folder
from bascule.system.net.iproute import batch_lines
from bascule.system.net.managers import networkd_dhcp, networkd_file, networkd_has, networkd_is_configuring, runs_here

SETTLE_S = 1.0  # in which networkd begins with a link
ANSWER_S = 0.5  # for the server to answer in
LOOK_S = 0.1

Leased = Mapping[IfName, tuple[Address, ...]]


GENERATED = "/run/systemd/network/"  # what generators, netplan's for one, make for it
FOLDERS = ("/etc/systemd/network/", GENERATED)
PORTS = Path(GENERATED, "00-bascule-change.network")  # that it leaves alone; the first file that matches counts
LINKS = Path("/sys/class/net")
LET_GO_S = 2.0


class _Networkd(Takeover):
    def follow(self, paths: Collection[str], ours: Ours) -> list[str]:
        del ours  # it tells by the files alone which links are its own
        if not runs_here("systemd-networkd"):
            return []
        written = concerns(paths, FOLDERS)
        back = _give_back(written=written)
        return _read_anew(back) if written or back else []

    @contextlib.contextmanager
    def paused(self, ours: Ours, touched: Collection[str] | None, *, back: bool) -> Iterator[bool]:
        """It leaves ports alone, and goes on with them by the files that it is told of afterwards."""
        del back
        ports: dict[str, str] = {}
        if runs_here("systemd-networkd"):
            names = ours() if touched is None else touched
            found = {name: bridge for name in names if (bridge := _bridge(name))}
            wait_until(lambda: not any(map(networkd_is_configuring, found)), within_s=SETTLE_S, every_s=LOOK_S / 10)
            ports = {name: bridge for name, bridge in found.items() if _puts_back(name)}
        if ports:
            _leave_alone({**_left_alone(), **ports})
        yield bool(ports)

    def client_id(self, link: IfName) -> ClientId | None:
        return ClientId.of_lease(*networkd_dhcp(link))


TAKEOVER = _Networkd()


def _bridge(link: str) -> str:
    try:
        return (LINKS / link / "master").readlink().name
    except OSError:
        return ""


def _puts_back(link: str) -> bool:
    """Whether the file that it configures a link by makes it a port; one that it read once may have gone meanwhile."""
    file = networkd_file(link)
    parts = [Path(file), *Path(f"{file}.d").glob("*.conf")] if file else []
    with contextlib.suppress(OSError):
        return any(re.search(r"^\s*Bridge\s*=", part.read_text(errors="replace"), re.MULTILINE) for part in parts)
    return False


def _left_alone() -> dict[str, str]:
    """The ports that it was told to leave alone, with the bridges that they were in."""
    try:
        lines = PORTS.read_text().splitlines()
    except OSError:
        return {}
    told = (line.split()[1:] for line in lines if line.startswith("# "))
    return {words[0]: words[1] for words in told if len(words) == 2}


def _leave_alone(ports: Mapping[str, str]) -> None:
    """Let it manage these ports no more; it takes nothing off a link without an address of its own."""
    try:
        _write(ports)
    except OSError:  # the change itself will say what is wrong with the disk
        return
    tell("networkctl", "reload")
    wait_until(lambda: not any(map(networkd_file, ports)), within_s=LET_GO_S, every_s=LOOK_S / 10)


def _write(ports: Mapping[str, str]) -> None:
    if not ports:
        PORTS.unlink(missing_ok=True)
        return
    told = [f"{LEFT_ALONE}: these stood in bridges then", *(f"# {name} {bridge}" for name, bridge in ports.items())]
    make_folder(PORTS.parent, mode=0o755)
    PORTS.write_text("\n".join([*told, "[Match]", f"Name={' '.join(ports)}", "[Link]", "Unmanaged=yes", ""]))
    PORTS.chmod(0o644)  # it reads as a user of its own


def _give_back(*, written: bool) -> Collection[str]:
    """Let it manage them again when it reads its files; which they are.

    Where nothing was written for it, a port that is elsewhere by now would be put back by its old file: that one it
    leaves alone until the next start, as long as the change itself lasts.
    """
    ports = _left_alone()
    still = {} if written else {name: bridge for name, bridge in ports.items() if _bridge(name) != bridge}
    if still != ports:
        _write(still)
    return ports.keys() - still.keys()


def _read_anew(ports: Collection[str]) -> list[str]:
    """Let it read its files; what could not be done, in words, and what stays only as long as its lease."""
    try:
        return _reload(observe(), ports)
    except BasculeError as error:  # the change stands, whatever cannot be seen or put back now
        return [problem.message for problem in error.problems]


def _reload(before: HostState, ports: Collection[str]) -> list[str]:
    begun = time.monotonic()
    leased = _leased(before)
    waiting = {name for name in leased if not _has_lease(name)}  # they get one only now
    faults = tell("networkctl", "reload")
    _show(before)
    _show_addresses(before, ports)
    if not leased:
        return faults
    gone_since: float | None = None
    while True:
        time.sleep(LOOK_S)
        now = observe()
        lost = {name: gone for name, all_ in leased.items() if (gone := _lost(name, all_, now))}
        moment = time.monotonic()
        if not lost:
            gone_since = None
            if moment > begun + SETTLE_S or (waiting and all(_has_lease(name) for name in waiting)):
                return faults
        elif gone_since is None:
            gone_since = moment
        elif moment > gone_since + ANSWER_S:
            return faults + _bring_back(before, now, lost, moment - begun)


def _show(state: HostState) -> None:
    """Let it see each bridge once more, whose options it sets as soon as it hears of one that it has read a file for.

    Unless that is now, when they are as the file says already, it is in the middle of the next change, which it reverts
    (networkd 252, netdev_bridge_post_create). A group that is set tells everybody of a link, the same one as well.
    """
    bridges = [link for link in state.links.values() if link.up and isinstance(link.options, Bridge)]
    batch_lines("ip", (f"link set dev {link.name} group {link.group}" for link in bridges))


def _show_addresses(state: HostState, names: Collection[str]) -> None:
    """Let it see what it needs to ask for routers and leases, and to set routes by routers: addresses and their nets.

    It knows none of a link that it takes for a new one because it left a bridge, and would wait for ever. The kernel
    tells of an address whenever somebody sets it again, of a route only where something of it changes.
    """
    links = [link for name, link in state.links.items() if name in names]
    lines = [line for link in links for line in _again(link)]
    if lines:
        batch_lines("ip -force", lines)


def _again(link: Link) -> Iterator[str]:
    nets = set()
    for address in (ip_interface(one.ip) for one in link.addresses):
        net = address.network
        if address.version == 6 and address.is_link_local:
            yield f"address change {address} dev {link.name}"
        elif address.version == 4 and net.prefixlen < net.max_prefixlen and net not in nets:
            nets.add(net)
            route = f"route change {net} dev {link.name} proto kernel scope link src {address.ip}"
            yield from (f"{route} mtu {link.mtu}", route)


def _leased(state: HostState) -> Leased:
    """Addresses that will run out; the kernel makes link-local ones itself."""
    found = {
        name: tuple(address for address in link.addresses if address.dynamic and not address.is_link_local)
        for name, link in state.links.items()
    }
    return {name: addresses for name, addresses in found.items() if addresses}


def _has_lease(link: IfName) -> bool:
    return bool(networkd_dhcp(link)[0])


def _lost(name: IfName, addresses: tuple[Address, ...], now: HostState) -> tuple[Address, ...]:
    """What a link had and has no more; nothing where it went with the link, or was another one's turn."""
    link = now.links.get(name)
    if link is None:
        return ()
    families = {address.is_ipv6 for address in link.addresses if address.dynamic and not address.is_link_local}
    return tuple(address for address in addresses if address.is_ipv6 not in families)


def _bring_back(before: HostState, now: HostState, lost: Leased, elapsed_s: float) -> list[str]:
    left = {name: _with_time_left(addresses, elapsed_s) for name, addresses in lost.items()}
    links = {name: replace(link, addresses=(*link.addresses, *left.get(name, ()))) for name, link in now.links.items()}
    families = {(str(name), address.is_ipv6) for name, addresses in left.items() for address in addresses}
    routes = [each for each in before.routes if (each.dev, each.is_ipv6) in families and each not in now.routes]
    execute(diff(now, replace(now, links=links, routes=(*now.routes, *routes))))
    return [_lease_note(name, addresses) for name, addresses in left.items() if addresses]


def _with_time_left(addresses: Iterable[Address], elapsed_s: float) -> tuple[Address, ...]:
    """Those whose leases have not ended meanwhile, each with the time that is left."""
    later = (replace(address, lifetime=address.lifetime.after(elapsed_s)) for address in addresses)
    return tuple(address for address in later if address.lifetime.valid_s != 0)


def _lease_note(name: IfName, addresses: tuple[Address, ...]) -> str:
    listed = " and ".join(address.ip for address in addresses)
    left_s = min(address.lifetime.valid_s or 0 for address in addresses)
    lasts = f"{listed} {'last' if len(addresses) > 1 else 'lasts'} only for the {left_s} s that are left of the lease"
    if networkd_has(name):
        return f"the DHCP server has not answered systemd-networkd on {name} yet; {lasts}"
    return f"systemd-networkd has no file for {name} any more; {lasts}: write one, or take {name} into the site file"
