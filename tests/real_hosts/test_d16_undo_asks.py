"""D16: undo of a confirmed change shows what it will do and which taps lose what, and asks on a terminal."""

from __future__ import annotations

import pytest

from tests.real_hosts.field import ONE_NIC, Field
from tests.terminal import on_a_terminal


@pytest.fixture
def changed(real_host: Field) -> Field:
    """A confirmed change; on its bridge, since then, a guest that started and one that had run before."""
    real_host.lab.tap(real_host.host, "vnet6")
    assert real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--no-confirm").returncode == 0
    real_host.lab.tap(real_host.host, "vnet7")
    for tap in ("vnet6", "vnet7"):
        real_host.ip(f"link set {tap} up master br0")
    return real_host


def typed(there: Field, *words: str, answer: bytes = b"") -> str:
    return on_a_terminal(there.host, there.env() | {"NO_COLOR": "1"}, *words, hostname="kvm", answer=answer).decode()


def test_it_shows_asks_and_obeys(changed: Field) -> None:
    said = typed(changed, "undo", answer=b"n\n")
    shown = " ".join(said.split())
    assert "change 1 (confirmed; made " in shown
    assert "br0 delete bridge" in shown
    assert "address 192.168.1.10/24" in shown
    assert "warnings vnet6 loses its bridge br0, which goes vnet7 loses its bridge br0, which goes" in shown
    assert "take it back? [y/N]" in shown
    assert "nothing was changed" in shown
    assert "master br0" in changed.ip("link show vnet7")
    said = typed(changed, "undo", answer=b"y\n")
    assert "is taken back; the host is as it was before" in said
    assert "master" not in changed.ip("link show vnet7")
    assert changed.pings(changed.pc, "192.168.1.10")


def test_yes_and_no_terminal_ask_nothing(changed: Field) -> None:
    document = changed.document("undo")
    assert document["ok"]
    lost = [{"port": tap, "text": "loses its bridge br0, which goes"} for tap in ("vnet6", "vnet7")]
    assert document["losses"] == lost
    assert document["left"] == []
    assert {"subject": "br0", "action": "delete bridge"} in document["steps"]
    assert changed.bascule("apply", changed.site(ONE_NIC), "--yes", "--no-confirm").returncode == 0
    assert "is taken back" in typed(changed, "undo", "--yes")
