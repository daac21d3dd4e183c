"""T13: a host that begins to route does so on every link, those that the same change sets up as well."""

from __future__ import annotations

from pathlib import Path

from tests.real_hosts.field import Field

SITE = """\
site: routes
networks: {office: {subnet: [192.168.1.0/24, 'fd00::/64'], gateway: 192.168.1.1}}
hosts:
  kvm:
    nics:
      eth0: {network: office, address: [192.168.1.10/24, 'fd00::10/64'], gateway: 192.168.1.1}
      eth1: {network: office}
    bridges: {br1: {uplink: eth1}}
    virtual_networks: {lab: {mode: nat, subnet: [10.77.0.0/24, 'fd00:77::/64']}}
guests:
  job: {host: kvm, nics: [{network: lab, address: 10.77.0.5/24}]}
"""


def forwarding(field: Field) -> dict[tuple[str, str], str]:
    """By IP version and link, and of all together."""
    with field.host.entered():
        found = [one for version in "46" for one in Path(f"/proc/sys/net/ipv{version}/conf").glob("*/forwarding")]
        return {(one.parts[4], one.parts[6]): one.read_text().strip() for one in found}


def test_t13_links_of_the_same_change_forward_and_are_as_before_again(real_host: Field) -> None:
    """eth0 and eth1, which it sets up, were turned off after all were turned on: no answer came in to the guests."""
    with real_host.host.entered():
        Path("/proc/sys/net/ipv4/conf/eth1/forwarding").write_text("1")  # somebody's own wish
    before, path = forwarding(real_host), real_host.site(SITE)
    assert before["ipv4", "eth0"] == "0"
    done = real_host.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert set(forwarding(real_host).values()) == {"1"}
    assert real_host.document("plan", path)["changes"] == []
    job = real_host.guest("job", "job.0", "10.77.0.5/24", bridge="vn-lab", site=SITE)
    real_host.ip("route add default via 10.77.0.1", job)
    assert real_host.run("ping", "-c", "3", "-w", "20", "192.168.1.50", where=job).returncode == 0
    real_host.ip("link del job.0")
    assert real_host.bascule("undo", "--yes").returncode == 0
    assert forwarding(real_host) == before
