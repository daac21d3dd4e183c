"""How the modules run a verb of Bascule."""

import json


def run(module, verb, *words):
    """The document that a verb prints. Ends the task with the program's own sentence where it refuses."""
    status, document = ask(module, verb, *words)
    if status:
        refuse(module, verb, status, document)
    return document


def ask(module, verb, *words):
    """Exit status and document of a verb. Ends the task where there is no Bascule, or one of another version."""
    asked = module.params["executable"]
    program = module.get_bin_path(asked)
    if program is None:
        module.fail_json(msg=absent(asked))
    status, out, err = module.run_command([program, verb, *words, "--json"])
    try:
        document = json.loads(out)
        schema = document["schema"]
    except (ValueError, KeyError, TypeError):
        told = (err or out).strip()[-300:]
        module.fail_json(msg=f"'{asked} {verb}' printed no document of Bascule: {told or 'it says nothing'}", rc=status)
    if schema != f"bascule/{verb}/1":
        module.fail_json(
            msg=f"'{asked} {verb}' prints '{schema}', and this collection reads 'bascule/{verb}/1': "
            "install the Bascule that the collection came with on the host"
        )
    return status, document


def refuse(module, verb, status, document):
    """End the task with the problems that a verb told."""
    module.fail_json(msg=f"bascule {verb}: " + "; ".join(map(_told, document.get("problems", ()))), rc=status)


def absent(program):
    """What is told where the program is not on the host."""
    return f"there is no '{program}' on the host: install Bascule there, or say where it is with 'executable'"


def _told(problem):
    """``site.yaml:17:13: 'uplnk' is not a key of a bridge (did you mean 'uplink'?)``."""
    place = "{file}:{line}:{column}: ".format(**problem) if problem.get("line") else ""
    hint = " ({})".format(problem["hint"].replace("--here", "here: true")) if problem.get("hint") else ""
    return place + problem["message"] + hint
