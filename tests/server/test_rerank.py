"""Re-ranking texts in the dialects of other services, with feedback and without."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cohere
import httpx
import pytest
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from index.build import BuildOptions, build_index
from index.index import Index
from index.types import Document
from ranking.learning.engine import Engine
from ranking.learning.engines import use
from server.patience import LateError, Patience
from server.service import Service
from tests.fakes import HashingEncoder
from tests.ranking.learning.tiny import tiny_model, write_tiny
from tests.server.conftest import MakeService, listening
from tests.server.test_problems import problem

DOCUMENTS = [
    "the keel of a boat in the wind",
    "roast the beans and grind them for espresso",
    "a telescope shows the nebula",
    "beans and a boat",
]
QUERY = "espresso beans"


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    with listening(service) as url:
        yield url


@pytest.fixture
def connection() -> Iterator[httpx.Client]:
    """What the clients of cohere talk through; they leave their own one open."""
    with httpx.Client(timeout=300) as connection:
        yield connection


@pytest.fixture
def second(address: str, connection: httpx.Client) -> cohere.ClientV2:
    return cohere.ClientV2("no key", base_url=address, httpx_client=connection)


def test_the_cohere_client_version_2(second: cohere.ClientV2) -> None:
    answer = second.rerank(model="probe", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [result.index for result in answer.results] == [1, 3]
    assert 1 >= answer.results[0].relevance_score > answer.results[1].relevance_score >= 0
    everything = second.rerank(model="default", query=QUERY, documents=DOCUMENTS, top_n=99)
    assert sorted(result.index for result in everything.results) == [0, 1, 2, 3]


def test_the_cohere_client_adapts_to_feedback(second: cohere.ClientV2) -> None:
    told = {"additional_body_parameters": {"feedback": [{"index": 0}, {"index": 1, "relevance": 0.0}]}}
    answer = second.rerank(model="probe", query=QUERY, documents=DOCUMENTS, request_options=told)  # type: ignore[arg-type]
    order = [result.index for result in answer.results]
    assert order.index(0) < order.index(1)
    assert order[0] == 0


def test_the_cohere_client_version_1(address: str, connection: httpx.Client) -> None:
    client = cohere.Client("no key", base_url=address, httpx_client=connection)
    sent: list[Any] = [{"text": text, "number": number} for number, text in enumerate(DOCUMENTS)]
    answer = client.rerank(query=QUERY, documents=sent, model="knn", return_documents=True)
    best = answer.results[0]
    assert (best.index, best.document and best.document.text) == (1, DOCUMENTS[1])


def test_the_cohere_client_gets_our_words_for_an_error(second: cohere.ClientV2) -> None:
    with pytest.raises(cohere.UnprocessableEntityError) as error:
        second.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    assert error.value.body["advice"] == "Valid: probe, knn, cross-encoder; or name none."
    assert error.value.body["field"] == "model"


def test_text_embeddings_inference(client: TestClient) -> None:
    body = {"query": QUERY, "texts": DOCUMENTS, "truncate": True, "truncation_direction": "Right"}
    answer = client.post("/rerank", json=body).json()
    assert [line["index"] for line in answer][:2] == [1, 3]
    assert all(set(line) == {"index", "score"} for line in answer)
    with_text = client.post("/rerank", json={**body, "return_text": True, "raw_scores": True}).json()
    assert [line["text"] for line in with_text] == [DOCUMENTS[line["index"]] for line in answer]
    assert with_text[0]["score"] > 1  # log-odds
    told = client.get("/info").json()
    assert (told["max_client_batch_size"], "probe" in told["models"]) == (1000, True)


def test_infinity_gives_documents_as_texts(client: TestClient) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS, "model": "default/not-specified", "return_documents": True}
    answer = client.post("/rerank", json=body).json()
    assert (answer["object"], answer["model"], answer["score_kind"]) == ("rerank", "probe", "probability")
    assert answer["results"][0]["document"] == DOCUMENTS[1]
    assert answer["id"].startswith("infinity-")


def test_jina_gives_documents_as_objects(client: TestClient) -> None:
    sent = [DOCUMENTS[0], {"text": DOCUMENTS[1], "url": "here"}]
    answer = client.post("/v1/rerank", json={"query": QUERY, "documents": sent, "return_documents": True}).json()
    assert answer["results"][0]["document"] == {"text": DOCUMENTS[1], "url": "here"}
    assert answer["results"][1]["document"] == {"text": DOCUMENTS[0]}
    assert answer["usage"]["total_tokens"] == len(f"{QUERY} {DOCUMENTS[0]} {DOCUMENTS[1]}".split())


def test_all_dialects_agree(client: TestClient) -> None:
    body = {"query": QUERY, "feedback": [{"text": "the wind in the sails"}, {"index": 1, "relevance": 0.25}]}
    scored = [
        {line["index"]: line["relevance_score"] for line in client.post(path, json=sent).json()["results"]}
        for path in ("/rerank", "/v1/rerank", "/v2/rerank")
        for sent in [{**body, "documents": DOCUMENTS}]
    ]
    texts = client.post("/rerank", json={**body, "texts": DOCUMENTS}).json()
    assert scored[0] == scored[1] == scored[2] == {line["index"]: line["score"] for line in texts}


def test_equal_scores_keep_the_order_in_which_they_were_sent(client: TestClient) -> None:
    answer = client.post("/v2/rerank", json={"query": QUERY, "documents": [DOCUMENTS[1]] * 12}).json()
    assert [line["index"] for line in answer["results"]] == list(range(12))


def test_top_k_is_top_n(client: TestClient) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS, "top_k": 1}
    assert len(client.post("/v1/rerank", json=body).json()["results"]) == 1


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        ("/v2/rerank", {"documents": []}, "documents"),
        ("/v2/rerank", {"documents": ["x"] * 1001}, "documents"),
        ("/v2/rerank", {"top_n": 0}, "top_n"),
        ("/v2/rerank", {"feedback": [{"index": 4}]}, "feedback[0].index"),
        ("/v2/rerank", {"feedback": [{"index": -1}]}, "feedback[0].index"),
        ("/v2/rerank", {"feedback": [{}]}, "feedback[0]"),
        ("/v2/rerank", {"feedback": [{"index": 0, "text": "both"}]}, "feedback[0]"),
        ("/v1/rerank", {"feedback": [{"index": 0, "relevance": 1.5}]}, "feedback[0].relevance"),
        ("/v1/rerank", {"feedback": [{"index": 0}, {"index": 0, "relevance": 0.0}]}, "feedback"),
        ("/v1/rerank", {"query": "\ud800"}, "query"),
    ],
)
def test_what_cannot_be_used_says_where(client: TestClient, path: str, change: dict[str, Any], field: str) -> None:
    body = json.dumps({"query": QUERY, "documents": DOCUMENTS, **change})
    problem(client.post(path, content=body), 422, "invalid-input", field)


def test_neither_texts_nor_documents(client: TestClient) -> None:
    problem(client.post("/rerank", json={"query": QUERY}), 422, "invalid-input")


def test_the_cross_encoder_is_the_one_that_was_activated(
    make_service: MakeService, lexical_index: Index, tmp_path: Path
) -> None:
    """With it the scores are those of a service that has only known this model; of a canary each query has its side."""
    other = str(write_tiny(tmp_path / "other", seed=2))
    for tokens in (128, 256):
        use("clickwise-minilm", Engine(tiny_model(seed=1)), tokens)
    service = make_service({"docs": lexical_index})
    queries = [f"espresso beans {number}" for number in range(12)]

    def scores() -> list[list[float]]:
        asked = [service.reranking.rerank(query, DOCUMENTS, model="cross-encoder") for query in queries]
        return [[one.scores[one.order.index(at)] for at in range(len(DOCUMENTS))] for one in asked]

    before = scores()
    service.activate("model", "clickwise-minilm", other, 1.0)
    after = scores()
    assert all(one != two for one, two in zip(before, after, strict=True))
    for tokens in (128, 256):
        use("clickwise-minilm", Engine(tiny_model(seed=1)), tokens)
    service.activate("model", "clickwise-minilm", "clickwise-minilm", 1.0)
    assert scores() == before
    service.activate("model", "clickwise-minilm", other, 0.5)
    tried = scores()
    assert all(one in (was, new) for one, was, new in zip(tried, before, after, strict=True))
    assert tried not in (before, after)
    assert scores() == tried


def test_where_time_is_short_the_cheaper_ranking_is_given_and_said(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe's ranking and scores stand in for the cross-encoder's, in every dialect."""
    for tokens in (128, 256):
        use("clickwise-minilm", Engine(tiny_model(seed=1)), tokens)
    body = {"query": QUERY, "documents": DOCUMENTS, "model": "cross-encoder"}

    def scores(path: str, **change: Any) -> Any:
        sent = {name: value for name, value in {**body, **change}.items() if value is not None}
        return client.post(path, json={**sent, "feedback": [{"index": 3}]})

    assert "X-Degraded" not in scores("/v2/rerank").headers
    assert "degraded" not in scores("/v1/rerank").json()
    cheap = scores("/v1/rerank", model="probe").json()["results"]

    def late(*_: Any, **__: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(Engine, "states", late)
    for path in ("/v1/rerank", "/rerank", "/v2/rerank"):
        answer = scores(path)
        told = answer.json()
        assert (answer.headers["X-Degraded"], told["results"]) == ("deadline", cheap)
        assert told.get("degraded") == "deadline" or path == "/v2/rerank"
    assert told["meta"]["degraded"] == "deadline"
    assert told["meta"]["warnings"] == ["This ranking is simpler than asked for (deadline)."]
    answer = scores("/rerank", documents=None, texts=DOCUMENTS)
    assert answer.headers["X-Degraded"] == "deadline"
    assert [line["index"] for line in answer.json()] == [line["index"] for line in cheap]
    assert 'clickwise_degraded_total{reason="deadline"}' in client.get("/metrics").text


def test_it_has_a_deadline_and_is_not_begun_after_it(service: Service, client: TestClient) -> None:
    over = Patience(arrived=time.perf_counter() - 2, seconds=1)
    with pytest.raises(LateError):
        service.reranking.rerank(QUERY, DOCUMENTS, patience=over)
    gone = Patience.of(None, 1000)
    gone.end()
    with pytest.raises(ClientDisconnect):
        service.reranking.rerank(QUERY, DOCUMENTS, patience=gone)
    body = {"query": QUERY, "documents": DOCUMENTS, "deadline_ms": 60_000}
    assert client.post("/v2/rerank", json=body).status_code == 200
    problem(client.post("/v2/rerank", json={**body, "deadline_ms": 0}), 422, "invalid-input", "deadline_ms")


def test_the_encoder_is_that_of_the_generation_that_serves(
    make_service: MakeService, tmp_path: Path, corpus: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = {name: HashingEncoder(dimension, name) for name, dimension in (("small", 32), ("large", 96))}
    monkeypatch.setattr("index.encoder.load_encoder", lambda name, **_: encoders[name])
    for number, encoder in enumerate(encoders.values()):
        options = BuildOptions(overwrite=bool(number), activated=not number)
        build_index(tmp_path / "docs", corpus, options, encoder=encoder)
    service = make_service({"docs": Index.open(tmp_path / "docs")})
    rerank = service.reranking

    def used(name: str) -> bool:
        before = encoders[name].calls
        assert rerank.encoder() is encoders[name]
        assert len(rerank.rerank(QUERY, DOCUMENTS).order) == len(DOCUMENTS)
        return encoders[name].calls > before

    assert used("small")
    assert service.activate("index", "docs", None, 1.0).target == "000002"
    assert used("large")  # vectors of the other model are not taken for its own
    service.activate("index", "docs", "000001", 1.0)
    assert rerank.encoder() is encoders["small"]
