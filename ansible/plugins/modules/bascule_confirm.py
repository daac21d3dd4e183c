#!/usr/bin/python
"""Keep the change that waits on a host."""

DOCUMENTATION = r"""
module: bascule_confirm
short_description: Keep the change that Bascule made on a host
description:
  - Runs C(bascule confirm). That this task reaches the host over a connection opened after the change is the proof.
  - M(bascule.net.bascule_site) does this by itself.
options:
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
  returned: success
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bascule.net.plugins.module_utils.verbs import run


def main():
    """Confirm, or say that nothing waits."""
    module = AnsibleModule({"executable": {"type": "str", "default": "bascule"}}, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=False)
    module.exit_json(changed=True, change=json.loads(run(module, "confirm", "--json"))["change"])


if __name__ == "__main__":
    main()
