"""Words with Open vSwitch over its UNIX sockets (JSON-RPC 1.0, RFC 7047), and where on a host those are."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bascule.errors import CommandFailed
from bascule.model.links.openvswitch import management_socket
from bascule.system.clock import SOON_S, still_waiting
from bascule.system.net.netns import Namespace, current_identity, is_machines_own
from bascule.system.process import proc
from bascule.system.run import run_all

OFCTL = ("ovs-ofctl", "-O", "OpenFlow14", "--names")
HIDDEN = "table_id=254"  # Open vSwitch's own rules
LEARNS = "priority=0,actions=NORMAL"
_COUNTERS = re.compile(r"(duration|n_packets|n_bytes)=[^,]*, ")
ANSWER_S = 4.0  # how long somebody may give no answer and do nothing
UNSEEN_S = 10.0  # how long, where his process is not seen
MOST_S = 60.0  # how long he may work on one
LOOK_S = 0.5  # between two looks at whether ovs-vswitchd works
DEAF_S = 5.0  # how long it may neither work nor answer
HELD = "is stopped, by a signal or a debugger"
SERVER, SWITCH = "ovsdb-server", "ovs-vswitchd"  # their names in /proc/PID/comm
PROGRAMS = (Path("/usr/sbin/ovs-vswitchd"), Path("/usr/local/sbin/ovs-vswitchd"), Path("/usr/bin/ovs-vswitchd"))
RUN = "/var/run/openvswitch"
USUAL = f"{RUN}/db.sock"
_met: dict[tuple[int, int], dict[str, int]] = {}  # by network namespace, those that were found there last


def ask(path: str, parameters: list[Any], *, wait_s: float = 0.0) -> list[dict[str, Any]]:
    """The results of one transaction, which itself waits ``wait_s`` at most. Raises OSError, ValueError."""
    results: list[dict[str, Any]]
    (results,) = _calls(path, [("transact", parameters)], wait_s=wait_s)
    return results


def refused_links(path: str, number: int, *, wait_s: float) -> dict[str, str] | None:
    """The interfaces that ovs-vswitchd could not open, with what it says, if its version does.

    None where it has not done within ``wait_s`` what the database said at its change of this number. The database
    answers when it is so (RFC 7047, 5.2.6): to ask again and again would take ovs-vswitchd's time.
    Raises OSError, ValueError.
    """
    behind = {
        "op": "wait", "timeout": round(1000 * wait_s), "table": "Open_vSwitch", "where": [["cur_cfg", "<", number]],
        "columns": ["cur_cfg"], "until": "==", "rows": [],
    }  # fmt: skip
    wrong = {**_select("Interface", ["name", "error"]), "where": [["error", "!=", ["set", []]]]}
    done, *found = ask(path, ["Open_vSwitch", behind, wrong], wait_s=wait_s)
    if done.get("error"):
        return None
    return {row["name"]: str(row["error"]) for each in found for row in (each or {}).get("rows", ())}


def tree_states(namespace: Namespace | None) -> Iterator[tuple[str, str, str]]:
    """Bridge, port and state (by bridge(8)) of each port that speaks STP or RSTP; none where nobody can be asked."""
    found = daemons(namespace)
    if found is None:
        return
    columns = (["name", "ports", "stp_enable", "rstp_enable"], ["_uuid", "name", "status", "rstp_status"])
    tables = (_select("Bridge", columns[0]), _select("Port", columns[1]))
    try:
        bridges, ports = (each["rows"] for each in ask(found.socket, ["Open_vSwitch", *tables]))
        own = {row["_uuid"][1]: row for row in ports}
        for bridge in bridges:
            for port in (own[uuid] for uuid in _uuids(bridge["ports"])):
                told = dict(port["rstp_status" if bridge["rstp_enable"] else "status"][1])
                state = str(told.get("rstp_port_state", told.get("stp_state", ""))).lower()
                waits = state == "discarding" and told.get("rstp_port_role") in {"Designated", "Root"}
                if (bridge["stp_enable"] or bridge["rstp_enable"]) and state:
                    yield bridge["name"], port["name"], "listening" if waits else state
    except (OSError, ValueError, KeyError):
        return


def _call(path: str, method: str, parameters: list[Any], within_s: float | None = None) -> Any:
    return _calls(path, [(method, parameters)], within_s)[0]


def _calls(
    path: str, asked: Sequence[tuple[str, list[Any]]], within_s: float | None = None, *, wait_s: float = 0.0
) -> list[Any]:
    """The answers to several questions, asked at once."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        sock.settimeout(UNSEEN_S if within_s is None else within_s)
        sock.connect(path)
        texts = (json.dumps({"method": method, "params": words, "id": at}) for at, (method, words) in enumerate(asked))
        sock.sendall("".join(texts).encode())
        answers: list[Any] = []
        decoder, text = json.JSONDecoder(), b""
        while len(answers) < len(asked):
            _await_answer(sock, within_s, wait_s)
            received = sock.recv(1 << 20)
            if not received:
                raise ConnectionResetError("it hung up")
            text += received
            if text.endswith(b"}"):  # a thousand ports come in many pieces
                whole, at = text.decode(), 0
                with contextlib.suppress(ValueError):
                    while at < len(whole):
                        answer, at = decoder.raw_decode(whole, at)
                        answers.append(answer)
                text = whole[at:].encode()
    if refused := next((one["error"] for one in answers if one.get("error")), None):
        raise ValueError(f"it refuses: {refused}")
    return [one["result"] for one in answers]


