"""A store with some days of made traffic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.store import Store
from tests.server.traffic import fill

PAGES = 1500


@pytest.fixture(scope="package")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('busy')}/store.db")
    fill(store, "pets", PAGES)
    yield store
    store.close()
