"""When a job is looked at again, and when no more: decided in one place for both clients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from server.client.errors import ConnectionFailedError, UnavailableError
from server.schemas_jobs import JobAnswer

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
"""Seconds between two looks: at first, and when they have doubled often enough."""
AWAY: Final = 300.0
"""For how many seconds a service may be away while one of its jobs is waited for: a restart ends no wait."""


class JobFailedError(Exception):
    """The job has ended otherwise than well: `job.state` is failed or cancelled, `job.problem` says why."""

    def __init__(self, job: JobAnswer) -> None:
        why = f": {job.problem.message} {job.problem.advice}".rstrip() if job.problem else "."
        super().__init__(f"The job {job.id} is {job.state}{why}")
        self.job = job


class JobUnfinishedError(TimeoutError):
    """The time for waiting is over, and the job goes on: `job` is what was seen of it last, None where nothing was."""

    def __init__(self, job_id: int, job: JobAnswer | None, seconds: float) -> None:
        state = f"is {job.state}" if job else "could not be seen"
        super().__init__(f"The job {job_id} {state} after {seconds:g} seconds of waiting.")
        self.job = job


class Waiting:
    """One wait for one job, for at most so many seconds by this clock."""

    def __init__(self, job_id: int, seconds: float | None, clock: Callable[[], float]) -> None:
        self._job_id, self._seconds, self._clock = job_id, math.inf if seconds is None else seconds, clock
        self._begun = clock()
        self._pause = FIRST_PAUSE
        self._away: float | None = None  # since when
        self._seen: JobAnswer | None = None

    def pause(self, outcome: JobAnswer | ConnectionFailedError | UnavailableError) -> float | None:
        """Seconds until the next look; None where the job is done.

        Raises JobFailedError for one that has ended in another way, JobUnfinishedError when the time is over, and the
        outcome itself where the service has been away for too long.
        """
        now = self._clock()
        if isinstance(outcome, JobAnswer):
            self._seen, self._away = outcome, None
            if outcome.state == "done":
                return None
            if outcome.state in ("failed", "cancelled"):
                raise JobFailedError(outcome)
        else:
            self._away = now if self._away is None else self._away
            if now - self._away >= AWAY:
                raise outcome
        left = self._begun + self._seconds - now
        if left <= 0:
            raise JobUnfinishedError(self._job_id, self._seen, self._seconds)
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return min(pause, left)