def _await_answer(sock: socket.socket, within_s: float | None, wait_s: float = 0.0) -> None:
    """Until there is something to read. Raises OSError where nothing comes, at once where nobody can say it.

    While he works he is waited for, or ``within_s`` at most; ``wait_s`` is what he was asked to wait himself.
    """
    begun = active = time.monotonic()
    peer = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    pid, told, worked = int(peer[0]), False, [""]  # 0 where it is not seen (unix(7))
    limit_s = within_s if within_s is not None else wait_s + (ANSWER_S if proc.status(pid) else UNSEEN_S)
    while not select.select([sock], [], [], min(LOOK_S, limit_s))[0]:
        now, status = time.monotonic(), proc.status(pid)
        if proc.is_stopped(pid):
            raise ConnectionRefusedError(f"its process {HELD}")
        if within_s is None and now - begun < wait_s + MOST_S and (status[:1] != ["S"] or status[11:13] != worked):
            worked, active = status[11:13], now if status else active
        if now - active >= limit_s:
            raise TimeoutError(f"no answer within {now - begun:.0f} s")
        if now - begun > wait_s + SOON_S and not told:
            told = True
            still_waiting(f"waiting for the answer of Open vSwitch at {sock.getpeername()}")


class Daemons(NamedTuple):
    """Who keeps the switches of a network namespace: the socket of the database, and that of ovs-vswitchd.

    ``control`` is None where ovs-vswitchd does not run or is stopped, "" where it is not known; ``pid`` is its process,
    0 where that is not seen.
    """

    socket: str
    control: str | None
    pid: int = 0

    @property
    def worked(self) -> int:
        """The time that ovs-vswitchd's main thread has worked, in ticks of the kernel; 0 where it is not seen."""
        return sum(map(int, proc.status(self.pid)[11:13]))

    @property
    def is_idle(self) -> bool:
        """Whether it waits for something other than the processor or a disk."""
        return proc.status(self.pid)[:1] == ["S"]

    @property
    def is_awake(self) -> bool:
        """Whether its main thread answers at once."""
        with contextlib.suppress(OSError, ValueError):
            return bool(self.control) and bool(_call(str(self.control), "version", [], LOOK_S))
        return False

    @property
    def trouble(self) -> str:
        """Why ovs-vswitchd does nothing of what it is told, in words; "" where it answers, or nobody can tell.

        While it works it is waited for, however long that takes.
        """
        if self.control is None:
            return HELD if self.pid else "does not run"
        if not self.control or not self.pid or not self.is_idle:
            return ""
        try:
            answers = _in_time(self, lambda wait_s: _call(self.control or "", "version", [], wait_s))
        except (OSError, ValueError) as error:
            return f"cannot be asked: {error}"
        return "" if answers else f"has neither worked nor answered for {DEAF_S:.0f} s"

    def lag(self, asked: int, done: int) -> str:
        """Why not all changes of the database are done, of which there are these numbers; waits while it works."""
        if done >= asked or self.trouble:
            return self.trouble
        with contextlib.suppress(OSError, ValueError):
            if _in_time(self, lambda wait_s: refused_links(self.socket, asked, wait_s=wait_s)):
                return ""
        left = "change" if asked - done == 1 else f"{asked - done} changes"
        return f"has not done the last {left} of its database"


