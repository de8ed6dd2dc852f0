"""The client that does not block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from server.client import calls
from server.client.calls import (
    A,
    Call,
    DocumentOptions,
    FeedbackOptions,
    JobsOptions,
    Kind,
    RerankOptions,
    SearchOptions,
)
from server.client.errors import ConnectionFailedError, UnavailableError
from server.client.retrying import Retries, arguments, headers, read, unreachable
from server.client.waiting import Waiting
from server.schemas import BulkAnswer, DocumentAnswer, ErasedAnswer, FeedbackAnswer, SearchAnswer, WrittenAnswer
from server.schemas_catalog import ExperimentsAnswer, IndexesAnswer, InterleavingAnswer, PipelinesAnswer
from server.schemas_jobs import AnyJob, JobAnswer, JobsAnswer
from server.schemas_operation import ReleaseInfo, ReleasesAnswer, WhoAmIAnswer
from server.schemas_rerank import JinaAnswer


class AsyncClient:
    """For asyncio. Close it, or use it in an `async with`.

    `key` is an API key; `timeout` in seconds is that of one attempt; `transport` replaces the network, as in tests.
    Every method raises `ApiError`, or `ConnectionFailedError`.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8080",
        key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: Retries = Retries(),  # noqa: B008 - immutable
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=headers(key), timeout=timeout, transport=transport)
        self._retries, self._sleep, self._clock = retries, sleep, clock

    async def search(self, query: str | None = None, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """Ask something, or with `query_id` have it ranked again with all feedback so far."""
        return await self._send(calls.search(query, options))

    async def feedback(
        self, query_id: str, document: str, kind: Kind, **options: Unpack[FeedbackOptions]
    ) -> FeedbackAnswer:
        """Tell what a person did. It gets an idempotency key where it has none: sent again, it counts once."""
        return await self._send(calls.feedback(query_id, document, kind, options))

    async def rerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankOptions]) -> JinaAnswer:
        """Order texts that are in no index."""
        return await self._send(calls.rerank(query, documents, options))

    async def document(self, document_id: str, *, index: str | None = None) -> DocumentAnswer:
        """One document as it is stored."""
        return await self._send(calls.document(document_id, index))

    async def put(
        self, document_id: str, *, index: str | None = None, **parts: Unpack[DocumentOptions]
    ) -> WrittenAnswer:
        """Add or replace a document."""
        return await self._send(calls.put(document_id, index, parts))

    async def delete(self, document_id: str, *, index: str | None = None) -> None:
        """Delete a document."""
        return await self._send(calls.delete(document_id, index))

    async def bulk(self, documents: Iterable[Mapping[str, Any]], *, index: str | None = None) -> BulkAnswer:
        """Add or replace many documents, each with its `id`: all of them or none."""
        return await self._send(calls.bulk(documents, index))

    async def erase(self, person: str) -> ErasedAnswer:
        """Forget a session, client or user by the id that was sent: every query they were shown a page of or clicked
        on, with all that belongs to it."""
        return await self._send(calls.erase(person))

    async def indexes(self) -> IndexesAnswer:
        """What there is to search."""
        return await self._send(calls.indexes())

    async def pipelines(self) -> PipelinesAnswer:
        """How it can be ranked."""
        return await self._send(calls.pipelines())

    async def interleaving(self, *, confidence: float = 0.95) -> InterleavingAnswer:
        """Which of two pipelines wins where both share pages; valid whenever it is read."""
        return await self._send(calls.interleaving(confidence))

    async def experiments(self, *, confidence: float = 0.95) -> ExperimentsAnswer:
        """How splits of the sessions and canaries stand; valid whenever it is read."""
        return await self._send(calls.experiments(confidence))

    async def releases(self) -> ReleasesAnswer:
        """What was activated and serves now."""
        return await self._send(calls.releases())

    async def activate_index(self, name: str, generation: str | None = None, *, share: float = 1.0) -> ReleaseInfo:
        """Have a generation serve, the newest where none is named: for a `share` of the sessions, as a canary, or for
        all. Opening and warming it may take longer than the client's `timeout`; it goes on then."""
        return await self._send(calls.activate_index(name, generation, share))

    async def activate_model(self, name: str, model: str, *, share: float = 1.0) -> ReleaseInfo:
        """Have a model serve in the place of the one that pipelines name, as with `activate_index`."""
        return await self._send(calls.activate_model(name, model, share))

    async def activate_click_model(self, model: str, *, share: float = 1.0) -> ReleaseInfo:
        """Have clicks read in another way, as with `activate_index`."""
        return await self._send(calls.activate_click_model(model, share))

    async def submit(self, job: AnyJob | Mapping[str, Any], *, idempotency_key: str | None = None) -> JobAnswer:
        """Ask for a batch job, as one of `server.schemas_jobs` or in the same words: it is durable when this returns.

        It gets an idempotency key where it has none: sent again, it is one job. Raises `ConflictError` where the key
        belongs to another one.
        """
        return await self._send(calls.submit(job, idempotency_key))

    async def job(self, job_id: int) -> JobAnswer:
        """One job: its state, how far it is, and what came of it."""
        return await self._send(calls.job(job_id))

    async def jobs(self, **options: Unpack[JobsOptions]) -> JobsAnswer:
        """The newest jobs first; its `next` is what to give as `before` for more."""
        return await self._send(calls.jobs(options))

    async def cancel(self, job_id: int) -> JobAnswer:
        """End a job: at once where it waits, within seconds where it runs. Raises `ConflictError` for one that has
        ended by itself."""
        return await self._send(calls.cancel(job_id))

    async def wait(
        self,
        job_id: int,
        *,
        timeout: float | None = None,
        on_look: Callable[[JobAnswer], object] | None = None,
    ) -> JobAnswer:
        """Wait until a job is done, for at most so many seconds, and look at it less and less often meanwhile.

        `on_look` is told of every look. A service that is away for some minutes is waited for. Raises `JobFailedError`
        for a job that fails or is cancelled and `JobUnfinishedError`, a TimeoutError, when the time is over; the job
        goes on then.
        """
        waiting = Waiting(job_id, timeout, self._clock)
        while True:
            outcome: JobAnswer | ConnectionFailedError | UnavailableError
            try:
                outcome = await self.job(job_id)
            except (ConnectionFailedError, UnavailableError) as error:
                outcome = error
            if on_look is not None and isinstance(outcome, JobAnswer):
                on_look(outcome)
            pause = waiting.pause(outcome)
            if pause is None:
                assert isinstance(outcome, JobAnswer)
                return outcome
            await self._sleep(pause)

    async def whoami(self) -> WhoAmIAnswer:
        """What one's key may do."""
        return await self._send(calls.whoami())

    async def _send(self, call: Call[A]) -> A:
        attempt = 0
        while True:
            try:
                outcome: httpx.Response | httpx.TransportError = await self._http.request(**arguments(call))
            except httpx.TransportError as error:
                outcome = error
            wait = self._retries.wait(call, attempt, outcome)
            if wait is None:
                break
            await self._sleep(wait)
            attempt += 1
        if isinstance(outcome, httpx.TransportError):
            raise unreachable(outcome, self._http.base_url) from outcome
        return read(call, outcome, again=attempt > 0)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
