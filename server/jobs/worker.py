"""A worker: takes jobs from the queue, one at a time, and has a child process do them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from index.errors import UnavailableError
from server.jobs.queue import LEASE_MS, Queue, Queued
from server.settings import Settings

log = logging.getLogger("clickwise.jobs")

COMMAND: Final = (sys.executable, "-m", "server.jobs.child")
_POLL_S: Final = 1.0
_BEAT_S: Final = 1.0
_GRACE_S: Final = 30.0
"""How long a job that is stopped may take to put away what it has."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a worker looks for jobs, tells that it lives, and how long it waits for a child that should end; in
    seconds."""

    poll: float = _POLL_S
    beat: float = _BEAT_S
    grace: float = _GRACE_S
    lease: float = LEASE_MS / 1000


class Worker:
    """Does jobs until it is told to stop. `name` says where it is."""

    def __init__(self, queue: Queue, settings: Settings, pace: Pace = Pace()) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
        self._queue, self._settings, self._pace = queue, settings, pace

    def run(self, stop: threading.Event, *, drain: bool = False) -> int:
        """Take jobs until `stop`, or with `drain` until none is due. Returns how many were taken.

        A store that cannot be reached is waited for.
        """
        taken = 0
        while not stop.is_set():
            try:
                job = self._queue.take(self.name)
            except UnavailableError as error:
                log.warning("no jobs can be taken: %s", error)
                stop.wait(self._pace.poll)
                continue
            if job is not None:
                taken += 1
                self._do(job, stop)
            elif drain:
                break
            else:
                stop.wait(self._pace.poll)
        return taken

    def _do(self, job: Queued, stop: threading.Event) -> None:
        log.info("job %d (%s): attempt %d", job.id, job.kind, job.attempts)
        child = Child(job, self._settings)
        try:
            why = self._watch(job, child, stop)
        finally:
            child.end(self._pace.grace)
        log.info("job %d (%s): %s", job.id, job.kind, why)
        if why != "lost":
            self._settle(job, child, why, stop)

    def _watch(
        self, job: Queued, child: Child, stop: threading.Event
    ) -> Literal["ended", "cancelled", "stopped", "lost"]:
        """Beat until the child has ended or should."""
        heard = time.monotonic()
        while True:
            ended = child.wait(self._pace.beat)
            if ended:
                return "ended"
            if stop.is_set():
                return "stopped"
            try:
                word = self._queue.beat(job.id, self.name, child.progress)
                heard = time.monotonic()
            except UnavailableError as error:
                log.warning("job %d: the store cannot be told of it: %s", job.id, error)
                word = "go on" if time.monotonic() - heard < self._pace.lease else "lost"
            if word == "cancel":
                return "cancelled"
            if word == "lost":
                return "lost"

    def _settle(self, job: Queued, child: Child, why: str, stop: threading.Event) -> None:
        """Tell the queue what came of a job; a store that is away is waited for, as long as nobody wants to stop."""
        while True:
            try:
                return self._told(job, child, why)
            except UnavailableError as error:
                log.warning("job %d: the store cannot be told of its end: %s", job.id, error)
                if stop.wait(self._pace.poll):
                    return  # its lease ends by itself, and what it has written is found by the next attempt

    def _told(self, job: Queued, child: Child, why: str) -> None:
        outcome = child.outcome
        if "result" in outcome:  # it may have ended well just when it should have stopped
            self._queue.beat(job.id, self.name, child.progress)
            self._queue.done(job.id, self.name, outcome["result"])
        elif why == "cancelled":
            self._queue.cancelled(job.id, self.name)
        elif why == "stopped":
            self._queue.hand_back(job.id, self.name)
        else:
            problem = outcome.get("problem") or _died(child.returncode)
            self._queue.failed(job.id, self.name, problem, again=outcome.get("again", True))


class Child:
    """A process that does one job: see `server.jobs.child`."""

    def __init__(self, job: Queued, settings: Settings) -> None:
        self.progress: Mapping[str, Any] | None = None
        self.outcome: Mapping[str, Any] = {}
        # A session of its own: Ctrl-C in the worker's terminal is the worker's to deal with.
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead already: `wait` tells
            order = {"job": job.request, "settings": settings.model_dump(mode="json"), "attempt": job.attempts}
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within this time."""
        self._reader.join(seconds)
        return not self._reader.is_alive()

    def end(self, grace: float) -> None:
        """Have it stop, or kill it, and wait for that."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                told = json.loads(line)
            except ValueError:  # half a line of a process that was killed
                continue
            if "progress" in told:
                self.progress = told["progress"]
            else:
                self.outcome = told


def _died(returncode: int | None) -> dict[str, str]:
    how = f"was killed by signal {-returncode}" if returncode and returncode < 0 else f"ended with {returncode}"
    return {
        "kind": "unavailable",
        "message": f"The process of the job {how}.",
        "advice": "Look into the worker's log: perhaps it lacks memory.",
    }
