"""From the store to a click log: pages with their ranks and scores, events with the page to which they belong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from index.types import Ranking
from ranking.clicks.codes import sessions
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Page as Shown
from ranking.clicks.sessions import Vocabulary
from server import cli
from server.events import Event
from server.export import Exported, export_pages
from server.store import Page, Round, Store, StoredQuery

QUERY = StoredQuery("q1", "docs", "how to open a file")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{home / 'store.db'}")
    yield store
    store.close()


def a_round(*ids: str) -> Round:
    return Round(Ranking.of(ids, np.arange(len(ids), 0, -1) / 2), "fused", "v1", "g1", "combsum")


def asked(store: Store, query: StoredQuery = QUERY, *ids: str) -> None:
    found = a_round(*(ids or ("a", "b", "c", "d")))
    store.add_round(query, found, Page(0, found.ranking.ids[:2], "s", "u"), new=True)


def at(home: Path, table: str, column: str, times: list[int]) -> None:
    """Give the rows of a table their times, in the order in which they were written."""
    with closing(sqlite3.connect(home / "store.db")) as connection, connection:
        for number, time in enumerate(times, 1):
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (time, number))


def exported(store: Store, **options: object) -> tuple[list[Shown], Exported]:
    report = Exported()
    return list(export_pages(store, report=report, **options)), report  # type: ignore[arg-type]


def test_every_page_is_an_impression_with_its_ranks_and_scores(store: Store, home: Path) -> None:
    asked(store)
    store.add_page("q1", 1, Page(2, ("c", "d"), "s", "u"))
    at(home, "impressions", "shown_ms", [1_700_000_000_000, 1_700_000_060_000])
    (first, second), report = exported(store)
    assert (first.query_id, second.query_id) == ("q1.1", "q1.2")
    assert (first.query, list(first.documents), list(first.ranks)) == (QUERY.text, ["a", "b"], [1, 2])
    assert (list(second.ranks), second.scores) == ([3, 4], [1.0, 0.5])
    assert (first.pipeline, first.pipeline_version, first.session, first.client) == ("fused", "v1", "s", "u")
    assert first.propensities is None
    assert first.time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (report.pages, report.events, report.elsewhere) == (2, 0, 0)


@pytest.mark.parametrize("clock", ["right", "turned back"])
def test_an_event_belongs_to_the_last_page_that_had_shown_its_document(store: Store, home: Path, clock: str) -> None:
    asked(store)
    store.add_event(Event("q1", "a", "click", position=1, dwell_ms=4000))
    store.add_round(QUERY, a_round("b", "a", "c", "d"), Page(0, ("b", "a")), new=False)
    store.add_event(Event("q1", "z", "click"))
    store.add_page("q1", 2, Page(2, ("c", "d")))
    for document in ("a", "c"):
        store.add_event(Event("q1", document, "click"))
    if clock == "turned back":
        at(home, "events", "received_ms", [4, 3, 2, 1])
    pages, report = exported(store)
    assert [[(event.document, event.event_id) for event in page.events] for page in pages] == [
        [("a", "1")],
        [("z", "2"), ("a", "3")],
        [("c", "4")],
    ]
    assert pages[0].events[0].dwell_ms == 4000
    assert (report.events, report.elsewhere) == (4, 1)


def test_an_event_of_schema_version_2_belongs_to_the_last_page_by_its_time(store: Store, home: Path) -> None:
    asked(store)
    store.add_round(QUERY, a_round("b", "a"), Page(0, ("b", "a")), new=False)
    for _ in range(2):
        store.add_event(Event("q1", "a", "click"))
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE events SET impression_id = NULL")
    at(home, "impressions", "shown_ms", [1000, 2000])
    at(home, "events", "received_ms", [1500, 3500])
    pages, _ = exported(store)
    assert [[event.event_id for event in page.events] for page in pages] == [["1"], ["2"]]


def test_what_was_said_becomes_judgements(store: Store) -> None:
    asked(store)
    for kind in ("click", "relevant", "not_relevant", "none"):
        store.add_event(Event("q1", "a", kind))  # type: ignore[arg-type]
    store.add_event(Event("q1", "b", "graded", relevance=0.4, weight=2.0))
    ((page,), _) = exported(store)
    assert [(event.kind, event.relevance, event.weight) for event in page.events] == [
        ("click", None, None),
        ("judgement", 1.0, 1.0),
        ("judgement", 0.0, 1.0),
        ("judgement", None, 0.0),
        ("judgement", 0.4, 2.0),
    ]


def test_only_some_days_or_one_index(store: Store, home: Path) -> None:
    for number in range(4):
        asked(store, StoredQuery(f"q{number}", "docs" if number % 2 else "code", "x"))
    at(home, "impressions", "shown_ms", [1000, 2000, 3000, 4000])
    begin, end = (datetime.fromtimestamp(seconds, UTC) for seconds in (2, 4))
    assert [page.query_id for page in exported(store, begin=begin, end=end)[0]] == ["q1.2", "q2.3"]
    assert [page.query_id for page in exported(store, index="code")[0]] == ["q0.1", "q2.3"]


def test_what_is_recorded_meanwhile_is_for_the_next_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.export._PAGES", 2)
    for number in range(5):
        asked(store, StoredQuery(f"q{number}", "docs", "x"))
        store.add_event(Event(f"q{number}", "a", "click"))
    pages = export_pages(store)
    first = next(pages)
    asked(store, StoredQuery("new", "docs", "x"))
    store.add_event(Event("q4", "b", "click"))
    found = [first, *pages]
    assert [page.query_id.partition(".")[0] for page in found] == [f"q{number}" for number in range(5)]
    assert [len(page.events) for page in found] == [1] * 5
    assert len(exported(store)[0]) == 6


def test_what_the_service_records_is_a_log_that_models_read(
    own_client: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = own_client.post("/v1/search", json={"query": "espresso", "limit": 5, "user_id": "u"}).json()
    document = answer["hits"][1]["id"]
    click = {"query_id": answer["query_id"], "document": document, "kind": "click", "position": 2, "dwell_ms": 3000}
    assert own_client.post("/v1/feedback", json=click).status_code == 201
    home = next(path.parent for path in tmp_path.rglob("store.db"))
    assert cli.run(["export", str(tmp_path / "log"), "--home", str(home)]) == 0
    assert "Wrote 1 pages with 1 events" in capsys.readouterr().out
    (arrays,) = sessions(ClickLog.open(tmp_path / "log"), vocabulary := Vocabulary())
    assert [name for _, name in vocabulary.pairs] == [hit["id"] for hit in answer["hits"]]
    assert arrays.clicks.tolist() == [[False, True, False, False, False]]
    assert arrays.arms == (answer["pipeline_version"],)
    assert cli.run(["export", str(tmp_path / "log"), "--home", str(home), "--append", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pages"] == 1
    named = ["--store-url", f"sqlite:///{home}/store.db", "--home", str(tmp_path / "nowhere"), "--json"]
    assert cli.run(["export", str(tmp_path / "again"), *named]) == 0
    assert json.loads(capsys.readouterr().out)["pages"] == 1


def test_what_does_not_fit_is_one_line_with_a_mend(
    tmp_path: Path, home: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (["--home", str(tmp_path / "nowhere")], "There is no store"),
        (["--home", str(home), "--since", "tomorrow"], "--since tomorrow is no time"),
    ):
        assert cli.run(["export", str(tmp_path / "log"), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").touch()
    for log in (tmp_path / "file", tmp_path / "file" / "log"):
        assert cli.run(["export", str(log), "--home", str(home)]) == 2
        assert "file is a file. Name a folder" in capsys.readouterr().err
    assert cli.run(["export", str(tmp_path / "log"), "--home", str(home), "--since", "2026-01-01"]) == 0
    assert ClickLog.open(tmp_path / "log").count("impressions") == 0
