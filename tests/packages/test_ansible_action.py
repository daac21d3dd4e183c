"""The controller's half of the Ansible module, without a host."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "ansible/plugins/action/bascule_site.py"


def test_a_host_that_does_not_answer_is_told_by_what_became_of_its_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible removes its folder on the host at the end; that this failed was told in place of the result."""
    errors = pytest.importorskip("ansible.errors", reason="ansible-core is not here: pip install ansible-core")
    action = pytest.importorskip("ansible.plugins.action")
    spec = importlib.util.spec_from_file_location("bascule_site", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def refused(_self: object, _force: bool = False) -> None:
        raise errors.AnsibleConnectionFailure("Connection refused")

    monkeypatch.setattr(action.ActionBase, "cleanup", refused)
    plugin = object.__new__(module.ActionModule)
    with pytest.raises(errors.AnsibleConnectionFailure):
        action.ActionBase.cleanup(plugin)
    plugin.cleanup()
