"""NetworkManager and networkd must not configure a NIC that comes up only to listen.

Neither runs in a namespace of its own, so scripts stand in for their tools and write down what they were told.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.model.values import IfName
from bascule.providers.observe import observe
from bascule.survey import capture
from bascule.survey.listen_up import brought_up, why_not
from bascule.system.net import managers
from bascule.system.net.netns import Namespace
from tests.lab import Lab

NMCLI = '#!/bin/sh\necho "$@" >>{log}\n[ "$2" = GENERAL.STATE ] && echo "{state}"\nexit 0\n'
NETWORKCTL = '#!/bin/sh\necho \'{{"Name": "eth4", "AdministrativeState": "{state}"}}\'\n'


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(managers, "is_machines_own", lambda: True)
    return tmp_path


def stand_in(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def cable(lab: Lab) -> Namespace:
    host, far = lab.namespace("host"), lab.namespace("far")
    lab.ip(host, f"link add eth4 type veth peer name eth4 netns /proc/{os.getpid()}/fd/{far.fd}")
    lab.ip(far, "link set eth4 up")
    return host


@pytest.mark.kernel
@pytest.mark.parametrize(("state", "told"), [("30 (disconnected)", ["no", "yes"]), ("10 (unmanaged)", [])])
def test_networkmanager_is_told_to_keep_off_and_to_mind_it_again(
    lab: Lab, tools: Path, state: str, told: list[str]
) -> None:
    log = tools / "log"
    stand_in(tools, "nmcli", NMCLI.format(log=log, state=state))
    with cable(lab).entered():
        before = observe()
        with brought_up(["eth4"], before) as raised:
            assert raised == ("eth4",)
            assert observe().links[IfName("eth4")].facts.carrier
        assert observe() == before
    lines = [line.split()[-1] for line in log.read_text().splitlines() if line.startswith("device set eth4 managed")]
    assert lines == told


@pytest.mark.kernel
@pytest.mark.parametrize(("state", "refused"), [("configuring", True), ("unmanaged", False)])
def test_a_nic_of_networkd_is_left_alone_with_a_word(lab: Lab, tools: Path, state: str, refused: bool) -> None:
    stand_in(tools, "networkctl", NETWORKCTL.format(state=state))
    with cable(lab).entered():
        before = observe()
        assert ("systemd-networkd would configure it" in why_not(before.links[IfName("eth4")], before)) == refused
        with brought_up(["eth4"], before) as raised:
            assert raised == (() if refused else ("eth4",))


def test_in_another_namespace_nobody_is_asked(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "nmcli", NMCLI.format(log=tmp_path / "log", state="100 (connected)"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with lab.namespace("elsewhere").entered():
        assert not managers.networkmanager_has("eth4")
    assert not (tmp_path / "log").exists()


@pytest.mark.kernel
@pytest.mark.parametrize("again", [False, True])
def test_a_nic_that_goes_while_others_come_up_is_told(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    """What listening says of it first is cleared, for a NIC that comes up disturbs it as well."""
    host = cable(lab)
    lab.ip(host, "link set eth4 up")

    @contextlib.contextmanager
    def pulled_out(*_: object) -> Iterator[tuple[str, ...]]:
        lab.ip(host, "link del eth4")
        if again:
            lab.ip(host, "link add eth4 type veth peer name other")
        yield ()

    monkeypatch.setattr(capture, "brought_up", pulled_out)
    with host.entered():
        heard = capture.listen(["eth4"], observe(), seconds=0.1, observe=observe).heard["eth4"]
    words = f"eth4 went away{' and came again' if again else ''} while it was listened on"
    assert [note.partition(";")[0] for note in heard.notes] == [words]
