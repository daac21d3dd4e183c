"""What a program may call is documented, and the example in the documentation runs."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import bascule
from bascule import api
from bascule.errors import SiteFault
from tests.docs.api_page import page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/api.md"


def test_the_page_is_of_the_functions() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.docs.api_page > docs/reference/api.md"


def test_every_function_says_what_it_takes_and_gives() -> None:
    for name in api.__all__:
        thing = getattr(api, name)
        if inspect.isfunction(thing):
            assert inspect.getdoc(thing), name
            signature = inspect.signature(thing)
            assert signature.return_annotation is not inspect.Signature.empty, name
            assert all(one.annotation is not one.empty for one in signature.parameters.values()), name


@pytest.mark.kernel
def test_the_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert example
    monkeypatch.chdir(ROOT)
    found: dict[str, object] = {}
    exec(textwrap.dedent(example[1]), found)
    assert getattr(found["seen"], "ok", None) is True


def test_a_wrong_file_is_an_error_with_its_places(tmp_path: Path) -> None:
    wrong = tmp_path / "site.yaml"
    wrong.write_text("site: x\nnetworks: {a: {subnet: 10.0.0.300/24}}\n")
    (problem,) = api.check(str(wrong))
    assert (problem.code, problem.place and problem.place.line) == ("SUBNET", 2)
    with pytest.raises(SiteFault) as fault:
        api.load(str(wrong))
    assert fault.value.exit_status == 65


def test_values_are_taken_where_files_are() -> None:
    site = api.load(str(ROOT / "examples/production.yaml"))
    assert api.draw(site, form="text").startswith("production")
    assert "etc/systemd/network/10-br3.netdev" in api.render(site, "networkd").files


def test_the_name_of_the_package_alone_leads_to_them() -> None:
    words = "import bascule; print(bascule.api.load('examples/first.yaml').name, bascule.__version__)"
    done = subprocess.run((sys.executable, "-c", words), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"first {bascule.__version__}\n", "")
