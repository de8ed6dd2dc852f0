"""Search over HTTP: rounds, feedback, pages, and what each answer carries."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from index.build import BuildOptions, build_index
from index.errors import UnavailableError
from index.index import Index
from index.types import Document, Query
from ranking.config import load_specs
from ranking.contract import Request
from ranking.feedback import Feedback
from server.answers import Found, find
from server.events import CLICK_WEIGHT
from server.schemas import SearchRequest
from server.service import Service
from server.store import Round
from server.store.tables import impressions
from tests.fakes import HashingEncoder
from tests.server.conftest import MakeService, client_of

QUERY = "espresso grinder and a boat"

DEFAULT_STAGES = {stage.name for stage in load_specs(None)["smoothed"].stages}


def search(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def give(client: TestClient, query_id: str, document: str, kind: str, **more: Any) -> None:
    body = {"query_id": query_id, "document": document, "kind": kind, **more}
    assert client.post("/v1/feedback", json=body).status_code == 201


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def test_an_answer_carries_everything(client: TestClient, service: Service) -> None:
    answer = search(client, query=QUERY, limit=3)
    pipeline = service.catalog.pipeline("smoothed", service.catalog.indexes["dense"])
    assert {name: answer[name] for name in ("query", "index", "pipeline", "round", "offset", "limit")} == {
        "query": QUERY,
        "index": "dense",
        "pipeline": "smoothed",
        "round": 1,
        "offset": 0,
        "limit": 3,
    }
    assert answer["pipeline_version"] == pipeline.version
    assert answer["generation"] == service.catalog.indexes["dense"].view().generation
    assert answer["score_kind"] == "smooth"
    assert (answer["degraded"], answer["warnings"], answer["feedback"]) == (None, [], [])
    assert {"qe", "knn", "probe", "sum", "store", "hits", "total"} <= set(answer["timings_ms"])
    assert answer["timings_ms"]["total"] >= answer["timings_ms"]["qe"]
    assert answer["total"] > 3
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)
    hit = answer["hits"][0]
    assert hit["title"].startswith(("Coffee", "Sailing"))
    assert set(hit["fields"]) == {"topic", "part", "even"}
    assert (hit["previous_rank"], hit["feedback"], hit["stages"], hit["explanation"]) == (None, None, None, None)
    marked = {hit["snippet"]["text"][start:end].lower() for start, end in hit["snippet"]["highlights"]}
    assert marked & {"espresso", "grinder", "boat"}


def test_it_is_the_pipelines_ranking(client: TestClient, service: Service) -> None:
    pipeline = service.catalog.pipeline("smoothed", service.catalog.indexes["dense"])
    first = search(client, query=QUERY, limit=100)
    assert ids(first) == list(pipeline.rank([Request(Query("x", QUERY))])[0].ids)
    relevant, bad = ids(first)[3], ids(first)[0]
    give(client, first["query_id"], relevant, "relevant")
    give(client, first["query_id"], bad, "not_relevant")
    second = search(client, query_id=first["query_id"], limit=100)
    expected = pipeline.rank([Request(Query("x", QUERY), Feedback.judged([relevant], [bad]))])[0]
    assert ids(second) == list(expected.ids)
    assert [hit["score"] for hit in second["hits"]] == pytest.approx(expected.scores.tolist())


def test_feedback_makes_a_new_round_that_tells_what_moved(client: TestClient) -> None:
    first = search(client, query=QUERY, limit=100)
    chosen = ids(first)[19]
    give(client, first["query_id"], chosen, "relevant", position=20)
    second = search(client, query_id=first["query_id"], limit=20)
    assert (second["round"], second["query_id"], second["query"]) == (2, first["query_id"], QUERY)
    assert second["feedback"] == [{"document": chosen, "kind": "relevant", "relevance": 1.0, "weight": 1.0}]
    ranks = {document: rank for rank, document in enumerate(ids(first), start=1)}
    assert [hit["previous_rank"] for hit in second["hits"]] == [ranks.get(document) for document in ids(second)]
    assert ids(second).index(chosen) < ids(first).index(chosen)
    assert {hit["id"]: hit["feedback"] for hit in second["hits"] if hit["feedback"]} == {chosen: "relevant"}


def test_clicks_count_less_than_judgements(dense_index: Index, make_service: MakeService) -> None:
    with client_of(make_service({"dense": dense_index}, click_model="off")) as client:
        check_that_clicks_count_less(client)


def check_that_clicks_count_less(client: TestClient) -> None:
    first = search(client, query=QUERY)
    one, two = ids(first)[1:3]
    give(client, first["query_id"], one, "click", position=2, dwell_ms=30_000)
    give(client, first["query_id"], two, "relevant")
    give(client, first["query_id"], two, "click")
    second = search(client, query_id=first["query_id"])
    assert second["feedback"] == [
        {"document": one, "kind": "click", "relevance": 1.0, "weight": CLICK_WEIGHT},
        {"document": two, "kind": "relevant", "relevance": 1.0, "weight": 1.0},
    ]


def test_the_last_judgement_wins_and_none_takes_back(client: TestClient) -> None:
    first = search(client, query=QUERY)
    document = ids(first)[0]
    for kind in ("relevant", "not_relevant"):
        give(client, first["query_id"], document, kind)
    second = search(client, query_id=first["query_id"])
    assert [line["kind"] for line in second["feedback"]] == ["not_relevant"]
    give(client, first["query_id"], document, "none")
    third = search(client, query_id=first["query_id"])
    assert (third["round"], third["feedback"]) == (3, [])
    assert ids(third) == ids(first)


def test_inline_feedback_ranks_at_once_and_stays(client: TestClient) -> None:
    plain = search(client, query=QUERY, limit=50)
    chosen = ids(plain)[-1]
    graded = {"document": chosen, "relevance": 0.9, "weight": 2.0}
    first = search(client, query=QUERY, limit=50, feedback=[graded])
    assert first["round"] == 1
    assert first["feedback"] == [{**graded, "kind": "graded"}]
    assert ids(first).index(chosen) < ids(plain).index(chosen)
    assert next(hit["feedback"] for hit in first["hits"] if hit["id"] == chosen) == "relevant"
    again = search(client, query_id=first["query_id"], limit=50)
    assert again["feedback"] == first["feedback"]
    assert ids(again) == ids(first)


def test_exclude_feedback(client: TestClient) -> None:
    first = search(client, query=QUERY)
    give(client, first["query_id"], ids(first)[0], "relevant")
    second = search(client, query_id=first["query_id"], exclude_feedback=True)
    assert ids(first)[0] not in ids(second)
    assert [line["document"] for line in second["feedback"]] == [ids(first)[0]]


def test_pages_stay_inside_one_ranking(client: TestClient) -> None:
    whole = search(client, query=QUERY, limit=100)
    first = search(client, query=QUERY, limit=4)
    query_id = first["query_id"]
    pages = [search(client, query_id=query_id, limit=4, offset=offset) for offset in range(4, whole["total"], 4)]
    assert [hit for page in (first, *pages) for hit in ids(page)] == ids(whole)
    ranks = [hit["rank"] for page in (first, *pages) for hit in page["hits"]]
    assert ranks == list(range(1, whole["total"] + 1))
    assert {page["round"] for page in pages} == {1}
    assert [hit["score"] for hit in pages[0]["hits"]] == pytest.approx(
        [hit["score"] for hit in whole["hits"][4:8]], rel=1e-6
    )


def test_a_page_is_not_moved_by_feedback_until_a_new_round(client: TestClient) -> None:
    first = search(client, query=QUERY, limit=3)
    before = search(client, query_id=first["query_id"], limit=3, offset=3)
    give(client, first["query_id"], before["hits"][0]["id"], "relevant")
    after = search(client, query_id=first["query_id"], limit=3, offset=3)
    assert ids(after) == ids(before)
    assert after["hits"][0]["feedback"] == "relevant"
    assert after["feedback"] == []


def test_a_later_page_knows_the_round_before(client: TestClient) -> None:
    first = search(client, query=QUERY, limit=100)
    give(client, first["query_id"], ids(first)[-1], "relevant")
    search(client, query_id=first["query_id"], limit=3)
    page = search(client, query_id=first["query_id"], limit=3, offset=3)
    assert page["round"] == 2
    for hit in page["hits"]:
        expected = ids(first).index(hit["id"]) + 1 if hit["id"] in ids(first) else None
        assert hit["previous_rank"] == expected


def test_a_first_answer_can_start_anywhere(client: TestClient) -> None:
    whole = search(client, query=QUERY, limit=100)
    assert ids(search(client, query=QUERY, limit=5, offset=2)) == ids(whole)[2:7]


def test_an_offset_beyond_the_end(client: TestClient) -> None:
    first = search(client, query=QUERY)
    for body in ({"query": QUERY, "offset": 5000}, {"query_id": first["query_id"], "offset": 5000}):
        answer = search(client, **body)
        assert (answer["hits"], answer["total"]) == ([], first["total"])
        assert f"the ranking, which has {first['total']} documents" in answer["warnings"][0]


def test_explain_tells_every_stage(client: TestClient) -> None:
    first = search(client, query="espresso grinder", limit=2, explain=True)
    for hit in first["hits"]:
        assert set(hit["stages"]) == DEFAULT_STAGES
        assert hit["stages"]["smooth"]["rank"] == hit["rank"]
        assert hit["stages"]["smooth"]["score"] == pytest.approx(hit["score"])
        assert "BM25Similarity" in hit["explanation"]
    page = search(client, query_id=first["query_id"], limit=2, offset=2, explain=True)
    assert all(set(hit["stages"]) == DEFAULT_STAGES for hit in page["hits"])
    assert page["warnings"] == []


def test_explain_on_a_page_of_a_round_without_it(client: TestClient) -> None:
    first = search(client, query="espresso grinder", limit=2)
    page = search(client, query_id=first["query_id"], limit=2, offset=2, explain=True)
    assert page["hits"][0]["stages"] is None
    assert "BM25Similarity" in page["hits"][0]["explanation"]
    assert "without explain" in page["warnings"][0]


def test_no_highlights(client: TestClient) -> None:
    assert {hit["snippet"] for hit in search(client, query=QUERY, highlight=False)["hits"]} == {None}


def test_filters(client: TestClient) -> None:
    answer = search(client, query=QUERY, filter='topic == "coffee" and part >= 6', limit=50)
    assert answer["hits"]
    assert all(hit["fields"]["topic"] == "coffee" and hit["fields"]["part"] >= 6 for hit in answer["hits"])
    again = search(client, query_id=answer["query_id"], limit=50)
    assert ids(again) == ids(answer)
    assert ids(search(client, query_id=answer["query_id"], filter='topic == "coffee" and part >= 6')) == ids(again)[:10]


def test_another_pipeline_for_the_next_round(client: TestClient) -> None:
    first = search(client, query=QUERY, pipeline="bm25")
    assert (first["pipeline"], first["score_kind"]) == ("bm25", "bm25")
    assert search(client, query_id=first["query_id"])["pipeline"] == "bm25"
    assert search(client, query_id=first["query_id"], pipeline="smoothed")["pipeline"] == "smoothed"
    assert search(client, query_id=first["query_id"])["pipeline"] == "smoothed"
    assert search(client, query_id=first["query_id"], offset=2, pipeline="smoothed")["round"] == 4


def test_an_index_without_vectors_has_its_own_default(client: TestClient) -> None:
    answer = search(client, query=QUERY, index="lexical")
    assert (answer["index"], answer["pipeline"]) == ("lexical", "bm25-qe")


def test_stop_words_only(client: TestClient) -> None:
    answer = search(client, query="the of and", index="lexical")
    assert (answer["hits"], answer["total"]) == ([], 0)
    assert "only stop words" in answer["warnings"][0]


@pytest.mark.parametrize(
    "query",
    [
        'title:"x" AND (',
        "a* OR b~2 ^3 \\ / [1 TO 2] {} ! && ||",
        "espresso\0grinder",
        "\0espresso",
        "ünï☃ 🦜 نص",
        "x" * 10_000,
    ],
)
def test_odd_queries_are_just_words(client: TestClient, query: str) -> None:
    answer = search(client, query=query)
    assert answer["query"] == query.replace("\0", " ").strip()
    if "espresso" in query:
        assert answer["hits"]


def test_a_query_goes_on_over_a_newer_state_of_its_index(own_client: TestClient) -> None:
    first = search(own_client, query="zebra crossing")
    assert first["total"] == 0 or "zebra" not in ids(first)
    own_client.put("/v1/documents/zebra", json={"title": "Zebra", "text": "A zebra on a zebra crossing."})
    second = search(own_client, query_id=first["query_id"])
    assert ids(second)[0] == "zebra"
    assert second["round"] == 2


def test_a_query_goes_on_over_a_rebuilt_index(
    make_service: MakeService, new_index: Callable[..., Index], corpus: list[Document], encoder: HashingEncoder
) -> None:
    index = new_index()
    with client_of(make_service({"own": index})) as client:
        first = search(client, query=QUERY, limit=5)
        give(client, first["query_id"], ids(first)[0], "relevant")
        give(client, first["query_id"], ids(first)[1], "not_relevant")
        kept = [document for document in corpus if document.id != ids(first)[1]]
        build_index(index.path, kept, BuildOptions(overwrite=True), encoder=encoder)
        page = search(client, query_id=first["query_id"], offset=1, limit=3)
        assert ids(page) == ids(first)[2:4]
        assert [hit["rank"] for hit in page["hits"]] == [3, 4]
        assert "1 document deleted" in page["warnings"][0]
        second = search(client, query_id=first["query_id"], limit=5)
        assert second["generation"] != first["generation"]
        assert second["pipeline_version"] != first["pipeline_version"]
        assert [line["document"] for line in second["feedback"]] == [ids(first)[0]]
        assert "Feedback on 1 document was left out" in second["warnings"][0]


def test_a_ranking_is_cut_at_the_depth_of_the_settings(make_service: MakeService, dense_index: Index) -> None:
    with client_of(make_service({"dense": dense_index}, depth=10)) as client:
        assert search(client, query="note part mostly", limit=100)["total"] == 10


def test_every_page_shown_is_logged_with_whose_it_was(make_service: MakeService, lexical_index: Index) -> None:
    service = make_service({"lexical": lexical_index}, pseudonym_days=0)
    with client_of(service) as client:
        first = search(client, query=QUERY, limit=2, session_id="s1", user_id="u1")
        page = search(client, query_id=first["query_id"], limit=2, offset=2, session_id="s2")
        again = search(client, query_id=first["query_id"], limit=1)
    with service.store.database.engine.connect() as connection:
        rows = connection.execute(select(impressions).order_by(impressions.c.impression_id)).mappings().all()
    assert [(row["round"], row["offset"], json.loads(row["documents"])) for row in rows] == [
        (1, 0, ids(first)),
        (1, 2, ids(page)),
        (2, 0, ids(again)),
    ]
    assert [(row["session_id"], row["user_id"], row["propensities"]) for row in rows] == [
        ("s1", "u1", None),
        ("s2", None, None),
        (None, None, None),
    ]


def test_pipelines_of_the_settings(make_service: MakeService, lexical_index: Index) -> None:
    mine = {"mine": {"stages": [{"name": "words", "part": "bm25"}]}}
    with client_of(make_service({"lexical": lexical_index}, pipelines=mine, default_pipeline="mine")) as client:
        answer = search(client, query=QUERY)
        assert answer["pipeline"] == "mine"
        assert "words" in answer["timings_ms"]


def test_an_empty_corpus_and_a_single_document(make_service: MakeService, new_index: Callable[..., Index]) -> None:
    one = Document("only", "One", "The single document about parrots.")
    indexes = {"none": new_index(name="none", documents=[]), "one": new_index(name="one", documents=[one])}
    with client_of(make_service(indexes)) as client:
        empty = search(client, query="parrots", index="none")
        assert (empty["total"], empty["hits"]) == (0, [])
        first = search(client, query="parrots", index="one")
        assert ids(first) == ["only"]
        give(client, first["query_id"], "only", "not_relevant")
        assert ids(search(client, query_id=first["query_id"])) == ["only"]
        assert ids(search(client, query_id=first["query_id"], exclude_feedback=True)) == []


def test_documents_are_read_while_the_ranking_is_recorded_and_shown_when_it_is(
    make_service: MakeService, lexical_index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, read = make_service({"lexical": lexical_index}), threading.Event()
    add_round = service.store.add_round

    def finding(*what: Any) -> Found:
        found = find(*what)
        read.set()
        return found

    def recording(*what: Any, **how: Any) -> Round:
        assert read.wait(30)
        return add_round(*what, **how)

    monkeypatch.setattr("server.search.find", finding)
    monkeypatch.setattr(service.store, "add_round", recording)
    answer = service.search(SearchRequest(query="espresso"))
    recorded = service.store.round(answer.query_id)
    assert recorded is not None
    assert recorded.ranking.ids[:3] == tuple(hit.id for hit in answer.hits[:3])

    def failing(*what: Any, **how: Any) -> Round:
        raise UnavailableError("The store is full.", "Free some disk space.")

    monkeypatch.setattr(service.store, "add_round", failing)
    with pytest.raises(UnavailableError, match="is full"):
        service.search(SearchRequest(query="espresso"))
