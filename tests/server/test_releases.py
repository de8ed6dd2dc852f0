"""Hot reload: what serves is exchanged under traffic, tried on a share of it, taken back, and remembered."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from starlette.testclient import TestClient

from index.build import BuildOptions, build_index
from index.errors import UnavailableError
from index.index import Index
from index.types import Document
from ranking.clicks.splits import Split
from ranking.config import load_specs
from ranking.cross_encoder import CrossEncoderRanker
from ranking.learning.cross_encoder import CrossEncoder, load_cross_encoder
from ranking.learning.engine import Engine
from ranking.learning.engines import running, use
from ranking.pipeline import models
from server.events import Event
from server.releases import releases
from server.schemas import SearchRequest
from server.service import Service
from server.settings import Settings
from tests.fakes import HashingEncoder
from tests.ranking.learning.tiny import tiny_model, write_tiny
from tests.server.conftest import MakeService, client_of, make_service_at
from tests.server.test_experiments import ids, recorded, search

NewIndex = Callable[..., Index]


@pytest.fixture
def index(new_index: NewIndex) -> Index:
    """Two generations: the corpus, which serves, and one of two documents about espresso, which waits."""
    index = new_index(name="docs")
    documents = [Document(f"new-{number}", "Espresso", f"espresso number {number}") for number in range(2)]
    build_index(index.path, documents, BuildOptions(overwrite=True, activated=False), encoder=HashingEncoder())
    return index


@pytest.fixture
def service(make_service: MakeService, index: Index) -> Service:
    return make_service({"docs": index})


def activate(client: TestClient, what: str, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = client.post(f"/admin/{what}:activate", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def replica(service: Service, index: Index) -> Service:
    """Another service on the same store and the same index, as another process would have it."""
    again = Index.open(index.path, encoder=HashingEncoder())
    return make_service_at(service.settings.home, {"docs": again})


def test_a_generation_is_activated_and_rolled_back_under_traffic(service: Service) -> None:
    """Every search and every click in flight meets one generation or the other, and none fails."""
    done, stop = [0, 0], threading.Event()

    with client_of(service) as client:

        def searcher(number: int) -> set[str]:
            generations = set()
            while not stop.is_set():
                answer = search(client, query="espresso beans")
                generations.add(answer["generation"])
                assert len({hit["id"][:4] for hit in answer["hits"]} & {"new-"}) == (answer["generation"] == "000002")
                event = {"query_id": answer["query_id"], "document": ids(answer)[0], "kind": "click"}
                assert client.post("/v1/feedback", json=event).status_code == 201
                again = search(client, query_id=answer["query_id"])
                assert again["round"] == 2
                done[number] += 1
            return generations

        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(searcher, number) for number in range(2)]
            try:
                for generation in (None, "000001", "000002"):
                    before = list(done)
                    while any(now <= then for now, then in zip(done, before, strict=True)):
                        assert not any(one.done() for one in running), [one.result() for one in running]
                    release = activate(client, "indexes/docs", generation=generation)
                    assert release["target"] == (generation or "000002")
            finally:
                stop.set()
            assert all("000001" in one.result() for one in running)
        assert search(client, query="espresso")["generation"] == "000002"


def test_a_canary_serves_its_share_of_the_sessions_and_is_taken_back(service: Service) -> None:
    with client_of(service) as client:
        client.service = service  # type: ignore[attr-defined]
        release = activate(client, "indexes/docs", generation="000002", share=0.5)
        served: dict[str, str] = {}
        for session in map(str, range(24)):
            answer = search(client, query="espresso", session_id=session)
            again = search(client, query_id=answer["query_id"], session_id=session)
            served[session] = answer["generation"]
            assert again["generation"] == answer["generation"]
            side = "second" if answer["generation"] == "000002" else "first"
            assert recorded(client)[-2]["arm"] == Split(f"canary:{release['id']}", side).arm  # type: ignore[arg-type]
            assert recorded(client)[-1]["arm"] is None
        assert 4 <= sum(generation == "000002" for generation in served.values()) <= 20
        assert client.get("/admin/releases").json() == {"releases": [release]}
        activate(client, "indexes/docs", generation="000002", share=0)
        for session in served:
            assert search(client, query="espresso", session_id=session)["generation"] == "000001"
        assert recorded(client)[-1]["arm"] is None
        assert client.get("/admin/releases").json() == {"releases": []}


def test_releases_survive_a_restart_and_replicas_follow(service: Service, index: Index) -> None:
    other = replica(service, index)
    service.activate("click-model", "", "published", 1.0)
    service.activate("index", "docs", "000002", 1 - 1e-9)
    other.releases.look()
    later = replica(service, index)
    later.releases.look()
    for one in (service, other, later):
        assert one.releases.serving("anybody").clicks.on
        assert one.search(SearchRequest(query="espresso")).generation == "000002"
        assert one.released() == service.released()
    other.releases.follow()
    service.activate("index", "docs", "000002", 0.0)
    deadline = threading.Event()
    for _ in range(600):
        if other.search(SearchRequest(query="espresso")).generation == "000001":
            break
        deadline.wait(0.05)
    else:
        pytest.fail("the other replica did not follow")
    for one in (other, later):
        one.close()


def test_a_release_that_becomes_visible_after_a_later_one_is_followed(service: Service) -> None:
    """As on PostgreSQL, where ids are given out before transactions end."""
    look = service.releases.look
    for number, target, serving in ((6, "published", True), (5, "off", True), (7, "off", False)):
        row = {"release_id": number, "kind": "click-model", "name": "", "target": target, "share": 1.0}
        with service.store.writing() as connection:
            connection.execute(insert(releases).values(**row, released_ms=1))
        look()
        assert service.releases.serving("anybody").clicks.on is serving
    row = {"release_id": 4, "kind": "index", "name": "docs", "target": "000002", "share": 0.5, "released_ms": 1}
    with service.store.writing() as connection:
        connection.execute(insert(releases).values(**row))
    look()
    assert "000002" in {release.target for release in service.releases.current()}


def weights(folder: Path, name: str) -> str:
    """The path of a model, as far as it tells its weights."""
    path = folder / f"{name}.safetensors"
    path.write_bytes(name.encode())
    return str(path)


def test_a_model_takes_the_place_of_another_in_every_pipeline(service: Service, tmp_path: Path) -> None:
    other = weights(tmp_path, "other")
    for name in ("clickwise-minilm", "clickwise-minilm-supervised", other):
        for tokens in (128, 256):
            use(name, Engine(tiny_model(seed=len(name))), tokens)
    specs = load_specs()
    using = [name for name, spec in specs.items() if "clickwise-minilm" in models(spec)]
    assert {"ce", "ce-maml", "fused-ce"} <= set(using)
    service.activate("model", "clickwise-minilm", other, 1.0)
    catalog = service.releases.serving("").catalog
    for name in using:
        assert other in models(catalog.specs[name])
        assert "clickwise-minilm" not in models(catalog.specs[name])
    assert catalog.specs["fused"].digest == specs["fused"].digest
    assert "clickwise-minilm" in models(service.catalog.specs["ce"])
    service.activate("model", "clickwise-minilm", "clickwise-minilm", 1.0)
    assert "clickwise-minilm" in models(service.releases.serving("").catalog.specs["ce"])


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("indexes/nowhere", {}, 404),
        ("indexes/docs", {"generation": "000009"}, 404),
        ("indexes/docs", {"share": 2}, 422),
        ("indexes/docs", {"generation": "../000001"}, 404),
        ("models/nobody", {"model": "clickwise-minilm"}, 404),
        ("models/clickwise-minilm", {"model": "/no/such/model"}, 404),
        ("models/clickwise-minilm", {"model": "/no/such/delta.safetensors"}, 404),
        ("models/clickwise-minilm", {}, 422),
        ("click-models", {"model": "/no/such/model"}, 404),
        ("click-models", {"model": "a\0b"}, 422),
        ("models/clickwise-minilm", {"model": "a\0b"}, 422),
    ],
)
def test_what_cannot_be_had_changes_nothing(service: Service, what: str, body: dict[str, Any], status: int) -> None:
    with client_of(service) as client:
        problem = activate(client, what, status, **body)
        assert problem["detail"]
        assert problem["advice"]
        assert client.get("/admin/releases").json() == {"releases": []}
        assert search(client, query="espresso")["generation"] == "000001"


def test_a_target_that_has_gone_is_left_out_and_said(
    service: Service, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with service.store.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO releases (kind, name, target, share, released_ms) VALUES ('click-model', '', '/gone', 1.0, 1)"
        )
    service.releases.look()
    assert "/gone" in caplog.text
    assert not service.releases.serving("").clicks.on
    assert service.search(SearchRequest(query="espresso")).hits


# --- models that serve no more


@pytest.fixture
def models_of(tmp_path: Path) -> Callable[[str], str]:
    """The path of a small model of its own."""
    return lambda name: str(write_tiny(tmp_path / name, seed=len(name)))


@pytest.fixture
def exchanging(make_service: MakeService, lexical_index: Index, models_of: Callable[[str], str]) -> Service:
    """A service whose pipeline `reads` has a model of its own."""
    reads = {"part": "cross-encoder", "model": models_of("first"), "candidates": "qe", "depth": 10, "prior": "none"}
    stages = [{"name": "qe", "part": "rocchio"}, {"name": "ce", **reads}]
    return make_service({"docs": lexical_index}, pipelines={"reads": {"stages": stages}}, default_pipeline="reads")


def in_memory(*paths: str) -> set[str]:
    """Which of these models have an engine or a thread. Threads of engines that were closed have been told to end, and
    are given the moment that takes them."""
    for thread in threading.enumerate():
        model = thread.name.removeprefix("owner of ")
        if model in paths and not any(name.startswith(model) for name in running()):
            thread.join(60)
    gc.collect()
    alive = {engine.model.name for engine in gc.get_objects() if type(engine) is Engine}
    threads = {thread.name.removeprefix("owner of ") for thread in threading.enumerate()}
    return {path for path in paths if path in alive | threads}


def test_a_model_that_serves_no_more_is_closed(exchanging: Service, models_of: Callable[[str], str]) -> None:
    service, first, second, third = exchanging, models_of("first"), models_of("second"), models_of("third")

    def ask() -> None:
        assert service.search(SearchRequest(query="espresso beans")).hits

    ask()
    assert in_memory(first, second, third) == {first}
    service.activate("model", first, second, 1.0)
    ask()
    assert in_memory(first, second, third) == {second}
    service.activate("model", first, third, 0.5)  # on trial: both are needed
    for _ in range(20):
        ask()
    assert in_memory(first, second, third) == {second, third}
    service.activate("model", first, third, 0.0)
    assert in_memory(first, second, third) == {second}
    service.activate("model", first, first, 1.0)  # taken back: it is loaded again
    ask()
    assert in_memory(first, second, third) == {first}


def test_who_works_with_a_model_keeps_it_until_he_is_done(
    exchanging: Service, models_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search begins before an exchange, and reads its texts after it: with the model that it began with."""
    service, first, second = exchanging, models_of("first"), models_of("second")
    service.search(SearchRequest(query="espresso"))
    begun, go_on, loaded = threading.Event(), threading.Event(), list[str]()
    rank_both = CrossEncoderRanker.rank_both

    def waits(ranker: CrossEncoderRanker, *asked: Any) -> Any:
        if ranker.model == first:
            begun.set()
            assert go_on.wait(60)
        return rank_both(ranker, *asked)

    def loads(name: str, **options: Any) -> CrossEncoder:
        loaded.append(name)
        return load_cross_encoder(name, **options)

    monkeypatch.setattr("ranking.learning.engines.load_cross_encoder", loads)
    monkeypatch.setattr(CrossEncoderRanker, "rank_both", waits)
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(service.search, SearchRequest(query="boat"))
        assert begun.wait(60)
        service.activate("model", first, second, 1.0)
        assert service.search(SearchRequest(query="star")).hits
        service.releases.look()
        assert in_memory(first, second) == {first, second}
        go_on.set()
        assert searching.result().hits
    assert loaded == [second]
    del searching
    service.releases.look()
    assert in_memory(first, second) == {second}


