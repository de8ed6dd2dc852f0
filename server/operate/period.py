"""The time that a look at the store is about, cut into buckets."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from server.operate.answers import Period

_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Buckets:
    """[begin, end) in milliseconds since 1970, in buckets of `width` that begin at multiples of it (in UTC)."""

    begin: int
    end: int
    width: int
    index: str | None

    @classmethod
    def of(cls, days: int, index: str | None, now: int | None = None) -> Buckets:
        """The last days up to now: hours for up to two days, quarters of a day for two weeks, days beyond."""
        width = _HOUR if days <= 2 else _DAY // 4 if days <= 14 else _DAY
        end = time.time_ns() // 1_000_000 + 1 if now is None else now
        return cls((end - days * _DAY) // width * width, end, width, index)

    def name(self, ms: int) -> str:
        """The begin of the bucket that holds a moment."""
        return iso(ms // self.width * self.width)

    @property
    def shown(self) -> Period:
        return Period(begin=iso(self.begin), end=iso(self.end), bucket_seconds=self.width // 1000, index=self.index)


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
