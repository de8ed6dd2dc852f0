"""What went wrong lately in this process: answers of status 500 and above, and warnings and errors of the log."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.operate.answers import ErrorsAnswer, RecentError
from server.operate.period import iso
from server.watch import route_of

KEPT: Final = 200
LOGGER: Final = "clickwise"
WARMING: Final = "not-ready"
"""The kind of problem that a service answers while it warms up."""


class RecentErrors(logging.Handler):
    """The newest errors, in memory. Thread-safe. As a handler it takes the lines of the house's own log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._since = _now()
        self._kept: deque[RecentError] = deque(maxlen=KEPT)
        self._mutex = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage() + (f": {type(error).__name__}: {error}" if error else "")
        self.add(
            RecentError(
                time=iso(round(record.created * 1000)),
                level="error" if record.levelno >= logging.ERROR else "warning",
                source=record.name,
                message=message,
            )
        )

    def add(self, error: RecentError) -> None:
        with self._mutex:
            self._kept.append(error)

    def answer(self) -> ErrorsAnswer:
        with self._mutex:
            return ErrorsAnswer(since=iso(self._since), errors=list(reversed(self._kept)))

    def start(self) -> None:
        logging.getLogger(LOGGER).addHandler(self)

    def stop(self) -> None:
        logging.getLogger(LOGGER).removeHandler(self)


class Watching:
    """Notes every answer of status 500 and above, with the problem that `server.problems` left in the request's
    state."""

    def __init__(self, app: ASGIApp, recent: RecentErrors) -> None:
        self.app, self.recent = app, recent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            state = scope.get("state", {})
            # A service that warms up is asked again and again whether it is ready: no error of anybody's.
            if (
                message["type"] == "http.response.start"
                and message["status"] >= 500
                and state.get("problem_kind") != WARMING
            ):
                self.recent.add(
                    RecentError(
                        time=iso(_now()),
                        level="error",
                        source=f"{scope['method']} {route_of(scope)}",  # paths can hold what belongs to a person
                        message=state.get("problem") or "The service failed unexpectedly; its log tells more.",
                        status=message["status"],
                        request_id=state.get("request_id"),
                    )
                )
            await send(message)

        await self.app(scope, receive, sending if scope["type"] == "http" else send)


def _now() -> int:
    return time.time_ns() // 1_000_000
