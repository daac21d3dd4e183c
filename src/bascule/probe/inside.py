"""A question that a guest asks with its own programs, told by its QEMU guest agent: a guest that nobody can enter."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from msgspec import Struct

from bascule.model.values import IpAddress, Mac
from bascule.probe.guest_agent import failure
from bascule.probe.question import Protocol, Response
from bascule.system.qemu_agent import GuestAgentChannel, execute

WAIT_S = 2  # for an answer: long enough for the kernel's second SYN, and for its second search for a neighbour (1 s)
PATIENCE_S = 20.0  # for all that it runs: an emulated guest is slow to start a program
NO_PROGRAM = 126  # shells say so of what cannot be run; and what the script says where it finds nothing to ask with
TIMED_OUT = {1, 124, 143}  # ping and nc; timeout of coreutils; of old busyboxes

# what most systems have: iputils or busybox's ping, bash that opens /dev/tcp, one of three nc's
_ASK = {
    Protocol.ICMP: "ping -{family} -c 1 -W {wait} {address} || ping -{family} -c 1 -W {wait} {address}",
    Protocol.ARP: "ping -{family} -c 1 -W {wait} {address}",
    Protocol.TCP: """
if command -v bash && command -v timeout; then timeout {wait} bash -c 'exec 3<>/dev/tcp/{address}/{port}'
elif nc --help 2>&1 | grep -q -e '-e PROG'; then nc -w {wait} {address} {port} -e true
elif command -v nc; then nc -v -z -w {wait} {address} {port}
else (exit 126); fi""",
    Protocol.UDP: """
if command -v bash && command -v timeout; then
    timeout {wait} bash -c 'exec 3<>/dev/udp/{address}/{port}; printf bascule >&3; head -c 1 <&3 >/dev/null'
else (exit 126); fi""",
}
_SCRIPT = """
export LC_ALL=C PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
echo "route: $(ip -{family} route get {address} 2>&1)"
echo asked:
{ask}
echo "status: $?"
echo "neighbour: $(ip -{family} neigh show to {address} 2>&1)"
ip -o link show
"""
_NIC = re.compile(r"^\d+: ([^:@\s]+).* link/ether ([0-9a-f:]{17})", re.MULTILINE)


class InsideAnswer(Struct, frozen=True, kw_only=True):
    """What came of it. ``is_there``: nothing says that no neighbour answers to the address, or to the router's."""

    response: Response
    detail: str = ""
    is_there: bool = True


def ask_inside(
    channel: GuestAgentChannel, guest: str, mac: Mac, protocol: Protocol, address: IpAddress, port: int, sender: str
) -> InsideAnswer:
    """Let a guest ask from its NIC with ``mac``, where its routes send it out there, from its address ``sender``.

    Raises CommandFailed where its agent does not answer, or may not run programs.
    """
    if protocol not in _ASK:
        return InsideAnswer(response=Response.NOT_ASKED, detail=f"no guest is told to ask by {protocol}")
    family = 6 if isinstance(address, IPv6Address) else 4
    words = _ASK[protocol].format(family=family, address=address, port=port, wait=WAIT_S)
    said = execute(channel, _SCRIPT.format(family=family, address=address, ask=words), timeout_s=PATIENCE_S)
    return understand(said, guest, mac, protocol, address, sender)


def understand(said: str, guest: str, mac: Mac, protocol: Protocol, address: IpAddress, sender: str) -> InsideAnswer:
    """What the script printed, as an answer."""
    found = re.search(r"route: (.*?)\nasked:\n(.*?)^status: (\d+)\nneighbour: (.*?)$(.*)", said, re.S | re.M)
    if found is None:
        return InsideAnswer(response=Response.NOT_ASKED, detail=f"{guest}'s shell said: {said.strip()[:120]}")
    route, words, status, neighbour = found[1], found[2], int(found[3]), found[4]
    nics = dict(_NIC.findall(found[5]))
    link, own = (re.search(rf" {key} (\S+)", route) for key in ("dev", "src"))
    if not nics:
        return InsideAnswer(response=Response.NOT_ASKED, detail=f"{guest} does not say which NICs it has: {route[:80]}")
    if mac not in nics.values():
        return InsideAnswer(response=Response.NOT_ASKED, detail=f"{guest} has no NIC {mac} inside")
    if link is not None and nics.get(link[1]) != mac:
        detail = f"{guest} sends to {address} by its {link[1]}, not by the NIC that was asked about"
        return InsideAnswer(response=Response.NOT_ASKED, detail=detail)
    if own is not None and sender and own[1] != sender:
        detail = f"{guest} sends from {own[1]}, not from {sender} as the model has it"
        return InsideAnswer(response=Response.NOT_ASKED, detail=detail)
    if "FAILED" in neighbour or "INCOMPLETE" in neighbour:
        return InsideAnswer(response=Response.SILENCE, is_there=False)
    if status == 0 or (protocol is Protocol.ARP and "lladdr" in neighbour):
        return InsideAnswer(response=Response.REPLY)
    if failed := failure(words, guest, address):
        return InsideAnswer(response=failed[0], detail=failed[1])
    if status in TIMED_OUT:
        return InsideAnswer(response=Response.SILENCE)
    last = words.strip().splitlines()[-1:] if status != NO_PROGRAM else []
    detail = last[0] if last else f"{guest} has no program that asks by {protocol}"
    return InsideAnswer(response=Response.NOT_ASKED, detail=detail)
