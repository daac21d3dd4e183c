"""Trees in the style of real hosts: samples/NAME/etc/… becomes samples/NAME/site.yaml, comments and all.

The dialect is the first word of NAME. A new sample needs no code: write its files, run once with
BASCULE_WRITE_GOLDEN=1, and read what came out before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bascule import workflow
from bascule.model.dialects import persistent, readable
from bascule.persist.dialect import dialect
from bascule.persist.foreign.carried import as_said_by
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.formats.openvswitch import is_switch
from bascule.persist.networkd.words import span_ms
from bascule.persist.wanted import wanted_config

SAMPLES = sorted(path for path in (Path(__file__).parent / "samples").iterdir() if path.is_dir())


def dialect_of(sample: Path) -> str:
    first = sample.name.partition("-")[0]
    return first if first in readable() else "ifcfg"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_tree_becomes_its_site_file(sample: Path) -> None:
    imported = workflow.import_host(root=str(sample), dialect_name=dialect_of(sample), host="vmserver")
    golden = sample / "site.yaml"
    if os.environ.get("BASCULE_WRITE_GOLDEN"):
        golden.write_text(imported.text)
    assert imported.text == golden.read_text()


@pytest.mark.parametrize("name", persistent())
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_what_was_imported_migrates_to_every_dialect(sample: Path, name: str) -> None:
    site = workflow.load(str(sample / "site.yaml"))
    config = wanted_config(site, site.hosts["vmserver"])
    try:
        files = dialect(name).render(config)
    except Inexpressible as gap:
        assert gap.problems
        return
    parsed = dialect(name).parse(files)
    assert parsed.left == ()
    if not any(map(is_switch, config.links.values())) or "VLANs" not in (dialect(name).openvswitch or ()):
        assert parsed.config == as_said_by(config, name)  # else the database of Open vSwitch says the rest


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("100ms", 100),
        (".1", 100),
        ("0.1s", 100),
        ("1.", 1000),
        ("1min 30s", 90_000),
        ("2m", 120_000),
        ("5 minutes", 300_000),
    ],
)
def test_a_time_is_read_as_systemd_reads_it(text: str, ms: float) -> None:
    """The installer of a hoster writes MIIMonitorSec=.1."""
    assert span_ms(text) == ms


@pytest.mark.parametrize("text", ["", "x", "1 week", "1..2", "-1", "3 s x"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a span of time"):
        span_ms(text)
