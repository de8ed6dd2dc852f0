"""What can go wrong, in the words of the person who can mend it.

Every error that Clickwise raises on purpose is a `ClickwiseError`: one sentence that says what is wrong, and one that
says what to do. The front doors translate the class, never the text: the command line prints it on one line and exits
with 2, HTTP answers `application/problem+json` with the status below.
"""

from __future__ import annotations

from typing import ClassVar


class ClickwiseError(Exception):
    """A failure with its mend.

    `message` says what is wrong, `advice` what to do about it; `str()` joins both. `kind` is the stable name of the
    problem (the tail of the HTTP problem type) and `status` the HTTP status that fits it. `field` names the part of a
    request that is to blame, where a front door knows it.
    """

    kind: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.field: str | None = None

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class InputError(ClickwiseError):
    """The caller's input is not usable as it stands."""

    kind = "invalid-input"
    status = 422


class RecordError(InputError):
    """One record of a file is not usable: names the file, the line (or row) and the reason."""

    kind = "bad-record"

    def __init__(
        self,
        path: str,
        line: int,
        reason: str,
        advice: str = "Mend the record, or skip bad records with --on-error skip.",
    ) -> None:
        super().__init__(f"{path}:{line}: {reason}.", advice)
        self.path, self.line, self.reason = path, line, reason


class NotFoundError(ClickwiseError):
    """The thing that was named does not exist."""

    kind = "not-found"
    status = 404


class ConflictError(ClickwiseError):
    """The thing exists already, or its state forbids the request (two writers, a mismatched index)."""

    kind = "conflict"
    status = 409


class UnavailableError(ClickwiseError):
    """Something that the request needs is missing on this machine or not ready: Java, a model, an optional package."""

    kind = "unavailable"
    status = 503


class OverloadedError(ClickwiseError):
    """More is asked for at once than there is room for. `retry_after` is in seconds."""

    kind = "overloaded"
    status = 429

    def __init__(self, message: str, advice: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message, advice)
        self.retry_after = retry_after
