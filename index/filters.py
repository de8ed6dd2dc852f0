"""The filter language: which documents may answer, as conditions on their fields.

The text form is a small part of Python's expression syntax:

    kind == "function" and 2000 <= year < 2010 and not module in ["os", "re"]

A dotted name is one field name; `field("odd name")` names any other field. A value is a quoted text, a finite number,
True or False. Every filter built here is valid by construction and `parse_filter(str(f)) == f`. Whether the fields
exist and have fitting types is for the index to say.
"""

from __future__ import annotations

import ast
import keyword
import math
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from index.errors import InputError

Value: TypeAlias = str | int | float | bool
Op: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]

MAX_LENGTH: Final = 4_000
"""Characters in the text of one filter."""
MAX_DEPTH: Final = 32
"""Levels of and, or, not and parentheses inside one another."""

_OPS: Final[dict[type[ast.cmpop], Op]] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_MIRRORED: Final[dict[Op, Op]] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_EXAMPLE: Final = 'A filter looks like: kind == "function" and year >= 2020.'


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against one value. On a field with several values it holds if it holds for any of them."""

    field: str
    op: Op
    value: Value

    def __post_init__(self) -> None:
        _check(self.field)
        _check(self.value)

    def __str__(self) -> str:
        return f"{_name(self.field)} {self.op} {self.value!r}"


@dataclass(frozen=True, slots=True)
class In:
    """A field equal to any of the values. No values: no document."""

    field: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        _check(self.field)
        for value in self.values:
            _check(value)

    def __str__(self) -> str:
        return f"{_name(self.field)} in {list(self.values)!r}"


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more conditions."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ValueError("And needs two parts or more")

    def __str__(self) -> str:
        return " and ".join(map(_inner, self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more conditions."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ValueError("Or needs two parts or more")

    def __str__(self) -> str:
        return " or ".join(map(_inner, self.parts))


@dataclass(frozen=True, slots=True)
class Not:
    """Every document that the part does not choose, those without the field included."""

    part: Filter

    def __str__(self) -> str:
        if isinstance(self.part, In):
            return f"{_name(self.part.field)} not in {list(self.part.values)!r}"
        return f"not {_inner(self.part)}"


Filter: TypeAlias = Compare | In | And | Or | Not


def fields_of(filter: Filter) -> set[str]:
    """The names of the fields that a filter reads."""
    match filter:
        case Compare(field=name) | In(field=name):
            return {name}
        case Not(part=part):
            return fields_of(part)
        case And(parts=parts) | Or(parts=parts):
            return set().union(*map(fields_of, parts))


def parse_filter(text: str) -> Filter:
    """The filter that a text describes.

    Raises InputError, with the column (from 1) where there is one, for anything outside the language, for more than
    4,000 characters or 32 levels, and for values that no index can hold: NaN, infinities, integers beyond 64 bits,
    lone surrogates.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(
            f"The filter has {len(text):,} characters; {MAX_LENGTH:,} is the most.", "Write it with fewer values."
        )
    body = text.lstrip()
    if not body:
        raise InputError("The filter is empty.", f"Leave it out to search everything. {_EXAMPLE}")
    return _Parser(body, len(text) - len(body)).parse()


