"""Who runs guests is one file and one entry: the verbs about guests find him, and the option --driver has his name."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

import pytest

from bascule import api
from bascule.errors import BasculeError, MissingTool
from bascule.guests.chosen import ChosenGuests
from bascule.guests.runtimes import RUNTIMES, detect
from bascule.guests.runtimes.runtime import GuestRuntime
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Guest


class Bhyve:
    """Two guests that are nothing but their names."""

    name = "bhyve"
    uri = ""

    def __init__(self) -> None:
        self.up = {"db"}

    def domains(self) -> tuple[Domain, ...]:
        nic = DomainNic(index=0, kind="bridge", into="br0", tap="tap0")
        return tuple(Domain(name=name, running=name in self.up, nics=(nic,)) for name in ("db", "web"))

    def start(self, name: str) -> None:
        self.up.add(name)

    def shutdown(self, name: str, mode: str) -> None:
        if name != "db" or mode:
            self.up.discard(name)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> Bhyve:
    made = Bhyve()

    def answering(uri: str | None, guests: Mapping[str, Guest]) -> Bhyve:
        if uri:
            raise MissingTool.of("TOOL-MISSING", "there is no bhyve at an address")
        return made

    module = ModuleType("bascule.guests.runtimes.bhyve")
    module.answering = answering  # type: ignore[attr-defined]  # what a runtime's file has
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(detect, "RUNTIMES", ("bhyve", *RUNTIMES))
    return made


def test_one_entry_makes_a_runtime(entered: Bhyve) -> None:
    found: GuestRuntime = api.guest_runtime()
    assert found.name == "bhyve"
    assert api.guest_runtime("bhyve") is found
    with pytest.raises(MissingTool, match="at an address"):
        api.guest_runtime("bhyve", "bhyve://there")
    chosen = ChosenGuests.of(found, ("web", "db", "web"))
    assert chosen.running == ("db",)
    chosen.start()
    assert entered.up == {"db", "web"}
    waited: list[tuple[str, ...]] = []
    assert ChosenGuests.of(found, ("web", "db")).shutdown(0.01, waiting=waited.append) == ("db",)  # type: ignore[arg-type]  # a list is told
    assert waited[0] == ("web", "db")
    assert ChosenGuests.of(found, ("db",)).shutdown(0.0, "agent") == ("db",), "who was asked, where nobody waits"
    with pytest.raises(BasculeError, match="there is no guest 'mail'"):
        ChosenGuests.of(found, ("web", "mail"))


def test_the_options_are_the_list() -> None:
    from bascule.cli.verbs.guest import list_

    option = next(one for one in list_.params if one.name == "driver")
    assert list(option.type.choices) == list(RUNTIMES)  # type: ignore[attr-defined]  # click's Choice
