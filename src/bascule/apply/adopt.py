"""The manager takes over what the kernel already has, so that nothing moves when it reloads, restarts or is confirmed.

Nothing here makes the change: that stands, whatever a manager answers. Each returns what could not be done, in words.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bascule.apply import adopt_ifupdown, adopt_networkd, adopt_networkmanager
from bascule.apply.regenerate import NETPLAN, regenerate, tell
from bascule.model.values import IfName
from bascule.observe.files import read_tree
from bascule.persist import ifupdown
from bascule.persist.config import LinkConfig
from bascule.persist.dialect import dialect
from bascule.persist.writer import is_ours
from bascule.system.clock import Progress, unseen
from bascule.system.net.managers import runs_here

FOLDERS = {
    "netplan": (NETPLAN,),
    "networkd": ("/etc/systemd/network/",),
    "keyfile": ("/etc/NetworkManager/system-connections/",),
    "ifupdown": ("/etc/network/",),
}
NETWORK_MANAGER_READS = (*FOLDERS["keyfile"], "/etc/NetworkManager/", "/etc/sysconfig/network-scripts/")


def adopt(paths: Iterable[str], progress: Progress = unseen) -> tuple[str, ...]:
    """Let whoever reads these files know them, and take the links for his own as they are."""
    told = tuple(paths)
    if told:
        progress("lets the host's configuration system read its files")
    faults = regenerate(told)
    if _any(told, (*FOLDERS["netplan"], *FOLDERS["networkd"])) and runs_here("systemd-networkd"):
        faults += adopt_networkd.reload()
    if runs_here("NetworkManager"):
        if ours := _ours("keyfile"):
            faults += adopt_networkmanager.adopt(ours, changed=_any(told, FOLDERS["keyfile"]))
        elif _any(told, NETWORK_MANAGER_READS):
            faults += tell("nmcli", "general", "reload", "conf") + tell("nmcli", "connection", "reload")
    if _any(told, FOLDERS["ifupdown"]):
        faults += adopt_ifupdown.adopt(_ours("ifupdown"))
    return tuple(faults)


@contextlib.contextmanager
def at_rest(touched: Collection[str] | None = None) -> Iterator[None]:
    """A manager that has taken links over does not meddle while they are changed.

    ``touched`` are those that will be, None stands for all of ours. Afterwards it knows nothing of them, until
    ``adopt`` tells it; where it fails they are as before, and it has them again at once: it keeps their leases.
    """
    owned: dict[IfName, str] = {}
    if runs_here("NetworkManager"):
        ours = {name: link for name, link in _ours("keyfile").items() if touched is None or name in touched}
        owned = adopt_networkmanager.had(ours) if ours else {}
    if not owned:
        yield
        return
    try:
        with adopt_networkmanager.at_rest(owned):
            yield
    except BaseException:
        adopt(())
        raise


def _ours(name: str) -> Mapping[IfName, LinkConfig]:
    """The links that files of ours configure."""
    speech = dialect(name)
    files = {path: text for path, text in read_tree("/", speech.READS).files.items() if is_ours(text)}
    if name == "ifupdown" and files:
        files[ifupdown.MAIN] = ifupdown.SCAFFOLD  # what leads to ours
    return speech.parse(files).config.links


def _any(paths: Sequence[str], folders: Sequence[str]) -> bool:
    return any(path.startswith(tuple(folders)) for path in paths)
