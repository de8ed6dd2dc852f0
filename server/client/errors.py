"""Problems of the service as exceptions, in the same words."""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from server.schemas import FieldProblem, Problem


class ConnectionFailedError(Exception):
    """The service could not be reached, or what answered is no Clickwise service."""


class ApiError(Exception):
    """The service refused. `detail` says what is wrong, `advice` how to mend it, `field` which part of the request it
    is about, and `errors` all its faults where there may be several. `type` is stable: docs/problems.md lists them.
    `retry_after` is in seconds, None where the service names no time."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(f"{problem.detail} {problem.advice}".strip())
        self.type, self.title, self.status = problem.type, problem.title, problem.status
        self.detail, self.advice, self.request_id = problem.detail, problem.advice, problem.request_id
        self.field = problem.field
        self.errors: list[FieldProblem] = problem.errors or []
        self.retry_after = retry_after


class InvalidError(ApiError):
    """The request cannot be used (400, 413, 422)."""


class UnauthorizedError(ApiError):
    """No key was sent, or none that is valid (401)."""


class ForbiddenError(ApiError):
    """The key lacks the scope of the route (403)."""


class MissingError(ApiError):
    """Something that was named is not there (404)."""


class ConflictError(ApiError):
    """The request contradicts what is recorded, or another process writes (409)."""


class OverloadedError(ApiError):
    """Too many requests, from this caller or altogether (429)."""


class UnavailableError(ApiError):
    """Not ready, or something that is needed is away (503)."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: MissingError,
    409: ConflictError,
    413: InvalidError,
    422: InvalidError,
    429: OverloadedError,
    503: UnavailableError,
}


def error_of(response: httpx.Response) -> ApiError | ConnectionFailedError:
    """What a response with an error status says."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return ConnectionFailedError(
            f"{response.request.url} answered {response.status_code} without a problem: no Clickwise service, "
            "or something stands before it."
        )
    return _BY_STATUS.get(response.status_code, ApiError)(problem, seconds(response.headers.get("Retry-After")))


def seconds(header: str | None) -> float | None:
    """The Retry-After of a response, which our service gives in seconds."""
    try:
        return None if header is None else max(0.0, float(header))
    except ValueError:  # a date: of something that stands before the service
        return None
