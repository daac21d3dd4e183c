"""The pages about configuration files are true: their commands are run, their table is fresh."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from bascule.persist.reference import page

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs/how-to/migrate-from-ifcfg.md"


def run_page(folder: Path) -> dict[str, str]:
    """Every line behind ``$`` in the page's session blocks, run in its order; what each printed."""
    said: dict[str, str] = {}
    bascule = f"{sys.executable} -m bascule"
    for block in re.findall(r"```shellsession\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            command = re.sub(r"\bbascule(?= )", bascule, line)
            done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            said[line] = done.stdout
    return said


def test_the_migration_page_works_as_written(tmp_path: Path) -> None:
    shutil.copytree(TOP / "tests/persist/samples/ifcfg-classic-recipe/etc", tmp_path / "old/etc")
    for shown in re.findall(r"^# (old/\S+)\n((?:\w+=.*\n)+)", PAGE.read_text(), re.MULTILINE):
        assert (tmp_path / shown[0]).read_text().split() == shown[1].split(), "the page shows the files that are there"
    said = run_page(tmp_path)
    site = (tmp_path / "site.yaml").read_text()
    for line in re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)[1].splitlines():  # type: ignore[index]
        assert line in site, line
    written = {path.name for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert {f"{name}.nmconnection" for name in ("eth2", "eth3", "eth4", "eth5", "br3", "br4")} <= written
    assert {f"10-eth{number}.link" for number in (2, 3, 4, 5)} <= written
    profile = said["cat new/etc/NetworkManager/system-connections/br3.nmconnection"]
    assert profile.startswith("# Written by bascule for host vmserver")
    assert "stp=false" in profile
    assert "cloned-mac-address=00:1b:21:3c:aa:04" in profile, "the bridge has its NIC's MAC"
    commands = said["bascule render site.yaml --host vmserver --dialect commands"]
    assert "brctl addif br3 eth4" in commands
    assert "ip link set dev eth4 master br3 up" in commands


def test_the_table_of_dialects_is_fresh() -> None:
    stored = (TOP / "docs/reference/dialects.md").read_text()
    assert stored == page(), "run: python -m bascule.persist.reference > docs/reference/dialects.md"
