"""D11: an address that VRRP gives now to this machine and now to another one is none of the host's own to move."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bascule import workflow
from bascule.model.links import Physical
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName
from bascule.providers.kernel import vrrp
from bascule.system.process.programs import Program
from tests.apply.hosts import environment
from tests.lab import called
from tests.real_hosts.field import BASE, ONE_NIC, Field

CONFIG = """\
global_defs {
  vrrp_version 3
}
vrrp_instance office {
  state MASTER
  interface eth0
  virtual_router_id 7
  priority 100
  advert_int 0.1
  unicast_src_ip 192.168.1.10
  virtual_ipaddress {
    192.168.1.200/32 dev eth0   ! the door of the office
  }
}
"""


KEEPER = """\
import socket
vrrp = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
print("up", flush=True)
vrrp.recv(1)
"""


@pytest.mark.kernel
def test_d11_an_address_of_keepalived_is_left_to_keepalived(real_host: Field) -> None:
    """Moved to the bridge for good, two machines have it as soon as the other one is the master.

    In the place of keepalived stands a process with its words and its socket, which does nothing.
    """
    field, config = real_host, real_host.folder / "keepalived.conf"
    config.write_text(CONFIG)
    with field.host.entered():
        words = ("keepalived", "-c", KEEPER, "-f", str(config))
        keeper = subprocess.Popen(
            words, executable=sys.executable, env={"PYTHONHOME": sys.base_prefix}, stdout=subprocess.PIPE
        )
    field.lab.keep(keeper.wait)
    field.lab.keep(keeper.kill)
    assert keeper.stdout is not None and keeper.stdout.readline() == b"up\n"
    keeper.stdout.close()
    field.ip("addr add 192.168.1.200/32 dev eth0")
    said = [note.text for note in field.plan(ONE_NIC).notes if note.subject == "eth0"]
    whose = f"192.168.1.200/32 is not moved: keepalived ({config}:12) gives it to this machine or to another one"
    assert f"{whose}; let it use br0" in said
    assert not [note for note in field.plan(BASE).notes if "192.168.1.200" in note.text], "no fault of the master"
    with field.host.entered(), called("kvm"), environment(field.env()):
        imported = workflow.import_host().text
    assert f"192.168.1.200/32 on eth0, which keepalived ({config}:12) gives to it" in imported
    assert "address: 192.168.1.10/24," in imported
    assert field.bascule("apply", field.site(ONE_NIC), "--yes", "--confirm-within", "10m").returncode == 0
    assert "192.168.1.200" not in field.ip("addr show")
    field.ip("addr add 192.168.1.200/32 dev br0")
    assert field.document("status")["drift"] == [], "it is the master again"
    undone = field.document("undo")
    assert undone["ok"], undone
    assert "192.168.1.10/24" in field.ip("addr show dev eth0")
    assert "192.168.1.200" not in field.ip("addr show dev eth0"), "another machine is the master by now"


def test_d11_what_keeps_an_address_is_read_from_its_files_and_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "main.conf").write_text("# 10.0.0.9\nvirtual_ipaddress {\n # 10.0.0.8\n}\ninclude conf.d/*.conf\n")
    (tmp_path / "conf.d/a.conf").write_text(
        "vrrp_instance a {\n virtual_ipaddress_excluded { 2001:DB8::7/64 dev eth0 }\n"
        " unicast_peer {\n  10.0.0.2\n }\n}\n"
    )
    found = dict(vrrp.virtual_addresses(tmp_path / "main.conf"))
    assert found == {"2001:db8::7": f"{tmp_path}/conf.d/a.conf:2"}
    running = (
        Program(
            pid=7, parent=1, started=1, argv=("/usr/sbin/ucarp", "-i", "eth0", "-s", "10.0.0.1", "--addr=10.0.0.5")
        ),
        Program(pid=8, parent=1, started=1, argv=("keepalived", f"--use-file={tmp_path}/main.conf")),
    )
    monkeypatch.setattr(vrrp, "programs", lambda: running)
    own = tuple(Address(ip=ip) for ip in ("10.0.0.1/24", "10.0.0.5/32", "10.0.0.2/32", "2001:db8::7/64"))
    state = HostState(links={IfName("eth0"): Link(name=IfName("eth0"), options=Physical(), addresses=own)})
    monkeypatch.setattr(vrrp, "_has_listener", lambda: False)
    assert vrrp.with_keepers(state) is state
    monkeypatch.setattr(vrrp, "_has_listener", lambda: True)
    seen = vrrp.with_keepers(state).links[IfName("eth0")].addresses
    assert seen == own
    assert [one.lifetime.kept_by.partition(" ")[0] for one in seen] == ["", "ucarp", "", "keepalived"]
