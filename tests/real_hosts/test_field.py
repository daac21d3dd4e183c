"""The lab itself is what the situations are built in."""

from __future__ import annotations

from tests.lab import pings
from tests.real_hosts.field import BASE, Field


def test_the_first_example_works_in_the_lab(real_host: Field) -> None:
    assert pings(real_host.pc, "192.168.1.10")
    web = real_host.guest("web", "web.0", "192.168.1.21/24")
    real_host.listen(web, 80)
    path = real_host.site(BASE)
    done = real_host.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert pings(web, "192.168.1.1")
    said = real_host.document("verify", path)
    assert said["ok"], said
