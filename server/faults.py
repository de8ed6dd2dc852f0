"""What pydantic complains about, in the words of the house: for problems over HTTP, for settings, for rows of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

_PREFIXES: Final = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}
"""Error type -> what pydantic puts before the message of a validator of our own."""
_OBJECTS: Final = frozenset({"model_type", "model_attributes_type", "dict_type"})
"""Error types of what is no object, which pydantic tells in words of Python."""


def fault_reason(fault: Mapping[str, Any]) -> str:
    """What a validation error complains about, as the second half of a sentence, without its full stop."""
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
    if fault["type"] == "string_unicode":
        return "the text holds half a surrogate pair, which is no character"
    if fault["type"] in _OBJECTS:
        return "input should be an object with named members, as in {...}"
    if fault["type"] == "union_tag_invalid":
        return "its {discriminator} should be one of {expected_tags}, and is '{tag}'".format(**fault["ctx"])
    if fault["type"] == "union_tag_not_found":
        return "it lacks {discriminator}".format(**fault["ctx"])
    message = str(fault["msg"]).removeprefix(_PREFIXES.get(fault["type"], "")).rstrip(".")
    name = message[1:2].isupper()  # JSON stays JSON
    return message if name else message[:1].lower() + message[1:]


def field_name(location: Sequence[int | str]) -> str | None:
    """A place in a body as in `feedback[0].relevance`."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return name.removeprefix(".") or None


def first_fault(error: ValidationError) -> str:
    """The first of the faults, with its place."""
    fault = error.errors(include_url=False, include_input=False)[0]
    field = field_name(fault["loc"])
    return f"`{field}`: {fault_reason(fault)}" if field else fault_reason(fault)
