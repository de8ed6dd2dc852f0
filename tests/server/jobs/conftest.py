"""A store on each database for the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.store import Store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "postgres":
        address = request.getfixturevalue("postgres_address")
    else:
        address = f"sqlite:///{tmp_path}/store.db"
    store = Store.open(address)
    yield store
    store.close()
