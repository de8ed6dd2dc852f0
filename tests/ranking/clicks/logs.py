"""Click logs in the making, for the tests of everything that reads them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page, Pages

BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def rows(pages: Iterable[Pages]) -> list[Page]:
    return [row for batch in pages for row in batch.rows()]


def a_page(number: int, length: int = 4, clicks: Iterable[int] = (), **values: object) -> Page:
    """Page `number`, of one of five queries; `clicks` are ranks."""
    documents = [f"d{(number + place) % 7}" for place in range(length)]
    events = [Event(documents[rank - 1], rank=rank, time=after(number + 5)) for rank in clicks]
    return Page(f"q{number}", f"query {number % 5}", documents, events=events, time=after(number), **values)  # type: ignore[arg-type]


def logged(path: Path, pages: Iterable[Page | Pages]) -> ClickLog:
    return ClickLog.write(path, pages)
