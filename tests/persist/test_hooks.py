"""Commands in /etc/network/interfaces that nobody understands: kept as they stand, and told where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.dialects import persistent
from bascule.persist.dialect import dialect
from bascule.persist.foreign.carried import as_said_by, hook_notes
from bascule.persist.foreign.in_the_way import not_as_wanted
from bascule.persist.wanted import unsaid, wanted_config
from bascule.site import parse
from bascule.workflow import import_host

FILE = """\
auto eth0
iface eth0 inet static
    address 10.0.0.5/24
    up /usr/local/sbin/firewall start
    up ip route add 10.9.0.0/16 via 10.0.0.9
    post-down /usr/local/sbin/firewall stop
    up ip addr add 10.0.0.6/24 dev eth0 && /usr/local/sbin/tell
    up wg set wg0 private-key x psk=hidden
"""


def test_they_are_imported_and_rendered_as_they_stand(tmp_path: Path) -> None:
    place = tmp_path / "etc/network/interfaces"
    place.parent.mkdir(parents=True)
    place.write_text(FILE)
    found = import_host(root=str(tmp_path), dialect_name="ifupdown", host="h")
    kept = ("up /usr/local/sbin/firewall start", "post-down /usr/local/sbin/firewall stop")
    eth0 = next(iter(found.site.hosts["h"].nics.values()))
    assert eth0.hooks == kept
    assert [str(route.to) for route in eth0.routes] == ["10.9.0.0/16"]  # what is understood is no command any more
    left = "\n".join(each.text for each in found.left)
    assert "/usr/local/sbin/tell" in left  # half of it was taken: the line is not run again as a whole
    assert "hidden" not in found.text
    files = dialect("ifupdown").render(wanted_config(found.site, found.site.hosts["h"]))
    assert all(f"    {line}\n" in "".join(files.values()) for line in kept)


@pytest.mark.parametrize("name", persistent())
def test_every_other_dialect_says_that_nothing_runs_them(name: str) -> None:
    text = b"site: s\nhosts: {h: {nics: {eth0: {as_found: {ifupdown: [up /usr/sbin/x]}}, eth1: {}}}}\n"
    site = parse(text, "site.yaml")
    config, there = wanted_config(site, site.hosts["h"]), dialect("ifupdown").parse({"etc/network/interfaces": FILE})
    told = [note.text for note in hook_notes(config, there.config, name)]
    assert any("firewall start; post-down /usr/local/sbin/firewall stop: is moved aside" in text for text in told)
    assert [f"which {name} does not support" in text for text in told[1:]] == ([] if name == "ifupdown" else [True])
    assert bool(unsaid(site.hosts["h"], name)) is (name != "ifupdown")
    spoken = dialect(name)
    said = as_said_by(config, name)
    assert not_as_wanted(spoken, said, {**spoken.scaffold, **spoken.render(said)}, {}) == []