def _in_time(found: Daemons, ask_for: Callable[[float], Any]) -> bool:
    """Whether there is an answer before ovs-vswitchd has been idle for too long. Raises OSError, ValueError."""
    worked, active = found.worked, time.monotonic()
    while time.monotonic() - active < DEAF_S:
        try:
            if ask_for(LOOK_S) is not None:
                return True
        except TimeoutError:
            pass
        if (now := found.worked) != worked or not found.is_idle:
            worked, active = now, time.monotonic()
    return False


def daemons(namespace: Namespace | None) -> Daemons | None:
    """Those of a namespace, None where nobody is; found by their processes, for a socket tells of no namespace.

    An ordinary user may not see whose a process is, and takes the usual socket for the machine's own namespace.
    """
    if not any(path.exists() for path in PROGRAMS):
        return None
    wanted = current_identity() if namespace is None else namespace.identity
    found: dict[str, int] = {}
    hidden = False
    met = [(pid, name) for name, pid in _met.get(wanted, {}).items() if proc.name(pid) == name]
    for pid, name in met if len(met) == len((SERVER, SWITCH)) else _processes():
        try:
            status = Path(f"/proc/{pid}/ns/net").stat()
        except FileNotFoundError:
            continue
        except PermissionError:
            hidden = True
            continue
        if (status.st_dev, status.st_ino) == wanted:
            found[name] = pid
    _met[wanted] = found
    if SERVER in found and (path := _socket(found[SERVER])) is not None:
        return Daemons(path, _control(found[SWITCH]), found[SWITCH]) if SWITCH in found else Daemons(path, None)
    if SWITCH in found:  # it goes on with what it was told, and there is nobody to ask
        return Daemons(_asks(found[SWITCH]), _control(found[SWITCH]), found[SWITCH])
    if hidden and namespace is None and is_machines_own() and Path(USUAL).exists():
        return Daemons(USUAL, "")
    return None


def _processes() -> Iterator[tuple[int, str]]:
    """The processes of Open vSwitch, by number and name."""
    for pid in proc.pids():
        if (name := proc.name(pid)) in {SERVER, SWITCH}:
            yield pid, name


def _socket(pid: int) -> str | None:
    """The socket at which a database of switches listens."""
    for word in proc.argv(pid):
        if word.startswith("--remote=punix:"):
            path = word.removeprefix("--remote=punix:")
            return path if path.startswith("/") else f"{RUN}/{path}"
    return None


def _asks(pid: int) -> str:
    """The socket of the database that an ovs-vswitchd goes by, which is its argument."""
    given = [word.removeprefix("unix:") for word in proc.argv(pid) if word.startswith("unix:/")]
    return given[-1] if given else USUAL


def _control(pid: int) -> str | None:
    """The socket at which ovs-vswitchd takes the words of ovs-appctl(8); None while it is stopped."""
    if proc.is_stopped(pid):
        return None
    given = (word.removeprefix("--unixctl=") for word in proc.argv(pid) if word.startswith("--unixctl="))
    return next(given, f"{RUN}/{SWITCH}.{pid}.ctl")


