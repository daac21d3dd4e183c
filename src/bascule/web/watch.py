"""The thread that looks at the host: when the kernel tells of a change, when the site file changes, and for counters.

While nobody watches, it sleeps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from bascule import workflow
from bascule.apply.plan_preview import plan_preview
from bascule.apply.prepare import look
from bascule.draw.report.reach import reach_table
from bascule.errors import BasculeError, internal_error
from bascule.model.state import HostState
from bascule.observe.bridge_tables import learned_by_port, read_fdb
from bascule.observe.guards import stopped_frames
from bascule.plan.change import Plan
from bascule.policy.guards.counters import StoppedFrames
from bascule.providers.loaded_guards import guards_of
from bascule.system.net.counters import Count, read_counters
from bascule.system.net.netlink import NetlinkMonitor
from bascule.web.hub import Hub
from bascule.web.source import Source, first
from bascule.web.view import LastAnswers, rates, state_document

TICK_S = 1.0
REST = 4  # after a look, pause this many times as long as it took: a storm of changes gets a fifth of a core at most
GUARDS_S = 2.0  # between two looks at what guards stop: each starts a program
AGAIN_S = 30.0  # look again even when nothing was told: a notification may have been lost


class Watcher:
    """Looks and tells the hub; ``ask`` starts the questions of the site file."""

    def __init__(self, source: Source, hub: Hub) -> None:
        self.source = source
        self.hub = hub
        self._asking = LastAnswers()
        self._guarded = False  # whether any guard stood at the last look
        self._one = threading.Lock()
        self._modelling = threading.Lock()
        self._model_is_due = threading.Event()
        self._renew = threading.Event()
        self._ended = threading.Event()

    def start(self) -> None:
        """Start to look. The thread holds nothing that must be given back: it ends with the process."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more, in a second at most."""
        self._ended.set()
        self.hub.watched.set()

    def ask(self) -> bool:
        """Ask the expectations and the checks; whether it was begun (somebody may have, just before)."""
        if self.source.site_file is None or not self._one.acquire(blocking=False):
            return False
        self._asking = replace(self._asking, running=True)
        self._renew.set()
        threading.Thread(target=self._verify, args=(self.source.site_file,), name="ask", daemon=True).start()
        return True

    def _verify(self, site_file: str) -> None:
        digest = self.source.site.source.digest
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        try:
            seen = workflow.verify(site_file, host=self.source.host.name, root=self.source.root)
            self._asking = LastAnswers(at=now, digest=digest, checks=seen.checks, outcomes=seen.outcomes)
        except (BasculeError, OSError) as error:
            self._asking = LastAnswers(at=now, digest=digest, problem=first(error))
        except Exception as fault:  # the page says so; the server goes on
            self._asking = LastAnswers(at=now, digest=digest, problem=internal_error(fault))
        finally:
            self._one.release()
            self._renew.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self.hub.watched.wait()
            try:
                with NetlinkMonitor() as monitor:
                    self._watch(monitor)
            except (BasculeError, OSError) as error:
                self.hub.publish("trouble", {"words": first(error)})
                time.sleep(TICK_S)
            except Exception as fault:  # the page says so and the thread goes on: a picture that stands still would lie
                self.hub.publish("trouble", {"words": internal_error(fault)})
                time.sleep(TICK_S)

    def _watch(self, monitor: NetlinkMonitor) -> None:
        """Until the last client has gone."""
        told: dict[str, Mapping[str, Any]] = {}
        counts: tuple[float, dict[str, Count]] = (time.monotonic(), read_counters())
        not_before, looked, counted = 0.0, float("-inf"), float("-inf")
        is_due = True
        while self.hub.watched.is_set() and not self._ended.is_set():
            now = time.monotonic()
            if self.hub.newcomer.is_set():
                self.hub.newcomer.clear()
                told.clear()
                is_due = True
            is_due |= self.source.renew() or self._renew.is_set() or now - looked > AGAIN_S
            if is_due and now >= not_before:
                self._renew.clear()
                is_due, looked = False, now
                self._tell(told, "state", self._look())
                self._ask_model()
                not_before = time.monotonic() + REST * (time.monotonic() - now)
            if time.monotonic() - counts[0] >= TICK_S:
                fresh = (time.monotonic(), read_counters())
                self.hub.publish("traffic", {"rates": rates(counts[1], fresh[1], fresh[0] - counts[0])})
                counts = fresh
                self._tell(told, "learned", {"macs": learned_by_port(read_fdb())})
                if self._guarded and counts[0] - counted >= GUARDS_S:
                    self._tell(told, "stopped", {"stopped": list(map(str, _stopped()))})
                    counted = counts[0]
            until = counts[0] + TICK_S
            if is_due:
                until = min(until, not_before)
            if monitor.wait(max(0.0, min(until - time.monotonic(), 0.25))):
                is_due = True

    def _tell(self, told: dict[str, Mapping[str, Any]], kind: str, document: Mapping[str, Any]) -> None:
        if told.get(kind) != document:
            told[kind] = document
            now = datetime.now().astimezone().strftime("%H:%M:%S")
            self.hub.publish(kind, {**document, "at": now})

    def _look(self) -> dict[str, Any]:
        site, host = self.source.site, self.source.host
        problems = [self.source.problem] if self.source.problem else []
        observed: HostState | None = None
        plan: Plan | None = None
        if self.source.site_file is not None:
            try:
                found = plan_preview(site, host, self.source.root)
                observed, plan = found.observed, found.plan
            except BasculeError as error:
                problems.append(first(error))
        seen = observed or look(site, host)
        self._guarded = bool(guards_of(seen))
        return state_document(site, host, seen, plan=plan, problems=problems, asking=self._asking)

    def _ask_model(self) -> None:
        """Find out beside the looking who reaches whom; once more where the host has changed meanwhile."""
        if self.source.site_file is None:
            return
        self._model_is_due.set()
        if self._modelling.acquire(blocking=False):
            threading.Thread(target=self._model, name="model", daemon=True).start()

    def _model(self) -> None:
        try:
            while self._model_is_due.is_set() and not self._ended.is_set():
                self._model_is_due.clear()
                begun = time.monotonic()
                self.hub.publish("reach", self._reach())
                self._ended.wait(REST * (time.monotonic() - begun))
        finally:
            self._modelling.release()

    def _reach(self) -> dict[str, Any]:
        """Who reaches whom by the model of this host as it is, as a table of HTML."""
        try:
            found = workflow.reach(self.source.site, host=self.source.host.name, here=True)
            return {"table": reach_table(found), "problem": ""}
        except (BasculeError, OSError) as error:
            return {"table": "", "problem": first(error)}
        except Exception as fault:  # the page says so; the rest goes on
            return {"table": "", "problem": internal_error(fault)}


def _stopped() -> tuple[StoppedFrames, ...]:
    """What the guards have stopped; nothing while their table is being taken away."""
    try:
        return stopped_frames()
    except BasculeError:
        return ()
