"""D11: what somebody entered in a bridge's tables at a port that leaves it is told, with words that enter it anew."""

from __future__ import annotations

import json

from tests.real_hosts.field import Field

SNOOPING = """\
site: groups
networks: {office: {subnet: 192.168.1.0/24}}
hosts:
  kvm:
    nics: {eth1: {network: office}}
    bridges: {br0: {uplink: eth1, snooping: true}}
guests:
  web: {host: kvm, nics: [{bridge: br0, tap: tapx, address: 192.168.1.77/24}]}
"""
BY_OTHERS = (
    "mdb add dev br0 port tapx grp 239.1.2.3 permanent",
    "mdb add dev br0 port eth1 grp ff15::7 permanent",
    "fdb add 02:00:00:00:77:77 dev tapx master static",
)


def told(field: Field, *words: str) -> str:
    return " ".join(field.bascule(*words).stdout.split())


def test_d11_groups_and_static_macs_at_a_port_that_moves_are_told(real_host: Field) -> None:
    """The kernel forgets them with the port's place in its bridge, and undo said that all was as before."""
    field, path = real_host, real_host.site(SNOOPING)
    field.guest("web", "tapx", "192.168.1.77/24", bridge="", site=SNOOPING)
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    for words in BY_OTHERS:
        done = field.run("bridge", *words.split())
        assert done.returncode == 0, done.stderr
    assert "goes with its place" not in told(field, "plan", path)
    renamed = field.site(SNOOPING.replace("br0", "br9"))
    said = told(field, "plan", renamed)
    goes = "goes with its place in br0, and does not come again by itself: "
    assert (
        f"tapx the permanent multicast group 239.1.2.3 at it {goes}'bridge {BY_OTHERS[0]}' enters it in br9".replace(
            "dev br0", "dev br9"
        )
        in said
    )
    assert f"eth1 the permanent multicast group ff15::7 at it {goes}" in said
    assert f"tapx the static FDB entry 02:00:00:00:77:77 at it {goes}'bridge {BY_OTHERS[2]}' enters it in br9" in said
    assert field.bascule("apply", renamed, "--yes", "--no-confirm").returncode == 0
    listed = json.loads(field.run("bridge", "-j", "mdb").stdout)
    assert not [row for table in listed for row in table["mdb"] if row["state"] == "permanent"]
    again = BY_OTHERS[0].replace("br0", "br9")
    assert field.run("bridge", *again.split()).returncode == 0, "as the plan says"
    assert "tapx the permanent multicast group 239.1.2.3 at it goes with its place in br9" in told(
        field, "undo", "--yes"
    )
