from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.patience import patient

RUN = """\
import subprocess, time
from tests.leftovers import end_with_this_process

end_with_this_process()
print(subprocess.Popen(("setsid", "sleep", "600"), start_new_session=True).pid, flush=True)
time.sleep(600)
"""


def test_what_a_killed_run_has_started_ends_with_it() -> None:
    words = (sys.executable, "-c", RUN)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as run:
        assert run.stdout is not None
        daemon = int(run.stdout.readline())
        run.kill()
    until = time.monotonic() + patient(1)
    while alive(daemon):
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_this_run_is_watched() -> None:
    assert os.environ["BASCULE_TEST_RUN"].isdigit()
