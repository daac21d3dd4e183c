"""The controller's half: brings the file, applies, and confirms over a connection that is opened after the change."""

from __future__ import annotations

import contextlib
import errno
import re
import time
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

PAUSE_S = 1.0  # between two tries to reach the host again
BAD_SITE_FILE = 65  # the program's exit status
NOT_STARTED = (errno.ENOENT, errno.EACCES)  # what copy has for the status of a program that is not there
_PLACE = re.compile(r"/\S+?((?::\d+:\d+)|(?=\s|$))")  # of a copy of the file on the host, with its line
GRACE_S = 60  # for the way back itself, on a slow host


def _renamed(told, path, name):
    """What is told, with another name for a file in it."""
    if isinstance(told, dict):
        return {key: _renamed(value, path, name) for key, value in told.items()}
    if isinstance(told, list):
        return [_renamed(value, path, name) for value in told]
    return told.replace(path, name) if isinstance(told, str) else told


class ActionModule(ActionBase):
    """Copy, apply, reconnect, confirm."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """What the task ends with; ``failed`` where the host did not answer a new connection in time."""
        super().run(tmp, task_vars)
        asked = dict(self._task.args)
        source = asked.pop("src", None)
        path = asked.setdefault("path", "/etc/bascule/site.yaml")
        if source:
            found = self._bring(source, path, asked.get("executable", "bascule"), task_vars)
            if found is not None and (found.get("failed") or found.get("path")):
                if found.get("failed"):
                    return found
                asked["path"] = found["path"]
        try:
            result = self._execute_module("bascule.net.bascule_site", module_args=asked, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return self._wait_until_back(asked, str(error), task_vars)
        if source and asked["path"] != path:  # a copy for check mode has a name that nobody knows
            result = _renamed(result, asked["path"], Path(source).name)
        if self._task.check_mode or result.get("failed") or result.get("waits_s") is None:
            return result
        answer = self._confirm(asked, result, task_vars)
        if answer.get("failed"):  # why is what is looked for, not each change that was to be
            result = {key: result[key] for key in ("change", "waits_s")}
        return {**result, **answer}

    def cleanup(self, force=False):  # noqa: FBT002  # as Ansible calls it
        """A host that does not answer keeps its temporary folder: else that would be told in place of the result."""
        with contextlib.suppress(AnsibleConnectionFailure):
            super().cleanup(force)

    def _bring(self, source, path, program, task_vars):
        """Have the file on the host. In check mode to a temporary place, whose path is then in what is returned.

        A file with problems does not take the place of the one that is there.
        """
        there = self._find_needle("files", source)
        if Path(there).is_dir():
            return {"failed": True, "msg": f"src is a folder, {there}: name the site file in it"}
        if self._task.check_mode:
            whole = self._loader.get_real_file(there)
            target = self._connection._shell.join_path(self._make_tmp_path(), "site.yaml")
            return {"path": self._transfer_file(whole, target)}
        folder = {"path": path.rsplit("/", 1)[0] or "/", "state": "directory"}
        made = self._execute_module("ansible.builtin.file", module_args=folder, task_vars=task_vars)
        if made.get("failed"):
            return made
        task = self._task.copy()
        task.args = {"src": source, "dest": path, "validate": f"{program} check %s"}
        copy = self._shared_loader_obj.action_loader.get(
            "ansible.builtin.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        done = copy.run(task_vars=task_vars)
        if done.get("failed") and done.get("exit_status") == BAD_SITE_FILE:
            told = _PLACE.sub(rf"{Path(source).name}\1", done.get("stdout", "").strip())
            return {"failed": True, "rc": BAD_SITE_FILE, "msg": f"{path} stays as it was; bascule check: {told}"}
        if done.get("failed") and done.get("rc") in NOT_STARTED:
            from ansible_collections.bascule.net.plugins.module_utils.verbs import absent

            return {"failed": True, "rc": done["rc"], "msg": f"{path} stays as it was; {absent(program)}"}
        return done

    def _wait_until_back(self, asked, why, task_vars):
        """The change itself cut the connection: the host takes it back, and answers again."""
        lost = "the connection was lost while the host changed, and nobody confirmed"
        until = time.monotonic() + float(asked.get("confirm_within") or 60) + GRACE_S
        while time.monotonic() < until:
            time.sleep(PAUSE_S)
            try:
                self._connection.reset()
                said = self._execute_module("ansible.builtin.ping", module_args={}, task_vars=task_vars)
            except AnsibleConnectionFailure as error:
                why = str(error)
                continue
            if said.get("ping"):
                again = f"{lost}; the host takes the change back by itself, and answers again"
                return {"failed": True, "confirmed": False, "msg": again}
        return {"failed": True, "confirmed": False, "msg": f"{lost}; it does not answer yet: {why}"}

    def _confirm(self, asked, result, task_vars):
        """Try over new connections until the host takes the change back; then say so."""
        until = time.monotonic() + float(result["waits_s"])
        why = ""
        while time.monotonic() < until:
            try:
                self._connection.reset()
                said = self._execute_module(
                    "bascule.net.bascule_confirm",
                    module_args={"executable": asked.get("executable", "bascule"), "change": result["change"]},
                    task_vars=task_vars,
                )
            except AnsibleConnectionFailure as error:
                why = str(error)
                time.sleep(PAUSE_S)
                continue
            if not said.get("failed") and not said.get("unreachable"):
                return {"confirmed": True}
            why = said.get("msg", "")
            if not said.get("unreachable"):
                break
        return {
            "failed": True,
            "confirmed": False,
            "msg": "change {} was not confirmed, so the host takes it back by itself: {}".format(result["change"], why),
        }
