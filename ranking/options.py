"""Options of rankers and fusers: a part is a frozen dataclass, and its fields are the options that a user may set.

    @dataclass(frozen=True)
    class Knn:
        aggregation: Literal["sum", "mean", "max"] = "sum"
        query_weight: float = number(1.0, low=0.0)

`build(Knn, {...}, "stage 'knn'")` checks names, types and ranges, and says what would have been right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from index.errors import InputError

T = TypeVar("T")
N = TypeVar("N", int, float, float | None)

_NAMES: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def number(default: N, *, low: float = -math.inf, high: float = math.inf) -> N:
    """A numeric option that lies within [low, high]."""
    option: N = field(default=default, metadata={"low": low, "high": high})
    return option


def numbers(*, low: float = -math.inf, high: float = math.inf) -> tuple[float, ...]:
    """An option that is a list of numbers, none by default, each within [low, high]."""
    option: tuple[float, ...] = field(default=(), metadata={"low": low, "high": high})
    return option


def option_types(part: type) -> dict[str, Any]:
    """The options of a part, each with its type."""
    hints = _hints(part)
    return {option.name: hints[option.name] for option in fields(part)}


@cache
def _hints(part: type) -> dict[str, Any]:
    return get_type_hints(part)


def build(part: type[T], options: Mapping[str, object], where: str, besides: Iterable[str] = ()) -> T:
    """Make a part of its options.

    `where` begins the message of the InputError that a wrong one raises; `besides` are keys that are valid in the same
    place and not options, for the list of valid ones.
    """
    types = option_types(part)
    for name in options:
        if name not in types:
            raise unknown("option", name, [*types, *besides], where)
    ranges = {option.name: option.metadata for option in fields(part)}  # type: ignore[arg-type]
    values = {name: _checked(value, types[name], ranges[name], name, where) for name, value in options.items()}
    try:
        return part(**values)
    except InputError as error:  # of options that do not fit together
        raise InputError(f"{where}: {error.message}", error.advice) from None


def unknown(what: str, name: object, valid: Iterable[str], where: str) -> InputError:
    """The error for a misspelt name: says which is nearest and lists all."""
    names = list(valid)
    nearest = get_close_matches(str(name), names, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    listed = ", ".join(names) if names else "none"
    return InputError(f"{where}: there is no {what} {name!r}.", f"{hint}Valid: {listed}.")


def _checked(value: object, kind: Any, bounds: Mapping[str, float], name: str, where: str) -> object:
    """The value in the type of its option (a whole number serves as a float, a list as a tuple), or InputError."""
    if not _fits(value, kind):
        raise InputError(f"{where}: option {name!r} is {value!r}.", f"It must be {_described(kind)}.")
    if isinstance(value, list | tuple):
        return tuple(_checked(member, get_args(kind)[0], bounds, name, where) for member in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    low, high = bounds.get("low", -math.inf), bounds.get("high", math.inf)
    if not (low <= value <= high and math.isfinite(value)):
        raise InputError(f"{where}: option {name!r} is {value!r}.", f"It must be {_described_range(low, high)}.")
    return float(value) if _fits(0.5, kind) else value


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, member) for member in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(_fits(member, get_args(kind)[0]) for member in value)
    if isinstance(value, bool):  # a bool is an int to Python, not to a user
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_described(member) for member in get_args(kind) if member is not type(None))
    if get_origin(kind) is tuple:
        return f"a list, each of it {_described(get_args(kind)[0])}"
    return _NAMES[kind]


def _described_range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "a finite number"
    if math.isinf(high):
        return f"a finite number, {low:g} or more"
    return f"from {low:g} to {high:g}" if not math.isinf(low) else f"a finite number, {high:g} or less"
