"""When a request is sent again: decided in one place for both clients."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from server.client.calls import A, Call
from server.client.errors import ConnectionFailedError, error_of, seconds

FIRST_WAIT: Final = 0.25
"""Seconds before the first repetition where the service names no time; each further one waits twice as long."""


@dataclass(frozen=True)
class Retries:
    """At most so many repetitions, each after at most so many seconds. A service that asks for more patience than that
    is told of as it answers."""

    most: int = 3
    longest_wait: float = 30.0

    def wait(self, call: Call[Any], attempt: int, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds to wait before the request is sent again; None to leave it. `attempt` counts from 0.

        Too many requests (429) were turned away before anything was done, so any call is sent again. Where a service
        is unavailable (503) or does not answer, only a repeatable one is.
        """
        if attempt >= self.most:
            return None
        if isinstance(outcome, httpx.TransportError):
            connected = not isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout)
            return None if connected and not call.repeatable else self._pause(attempt)
        if outcome.status_code != 429 and not (outcome.status_code == 503 and call.repeatable):
            return None
        asked = seconds(outcome.headers.get("Retry-After"))
        wait = self._pause(attempt) if asked is None else asked
        return wait if wait <= self.longest_wait else None

    def _pause(self, attempt: int) -> float:
        # Not all at once where many have been turned away together.
        return float(min(FIRST_WAIT * 2**attempt, self.longest_wait) * random.uniform(0.5, 1.0))


def read(call: Call[A], response: httpx.Response, *, again: bool) -> A:
    """The answer of a call, which may have been sent `again`. Raises what `error_of` makes of an error."""
    # Of a removal whose answer got lost, the next one hears that there is nothing to remove.
    removed = again and call.removes and response.status_code == 404
    if response.is_success or removed:
        return call.read(response)
    raise error_of(response)


def unreachable(error: httpx.TransportError, address: httpx.URL) -> ConnectionFailedError:
    return ConnectionFailedError(f"The service at {address} cannot be reached: {error}")


def arguments(call: Call[Any]) -> Mapping[str, Any]:
    """A call as httpx takes it."""
    body: dict[str, Any] = {}
    if call.content is not None:
        body = {"content": call.content, "headers": {"Content-Type": "application/x-ndjson"}}
    elif call.body is not None:
        body = {"json": call.body}
    return {"method": call.method, "url": call.path, "params": call.params, **body}


def headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}
