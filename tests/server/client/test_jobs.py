"""Batch jobs by the client: the real application, a real queue and worker, and time that only passes on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from index.index import Index
from server.client import (
    AsyncClient,
    Client,
    ConflictError,
    ConnectionFailedError,
    InvalidError,
    JobFailedError,
    JobUnfinishedError,
    MissingError,
    UnavailableError,
)
from server.client.retrying import Retries
from server.client.waiting import AWAY, FIRST_PAUSE, LONGEST_PAUSE
from server.jobs.queue import Queue
from server.jobs.worker import Pace, Worker
from server.schemas_jobs import JobAnswer, RerankJob
from server.service import Service
from tests.server.conftest import MakeService, listening
from tests.server.jobs.test_kinds import write_rows

JOB = RerankJob(kind="rerank", input="data/rows.parquet", output="data/ranked", pipeline="bm25", limit=5)


@pytest.fixture
def service(make_service: MakeService, lexical_index: Index, tmp_path: Path) -> Service:
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / "rows.parquet")
    (tmp_path / "home" / "indexes").mkdir(parents=True)
    (tmp_path / "home" / "indexes" / "docs").symlink_to(lexical_index.path)
    return make_service({"docs": lexical_index}, job_roots={"data": tmp_path / "data"})


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    with listening(service) as url:
        yield url


@pytest.fixture
def work(service: Service) -> Callable[..., int]:
    """Does all jobs that are due."""
    worker = Worker(Queue(service.store), service.settings, Pace(poll=0.05, beat=0.05))
    return lambda *_: worker.run(threading.Event(), drain=True)


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def test_from_the_request_to_the_result(address: str, work: Callable[..., int]) -> None:
    with Client(address, sleep=work) as client:  # whoever waits has the work done
        asked = client.submit(JOB)
        assert (asked.state, asked.job["limit"], asked.job["pipeline"]) == ("queued", 5, "bm25")
        seen: list[str] = []
        done = client.wait(asked.id, on_look=lambda job: seen.append(job.state))
        assert seen == ["queued", "done"]
        assert done.result is not None
        assert done.result["rows"] == 20
        assert client.job(asked.id) == done
        assert client.wait(asked.id, timeout=0) == done


def test_without_blocking(address: str, work: Callable[..., int]) -> None:
    async def all_of_it() -> list[JobAnswer]:
        async def sleep(_: float) -> None:
            await asyncio.to_thread(work)

        async with AsyncClient(address, sleep=sleep) as client:
            asked = [await client.submit({**JOB.model_dump(), "output": f"data/{name}"}) for name in "ab"]
            with pytest.raises(MissingError):
                await client.wait(10_000)
            assert [job.id for job in (await client.jobs()).jobs] == [asked[1].id, asked[0].id]
            await client.cancel(asked[1].id)
            with pytest.raises(JobFailedError, match="is cancelled"):
                await client.wait(asked[1].id)
            return [await client.wait(asked[0].id), await client.job(asked[1].id)]

    assert [job.state for job in asyncio.run(all_of_it())] == ["done", "cancelled"]


def test_one_key_is_one_job(address: str) -> None:
    with Client(address) as client:
        first = client.submit(JOB, idempotency_key="nightly")
        assert client.submit(JOB, idempotency_key="nightly").id == first.id
        assert client.submit(JOB).id != first.id
        with pytest.raises(ConflictError):
            client.submit(JOB.model_copy(update={"output": "data/other"}), idempotency_key="nightly")


def test_listing_and_cancelling(address: str) -> None:
    with Client(address) as client:
        asked = [client.submit({**JOB.model_dump(), "output": f"data/{name}"}).id for name in "abc"]
        page = client.jobs(limit=2)
        assert ([job.id for job in page.jobs], page.next) == ([asked[2], asked[1]], asked[1])
        assert page.next is not None
        assert [job.id for job in client.jobs(before=page.next).jobs] == [asked[0]]
        assert client.cancel(asked[1]).state == "cancelled"
        assert client.cancel(asked[1]).state == "cancelled"
        assert [job.id for job in client.jobs(state="cancelled").jobs] == [asked[1]]


def test_what_is_wrong_with_a_job_is_told(address: str, work: Callable[..., int], tmp_path: Path) -> None:
    with Client(address, sleep=work) as client:
        with pytest.raises(InvalidError) as refused:
            client.submit({"kind": "rerank", "input": "data/rows.parquet", "output": "data/x", "limit": 0})
        assert refused.value.field == "job.rerank.limit"
        for call in (client.job, client.cancel, client.wait):
            with pytest.raises(MissingError):
                call(77)
        asked = client.submit(JOB)
        (tmp_path / "data" / "rows.parquet").write_text("no table any more")
        with pytest.raises(JobFailedError) as failed:
            client.wait(asked.id)
        problem = failed.value.job.problem
        assert problem is not None
        assert problem.message in str(failed.value)
        assert failed.value.job.state == "failed"


def test_looks_become_rarer_until_the_time_is_over(address: str) -> None:
    time = Time()
    with Client(address, sleep=time.sleep, clock=time.clock) as client:
        asked = client.submit(JOB)
        with pytest.raises(JobUnfinishedError) as over:
            client.wait(asked.id, timeout=100)
        assert isinstance(over.value, TimeoutError)
        assert over.value.job is not None
        assert over.value.job.state == "queued"
        assert str(over.value) == f"The job {asked.id} is queued after 100 seconds of waiting."
    assert time.pauses[:6] == [0.5, 1, 2, 4, 8, 15]
    assert max(time.pauses) == LONGEST_PAUSE
    assert sum(time.pauses) == time.now == 100


class Away:
    """A service that is away for so many requests, by an answer 503 or by none, and then tells of a job."""

    def __init__(self, times: int, refusal: int | Exception, state: str = "done") -> None:
        self.left, self.refusal, self.state = times, refusal, state

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            if isinstance(self.refusal, Exception):
                raise self.refusal
            problem = {
                "type": "t",
                "title": "t",
                "detail": "Away.",
                "advice": "Wait.",
                "request_id": "r",
                "status": 503,
            }
            return httpx.Response(self.refusal, json=problem)
        job: dict[str, Any] = dict.fromkeys(("started", "finished", "progress", "result", "problem"))
        told = {"id": 1, "kind": "rerank", "state": self.state, "cancelling": False, "attempts": 1, "created": "x"}
        return httpx.Response(200, json={**job, **told, "job": {}})


def waits(away: Away, **options: Any) -> JobAnswer:
    time = Time()
    retries = Retries(most=0)
    with Client(transport=httpx.MockTransport(away), retries=retries, sleep=time.sleep, clock=time.clock) as client:
        return client.wait(1, **options)


@pytest.mark.parametrize("refusal", [503, httpx.ConnectError("refused"), httpx.ReadTimeout("late")])
def test_a_service_that_is_away_for_a_while_is_waited_for(refusal: int | Exception) -> None:
    assert waits(Away(10, refusal)).state == "done"


@pytest.mark.parametrize(
    ("refusal", "error"), [(503, UnavailableError), (httpx.ConnectError("refused"), ConnectionFailedError)]
)
def test_but_not_for_ever(refusal: int | Exception, error: type[Exception]) -> None:
    away = Away(10**6, refusal)
    with pytest.raises(error):
        waits(away)
    looks = 10**6 - away.left
    assert AWAY / LONGEST_PAUSE < looks < AWAY / LONGEST_PAUSE + LONGEST_PAUSE / FIRST_PAUSE
    with pytest.raises(JobUnfinishedError, match="The job 1 could not be seen after 20 seconds"):
        waits(away, timeout=20)


def test_errors_that_waiting_does_not_mend_are_told_at_once() -> None:
    away = Away(1, 403)
    with pytest.raises(Exception, match="Away"):
        waits(away)
    assert away.left == 0
    with pytest.raises(JobFailedError, match=r"The job 1 is failed\."):
        waits(Away(0, 503, "failed"))


def test_the_same_job_whether_typed_or_in_words(address: str) -> None:
    with Client(address) as client:
        submit = partial(client.submit, idempotency_key="same")
        assert submit(JOB).id == submit({**JOB.model_dump(exclude_unset=True)}).id
