"""What the service writes to stderr: lines of text, or one JSON object a line, each with the id of its request."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id of the request that is worked on. The workers carry it into their threads."""

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Text(logging.Formatter):
    """A line that ends with the id of its request, where it has one and does not name it itself."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        line, current = super().formatMessage(record), request_id.get()
        return line if not current or current in line else f"{line} (request {current})"


class Json(logging.Formatter):
    """One object a line: time, level, logger, message, request_id, what `fields` gave, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            told["request_id"] = current
        told |= getattr(record, "fields", {})
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def fields(**values: Any) -> dict[str, Any]:
    """The `extra` of a log call: members of its JSON object, which lines of text leave out. A None says nothing."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Log to stderr: the house and its web server from this level on, everybody else from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    logging.basicConfig(handlers=[handler])
    for name in ("clickwise", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
