"""The queue of jobs: rows of the store that workers take under a lease.

Time is the database's, where it has a clock of its own: workers on several machines need not agree on theirs. A lease
that has ended lets the next worker take the job; who has lost a lease notices at the next heartbeat, and stops. Until
then two may be at it: what a job writes has to stand that, as the outputs of `ranking.jobs` do, which are locked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection, RowMapping, and_, case, func, insert, select, update

from index.errors import ConflictError, NotFoundError
from server.schemas_jobs import State
from server.store import Store
from server.store.tables import jobs

UNDONE: Final[tuple[State, ...]] = ("queued", "running")
Backlog: TypeAlias = Mapping[State, tuple[int, float]]
"""queued and running -> how many jobs, and the age of the oldest in seconds."""
LEASE_MS: Final = 30_000
"""How long a worker may be silent before another takes its job."""
ATTEMPTS: Final = 3
"""A job that was begun so often and ended neither well nor by its own fault is given up."""
_PAUSE_MS: Final = 5_000
"""Before the second attempt; it doubles with every further one."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A job as the queue has it. Times in milliseconds of the epoch; `progress`, `result` and `problem` are what the
    job's kind says, and {kind, message, advice}; `unread` names those of them that are recorded and no JSON object."""

    id: int
    kind: str
    request: str
    state: State
    created_ms: int
    attempts: int
    worker: str | None
    cancelling: bool
    progress: Mapping[str, Any] | None
    started_ms: int | None
    finished_ms: int | None
    result: Mapping[str, Any] | None
    problem: Mapping[str, str] | None
    unread: tuple[str, ...] = ()


