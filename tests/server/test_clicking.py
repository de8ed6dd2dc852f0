"""Clicks as the next round reads them: debiased, beside judgements, by the pages that were shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from index.errors import NotFoundError
from index.index import Index
from index.types import Ranking
from ranking.clicks.models.base import FitOptions
from ranking.clicks.models.registry import Fitted, new
from ranking.clicks.sessions import Sessions, Vocabulary
from server.clicking import ClickReader, Seen
from server.events import Event, Mark, fold
from server.store import Page, Round, Store, StoredQuery
from tests.server.conftest import MakeService, client_of

CLICK = Mark("b", "click", 1.0, 0.5)


def seen(documents: str, *clicked: str) -> Seen:
    return Seen(tuple(documents), None, dict.fromkeys(clicked))


def test_a_click_is_evidence_and_what_was_passed_over_too() -> None:
    read = ClickReader("published").read("q", {"b": CLICK}, [seen("abcdefghij", "b")])
    assert read["b"].kind == "click"
    assert read["a"].kind == "skipped"
    assert read["a"].relevance < read["b"].relevance < 1.0
    assert read["a"].weight > read["c"].weight > 0.0
    assert read["a"].label == "not_relevant"


def test_judgements_stay_what_they_are() -> None:
    judged = Mark("a", "relevant", 1.0, 1.0)
    read = ClickReader("published").read("q", {"a": judged, "b": CLICK}, [seen("abc", "b")])
    assert read["a"] == judged
    assert list(read)[:2] == ["a", "b"]


def test_a_click_that_no_page_shows_keeps_its_mark() -> None:
    assert ClickReader("published").read("q", {"b": CLICK}, [])["b"] == CLICK


def test_nothing_is_read_without_clicks_or_where_it_is_switched_off() -> None:
    assert not ClickReader("published").wanted({"a": Mark("a", "relevant", 1.0, 1.0)})
    assert not ClickReader("off").wanted({"b": CLICK})
    assert ClickReader("published").wanted({"b": CLICK})


def test_a_fitted_model_knows_what_others_clicked(tmp_path: Path) -> None:
    vocabulary = Vocabulary()
    codes = np.array([vocabulary.pair("q", document) for document in "abc"])
    model = new("pbm")
    clicks = np.zeros((200, 3), dtype=bool)
    clicks[:, 2] = True
    model.fit(lambda: iter([Sessions.of(np.tile(codes, (200, 1)), clicks)]), FitOptions())
    Fitted(model, vocabulary).save(tmp_path)
    marks, pages = {"b": CLICK}, [seen("abc", "b")]
    alone, taught = ClickReader("published").read("q", marks, pages), ClickReader(str(tmp_path)).read("q", marks, pages)
    assert taught["c"].relevance > 0.9 > alone["c"].relevance
    assert taught["a"].relevance < 0.05
    with pytest.raises(NotFoundError, match="clicks fit"):
        ClickReader(str(tmp_path / "nowhere"))


def test_a_model_that_is_fitted_anew_serves_at_once_and_a_damaged_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vocabulary = Vocabulary()
    codes = np.array([vocabulary.pair("q", document) for document in "abc"])
    marks, pages = {"b": CLICK}, [seen("abc", "b")]

    def save(liked: int) -> None:
        model, clicks = new("pbm"), np.zeros((200, 3), dtype=bool)
        clicks[:, liked] = True
        model.fit(lambda: iter([Sessions.of(np.tile(codes, (200, 1)), clicks)]), FitOptions())
        Fitted(model, vocabulary).save(tmp_path)

    save(2)
    reader = ClickReader(str(tmp_path))
    assert reader.read("q", marks, pages)["c"].relevance > 0.9
    save(0)
    assert reader.read("q", marks, pages)["a"].relevance > 0.9 > reader.read("q", marks, pages)["c"].relevance
    (tmp_path / "model.json").write_text("{}")
    assert reader.read("q", marks, pages)["a"].relevance > 0.9
    assert "goes on serving" in caplog.text


def test_the_store_gives_each_page_its_clicks(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    query = StoredQuery("q", "i", "words")
    ranking = Ranking(["a", "b", "c", "d"], np.array([4.0, 3.0, 2.0, 1.0]))
    store.add_round(query, Round(ranking, "p", "1", "g", "sum"), Page(0, ("a", "b")), new=True)
    for document, ms in (("b", 500), ("b", None), ("x", None)):
        store.add_event(Event("q", document, "click", dwell_ms=ms))
    store.add_page("q", 1, Page(2, ("c", "d")))
    other = Ranking(["b", "c"], np.array([2.0, 1.0]))
    store.add_round(query, Round(other, "p", "1", "g", "sum"), Page(0, ("b", "c")), new=False)
    store.add_event(Event("q", "c", "click", dwell_ms=2_000))
    store.add_event(Event("q", "d", "click"))
    pages = store.seen("q", {"b", "c", "x"})
    assert [page.documents for page in pages] == [("a", "b"), ("c", "d"), ("b", "c")]
    assert [page.scores for page in pages] == [(4.0, 3.0), (2.0, 1.0), (2.0, 1.0)]
    assert [dict(page.clicked) for page in pages[:2]] == [{"b": 500}, {}]
    assert dict(pages[2].clicked) == {"c": 2_000}
    assert fold([Event("q", "b", "click")])["b"].kind == "click"
    store.close()


def ids(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def ask(client: TestClient, **body: object) -> dict[str, list[dict[str, str]]]:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[dict[str, str]]] = answer.json()
    return found


def test_the_next_round_ranks_with_debiased_clicks(dense_index: Index, make_service: MakeService) -> None:
    with client_of(make_service({"dense": dense_index}, click_model="published")) as client:
        first = ask(client, query="coffee beans and brewing", limit=5)
        document, judged = ids(first)[1:3]
        for kind, chosen in (("click", document), ("relevant", judged)):
            event = {"query_id": first["query_id"], "document": chosen, "kind": kind}
            assert client.post("/v1/feedback", json=event).status_code == 201
        second = ask(client, query_id=first["query_id"], limit=5)
        lines = {line["document"]: line for line in second["feedback"]}
        assert lines[judged] == {"document": judged, "kind": "relevant", "relevance": 1.0, "weight": 1.0}
        assert lines[document]["kind"] == "click"
        assert 0.1 < float(lines[document]["relevance"]) < 1.0
        assert lines[ids(first)[0]]["kind"] == "skipped"
        assert {hit["id"]: hit["feedback"] for hit in second["hits"] if hit["feedback"]}.items() <= {
            document: "click",
            judged: "relevant",
        }.items()
        none = {"query_id": first["query_id"], "document": document, "kind": "none"}
        client.post("/v1/feedback", json=none)
        third = ask(client, query_id=first["query_id"], limit=5)
        assert [line["kind"] for line in third["feedback"]] == ["relevant"]
