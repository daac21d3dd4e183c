"""D17: a change waits to be confirmed, and somebody applies again: it goes back in so many seconds, not "done"."""

from __future__ import annotations

import re

from tests.real_hosts.field import ONE_NIC, Field


def test_apply_again_says_when_the_change_goes_back(shared_host: Field) -> None:
    path = shared_host.site(ONE_NIC)
    assert shared_host.bascule("apply", path, "--yes", "--confirm-within", "5m").returncode == 0
    again = shared_host.bascule("apply", path, "--yes")
    assert again.returncode == 1
    assert "nothing to do" not in again.stdout
    said = re.search(r"change 1 waits for 'bascule confirm' and is taken back in (\d+) s", again.stderr)
    assert said, again.stderr
    assert 0 < int(said[1]) <= 300
    planned = shared_host.document("plan", path)
    assert planned["changes"] == []
    assert planned["mind"][0].startswith("change 1: waits for 'bascule confirm' and is taken back in ")
    checked = shared_host.document("verify", path)
    assert re.fullmatch(
        r"change 1 waits for 'bascule confirm' and is taken back in \d+ s, at \d\d:\d\d:\d\d", checked["waiting"]
    )
    assert shared_host.bascule("confirm").returncode == 0
    assert shared_host.document("verify", path)["waiting"] is None
    done = shared_host.bascule("apply", path, "--yes")
    assert (done.returncode, "nothing to do" in done.stdout) == (0, True)
    assert shared_host.bascule("undo").returncode == 0
