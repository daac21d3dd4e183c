"""A drawing format is one module and one entry."""

from __future__ import annotations

import sys
from types import ModuleType

import click
import pytest

from bascule.cli.verbs.draw import command
from bascule.draw import draw
from bascule.draw.formats import CONVERTED, FORMATS, Format, Options, of_file
from bascule.draw.scene.elements import Scene
from tests.draw import sites


def test_one_module_and_one_entry_make_a_format(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(scene: Scene, options: Options) -> str:
        return f"{options.date}: {' '.join(node.label for node in scene.nodes.values())}"

    module = ModuleType("dummy_format")
    monkeypatch.setattr(module, "render", render, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, "dummy", Format(module=module.__name__, suffixes=(".dummy",)))
    drawing = draw(sites.production(), format="dummy", date="today")
    assert drawing.startswith("today: ")
    assert "guest_01" in drawing
    assert of_file("rack.DUMMY") == "dummy"


def test_the_command_line_offers_every_format() -> None:
    option = next(option for option in command.params if option.name == "form")
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == [*FORMATS, *CONVERTED]
