"""What every request passes through: an id, a limit on its body, safe headers, the watch, no traceback outwards."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import logs
from server.problems import TooLargeError, problem
from server.watch import Seen, Watch

log = logging.getLogger("clickwise.http")

HEADERS: Final = {
    # The page needs nothing from elsewhere; nothing may frame it.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class Envelope:
    """Gives every request an id (its own X-Request-ID where it is usable) and every response the safe headers.

    An exception that no handler knew is logged with its traceback under the id; the client gets a problem with the id.
    """

    def __init__(self, app: ASGIApp, watch: Watch) -> None:
        self.app, self.watch = app, watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        before = logs.request_id.set(request_id)
        try:
            with self.watch.request(scope, request_id) as seen:
                await self._answer(scope, receive, send, seen, request_id)
        finally:
            logs.request_id.reset(before)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, seen: Seen, request_id: str) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except ClientDisconnect:
            log.info("%s %s: the client has gone (request %s)", scope["method"], seen.route, request_id)
        except Exception:
            log.exception("%s %s failed (request %s)", scope["method"], seen.route, request_id)
            if seen.status:
                raise  # half an answer is out: only closing the connection can still say so
            detail = "The service failed unexpectedly."
            advice = f"Look for request {request_id} in the log of the service, and report it."
            await problem(request_id, 500, "internal", detail, advice)(scope, receive, sending)


class BodyLimit:
    """Stops reading a body over its limit. `limit_of` gives the limit of a request and the setting that holds it."""

    def __init__(self, app: ASGIApp, limit_of: Callable[[Scope], tuple[int, str]]) -> None:
        self.app = app
        self.limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, setting = self.limit_of(scope)
        announced = Headers(scope=scope).get("content-length", "")
        too_large = announced.isdigit() and int(announced) > limit
        read = 0

        async def receiving() -> Message:
            nonlocal read
            if too_large:  # refused before a byte of it is read
                raise TooLargeError(limit, setting)
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise TooLargeError(limit, setting)
            return message

        await self.app(scope, receiving, send)
