"""A store on each database. What a test asks of `store`, both have to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index.types import Ranking
from server.store import Page, Round, Store, StoredQuery
from server.store.tables import METADATA
from tests.postgres import Server

QUERY = StoredQuery("q1", "docs", "how to open a file", 'kind == "function"')


def a_round(*ids: str, **kwargs: object) -> Round:
    return Round(Ranking.of(ids, np.arange(len(ids), 0, -1) / 3), "fused", "v1", "g1", "combsum", **kwargs)  # type: ignore[arg-type]


def asked(store: Store, query: StoredQuery = QUERY) -> Round:
    return store.add_round(query, a_round("a", "b", "c"), Page(0, ("a", "b"), "s", "u"), new=True)


def count(store: Store, table: str) -> int:
    with store.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


@pytest.fixture(scope="session")
def _shared_database(postgres: Server) -> str:
    return postgres.database("shared")


@pytest.fixture
def postgres_address(_shared_database: str) -> str:
    """The address of a database whose store is empty."""
    store = Store.open(_shared_database)
    with store.writing() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY CASCADE")
    store.close()
    return _shared_database


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
