"""The types of the fields that filters read: keyword, number, date.

A field's type is named when the index is built or taken from its first value, and kept in the manifest; later documents
must agree with it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from index.errors import InputError
from index.types import Document, FieldValue

FieldType: TypeAlias = Literal["keyword", "number", "date"]
FIELD_TYPES: tuple[FieldType, ...] = ("keyword", "number", "date")
Scalar: TypeAlias = str | int | float | bool


def values_of(value: FieldValue) -> Sequence[Scalar]:
    """A field's values as a list: a text is one value, not its characters."""
    return (value,) if isinstance(value, str | int | float | bool) else value


def infer(value: FieldValue) -> FieldType:
    """keyword for text and truth values, number for numbers; dates have to be declared."""
    first = next(iter(values_of(value)), "")
    return "number" if isinstance(first, int | float) and not isinstance(first, bool) else "keyword"


def extend_schema(schema: dict[str, FieldType], document: Document) -> None:
    """Add the document's new fields to `schema`, by their values' types."""
    for name, value in document.fields.items():
        if name not in schema:
            schema[name] = infer(value)


def encode(name: str, kind: FieldType, value: object) -> str | float | int:
    """One value as its type stores it: text, a float, or milliseconds since 1970 (UTC where no offset is given).

    Raises InputError for a value that does not fit the type, NaN among them.
    """
    if kind == "keyword":
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"Field {name!r} holds numbers, not {value!r}.", "Give a number without quotes.")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InputError(f"Field {name!r} holds {value!r}, which is not a finite number.", "Leave the field out.")
        return number
    if not isinstance(value, str):
        raise InputError(f"Field {name!r} holds dates, not {value!r}.", 'Write a date as "2024-05-01".')
    return _milliseconds(name, value)


def _milliseconds(name: str, value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InputError(
            f"Field {name!r} holds dates, and {value!r} is none.", 'Write it as "2024-05-01" or "2024-05-01T12:30:00Z".'
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def type_of(schema: Mapping[str, FieldType], name: str) -> FieldType:
    """The field's type; InputError naming the known fields where it has none."""
    if name in schema:
        return schema[name]
    if not schema:
        raise InputError(f"Field {name!r} is unknown: this index has no fields to filter on.", "Drop the filter.")
    near = difflib.get_close_matches(name, schema, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise InputError(f"Field {name!r} is unknown.", f"{hint}The fields are: {', '.join(sorted(schema))}.")


def check_fields(schema: Mapping[str, FieldType], document: Document) -> None:
    """Raise InputError naming the document where one of its field values does not fit the field's type."""
    for name, value in document.fields.items():
        for single in values_of(value):
            try:
                encode(name, schema[name], single)
            except InputError as problem:
                raise InputError(f"Document {document.id!r}: {problem.message}", problem.advice) from None
