#!/usr/bin/python
"""Make a host's network what a site file says."""

DOCUMENTATION = r"""
module: bascule_site
short_description: Make a host's network what a site file says, and take it back unless the host is reached again
description:
  - Plans and applies a site file by C(bascule) on the host.
  - A change waits for its confirmation. The controller closes its connection, opens a new one and confirms over it.
  - Where that fails, the host takes the change back by itself, and the task fails.
  - In check mode it is C(bascule plan). Diff mode shows each change, and the text of the configuration files.
requirements:
  - Bascule on the host, of the version of this collection (C(bascule --version))
attributes:
  check_mode:
    support: full
    description: Nothing is changed; the file in O(src) is planned without being installed.
  diff_mode:
    support: full
    description: Each change of the plan, and the text of the configuration files as a unified diff.
  platform:
    support: full
    platforms: Linux
    description: A host of KVM guests, as root (C(become)).
options:
  src:
    description: The site file on the controller; it is copied to O(path).
    type: path
  path:
    description: The site file on the host.
    type: path
    default: /etc/bascule/site.yaml
  host:
    description: Which host, where the file has several. By default it is found by the machine's name or hardware.
    type: str
  confirm_within:
    description: How long the host waits for the new connection, in seconds, 1 to 86400.
    type: int
    default: 60
  here:
    description: Take the machine for that host, even if its name and its hardware do not match.
    type: bool
    default: false
  driver:
    description: Who runs the guests.
    type: str
    choices: [libvirt, qemu, none]
  root:
    description: Keep the change in the files below this folder instead of the machine's own /etc.
    type: path
  executable:
    description: The program on the host.
    type: str
    default: bascule
author: The Bascule developers
"""
EXAMPLES = r"""
- hosts: kvm
  serial: 1
  max_fail_percentage: 0
  tasks:
    - name: The network is as the site file says
      bascule.net.bascule_site:
        src: site.yaml
"""
RETURN = r"""
change:
  description: The number of the change on the host.
  type: int
  returned: when something was changed
changes:
  description: What was changed, or in check mode would be, each with its subject, action, reason, risk and guests.
  type: list
  returned: success
mind:
  description: Warnings, as C(bascule plan) prints them; what the administrator should know.
  type: list
  returned: success
confirmed:
  description: Whether the change was kept over a new connection.
  type: bool
  returned: when something was changed
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bascule.net.plugins.module_utils.verbs import ask, run

ARGUMENTS = {
    "src": {"type": "path"},
    "path": {"type": "path", "default": "/etc/bascule/site.yaml"},
    "host": {"type": "str"},
    "confirm_within": {"type": "int", "default": 60},
    "here": {"type": "bool", "default": False},
    "driver": {"type": "str", "choices": ["libvirt", "qemu", "none"]},
    "root": {"type": "path"},
    "executable": {"type": "str", "default": "bascule"},
}


def main():
    """Plan, and apply where something is to change."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    asked = module.params
    words = [asked["path"]]
    for key in ("host", "driver", "root"):
        words += ["--" + key, asked[key]] if asked[key] else []
    words += ["--here"] if asked["here"] else []
    plan = run(module, "plan", *words)
    changed = bool(plan["changes"] or plan["files"])
    result = {"changed": changed, "changes": plan["changes"], "mind": plan["mind"]}
    for sentence in plan["mind"]:
        module.warn(sentence)
    if module._diff and changed:
        result["diff"] = {"prepared": _shown(plan)}
    if not changed:
        result.update(_waiting(module))
    if module.check_mode or not changed:
        module.exit_json(**result)
    # always with a way back: that the controller reaches the host again is known only after the change
    made = run(module, "apply", *words, "--yes", "--confirm-within", f"{asked['confirm_within']}s")
    result.update(changed=made["changed"], mind=made["mind"])
    if made["changed"]:
        result.update(change=made["change"], waits_s=made["confirm_within_s"])
    module.exit_json(**result)


def _waiting(module):
    """A change that an earlier play could not confirm any more: the host is as it should be, until it is taken back."""
    _, now = ask(module, "status")
    if now.get("status") != "applied" or now["seconds_left"] is None:
        return {}
    return {"changed": True, "change": now["change"], "waits_s": now["seconds_left"]}


def _shown(plan):
    """The changes, a line each, and the text of the configuration files."""
    lines = ["{subject}: {action}".format(**change) for change in plan["changes"]]
    lines += ["{action} {path}".format(**file) for file in plan["files"]]
    return "\n".join(lines) + "\n" + "".join(file["diff"] for file in plan["files"])


if __name__ == "__main__":
    main()
