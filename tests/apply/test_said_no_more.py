"""A key that is taken out of the site file: what Bascule had set by it goes, what somebody else had set stays."""

from __future__ import annotations

import pytest

from tests.real_hosts.conftest import real_host
from tests.real_hosts.field import BASE, Field

__all__ = ["real_host"]

pytestmark = pytest.mark.kernel
ISOLATED = BASE.replace("bridge: br0,", "bridge: br0, isolated: true,")


def is_isolated(field: Field) -> bool:
    return "isolated on" in field.run("bridge", "-d", "link", "show", "dev", "web.0").stdout


def apply(field: Field, text: str) -> None:
    done = field.bascule("apply", field.site(text), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr


def test_isolation(real_host: Field) -> None:
    assert ISOLATED != BASE
    field = real_host
    field.guest("web", "web.0", "192.168.1.21/24")
    apply(field, ISOLATED)
    assert is_isolated(field)
    field.ip("link set web.0 mtu 1400")  # a change in between that has nothing to do with it
    apply(field, ISOLATED)
    said = field.document("plan", field.site(BASE))["changes"]
    assert [one["subject"] for one in said] == ["web.0"]
    assert field.bascule("verify", field.site(BASE)).returncode == 1
    apply(field, BASE)
    assert not is_isolated(field)

    field.run("bridge", "link", "set", "dev", "web.0", "isolated", "on")  # by somebody else
    apply(field, ISOLATED)
    assert field.document("plan", field.site(BASE))["changes"] == []
    assert is_isolated(field)
