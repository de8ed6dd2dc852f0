"""A store on each database. What a test asks of `store`, both have to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from index.types import Ranking
from server.store import Page, Round, Store, StoredQuery
from server.store.people import DAY_MS

QUERY = StoredQuery("q1", "docs", "how to open a file", 'kind == "function"')


def a_round(*ids: str, **kwargs: object) -> Round:
    return Round(Ranking.of(ids, np.arange(len(ids), 0, -1) / 3), "fused", "v1", "g1", "combsum", **kwargs)  # type: ignore[arg-type]


def asked(store: Store, query: StoredQuery = QUERY) -> Round:
    return store.add_round(query, a_round("a", "b", "c"), Page(0, ("a", "b"), "s", "u"), new=True)


def count(store: Store, table: str) -> int:
    with store.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


class Clock:
    """The time of the store, some days from now."""

    def __init__(self) -> None:
        self.days = 0.0
        self._now_ns = time.time_ns()

    def at(self, days: int, *, hour: int) -> None:
        """Set it to an hour (UTC) of the day that is so many days from today."""
        into_today = self._now_ns // 1_000_000 % DAY_MS / DAY_MS
        self.days = days + hour / 24 - into_today

    def ns(self) -> int:
        return self._now_ns + round(self.days * DAY_MS) * 1_000_000

    def ms(self) -> int:
        return self.ns() // 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("server.store.rows.time.time_ns", clock.ns)
    return clock


def partitions(store: Store) -> list[str]:
    with store.reading() as connection:
        found = connection.execute(text("SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid"))
        return sorted(name for (name,) in found if name[-8:].isdigit())


@pytest.fixture
def sqlite_address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/home/store.db"


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_address")
    return found


@pytest.fixture
def store(address: str) -> Iterator[Store]:
    store = Store.open(address)
    yield store
    store.close()
