"""T13: a link that somebody has forward on a host that does not is so again after undo: the kernel sets all at once."""

from __future__ import annotations

from pathlib import Path

from tests.real_hosts.field import Field

ROUTED = """\
site: one
hosts:
  kvm:
    nics: {eth0: {}, eth1: {}}
    virtual_networks: {lab: {mode: open, subnet: [10.77.0.0/24, "fd00:77::/64"]}}
"""
KEYS = [f"net/ipv{version}/conf/{link}/forwarding" for version in "46" for link in ("eth0", "eth1", "default", "all")]


def values(field: Field) -> dict[str, str]:
    with field.host.entered():
        return {key: Path("/proc/sys", key).read_text().strip() for key in KEYS}


def test_t13_undo_gives_links_back_what_they_forward(real_host: Field) -> None:
    with real_host.host.entered():
        for version in "46":
            Path(f"/proc/sys/net/ipv{version}/conf/eth1/forwarding").write_text("1")
    before = values(real_host)
    assert sorted(before.values()) == ["0"] * 6 + ["1"] * 2
    site = real_host.site(ROUTED)
    done = real_host.bascule("apply", site, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert set(values(real_host).values()) == {"1"}
    assert real_host.document("plan", site)["changes"] == []
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert values(real_host) == before
