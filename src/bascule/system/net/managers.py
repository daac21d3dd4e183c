"""Who else configures a link as soon as it has a carrier: NetworkManager, systemd-networkd.

Both answer for the machine's first network namespace, whichever one we are in; in another one nobody manages anything.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from pathlib import Path

from bascule.errors import BasculeError, MissingTool
from bascule.system.net.netns import is_machines_own
from bascule.system.process import proc
from bascule.system.run import run

NETWORKD_LEASES = Path("/run/systemd/netif/leases")  # a file for each link that has one, named by its index
NETWORKD_LINKS = Path("/run/systemd/netif/links")
NETWORKD_BUSY = frozenset({"configuring", "configured", "pending", "failed"})  # networkctl(1), SETUP


def runs_here(program: str) -> bool:
    """Whether a process of this name runs in our network namespace; what it left below /run may outlive it."""
    comm = program[:15]  # TASK_COMM_LEN (proc(5))
    return any(proc.name(pid) == comm and proc.is_in_our_namespace(pid) for pid in proc.pids())


def networkmanager_has(link: str) -> bool:
    """Whether NetworkManager runs and manages the link."""
    words = _answer("nmcli", "-g", "GENERAL.STATE", "device", "show", link)
    return bool(words) and "unmanaged" not in words


def networkmanager_links() -> frozenset[str]:
    """All links that NetworkManager runs and manages, in one question."""
    return frozenset(link for link, state in networkmanager_states().items() if state != "unmanaged")


def networkmanager_states() -> dict[str, str]:
    """The state of every link in the words of nmcli(1): ``connecting (getting IP configuration)``."""
    lines = _answer("nmcli", "-t", "-e", "no", "-f", "STATE,DEVICE", "device").splitlines()
    return {link: state for state, _, link in (line.partition(":") for line in lines)}


def await_networkmanager(most_s: float) -> None:
    """Wait until it answers: on a busy machine it comes late to a question, as to what it had heard before."""
    with contextlib.suppress(BasculeError):
        run(("nmcli", "-t", "-f", "RUNNING", "general"), check=False, timeout_s=most_s)


def networkmanager_hold(link: str, *, trying: bool) -> None:
    """Let it make no attempt at a link of its own accord, and end the one that it is ``trying``.

    Raises CommandFailed.
    """
    run(("nmcli", "device", "set", link, "autoconnect", "no"))
    if trying:
        run(("nmcli", "--wait", "5", "device", "disconnect", link))


def networkmanager_release(link: str, *, attempt: bool) -> None:
    """It may attempt the link again, or does so at once. Raises CommandFailed."""
    run(("nmcli", "device", "set", link, "autoconnect", "yes"))
    if attempt:
        run(("nmcli", "--wait", "0", "device", "connect", link))


def networkmanager_take(link: str, *, manage: bool) -> None:
    """Tell NetworkManager to leave a link alone, or to manage it again, until the next boot. Raises CommandFailed."""
    run(("nmcli", "device", "set", link, "managed", "yes" if manage else "no"))


def networkd_has(link: str) -> bool:
    """Whether systemd-networkd runs and has a file for the link."""
    try:
        state = json.loads(_answer("networkctl", "--json=short", "status", link) or "{}").get("AdministrativeState")
    except (ValueError, AttributeError):
        return False  # older than its JSON (systemd 249)
    return state in NETWORKD_BUSY


def networkd_file(link: str) -> str:
    """The file by which networkd configures a link; "" where it leaves it alone (networkd-link.c, link_save)."""
    return _in_state_file(NETWORKD_LINKS, link, r"NETWORK_FILE=(.+)")


def networkd_is_configuring(link: str) -> bool:
    """Whether networkd has not decided yet by which file it configures the link, or whether by any."""
    return _in_state_file(NETWORKD_LINKS, link, r"ADMIN_STATE=(.+)") in {"pending", "initialized"}


def networkd_dhcp(link: str) -> tuple[str, str]:
    """Option 61 of the lease that networkd has on a link, and its IAID for DHCPv6, in hexadecimal; "" for what is not.

    ``CLIENTID=`` of the lease (sd-dhcp-lease.c, dhcp_lease_save), ``DHCP6_CLIENT_IAID=`` of the link's state
    (networkd-dhcp6.c, link_serialize_dhcp6_client; since 249). Both files are named by the link's index.
    """
    if not is_machines_own():
        return "", ""
    return _in_state_file(NETWORKD_LEASES, link, r"CLIENTID=([0-9a-f]+)"), _in_state_file(
        NETWORKD_LINKS, link, r"DHCP6_CLIENT_IAID=0x([0-9a-f]{1,8})"
    )


def _in_state_file(folder: Path, link: str, line: str) -> str:
    try:
        text = (folder / str(socket.if_nametoindex(link))).read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(f"^{line}$", text, re.MULTILINE)
    return found[1] if found else ""


def networkmanager_dhcp(link: str) -> tuple[str, str]:
    """The same of NetworkManager, which shows both among the options of its leases (nm-dhcp-options.c)."""
    text = _answer("nmcli", "-t", "-e", "no", "-f", "DHCP4,DHCP6", "device", "show", link)
    keys = ("dhcp_client_identifier", "iaid")
    found = [re.search(rf":{key} = ([0-9a-f:]+)$", text, re.MULTILINE) for key in keys]
    own, iaid = (each[1].replace(":", "") if each else "" for each in found)
    return own, iaid


def _answer(*argv: str) -> str:
    if not is_machines_own():
        return ""
    try:
        result = run(argv, check=False)
    except MissingTool:
        return ""
    return result.stdout.strip() if result.status == 0 else ""