class _Parser:
    """Translates one text. `shift` is the number of blanks taken from its front: the columns count them."""

    def __init__(self, text: str, shift: int) -> None:
        self.text, self.shift = text, shift

    def parse(self) -> Filter:
        for offset, character in enumerate(self.text):
            if character == "\0" or "\ud800" <= character <= "\udfff":
                raise self._error(offset, "NUL and lone surrogates are no text")
        try:
            tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            offset = len(self.text)  # where the text ends too early, CPython names no place
            if error.lineno and error.offset and error.offset > 0:
                offset = self._offset(error.lineno, 0) + error.offset - 1
            raise self._error(offset, error.msg) from None
        except (RecursionError, MemoryError):  # the parser's own stack
            raise self._too_deep(0) from None
        return self.condition(tree.body, 1)

    def condition(self, node: ast.expr, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise self._too_deep(self._where(node))
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = tuple(self.condition(value, depth + 1) for value in values)
                return And(parts) if isinstance(op, ast.And) else Or(parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.condition(operand, depth + 1))
            case ast.Compare(left=left, ops=ops, comparators=rights):
                sides = [left, *rights]
                links = [self.link(sides[i], op, sides[i + 1]) for i, op in enumerate(ops)]
                return links[0] if len(links) == 1 else And(tuple(links))
            case ast.Name() | ast.Attribute():
                name = self.field(node)
                raise self._error(self._where(node), f"the field {name} is compared with nothing", f"{name} == True")
        raise self._error(self._where(node), "this is not a condition")

    def link(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Filter:
        """One comparison; a chain is the conjunction of its links."""
        match op:
            case ast.In() | ast.NotIn():
                chosen = self._guarded(left, In, self.field(left), self.values(right))
                return Not(chosen) if isinstance(op, ast.NotIn) else chosen
            case ast.Is() | ast.IsNot():
                raise self._error(self._where(left), "'is' does not compare fields", "name == value")
        sign = _OPS[type(op)]
        if _is_value(left):
            left, right, sign = right, left, _MIRRORED[sign]
        return self._guarded(left, Compare, self.field(left), sign, self.value(right))

    def field(self, node: ast.expr) -> str:
        match node:
            case ast.Call(func=ast.Name(id="field"), args=[ast.Constant(value=str() as name)], keywords=[]):
                return name
        parts: list[str] = []
        owner = node
        while isinstance(owner, ast.Attribute):
            parts.append(owner.attr)
            owner = owner.value
        if isinstance(owner, ast.Name):
            return ".".join([owner.id, *reversed(parts)])
        raise self._error(self._where(node), "a field name is expected here", 'field("any name") == "value"')

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)):
                if not isinstance(number, bool):
                    return -number if isinstance(sign, ast.USub) else number
        reason = "a value is expected here: a text in quotes, a number, True or False"
        raise self._error(self._where(node), reason)

    def values(self, node: ast.expr) -> tuple[Value, ...]:
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return tuple(map(self.value, node.elts))
        raise self._error(self._where(node), "a list of values is expected after 'in'", 'name in ["a", "b"]')

    def _guarded(self, node: ast.expr, make: type[Compare] | type[In], *args: object) -> Filter:
        """Build a leaf, adding the column to what its own check objects to."""
        try:
            return cast(Filter, make(*args))  # type: ignore[arg-type]
        except InputError as error:
            raise self._error(self._where(node), error.message.rstrip(".")) from None

    def _where(self, node: ast.expr) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _offset(self, line: int, byte: int) -> int:
        """Characters before a place that `ast` gives as a line (from 1) and the UTF-8 bytes before it there."""
        lines = self.text.splitlines(keepends=True)
        before = "".join(lines[: line - 1])
        here = lines[line - 1] if line <= len(lines) else ""
        return len(before) + len(here.encode("utf-8", "surrogatepass")[:byte].decode("utf-8", "ignore"))

    def _error(self, offset: int, reason: str, instead: str = "") -> InputError:
        advice = f"Write for example: {instead}." if instead else _EXAMPLE
        return InputError(f"The filter is not understood at column {offset + self.shift + 1}: {reason}.", advice)

    def _too_deep(self, offset: int) -> InputError:
        return self._error(offset, f"it nests deeper than {MAX_DEPTH} levels")


def _is_value(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant | ast.UnaryOp)


def _check(value: Value) -> None:
    """Refuse what no index can hold, be it a field name or a value."""
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise InputError("A lone surrogate is no character.", "Write valid Unicode text.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError("The number is not finite.", "Write a finite number.")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError("The number does not fit into 64 bits.", "Write a smaller number.")


def _name(field: str) -> str:
    """A field name as the language writes it; Python folds identifiers to NFKC, so others need the long form."""
    parts = field.split(".")
    plain = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
    return field if plain and unicodedata.is_normalized("NFKC", field) else f"field({field!r})"


def _inner(part: Filter) -> str:
    return f"({part})" if isinstance(part, And | Or) else str(part)