def test_what_was_loaded_in_vain_is_closed(
    exchanging: Service, models_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, first, second = exchanging, models_of("first"), models_of("second")
    service.search(SearchRequest(query="espresso"))

    def away(*_: Any) -> None:
        raise UnavailableError("The store is away.", "Start it.")

    monkeypatch.setattr(service.releases, "_recorded", away)
    with pytest.raises(UnavailableError):
        service.activate("model", first, second, 1.0)
    assert in_memory(first, second) == {first}


# --- loading


class Slow:
    """A load that begins, waits until it may end, and then ends well or does not."""

    def __init__(self, made: Any) -> None:
        self.made, self.begun, self.may_end = made, threading.Event(), threading.Event()

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.begun.set()
        assert self.may_end.wait(60)
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def goes_on(client: TestClient) -> None:
    """Searches with the model that serves, documents, metrics and reports, all while something is loaded."""
    assert search(client, query="espresso", pipeline="ce")["hits"]
    assert client.put("/v1/documents/new", json={"text": "quagga"}).is_success
    assert ids(search(client, query="quagga", pipeline="bm25")) == ["new"]
    assert client.get("/admin/releases").json() == {"releases": []}
    assert client.get("/metrics").status_code == 200


@pytest.fixture
def serving_model() -> str:
    for tokens in (128, 256):
        use("clickwise-minilm", Engine(tiny_model(seed=1)), tokens)
    return "clickwise-minilm"


def test_all_goes_on_while_a_model_is_loaded(
    service: Service, serving_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, path = Slow(tiny_model(seed=2)), weights(tmp_path, "slow")
    monkeypatch.setattr("ranking.learning.engines.load_cross_encoder", slow)
    with client_of(service) as client, ThreadPoolExecutor(1) as pool:
        activating = pool.submit(activate, client, f"models/{serving_model}", model=path)
        assert slow.begun.wait(60)
        goes_on(client)
        slow.may_end.set()
        assert activating.result()["target"] == path
        assert path in models(service.releases.serving("").catalog.specs["ce"])
        assert search(client, query="espresso", pipeline="ce")["hits"]


def test_all_goes_on_while_a_model_is_downloaded(
    service: Service, serving_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by its name on the hub, which it takes its time to fetch: twice, for its weights and for what names them."""
    slow = Slow(str(write_tiny(tmp_path / "fetched", seed=4)))
    monkeypatch.setattr("huggingface_hub.snapshot_download", slow)
    with client_of(service) as client, ThreadPoolExecutor(1) as pool:
        activating = pool.submit(activate, client, f"models/{serving_model}", model="somebody/a-reranker")
        assert slow.begun.wait(60)
        goes_on(client)
        told = {"query_id": search(client, query="boat")["query_id"], "document": "sailing-00", "kind": "relevant"}
        assert client.post("/v1/feedback", json=told).status_code == 201
        assert client.delete("/v1/people/nobody").status_code == 200
        assert client.delete("/v1/documents/new").status_code == 204
        assert not activating.done()
        slow.may_end.set()
        assert activating.result()["target"] == "somebody/a-reranker"
        assert search(client, query="espresso", pipeline="ce")["hits"]


def test_a_model_that_cannot_be_fetched_changes_nothing(
    service: Service, serving_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(UnavailableError("The model could not be fetched: no network", "Check the connection."))
    path = weights(tmp_path, "away")
    monkeypatch.setattr("ranking.learning.engines.load_cross_encoder", slow)
    with client_of(service) as client, ThreadPoolExecutor(1) as pool:
        activating = pool.submit(activate, client, f"models/{serving_model}", 503, model=path)
        assert slow.begun.wait(60)
        goes_on(client)
        slow.may_end.set()
        problem = activating.result()
        assert (problem["detail"], problem["advice"]) == (slow.made.message, "Check the connection.")
        goes_on(client)
        slow.made = tiny_model(seed=3)  # it is there now
        assert activate(client, f"models/{serving_model}", model=path)["share"] == 1


def test_documents_are_written_while_a_generation_is_opened(
    service: Service, serving_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(None)
    monkeypatch.setattr(Index, "warm_up", slow)
    with client_of(service) as client, ThreadPoolExecutor(1) as pool:
        activating = pool.submit(activate, client, "indexes/docs")
        assert slow.begun.wait(60)
        goes_on(client)
        slow.may_end.set()
        assert activating.result()["target"] == "000002"
        assert search(client, query="espresso")["generation"] == "000002"


# --- splits


def test_a_split_gives_each_session_one_pipeline_and_reports(make_service: MakeService, dense_index: Index) -> None:
    service = make_service({"dense": dense_index}, split="fused:bm25", split_share=0.5)
    with client_of(service) as client:
        client.service = service  # type: ignore[attr-defined]
        clicks = {"fused": 0, "bm25": 0}
        for session in map(str, range(30)):
            answer = search(client, query="espresso grinder and a boat", session_id=session)
            side = "first" if answer["pipeline"] == "fused" else "second"
            assert recorded(client)[-1]["arm"] == f"split:fused:bm25:{side}"
            rank = 1 if answer["pipeline"] == "bm25" else 3
            event = Event(answer["query_id"], ids(answer)[rank - 1], "click")
            service.store.add_event(event)
            clicks[answer["pipeline"]] += 1
            again = search(client, query_id=answer["query_id"], session_id=session)
            assert (again["pipeline"], recorded(client)[-1]["arm"]) == (answer["pipeline"], None)
            assert search(client, query="boat", session_id=session)["pipeline"] == answer["pipeline"]
        assert search(client, query="boat", session_id="0", pipeline="dense")["pipeline"] == "dense"
        report = client.get("/v1/experiments", params={"confidence": 0.9}).json()
    (found,) = report["experiments"]
    assert (report["confidence"], found["index"], found["experiment"]) == (0.9, "dense", "fused:bm25")
    fused, bm25 = found["arms"]
    assert [fused["name"], bm25["name"]] == ["fused", "bm25"]
    assert (fused["pages"], fused["clicks"]) == (2 * clicks["fused"], clicks["fused"])
    assert (fused["clicks_per_page"], fused["mrr"]) == (0.5, pytest.approx(1 / 6))
    assert bm25["mrr"] == 0.5
    assert found["pairs"] == 2 * min(clicks.values())
    assert found["low"] <= found["difference"] <= found["high"]
    assert found["difference"] < 0


def test_a_split_of_an_unknown_pipeline_is_refused(make_service: MakeService, dense_index: Index) -> None:
    from index.errors import NotFoundError

    with pytest.raises(NotFoundError, match="'best'"):
        make_service({"dense": dense_index}, split="fused:best")
    assert Settings(split="fused:bm25").split_share == 0.5
