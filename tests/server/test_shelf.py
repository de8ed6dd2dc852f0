"""Indexes that are built, rebuilt and removed while the service runs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from index.build import BuildOptions, build_index
from index.index import Index
from index.types import Document
from server import health, shelf
from server.service import Service
from server.settings import Settings
from tests.server.conftest import client_of

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build an index without vectors under the home folder, of documents that all hold this word."""

    def build(name: str, word: str, **options: Any) -> Path:
        path = tmp_path / "home" / "indexes" / name
        build_index(
            path, [Document(f"{word}-{n}", word, f"{word} number {n}") for n in range(3)], BuildOptions(**options)
        )
        return path

    return build


@pytest.fixture
def service(build: Build, tmp_path: Path) -> Iterator[Service]:
    """A service on what lies under its home folder: `first`, and whatever comes."""
    build("first", "espresso")
    service = Service.open(Settings(home=tmp_path / "home"))
    yield service
    service.close()


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with client_of(service) as client:
        yield client


def found(client: TestClient, query: str, index: str | None = None) -> list[str]:
    answer = client.post("/v1/search", json={"query": query, "index": index} if index else {"query": query})
    assert answer.status_code == 200, answer.text
    return sorted(hit["id"] for hit in answer.json()["hits"])


def names(client: TestClient) -> list[str]:
    return [index["name"] for index in client.get("/v1/indexes").json()["indexes"]]


def test_an_index_is_searched_as_soon_as_it_is_built(client: TestClient, build: Build) -> None:
    ask = {"query": "quagga", "index": "second"}
    refused = client.post("/v1/search", json=ask)
    assert (refused.status_code, refused.json()["field"]) == (404, "index")
    assert "Valid: first." in refused.json()["advice"]
    build("second", "quagga")
    assert found(client, "quagga", "second") == ["quagga-0", "quagga-1", "quagga-2"]
    assert client.put("/v1/documents/new", params={"index": "second"}, json={"text": "quagga"}).status_code == 201
    assert "new" in found(client, "quagga", "second")
    assert found(client, "espresso")  # whoever names none goes on with the one that there was


def test_listings_find_what_nobody_has_asked_for(client: TestClient, build: Build) -> None:
    assert names(client) == ["first"]
    build("second", "quagga")
    assert names(client) == ["first", "second"]
    build("third", "zebra")
    (bm25,) = (one for one in client.get("/v1/pipelines").json()["pipelines"] if one["name"] == "bm25")
    assert sorted(bm25["indexes"]) == ["first", "second", "third"]
    assert [index["default"] for index in client.get("/v1/indexes").json()["indexes"]] == [True, False, False]


def test_many_who_ask_for_a_new_index_open_it_once(service: Service, build: Build) -> None:
    build("second", "quagga")
    with ThreadPoolExecutor(8) as pool:
        opened = {id(index) for _, index in pool.map(service.catalog.index, ["second"] * 16)}
    assert len(opened) == 1


def test_a_new_index_serves_those_to_whom_another_generation_was_released(
    service: Service, client: TestClient, build: Build
) -> None:
    build("first", "quagga", overwrite=True, activated=False)
    answer = client.post("/admin/indexes/first:activate", json={"generation": "000002", "share": 1 - 1e-9})
    assert answer.status_code == 201
    build("second", "zebra")
    assert found(client, "zebra", "second")
    assert found(client, "quagga")
    assert set(service.releases.serving("somebody").catalog.indexes) == {"first", "second"}


