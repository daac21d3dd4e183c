"""How the modules run a verb of Bascule."""

import json


def run(module, *words):
    """What a verb prints. Ends the task with the program's own sentence where it refuses or is not there."""
    status, out, err = module.run_command([module.params["executable"], *words])
    if status == 0:
        return out
    try:
        problems = json.loads(out)["problems"]
        told = "; ".join(map(_told, problems))
    except (ValueError, KeyError):
        told = (err or out).strip()
    module.fail_json(msg=f"bascule {words[0]}: {told}", rc=status)
    return None


def _told(problem):
    """``site.yaml:17:13: 'uplnk' is not a key of a bridge (did you mean 'uplink'?)``."""
    place = "{file}:{line}:{column}: ".format(**problem) if problem.get("line") else ""
    hint = " ({})".format(problem["hint"].replace("--here", "here: true")) if problem.get("hint") else ""
    return place + problem["message"] + hint
