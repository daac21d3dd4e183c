"""Which configuration system looks after the host's network, told from its files; two at once are both told."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, Problem
from bascule.system.disk.files import find_below, read_below
from bascule.system.net.managers import runs_here


class Manager(Struct, frozen=True, kw_only=True):
    """A configuration system that is there.

    ``enabled`` says that it starts at boot, ``running`` that it runs now, ``configures`` that there are files of
    its own that name links other than the loopback; ``evidence`` is what was seen.
    """

    dialect: str
    service: str
    enabled: bool = False
    running: bool = False
    configures: bool = False
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dialect} ({self.service}): {'; '.join(self.evidence)}"


class Managers(Struct, frozen=True):
    """All that were found."""

    found: tuple[Manager, ...] = ()

    @property
    def candidates(self) -> tuple[Manager, ...]:
        """Those that would act at boot; among several, those that have something to configure."""
        active = tuple(m for m in self.found if m.enabled or m.running)
        busy = tuple(m for m in active if m.configures)
        return busy or active

    @property
    def rivals(self) -> tuple[Manager, ...]:
        """More than one that both configure links: they will fight."""
        return self.candidates if len(self.candidates) > 1 else ()

    def choose(self, wanted: str | None = None) -> str | None:
        """The dialect to persist in: the one that is asked for, else the only one; None where there is none.

        Raises BasculeError where two are at work and none is asked for.
        """
        if wanted is not None:
            return None if wanted == "none" else wanted
        if self.rivals:
            told = ", ".join(m.dialect for m in self.rivals)
            raise BasculeError(
                Problem(
                    code="MANAGERS",
                    message=f"two configuration systems look after this host's network: {told}",
                    hint="write 'persist: NAME' under the host in the site file, and turn the other one off; "
                    + " | ".join(str(m) for m in self.rivals),
                )
            )
        return self.candidates[0].dialect if self.candidates else None


UNITS = {  # unit: where it puts itself when it is enabled
    "NetworkManager": ("multi-user.target.wants/NetworkManager.service",),
    "systemd-networkd": (
        "multi-user.target.wants/systemd-networkd.service",
        "network-online.target.wants/systemd-networkd-wait-online.service",
    ),
    "networking": (
        "multi-user.target.wants/networking.service",
        "network-online.target.wants/networking.service",
        "sysinit.target.wants/networking.service",
    ),
    "network": ("multi-user.target.wants/network.service",),
    "wicked": ("multi-user.target.wants/wicked.service", "network.service"),
}


def detect(root: str | Path = "/") -> Managers:
    """What stands in a host's files; ``root`` other than / is a host that is not running."""
    top = Path(root)
    found = [_netplan(top), _networkd(top), _network_manager(top), _ifcfg(top), _ifupdown(top)]
    managers = [m for m in found if m is not None]
    if any(m.dialect == "netplan" and m.configures for m in managers):
        # netplan writes for networkd or NetworkManager below /run; what else stands in their own folders is theirs
        managers = [m for m in managers if m.dialect == "netplan" or m.configures]
    return Managers(tuple(managers))


def _enabled(top: Path, unit: str) -> str:
    """The link that starts a unit at boot, or nothing."""
    for place in UNITS[unit]:
        path = f"etc/systemd/system/{place}"
        if (top / path).is_symlink() or (top / path).exists():
            return f"/{path}"
    return ""


def _configs(top: Path, *patterns: str, but: str = r"$^") -> list[str]:
    hits = [path for pattern in patterns for path in find_below(top, pattern)]
    return [path for path in hits if not re.search(but, path)]


def _first(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"/{paths[0]}{more}"


def _manager(dialect: str, service: str, link: str, running: str, files: list[str]) -> Manager | None:
    evidence = []
    if link:
        evidence.append(f"starts at boot: {link}")
    if running:
        evidence.append(f"runs: {running}")
    if files:
        evidence.append(f"configures: {_first(files)}")
    if not evidence:
        return None
    return Manager(
        dialect=dialect,
        service=service,
        enabled=bool(link),
        running=bool(running),
        configures=bool(files),
        evidence=tuple(evidence),
    )


def _there(top: Path, *paths: str) -> str:
    return next((f"/{path}" for path in paths if (top / path).exists()), "")


def _netplan(top: Path) -> Manager | None:
    """It counts where it has something to say, or had at the last boot: an installer's file may have made room."""
    files = _configs(top, "etc/netplan/*.yaml")
    files += _configs(top, "run/systemd/network/10-netplan-*", "run/NetworkManager/system-connections/netplan-*")
    tool = _there(top, "usr/sbin/netplan", "usr/lib/netplan/generate", "usr/libexec/netplan/generate")
    return _manager("netplan", "netplan", tool, "", files) if tool and files else None


def _running(top: Path, program: str, *traces: str) -> str:
    """What shows that a daemon runs: on this machine its process, in another root what it left below /run."""
    if top != Path("/"):
        return _there(top, *traces)
    return program if runs_here(program) else ""


def _networkd(top: Path) -> Manager | None:
    files = _configs(top, "etc/systemd/network/*.network", but=r"bascule-unmanaged\.network$")
    running = _running(top, "systemd-networkd", "run/systemd/netif/state")
    link = _enabled(top, "systemd-networkd")
    return _manager("networkd", "systemd-networkd", link, running, files) if link or running else None


def _network_manager(top: Path) -> Manager | None:
    files = _configs(top, "etc/NetworkManager/system-connections/*")
    running = _running(top, "NetworkManager", "run/NetworkManager/devices", "run/NetworkManager/resolv.conf")
    link = _enabled(top, "NetworkManager")
    if not link and not running:
        return None
    ifcfg = _ifcfg_files(top)
    if ifcfg and not files:  # RHEL 7 and 8: NetworkManager reads and writes ifcfg files
        return _manager("ifcfg", "NetworkManager", link, running, ifcfg)
    return _manager("keyfile", "NetworkManager", link, running, files)


def _ifcfg_files(top: Path) -> list[str]:
    return _configs(top, "etc/sysconfig/network-scripts/ifcfg-*", but=r"/ifcfg-lo$|(~|\.bak|\.old|\.rpm\w+)$")


def _ifcfg(top: Path) -> Manager | None:
    files = _ifcfg_files(top)
    link = _enabled(top, "network")
    if not link:
        rc = next(find_below(top, "etc/rc.d/rc[2345].d/S*network"), "")
        link = f"/{rc}" if rc else ""
    return _manager("ifcfg", "network", link, "", files) if link else None


def _ifupdown(top: Path) -> Manager | None:
    files = [
        path for path in _configs(top, "etc/network/interfaces", "etc/network/interfaces.d/*") if _has_stanza(top, path)
    ]
    link = _enabled(top, "networking")
    if not link:
        rc = next(find_below(top, "etc/rc[S2345].d/S*networking"), "")
        link = f"/{rc}" if rc else ""
    running = _there(top, "run/network/ifstate") if files else ""
    return _manager("ifupdown", "networking", link, running, files) if link or running else None


def _has_stanza(top: Path, path: str) -> bool:
    """Whether a file of ifupdown configures anything but the loopback."""
    try:
        text = read_below(top, path)
    except (OSError, ValueError):
        return False
    names = re.findall(r"^\s*iface\s+(\S+)", text, re.MULTILINE)
    return any(name != "lo" for name in names)
