"""What loads Bascule's tables when the machine starts, as a value."""

from __future__ import annotations

from msgspec import Struct

UNIT_NAME = "bascule-rules.service"
UNITS = "/etc/systemd/system"
HYPERVISORS = "libvirtd.service virtqemud.service virtnetworkd.service libvirt-guests.service"


class BootRules(Struct, frozen=True, kw_only=True):
    """``rules`` is the text of ``file``, ``unit`` that of the unit; None where there is no such file.

    ``program`` is nft's path.
    """

    file: str
    program: str = "/usr/sbin/nft"
    units: str = UNITS
    rules: str | None = None
    unit: str | None = None

    @property
    def unit_path(self) -> str:
        """Where the unit stands."""
        return f"{self.units}/{UNIT_NAME}"


def unit_text(part: BootRules) -> str:
    """As a firewall's unit: before network-pre.target, and so before whoever configures the network.

    Behind nftables.service, whose own file begins by flushing all tables, and behind the unit that puts files back
    after a loss of power.
    """
    return "\n".join([
        "# Bascule writes this file and takes it away again",
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
        "WantedBy=sysinit.target",
        "",
    ])  # fmt: skip