class Queue:
    """The jobs of a store. Thread-safe. Raises UnavailableError where the store cannot be read or written."""

    def __init__(self, store: Store, lease_ms: int = LEASE_MS) -> None:
        self._store, self._lease_ms = store, lease_ms

    def add(self, kind: str, request: str, idempotency_key: str | None = None) -> tuple[Queued, bool]:
        """A new job at the end of the queue; or the one that was asked for before under this key, and True.

        Raises ConflictError where the key belongs to a different request.
        """
        with self._store.writing() as connection:
            if idempotency_key is not None:
                self._store.database.claim(connection, f"job:{idempotency_key}")
                known = _known(connection, request, idempotency_key)
                if known is not None:
                    return known, True
            now = self._now(connection)
            fresh = insert(jobs).values(
                kind=kind,
                request=request,
                state="queued",
                idempotency_key=idempotency_key,
                created_ms=now,
                due_ms=now,
                attempts=0,
                cancelling=False,
            )
            return _queued(connection.execute(fresh.returning(*jobs.c)).mappings().one()), False

    def known(self, request: str, idempotency_key: str | None) -> Queued | None:
        """The job that was asked for before under this key. Raises ConflictError as `add` does."""
        if idempotency_key is None:
            return None
        with self._store.reading() as connection:
            return _known(connection, request, idempotency_key)

    def get(self, job_id: int) -> Queued:
        """Raises NotFoundError for an unknown id."""
        with self._store.reading() as connection:
            row = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).mappings().first()
        if row is None:
            raise _unknown(job_id)
        return _queued(row)

    def list(self, state: State | None = None, before: int | None = None, limit: int = 20) -> list[Queued]:
        """The newest jobs, of one state or of all, from below an id on."""
        rows = select(jobs).order_by(jobs.c.job_id.desc()).limit(limit)
        if state is not None:
            rows = rows.where(jobs.c.state == state)
        if before is not None:
            rows = rows.where(jobs.c.job_id < before)
        with self._store.reading() as connection:
            return [_queued(row) for row in connection.execute(rows).mappings()]

    def backlog(self) -> Backlog:
        """What waits and what runs: how many there are, and how many seconds ago the oldest was asked for or begun."""
        since = case((jobs.c.state == "queued", jobs.c.created_ms), else_=jobs.c.started_ms)
        wanted = select(jobs.c.state, func.count(), func.min(since)).where(jobs.c.state.in_(UNDONE))
        with self._store.reading() as connection:
            now = self._now(connection)
            found = {state: (n, oldest) for state, n, oldest in connection.execute(wanted.group_by(jobs.c.state))}
        return {
            state: (count, max(0, now - oldest) / 1000)
            for state in UNDONE
            for count, oldest in [found.get(state, (0, now))]
        }

    def cancel(self, job_id: int) -> Queued:
        """End a job: at once where it waits, at its worker's next heartbeat where it runs. Asking again changes
        nothing. Raises NotFoundError for an unknown id, ConflictError for a job that has ended in another way."""
        with self._store.writing() as connection:
            found = self._locked(connection, job_id)
            if found.state in ("done", "failed"):
                raise ConflictError(f"The job {job_id} has ended: it is {found.state}.", "There is nothing to cancel.")
            if found.state == "running":
                return self._set(connection, job_id, cancelling=True)
            if found.state == "cancelled":
                return found
            return self._set(connection, job_id, state="cancelled", finished_ms=self._now(connection))

    def take(self, worker: str) -> Queued | None:
        """The oldest job that is due, now leased to this worker; None where there is none.

        A job whose worker has gone silent is due again, unless that was its last attempt or it was to be cancelled.
        """
        with self._store.writing() as connection:
            now = self._now(connection)
            due = and_(jobs.c.state.in_(UNDONE), jobs.c.due_ms <= now)
            oldest = select(jobs).where(due).order_by(jobs.c.job_id).limit(1).with_for_update(skip_locked=True)
            while True:
                row = connection.execute(oldest).mappings().first()
                if row is None:
                    return None
                found = _queued(row)
                if found.cancelling:
                    self._set(connection, found.id, state="cancelled", finished_ms=now, worker=None)
                elif found.attempts >= ATTEMPTS:
                    problem = found.problem or _GONE
                    self._set(
                        connection, found.id, state="failed", finished_ms=now, worker=None, problem=json.dumps(problem)
                    )
                else:
                    return self._set(
                        connection,
                        found.id,
                        state="running",
                        worker=worker,
                        attempts=found.attempts + 1,
                        due_ms=now + self._lease_ms,
                        started_ms=found.started_ms or now,
                    )

    def beat(self, job_id: int, worker: str, progress: Mapping[str, Any] | None) -> Literal["go on", "cancel", "lost"]:
        """Renew a lease, tell how far the job is, and hear whether it should go on."""
        with self._store.writing() as connection:
            held = and_(jobs.c.job_id == job_id, jobs.c.worker == worker, jobs.c.state == "running")
            renewed = update(jobs).where(held).values(due_ms=self._now(connection) + self._lease_ms)
            if progress is not None:
                renewed = renewed.values(progress=json.dumps(progress))
            row = connection.execute(renewed.returning(jobs.c.cancelling)).first()
        if row is None:
            return "lost"
        return "cancel" if row.cancelling else "go on"

    def done(self, job_id: int, worker: str, result: Mapping[str, Any]) -> None:
        self._end(job_id, worker, state="done", result=json.dumps(result), problem=None)

    def failed(self, job_id: int, worker: str, problem: Mapping[str, str], *, again: bool) -> None:
        """The attempt failed; `again` lets another follow after a pause, while there are attempts left."""
        with self._store.writing() as connection:
            found = self._locked(connection, job_id)
            if found.worker != worker or found.state != "running":
                return
            told = json.dumps(problem)
            if again and found.attempts < ATTEMPTS and not found.cancelling:
                pause = _PAUSE_MS * 2 ** (found.attempts - 1)
                due = self._now(connection) + pause
                self._set(connection, job_id, state="queued", worker=None, due_ms=due, problem=told)
            else:
                state = "cancelled" if found.cancelling else "failed"
                now = self._now(connection)
                self._set(connection, job_id, state=state, worker=None, finished_ms=now, problem=told)

    def cancelled(self, job_id: int, worker: str) -> None:
        self._end(job_id, worker, state="cancelled")

    def hand_back(self, job_id: int, worker: str) -> None:
        """The worker is being stopped: another may go on at once, and this was no attempt."""
        with self._store.writing() as connection:
            found = self._locked(connection, job_id)
            if found.worker == worker and found.state == "running":
                now = self._now(connection)
                self._set(connection, job_id, state="queued", worker=None, due_ms=now, attempts=found.attempts - 1)

    def _end(self, job_id: int, worker: str, **values: Any) -> None:
        """End a job, unless its lease has gone to another."""
        with self._store.writing() as connection:
            held = and_(jobs.c.job_id == job_id, jobs.c.worker == worker, jobs.c.state == "running")
            now = self._now(connection)
            connection.execute(update(jobs).where(held).values(worker=None, finished_ms=now, **values))

    def _locked(self, connection: Connection, job_id: int) -> Queued:
        row = connection.execute(select(jobs).where(jobs.c.job_id == job_id).with_for_update()).mappings().first()
        if row is None:
            raise _unknown(job_id)
        return _queued(row)

    def _set(self, connection: Connection, job_id: int, **values: Any) -> Queued:
        changed = update(jobs).where(jobs.c.job_id == job_id).values(**values).returning(*jobs.c)
        return _queued(connection.execute(changed).mappings().one())

    def _now(self, connection: Connection) -> int:
        return self._store.database.now_ms(connection)


_GONE: Final = {
    "kind": "unavailable",
    "message": "Every worker that took this job has died or gone silent.",
    "advice": "Look into the workers' logs: perhaps they lack memory. Ask for the job anew when that is mended.",
}


def _unknown(job_id: int) -> NotFoundError:
    return NotFoundError(f"There is no job {job_id}.", "GET /v1/jobs lists them.")


def _known(connection: Connection, request: str, idempotency_key: str) -> Queued | None:
    found = select(jobs).where(jobs.c.idempotency_key == idempotency_key)
    row = connection.execute(found).mappings().first()
    if row is None:
        return None
    if row["request"] != request:
        raise ConflictError(
            f"The idempotency key {idempotency_key!r} belongs to another job.", "Use a new key for every job."
        )
    return _queued(row)


def _queued(row: RowMapping) -> Queued:
    told = {name: _object(row[name]) for name in ("progress", "result", "problem")}
    return Queued(
        id=row["job_id"],
        kind=row["kind"],
        request=row["request"],
        state=row["state"],
        created_ms=row["created_ms"],
        attempts=row["attempts"],
        worker=row["worker"],
        cancelling=bool(row["cancelling"]),
        started_ms=row["started_ms"],
        finished_ms=row["finished_ms"],
        unread=tuple(name for name, value in told.items() if value is None and row[name] is not None),
        **told,
    )


def _object(text: str | None) -> Any:
    """A JSON object; None where it is none, because one row must not keep the others from being read."""
    try:
        value = json.loads(text or "null")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
