"""What a format reader yields: records, and the faults that it stumbled on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """Named values as they stand in a file, not yet checked. `line` is where it begins (or its row), from 1."""

    line: int
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is no record. `reason` continues the sentence "file:line: …"."""

    line: int
    reason: str


class BadRecord(Exception):
    """The reason why the values of a record make no document."""


class Broken(Exception):
    """The rest of a file cannot be read."""