def forwarding(namespace: Namespace | None = None) -> Iterator[tuple[str, str, int, str, float]]:
    """What all switches have learned: bridge, port, VLAN (0 of what bears no tag), MAC, and its age in seconds."""
    found = daemons(namespace)
    if found is None or not found.control:
        return
    of_ports, of_links = ["_uuid", "interfaces"], ["_uuid", "name", "ofport"]
    tables = (_select("Bridge", ["name", "ports"]), _select("Port", of_ports), _select("Interface", of_links))
    try:
        rows = ask(found.socket, ["Open_vSwitch", *tables])
        bridges, ports, interfaces = (each["rows"] for each in rows)
        own = {row["_uuid"][1]: (str(row["ofport"]), row["name"]) for row in interfaces}
        below = {row["_uuid"][1]: [own[uuid] for uuid in _uuids(row["interfaces"])] for row in ports}
        texts = _calls(found.control, [("fdb/show", [bridge["name"]]) for bridge in bridges])
        for bridge, table in zip(bridges, texts, strict=True):
            names = dict(each for uuid in _uuids(bridge["ports"]) for each in below[uuid])
            for line in str(table).splitlines()[1:]:
                port, vlan, mac, age = line.split()[:4]
                if port in names:
                    yield bridge["name"], names[port], int(vlan), mac, float(age)
    except (OSError, ValueError, KeyError):
        return


def flows(bridges: Iterable[str], namespace: Namespace | None = None) -> tuple[str, ...]:
    """Of some bridges, those that have other rules of OpenFlow than to learn as a switch does.

    None where nobody can be asked.
    """
    found, names = daemons(namespace), list(bridges)
    if found is None or not found.control:
        return ()
    try:
        texts = _calls(found.control, [("bridge/dump-flows", [name]) for name in names])
    except (OSError, ValueError):
        return ()
    lines = ([one for one in str(text).splitlines() if one and not one.startswith(HIDDEN)] for text in texts)
    return tuple(
        name for name, own in zip(names, lines, strict=True) if [_COUNTERS.sub("", one) for one in own] != [LEARNS]
    )


def passes(bridge: str, flow: str, namespace: Namespace | None = None) -> bool | None:
    """Whether a frame passes a bridge's rules by ``ofproto/trace``; None where it says neither."""
    found = daemons(namespace)
    if found is None or not found.control:
        return None
    try:
        told = str(_call(found.control, "ofproto/trace", [bridge, flow]))
    except (OSError, ValueError):
        return None
    actions = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("Datapath actions:")]
    if len(actions) != 1:  # of a frame that goes through the tables once more, nobody knows the end
        return None
    plain = all(word.isdigit() for word in actions[0].split(","))
    return False if actions[0] == "drop" else True if plain else None


def settle(namespace: Namespace | None) -> None:
    """Wait until every frame meets the rules as they are: the datapath goes by older ones for some milliseconds."""
    found = daemons(namespace)
    if found is not None and found.control:
        with contextlib.suppress(OSError, ValueError):
            _call(found.control, "revalidator/wait", [])


def rules_of(path: str, bridges: Iterable[str]) -> dict[str, tuple[str, str]]:
    """How each bridge shows fragments to its rules, and all its rules as ovs-ofctl(8) prints them.

    Raises CommandFailed, MissingTool, NotPermitted.
    """
    names = list(bridges)
    asked = [(*OFCTL, verb, management_socket(path, name)) for name in names for verb in ("get-frags", "dump-flows")]
    told = run_all(asked)
    return {name: (told[2 * at].strip(), told[2 * at + 1]) for at, name in enumerate(names)}


def _select(table: str, columns: list[str]) -> dict[str, Any]:
    return {"op": "select", "table": table, "where": [], "columns": columns}


def _uuids(value: Any) -> list[str]:
    """Of a column that refers to rows: one reference, or a set of them."""
    return [value[1]] if value[0] == "uuid" else [each[1] for each in value[1]]


def failed(path: str, error: Exception) -> CommandFailed:
    """That the database could not be asked."""
    why = (error.strerror if isinstance(error, OSError) else "") or error
    text = f"the database of Open vSwitch at {path} cannot be asked: {why}"
    return CommandFailed.of("OPENVSWITCH", text, hint="see 'systemctl status openvswitch-switch'")
