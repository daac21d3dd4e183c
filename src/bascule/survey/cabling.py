"""The cabling contract: is each NIC in the switch port that the site file names? Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from bascule.model.host_links import Nic, SwitchPort
from bascule.model.site import Host
from bascule.survey.neighbours import Port, same_name

Status = Literal["right", "swapped", "wrong port", "wrong switch", "wrong VLAN", "unknown"]

_LONG = {  # Cisco's and others' long names for the short ones that people write
    "fastethernet": "fa",
    "gigabitethernet": "gi",
    "twogigabitethernet": "tw",
    "fivegigabitethernet": "fi",
    "tengigabitethernet": "te",
    "tengige": "te",
    "twentyfivegige": "twe",
    "twentyfivegigabitethernet": "twe",
    "fortygigabitethernet": "fo",
    "fortygige": "fo",
    "hundredgige": "hu",
    "hundredgigabitethernet": "hu",
    "ethernet": "eth",
    "gige": "gi",
    "gig": "gi",
    "ten": "te",
    "et": "eth",
}


class CablingCheck(Struct, frozen=True, kw_only=True):
    """The contract of one NIC and what became of it; ``other`` is the NIC with which it is swapped."""

    status: Status
    words: str
    other: str = ""

    @property
    def text(self) -> str:
        """As it stands behind the word cabling."""
        return self.words if self.words.startswith(self.status) else f"{self.status}: {self.words}"

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return self.status in ("right", "unknown")


def plain_port(name: str) -> str:
    """A port's name for comparison: GigabitEthernet0/5, gi0/5 and Gi 0/5 are one."""
    bare = re.sub(r"\s+", "", name).lower()
    found = re.fullmatch(r"([a-z]+)(-?[0-9].*)", bare)
    if not found:
        return bare
    return _LONG.get(found[1], found[1]) + found[2]


def is_port(declared: SwitchPort, heard: Port) -> bool:
    """Whether the declared port is the one that speaks; switches put its name into the id or into the description."""
    return is_switch(declared, heard) and plain_port(declared.port) in {
        plain_port(heard.port),
        plain_port(heard.port_text),
    }


def is_switch(declared: SwitchPort, heard: Port) -> bool:
    """Whether the declared switch is the one that speaks."""
    return bool(heard.name) and same_name(declared.name, heard.name)


def check_cabling(
    host: Host,
    ports: Mapping[str, Port | None],
    networks: Mapping[str, tuple[str, ...]],
    contradictions: Mapping[str, str],
) -> dict[str, CablingCheck]:
    """The contract of each NIC that has one.

    ``networks`` are those recognised on each surveyed NIC, ``contradictions`` what its wire says against the file.
    """
    return {
        name: _check(nic, nic.switch, host, ports, networks.get(name, ()), contradictions.get(name, ""))
        for name, nic in host.nics.items()
        if nic.switch is not None and name in ports
    }


def _check(
    nic: Nic,
    declared: SwitchPort,
    host: Host,
    ports: Mapping[str, Port | None],
    networks: tuple[str, ...],
    contradiction: str,
) -> CablingCheck:
    heard, wanted = ports[nic.name], f"{declared.name} {declared.port}"
    if heard is None or not heard.name:
        return CablingCheck(status="unknown", words=f"{wanted} is declared, but no switch names its port here")
    if is_port(declared, heard):
        if nic.network is not None and networks and nic.network not in networks:
            words = f"{wanted} is the right port, but it carries {', '.join(networks)} instead of {nic.network}"
            return CablingCheck(status="wrong VLAN", words=words)
        if contradiction:
            words = f"{wanted} is the right port, but in another VLAN: {contradiction}"
            return CablingCheck(status="wrong VLAN", words=words)
        return CablingCheck(status="right", words=f"{wanted}, as declared")
    for other in host.nics.values():
        if other.name != nic.name and other.switch is not None and is_port(other.switch, heard):
            back = ports.get(other.name)
            both = back is not None and is_port(declared, back)
            words = (
                f"swapped with {other.name}: {nic.name} is in {heard.words}, {other.name} in {wanted}"
                if both
                else f"in {heard.words}, where {other.name} belongs; {wanted} is declared"
            )
            return CablingCheck(status="swapped", words=words, other=other.name)
    status: Status = "wrong port" if is_switch(declared, heard) else "wrong switch"
    return CablingCheck(status=status, words=f"in {heard.words}; {wanted} is declared")
