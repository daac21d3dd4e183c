#!/usr/bin/python
"""Keep the change that waits on a host."""

DOCUMENTATION = r"""
module: bascule_confirm
short_description: Keep the change that Bascule made on a host
description:
  - Runs C(bascule confirm). That this task reaches the host over a connection opened after the change is the proof.
  - M(bascule.net.bascule_site) does this by itself.
requirements:
  - Bascule on the host, of the version of this collection (C(bascule --version))
attributes:
  check_mode:
    support: full
    description: Nothing is confirmed.
  diff_mode:
    support: none
    description: There is nothing to show.
options:
  change:
    description: Which change is meant. Where it is confirmed already, there is nothing to do.
    type: int
  executable:
    description: The program on the host.
    type: str
    default: bascule
author: The Bascule developers
"""
EXAMPLES = r"""
- name: Keep what waits
  bascule.net.bascule_confirm:
"""
RETURN = r"""
change:
  description: The number of the change that is kept.
  type: int
  returned: success, unless in check mode
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bascule.net.plugins.module_utils.verbs import ask, refuse


def main():
    """Confirm; where an earlier answer was lost on its way, that is done already."""
    arguments = {"change": {"type": "int"}, "executable": {"type": "str", "default": "bascule"}}
    module = AnsibleModule(arguments, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False)
    status, document = ask(module, "confirm")
    if status == 0:
        module.exit_json(changed=True, change=document["change"])
    _, now = ask(module, "status")
    if now.get("status") == "confirmed" and module.params["change"] in {None, now["change"]}:
        module.exit_json(changed=False, change=now["change"])
    refuse(module, "confirm", status, document)


if __name__ == "__main__":
    main()
