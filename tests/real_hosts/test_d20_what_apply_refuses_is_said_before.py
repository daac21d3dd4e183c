"""D20: what an apply would refuse is said before, by plan and rehearse: a read-only /etc, a change that waits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.real_hosts.field import ONE_NIC, Field
from tests.real_hosts.installers import INSTALLED

SITES = {
    "Debian": ONE_NIC.replace("  kvm:\n", "  kvm:\n    persist: ifupdown\n"),
    "Fedora": ONE_NIC.replace("  kvm:\n", "  kvm:\n    persist: keyfile\n"),
}


@pytest.mark.parametrize("name", SITES)
def test_d20_a_folder_that_is_mounted_read_only(name: str, real_host: Field, tmp_path: Path) -> None:
    root, path = tmp_path / "root", real_host.site(SITES[name])
    INSTALLED[name].lay(root)
    subprocess.run(("mount", "--bind", root, root), check=True)
    real_host.lab.keep(lambda: subprocess.run(("umount", "--lazy", root), check=True))
    subprocess.run(("mount", "-o", "remount,bind,ro", root), check=True)
    refused = real_host.document("apply", path, "--root", str(root), "--yes")
    assert {one["code"] for one in refused["problems"]} == {"FILES-READ-ONLY"}
    told = {one["message"].removesuffix("; nothing was changed") for one in refused["problems"]}
    for words in (("plan",), ("rehearse", "--quiet")):
        said = " ".join(real_host.bascule(*words, path, "--root", str(root)).stdout.split())
        assert all(f"apply will refuse this: FILES-READ-ONLY: {each}" in said for each in told), said
    subprocess.run(("mount", "-o", "remount,bind,rw", root), check=True)
    assert "apply will refuse" not in real_host.bascule("plan", path, "--root", str(root)).stdout


def test_d20_a_change_that_waits(real_host: Field) -> None:
    path = real_host.site(ONE_NIC)
    assert real_host.document("apply", path, "--yes", "--confirm-within", "300s")["ok"]
    for words in (("plan",), ("rehearse", "--quiet")):
        said = " ".join(real_host.bascule(*words, path).stdout.split())
        assert "change 1 waits for 'bascule confirm' and is taken back in" in said, said
    assert real_host.bascule("confirm").returncode == 0
    assert "waits for" not in real_host.bascule("rehearse", "--quiet", path).stdout
