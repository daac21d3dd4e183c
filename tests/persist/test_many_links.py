"""A host of four times the links is four times the work, in each dialect and both ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Barrier

import pytest

from bascule.model.dialects import persistent
from bascule.model.links import Bond, Bridge, Vlan
from bascule.model.values import IfName, Vid
from bascule.persist import rendering
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import dialect
from tests.work import assert_linear


def host(number: int) -> NetworkConfig:
    """So many bridges, each over a tagged link of a bond of two NICs."""
    links = []
    for n in range(number):
        bond, tagged, bridge = IfName(f"bond{n}"), IfName(f"bond{n}.5"), IfName(f"br{n}")
        links += [LinkConfig(name=IfName(f"e{n}p{port}"), master=bond) for port in range(2)]
        links.append(LinkConfig(name=bond, options=Bond(mode="active-backup", primary=IfName(f"e{n}p0"))))
        links.append(LinkConfig(name=tagged, parent=bond, master=bridge, options=Vlan(id=Vid(5))))
        links.append(LinkConfig(name=bridge, options=Bridge(forward_delay=0, mcast_snooping=0)))
    return NetworkConfig.of(links, ["vnet*", "tap*"])


@pytest.mark.parametrize("name", persistent())
def test_what_is_written_costs_as_much_as_there_are_links(name: str) -> None:
    def task(number: int) -> Callable[[], object]:
        config = host(number)
        return lambda: dialect(name).render(config)

    assert_linear(task, 160)


@pytest.mark.parametrize("name", persistent())
def test_what_is_read_costs_as_much_as_there_are_links(name: str) -> None:
    def task(number: int) -> Callable[[], object]:
        files = dialect(name).render(host(number))
        return lambda: dialect(name).parse(files)

    assert_linear(task, 160)


def test_many_files_wait_for_the_disk_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    together = Barrier(4, timeout=10)
    monkeypatch.setattr(rendering, "write_whole", lambda *_, **__: together.wait())
    rendering.write_below(str(tmp_path), {f"etc/{number}": "" for number in range(4)})
