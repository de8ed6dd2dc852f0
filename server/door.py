"""What the routes share: the service once it is ready, the threads that work for it, and documented problems."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from server.evaluations import Evaluations
from server.gauges import Gauges
from server.guard import Guard
from server.health import Health
from server.jobs.waiting import Waiting
from server.keys import Keys
from server.operate.errors import RecentErrors
from server.patience import WAITING_SHARE, Patience
from server.problems import NotReadyError
from server.schemas import Problem
from server.service import Service
from server.settings import Settings
from server.watch import Watch
from server.workers import Workers

A = TypeVar("A", bound=BaseModel | None)
R = TypeVar("R")
Lane: TypeAlias = Literal["answers", "writes", "loads"]


@dataclass(slots=True)
class House:
    """The state of a running server. `service` is None until the warm-up is done, or for ever if it `failed`."""

    settings: Settings
    workers: Workers
    watch: Watch
    service: Service | None = None
    failed: BaseException | None = None
    leaving: bool = False
    recent: RecentErrors = field(default_factory=RecentErrors)
    evaluations: Evaluations | None = None
    writers: Workers = field(init=False)
    loaders: Workers = field(init=False)
    guard: Guard = field(init=False)
    health: Health = field(init=False)
    backlog: Waiting = field(init=False)
    _aside: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        # One: an index has one writer at a time, and who waits for it must not keep a thread from those who search.
        self.writers = Workers(1, self.settings.max_waiting, "clickwise-writer")
        # What is loaded to serve may have to be downloaded: neither searches nor documents wait for that.
        self.loaders = Workers(1, self.settings.max_waiting, "clickwise-loader")
        self.guard = Guard(self.settings, lambda: Keys(self.ready().store).all())
        # Two: a store that hangs holds up the look at the health, and must not keep the metrics from telling.
        self._aside = ThreadPoolExecutor(2, thread_name_prefix="clickwise-aside")
        self.health = Health(self._aside.submit)
        self.backlog = Waiting(self._aside.submit)
        self.watch.metrics.registry.register(Gauges(self))

    def lanes(self) -> dict[Lane, Workers]:
        """The lines in which requests wait for threads."""
        return {"answers": self.workers, "writes": self.writers, "loads": self.loaders}

    def admit(self, lane: Lane, seconds: float | None = None) -> None:
        """Raises BusyError where a request whose client waits for so many seconds (None: as long as any may) finds no
        room in a line, or would likely spend too much of its time there.

        While searches are turned away, so are documents: each takes as much of the machine as several searches, and
        in a line of their own they would take more of it the more come.
        """
        most = WAITING_SHARE * (self.settings.max_deadline_ms / 1000 if seconds is None else seconds)
        self.lanes()[lane].admit(most)
        if lane == "writes":
            self.workers.admit(most)

    async def aside(self, work: Callable[[], R]) -> R:
        """Short work for those who watch the service: in threads of its own, so that it is done on the busiest day."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    def ready(self) -> Service:
        """Raises NotReadyError before and without a successful warm-up."""
        if self.failed is not None:
            raise NotReadyError(f"The service could not start: {self.failed}", "Its log tells more; start it again.")
        if self.service is None:
            raise NotReadyError("The service is warming up.", "Try again in a moment.")
        return self.service

    def leave(self) -> None:
        """The service is about to end: it answers on, and asks for no more."""
        self.leaving = True

    def close(self) -> None:
        """Finish what is worked on, then let go of everything."""
        self.workers.close()
        self.writers.close()
        self.loaders.close()
        self._aside.shutdown()
        if self.service is not None:
            self.service.close()
        self.watch.close()


class Door:
    """Does a route's work in a thread and writes the answer there, too."""

    def __init__(self, house: House, request: Request) -> None:
        self._house, self._request, self._arrived = house, request, time.perf_counter()
        self.service = house.ready()
        self.version: str = request.app.version

    def patience(self, deadline_ms: int | None) -> Patience:
        """For how long this request's client waits, if it wishes so many milliseconds."""
        return Patience.of(deadline_ms, self._house.settings.max_deadline_ms, self._arrived)

    async def answer(
        self,
        work: Callable[[], A],
        status: Callable[[A], int] = lambda _: 200,
        patience: Patience | None = None,
        *,
        lane: Lane = "answers",
        exclude_none: bool = False,
    ) -> Response:
        """The result of `work` as JSON, without the members that are null if so wished; None as 204.

        With `patience` the work is given up when the client goes away. What writes to an index, and what loads a
        model, wait in a `lane` of their own. Raises BusyError where the wait is likely to be too long, ClientDisconnect
        for a client that has gone.
        """
        watch, asked = self._house.watch, time.perf_counter()
        workers = self._house.lanes()[lane]
        self._house.admit(lane, patience.seconds if patience else None)

        def response() -> Response:
            watch.waited(time.perf_counter() - asked)
            result = work()
            self._request.state.noted = watch.gave(result)
            if result is None:
                return Response(status_code=204)
            return Response(
                result.model_dump_json(exclude_none=exclude_none), status(result), media_type="application/json"
            )

        if patience is None:
            return await workers.run(response)
        working = asyncio.ensure_future(workers.run(response))
        leaving = asyncio.ensure_future(_gone(self._request))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return await working
            patience.end()
            raise ClientDisconnect
        finally:
            working.cancel()
            leaving.cancel()

    def degraded(self, reason: str) -> None:
        """An answer that is not a search's is less than promised."""
        self._house.watch.metrics.degraded(reason)

    async def run(self, work: Callable[[], None]) -> None:
        """Work that answers nothing yet."""
        await self._house.workers.run(work)


async def _gone(request: Request) -> None:
    """Waits until the client has closed the connection. Its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def the_house(request: Request) -> House:
    house: House = request.app.state.house
    return house


# Both are coroutines: FastAPI would send plain functions to a thread each, and every request with them.
async def _house(request: Request) -> House:
    return the_house(request)


async def _door(request: Request) -> Door:
    return Door(the_house(request), request)


TheHouse = Annotated[House, Depends(_house)]
TheDoor = Annotated[Door, Depends(_door)]

_MEANINGS = {
    400: "The body is not JSON.",
    404: "Something that was named does not exist.",
    409: "The request contradicts what was recorded or stands on disk, or another process writes to the index.",
    413: "The body is larger than the settings allow.",
    422: "The request cannot be used; `field` says which part.",
    503: "Not ready yet, or the store or index cannot be written.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of a route's errors."""
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses}
