"""What loads Bascule's tables when the machine starts, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from bascule.providers.boot_files import HEADER, BootFiles

UNIT_NAME = "bascule-rules.service"
UDEV_RULES, UDEV_NAME = "/etc/udev/rules.d", "70-bascule-guards.rules"
HYPERVISORS = "libvirtd.service virtqemud.service virtnetworkd.service libvirt-guests.service"


class BootRules(BootFiles, frozen=True, kw_only=True):
    """``rules`` is the text of ``file``, ``udev`` of udev's rule; None where there is none.

    ``program`` is nft's path.
    """

    name: ClassVar[str] = UNIT_NAME
    starter: ClassVar[str] = "sysinit.target"

    file: str
    program: str = "/usr/sbin/nft"
    rules: str | None = None
    udev: str | None = None

    @property
    def udev_path(self) -> str:
        """Where udev finds its rule."""
        return f"{UDEV_RULES}/{UDEV_NAME}"

    @property
    def texts(self) -> Mapping[str, tuple[str | None, int]]:
        """The tables, and udev's rule."""
        return {self.file: (self.rules, 0o600), self.udev_path: (self.udev, 0o644)}


def udev_text(bridges: Iterable[str]) -> str | None:
    """An option that few configuration systems can say is set when a bridge appears, whoever makes it (udev(7))."""
    lines = [
        f'ACTION=="add", SUBSYSTEM=="net", KERNEL=="{name}", '
        f'RUN+="/sbin/ip link set dev {name} type bridge no_linklocal_learn 1"\n'
        for name in sorted(bridges)
    ]
    return HEADER + "\n" + "".join(lines) if lines else None


def unit_text(part: BootRules) -> str:
    """As a firewall's unit: before network-pre.target, and so before whoever configures the network.

    Behind nftables.service, whose own file begins by flushing all tables, and behind the unit that puts files back
    after a loss of power.
    """
    return "\n".join([
        HEADER,
        "[Unit]",
        "Description=Loads the tables of nftables that Bascule made",
        "DefaultDependencies=no",
        f"ConditionPathExists={part.file}",
        f"RequiresMountsFor={part.file}",
        "After=systemd-remount-fs.service local-fs.target bascule-boot.service nftables.service",
        "Wants=network-pre.target",
        f"Before=network-pre.target {HYPERVISORS}",
        "Conflicts=shutdown.target",
        "Before=shutdown.target",
        "",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={part.program} -f {part.file}",
        "",
        "[Install]",
        f"WantedBy={part.starter}",
        "",
    ])  # fmt: skip
