"""T6: somebody on the wire of a bridge whose uplink is a veth, as in a container: the file says that it leads out."""

from __future__ import annotations

from tests.real_hosts.field import ONE_NIC, Field


def test_t06_whom_the_host_reaches_over_its_bridge_is_known_there(real_host: Field) -> None:
    """It was 'on no network of this host' from the moment on that the host spoke over br0."""
    path = real_host.site(ONE_NIC)
    assert real_host.document("apply", path, "--yes", "--confirm-within", "60s")["ok"]
    real_host.ip("neigh flush dev br0")
    real_host.run("bridge", "fdb", "flush", "dev", "br0", "dynamic")
    for address, answer in (("192.168.1.50", "yes"), ("192.0.2.9", "unknown")):  # whether the router forwards it
        assert real_host.document("why", "kvm", address, "--site", path)["result"] == answer
    unsaid = real_host.bascule("why", "kvm", "192.168.1.51")  # without the file any port may be the one
    assert unsaid.returncode == 64
    assert "a route leads there by br0, and by which of its ports is not known" in " ".join(unsaid.stderr.split())
    assert "no route leads" not in unsaid.stderr
