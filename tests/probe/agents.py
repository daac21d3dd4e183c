"""Agents for tests: the test guest's own programs, run by busybox in a namespace; or whatever a test lets one say."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.probe.domain import GuestAgent
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.twin.test_guest import init

Speaker = Callable[[str, str], str | None]  # number and words of a question to the line that is answered, if any


@contextlib.contextmanager
def agent(folder: Path, speaker: Speaker, *, lines: int | None = None) -> Iterator[GuestAgent]:
    """Somebody at the other end of a socket, who hangs up after so many lines."""
    path = folder / "ask"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen()

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    talk, _ = door.accept()
                    threading.Thread(target=serve, args=(talk,), daemon=True).start()

        def serve(talk: socket.socket) -> None:
            with talk, talk.makefile("r") as stream, contextlib.suppress(OSError):
                for count, line in enumerate(stream, start=1):
                    number, _, words = line.strip().partition(" ")
                    threading.Thread(target=answer, args=(talk, number, words)).start()
                    if count == lines:
                        talk.shutdown(socket.SHUT_RDWR)
                        return

        def answer(talk: socket.socket, number: str, words: str) -> None:
            said = speaker(number, words)
            if said is not None:
                with contextlib.suppress(OSError):
                    talk.sendall(f"{said}\n".encode())

        threading.Thread(target=listen, daemon=True).start()
        yield GuestAgent(path=path, asks=init.PROTOCOLS, answers=init.PROTOCOLS)
        door.shutdown(socket.SHUT_RDWR)


def busybox(folder: Path, room: Namespace) -> Speaker:
    """The programs of the test guest, as its own script calls them."""
    tool = shutil.which("busybox")
    if tool is None:
        pytest.skip("busybox is not installed")
    tools, scripts = folder / "bin", folder / "scripts"  # apart: who writes to a link to busybox writes over busybox
    for place in (tools, scripts):
        place.mkdir()
    for applet in ("arping", "ip", "mount", "nc", "ping", "sh"):
        (tools / applet).symlink_to(tool)
    for name in ("heard", "offer"):
        (scripts / name).write_text(init.SCRIPTS[name].replace("#!/bin/sh", f"#!{tools}/sh"))
        (scripts / name).chmod(0o755)
    script = init.QUESTION.replace("/heard", f"{scripts}/heard").replace("/offer", f"{scripts}/offer")
    around = f"PATH={tools}; mount -t sysfs sysfs /sys; {script}\nquestion $words 2>&1"

    def speak(number: str, words: str) -> str:
        argv = ("unshare", "--mount", str(tools / "sh"), "-c", f"words='{words}'; {around}")
        done = run(argv, namespace=room, check=False)
        return f"{number} {done.status} {' '.join(done.stdout.split())}"

    return speak