def test_what_cannot_be_opened_is_left_out_and_says_why(
    client: TestClient, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    path = build("broken", "quagga")
    manifest = path / "generations" / "000001" / "manifest.json"
    manifest.write_text("{")
    with caplog.at_level(logging.ERROR, "clickwise.indexes"):
        assert names(client) == names(client) == ["first"]
    assert caplog.text.count("the index broken cannot be opened") == 1
    answer = client.post("/v1/search", json={"query": "quagga", "index": "broken"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:clickwise:problem:conflict")
    shutil.rmtree(path)
    build("broken", "quagga")
    assert names(client) == ["broken", "first"] or names(client) == ["first", "broken"]


def test_an_index_that_is_gone_says_so_and_comes_back_as_another(client: TestClient, build: Build) -> None:
    path = build("second", "quagga")
    assert len(found(client, "quagga", "second")) == 3
    shutil.rmtree(path)
    answer = client.post("/v1/search", json={"query": "quagga", "index": "second"}).json()
    assert answer["degraded"] == "index gone"
    first, second = client.get("/v1/indexes").json()["indexes"]
    assert first["problem"] is None
    assert second["problem"] == f"The directory {path} is gone."
    written = client.put("/v1/documents/new", params={"index": "second"}, json={"text": "quagga"})
    assert written.status_code == 503
    assert f"The index at {path} is gone." in written.json()["detail"]
    build("second", "zebra")
    assert found(client, "quagga", "second") == []
    assert found(client, "zebra", "second") == ["zebra-0", "zebra-1", "zebra-2"]
    assert client.put("/v1/documents/new", params={"index": "second"}, json={"text": "zebra"}).status_code == 201


def ready(client: TestClient) -> bool:
    return client.get("/readyz").status_code == 200


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", -1.0)  # look every time


@pytest.mark.usefixtures("looked_at")
def test_an_index_that_was_removed_is_let_go_of_after_a_while(
    client: TestClient, build: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = build("second", "quagga")
    assert len(found(client, "quagga", "second")) == 3
    shutil.rmtree(path)
    assert not ready(client)  # it may be a disk that comes back
    assert not ready(client)
    assert names(client) == ["first", "second"]
    assert caplog.text.count("of the index second is gone") == 1
    monkeypatch.setattr(shelf, "AWAY_SECONDS", 0.0)
    assert ready(client)
    assert caplog.text.count(f"the index second is served no more: its directory {path} was removed") == 1
    assert names(client) == ["first"]
    refused = client.post("/v1/search", json={"query": "quagga", "index": "second"})
    assert (refused.status_code, refused.json()["field"]) == (404, "index")
    build("second", "zebra")
    assert found(client, "zebra", "second") == ["zebra-0", "zebra-1", "zebra-2"]
    assert ready(client)


@pytest.mark.usefixtures("looked_at")
def test_an_index_that_comes_back_in_time_stays(
    client: TestClient, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build("second", "quagga")
    assert found(client, "quagga", "second")
    shutil.move(path, tmp_path / "away")
    assert not ready(client)
    shutil.move(tmp_path / "away", path)
    monkeypatch.setattr(shelf, "AWAY_SECONDS", 0.0)
    assert ready(client)
    assert found(client, "quagga", "second")


@pytest.mark.usefixtures("looked_at")
def test_a_damaged_index_and_one_that_is_needed_keep_the_service_from_being_ready(
    client: TestClient, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "AWAY_SECONDS", 0.0)
    path = build("second", "quagga")
    assert found(client, "quagga", "second")
    pointer = (path / "current").read_bytes()
    (path / "current").unlink()
    assert not ready(client)
    assert names(client) == ["first", "second"]
    (path / "current").write_bytes(pointer)
    assert ready(client)
    first = path.with_name("first")  # of those who name none
    shutil.move(first, tmp_path / "away")
    assert not ready(client)
    shutil.move(tmp_path / "away", first)
    assert ready(client)


@pytest.mark.parametrize("name", ["..", ".", "../indexes/first", "first/", "x" * 5_000, "nul\0", "\ud800", " "])
def test_names_that_no_index_can_have(service: Service, name: str) -> None:
    assert service.settings.found_index(name) is None


def test_named_indexes_are_all_there_are(build: Build, tmp_path: Path) -> None:
    one, other = build("first", "espresso"), build("second", "quagga")
    service = Service.open(Settings(home=tmp_path / "home", indexes={"mine": one}))
    with client_of(service) as client:
        assert names(client) == ["mine"]
        assert client.post("/v1/search", json={"query": "x", "index": "second"}).status_code == 404
    service.close()
    assert isinstance(Index.open(other), Index)
