"""A service on the shared indexes with a store of its own, and a client that talks HTTP to it in process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvicorn
from starlette.testclient import TestClient

from index.index import Index
from ranking.config import specs_with
from server.app import create_app
from server.catalog import Catalog
from server.service import Service
from server.settings import Settings
from server.store import Store
from server.store.tables import METADATA
from tests.postgres import Server, server

MakeService: TypeAlias = Callable[..., Service]


@contextmanager
def client_of(service: Service) -> Iterator[TestClient]:
    """A client of the application with a service that is open already: without a start, and so without a warm-up."""
    app = create_app(service.settings)
    app.state.house.service = service
    client = TestClient(app)
    yield client
    client.close()
    app.state.house.workers.close()


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """The address of the application, with a service that is open already, on a free port of this machine."""
    app = create_app(service.settings)
    app.state.house.service = service
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(300)  # a request that is still under way would be left in the middle
    app.state.house.workers.close()


def make_service_at(
    home: Path, indexes: Mapping[str, Index], default_index: str | None = None, **values: Any
) -> Service:
    # Nobody is turned away, and no ranking is cut short, because the machine is busy.
    settings = Settings(home=home, default_index=default_index, **{"max_deadline_ms": 600_000, **values})
    specs = specs_with(settings.pipelines, "the test")
    catalog = Catalog(indexes, specs, settings.default_index, settings.default_pipeline)
    store = Store.open(settings.store_address, pseudonym_days=settings.pseudonym_days)
    return Service(catalog, store, settings)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, dense_index: Index, lexical_index: Index) -> Iterator[Service]:
    """Two indexes, `dense` by default. Shared by all tests: write no documents, count nothing in its store."""
    home = tmp_path_factory.mktemp("service")
    service = make_service_at(home, {"dense": dense_index, "lexical": lexical_index}, "dense")
    yield service
    service.close()


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[TestClient]:
    """A client of the whole application, started and warmed up as in life."""
    warm = threading.Event()
    app = create_app(service.settings, open_service=lambda _: service, on_warm=lambda _: warm.set())
    with TestClient(app) as client:
        assert warm.wait(60)
        yield client


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """`make_service({name: index}, default_index=…, **settings)`: with a store of its own, closed after the test."""
    made: list[Service] = []

    def make(indexes: Mapping[str, Index], **values: Any) -> Service:
        made.append(make_service_at(tmp_path / "home", indexes, **values))
        return made[-1]

    yield make
    for service in made:
        service.close()


@pytest.fixture
def own(make_service: MakeService, new_index: Callable[..., Index]) -> Service:
    """A service on an index of its own, to write to."""
    return make_service({"own": new_index()})


@pytest.fixture
def own_client(own: Service) -> Iterator[TestClient]:
    with client_of(own) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


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
