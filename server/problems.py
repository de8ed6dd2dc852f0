"""Errors over HTTP: every one an application/problem+json (RFC 9457) that says what is wrong and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from index.errors import ClickwiseError, InputError, OverloadedError, UnavailableError
from server.faults import fault_reason, field_name

MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final[Mapping[str, str]] = {
    "invalid-input": "The request cannot be used",
    "bad-record": "A record cannot be used",
    "malformed": "The body cannot be read",
    "not-found": "There is no such thing",
    "method-not-allowed": "The method does not fit the address",
    "conflict": "The request does not fit the state of things",
    "too-large": "The body is too large",
    "unavailable": "Something that is needed is not available",
    "not-ready": "The service is not ready",
    "busy": "The service is busy",
    "late": "There was no time left for the request",
    "overloaded": "More is asked for than there is room for",
    "too-often": "Too many requests",
    "unauthorized": "An API key is needed",
    "forbidden": "This is not allowed",
    "error": "Something went wrong",
    "internal": "The service failed",
}
ADVICE: Final = "The route's documentation is in /openapi.json."


class BulkError(InputError):
    """Lines of a bulk body that cannot be used; nothing was written. `errors` holds (line, field or None, reason)."""

    kind = "bad-record"

    def __init__(self, errors: Sequence[tuple[int, str | None, str]], total: int) -> None:
        line, field, reason = errors[0]
        where = f"line {line}" + (f", `{field}`" if field else "")
        others = f" ({total} lines have faults)" if total > 1 else ""
        super().__init__(f"At {where}: {reason}{others}.", "Nothing was written; mend the lines and send all again.")
        self.errors = errors


class NotReadyError(UnavailableError):
    """The service has not finished warming up, or could not."""

    kind = "not-ready"


class BusyError(OverloadedError):
    """More requests are waiting than the settings allow."""

    kind = "busy"


class TooLargeError(HTTPException):
    """A body over its limit. An HTTPException, because the framework lets only those through while it reads a body."""

    kind: ClassVar[str] = "too-large"

    def __init__(self, limit: int, setting: str) -> None:
        super().__init__(413, f"The body has more than {limit:,} bytes (the setting {setting}).")


def problem(
    request_id: str,
    status: int,
    kind: str,
    detail: str,
    advice: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """The response of one problem; `members` are further members of its object, left out where None."""
    body = {
        "type": f"urn:clickwise:problem:{kind}",
        "title": TITLES.get(kind, HTTPStatus(status).phrase),
        "status": status,
        "detail": detail,
        "advice": advice,
        "request_id": request_id,
        **{name: value for name, value in members.items() if value is not None},
    }
    waiting = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    # ASCII JSON can carry whatever a message quotes, lone surrogates too.
    return Response(json.dumps(body), status, headers={**waiting, **(headers or {})}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error that a route can raise a problem."""
    # Coroutines: plain functions would be sent to a thread each, and those who are turned away should cost least.
    app.add_exception_handler(ClickwiseError, _clickwise)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def _answer(request: Request, status: int, kind: str, detail: str, advice: str, **more: Any) -> Response:
    """The problem as the answer to a request, in whose state observers find its kind and its words."""
    request.state.problem_kind = kind
    request.state.problem = f"{detail} {advice}".strip()
    request_id = str(request.scope.get("state", {}).get("request_id", ""))
    return problem(request_id, status, kind, detail, advice, **more)


async def _clickwise(request: Request, error: Exception) -> Response:
    assert isinstance(error, ClickwiseError)
    errors = None
    if isinstance(error, BulkError):
        errors = [_fault(reason, field, line) for line, field, reason in error.errors]
    field = getattr(error, "field", None)
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, OverloadedError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return _answer(
        request,
        error.status,
        error.kind,
        error.message,
        error.advice,
        headers=headers,
        field=field,
        errors=errors,
    )


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        reason = f"{faults[0]['ctx']['error']} at character {faults[0]['loc'][-1]}"
        return _answer(request, 400, "malformed", f"The body is not JSON: {reason}.", "Mend the JSON.")
    errors = [_fault(fault_reason(fault), field_name(fault["loc"][1:])) for fault in faults]
    field, detail = errors[0].get("field"), errors[0]["detail"]
    return _answer(
        request,
        422,
        "invalid-input",
        f"`{field}`: {detail}." if field else f"The body cannot be used: {detail}.",
        _mend(faults[0]["type"], bool(field)),
        field=field,
        errors=errors,
    )


def _fault(detail: str, field: str | None = None, line: int | None = None) -> dict[str, Any]:
    return {name: value for name, value in (("field", field), ("line", line), ("detail", detail)) if value is not None}


def _mend(fault: str, in_field: bool) -> str:
    if fault == "extra_forbidden":
        return f"Leave it out, or check its spelling. {ADVICE}"
    if fault == "missing" and in_field:
        return f"Add it. {ADVICE}"
    if not in_field:
        return "Send a JSON object with the header Content-Type: application/json."
    return f"Mend this field. {ADVICE}"


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    known = {
        400: ("malformed", "The body cannot be read as JSON in UTF-8.", "Mend the JSON."),
        404: ("not-found", f"There is nothing at {where}.", "The routes are listed in /openapi.json."),
        405: ("method-not-allowed", f"There is no {where}.", "The header Allow names the methods."),
        413: ("too-large", str(error.detail), "Send less at once, or raise the setting."),
    }
    kind, detail, advice = known.get(error.status_code, ("error", str(error.detail), ADVICE))
    return _answer(request, error.status_code, kind, detail, advice, headers=error.headers)
