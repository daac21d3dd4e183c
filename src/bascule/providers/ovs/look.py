"""The switches of a host as its data base shows them."""

from __future__ import annotations

from bascule.errors import NotPermitted, Problem
from bascule.providers.ovs.read import from_answer, reading
from bascule.providers.ovs.state import SwitchState
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import ask, daemons, failed


def look(namespace: Namespace | None) -> SwitchState | None:
    """Those of a network namespace; None where nobody keeps any. Raises CommandFailed or NotPermitted."""
    found = daemons(namespace)
    return None if found is None else observe(found.socket, is_running=found.control is not None)


def observe(path: str, *, is_running: bool = True) -> SwitchState:
    """The switches of a data base. Raises CommandFailed or NotPermitted where it cannot be asked."""
    try:
        return from_answer(ask(path, reading()), path, is_running=is_running)
    except PermissionError as error:
        problem = Problem("NOT-PERMITTED", f"the data base of Open vSwitch at {path} is root's", hint="run it as root")
        raise NotPermitted(problem) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise failed(path, error) from error
