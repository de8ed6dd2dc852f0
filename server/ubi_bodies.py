"""The bodies that User Behavior Insights come in: which records they hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from index.errors import InputError
from ranking.clicks.formats.json_records import BULK


def records(body: bytes) -> Iterator[tuple[int, Any]]:
    """The records of a body: one JSON object, an array of them, or one to a line, also as OpenSearch's bulk API has
    them, with a line before each that says what to do; each with its number in the body, from 1.

    Raises InputError for a body that is none of these; a line that is no JSON is given as it is, for its reader to
    refuse.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"The body is not UTF-8: {error.reason}.", "Send JSON in UTF-8.") from None
    whole = _parsed(text)
    if isinstance(whole, list):
        found: Iterable[Any] = whole
    elif isinstance(whole, dict):
        found = [whole]
    elif "\n" in text.strip():
        found = (_parsed(line) for line in text.split("\n") if line.strip())  # U+2028 ends no line of JSON
    else:
        raise InputError("The body holds no record.", "Send a JSON object, an array of them, or one to a line.")
    for number, record in enumerate(found, 1):
        if not (isinstance(record, dict) and len(record) == 1 and not BULK.isdisjoint(record)):
            yield number, record


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
