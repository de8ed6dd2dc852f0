"""Batch jobs: ask for one, see how far it is, cancel it. `clickwise worker` does them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from server.access import Guarded
from server.door import TheDoor, problems
from server.faults import first_fault
from server.jobs.kinds import check, settled
from server.jobs.queue import Queue, Queued
from server.schemas_jobs import ANY_JOB, JobAnswer, JobProblem, JobProgress, JobRequest, JobsAnswer, State

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=Guarded)

_PROGRESS: Final = TypeAdapter(JobProgress)
_PROBLEM: Final = TypeAdapter(JobProblem)
T = TypeVar("T")
JobId = Annotated[int, Path(ge=1, le=2**53)]


@router.post(
    "/jobs",
    response_model=JobAnswer,
    status_code=202,
    responses={200: {"model": JobAnswer, "description": "Known"}, **problems(400, 404, 409, 413, 422, 503)},
)
async def ask(ask: JobRequest, door: TheDoor) -> Response:
    """Ask for a job (202), or hear of the one that was asked for under the same idempotency key (200).

    It waits until a worker takes it; it is durable when this answers.
    """

    known = False

    def work() -> JobAnswer:
        nonlocal known
        wanted = settled(ask.job, door.service.settings)
        queue, request = Queue(door.service.store), ANY_JOB.dump_json(wanted).decode()
        job = queue.known(request, ask.idempotency_key)  # what it has written is no objection to itself
        known = job is not None
        if job is None:
            check(wanted, door.service.settings)
            job, known = queue.add(wanted.kind, request, ask.idempotency_key)
        return _answer(job)

    return await door.answer(work, lambda _: 200 if known else 202)


@router.get("/jobs", response_model=JobsAnswer, responses=problems(422, 503))
async def list_jobs(
    door: TheDoor,
    state: Annotated[State | None, Query(description="only jobs in this state")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="only jobs with a lower id")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="so many at most")] = 20,
) -> Response:
    """The newest jobs first."""

    def work() -> JobsAnswer:
        found = Queue(door.service.store).list(state, before, limit)
        return JobsAnswer(jobs=[_answer(job) for job in found], next=found[-1].id if len(found) == limit else None)

    return await door.answer(work)


@router.get("/jobs/{job_id}", response_model=JobAnswer, responses=problems(404, 422, 503))
async def job(job_id: JobId, door: TheDoor) -> Response:
    """One job: its state, how far it is, and what came of it."""
    return await door.answer(lambda: _answer(Queue(door.service.store).get(job_id)))


@router.post("/jobs/{job_id}:cancel", response_model=JobAnswer, responses=problems(404, 409, 422, 503))
async def cancel(job_id: JobId, door: TheDoor) -> Response:
    """End a job: at once where it waits, within seconds where it runs (`cancelling` until then)."""
    return await door.answer(lambda: _answer(Queue(door.service.store).cancel(job_id)))


def _answer(job: Queued) -> JobAnswer:
    """A job in words. What another version has recorded need not fit today's schemas: it is shown as far as it does."""
    unread = [f"{name}: no JSON object" for name in job.unread]

    def read(name: str, schema: TypeAdapter[T], value: object) -> T | None:
        try:
            return None if value is None else schema.validate_python(value)
        except ValidationError as error:
            unread.append(f"{name}: {first_fault(error)}")
            return None

    try:
        recorded = json.loads(job.request)
    except ValueError:
        recorded = job.request
    known = read("job", ANY_JOB, recorded)
    return JobAnswer(
        id=job.id,
        kind=job.kind,
        state=job.state,
        cancelling=job.cancelling and job.state == "running",
        attempts=job.attempts,
        created=_time(job.created_ms),
        started=None if job.started_ms is None else _time(job.started_ms),
        finished=None if job.finished_ms is None else _time(job.finished_ms),
        job=known.model_dump(exclude_none=True) if known else recorded if isinstance(recorded, dict) else {},
        progress=read("progress", _PROGRESS, job.progress),
        result=None if job.result is None else dict(job.result),
        problem=read("problem", _PROBLEM, job.problem),
        unread=unread,
    )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
