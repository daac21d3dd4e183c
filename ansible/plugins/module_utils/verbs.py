"""How the modules run a verb of Bascule."""

import json


def run(module, *words):
    """What a verb prints. Ends the task with the program's own sentence where it refuses or is not there."""
    status, out, err = module.run_command([module.params["executable"], *words])
    if status == 0:
        return out
    try:
        problems = json.loads(out)["problems"]
        told = "; ".join(
            "{} ({})".format(one["message"], one["hint"]) if one.get("hint") else one["message"] for one in problems
        )
    except (ValueError, KeyError):
        told = (err or out).strip()
    module.fail_json(msg=f"bascule {words[0]}: {told}", rc=status)
    return None
