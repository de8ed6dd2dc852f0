"""What the client offers those who operate a service; and that it leaves out no route unawares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import compile_path

from index.build import BuildOptions, build_index
from index.index import Index
from index.types import Document
from server.access import NEEDS
from server.client import AsyncClient, Client, ConnectionFailedError, MissingError, calls
from server.client.retrying import Retries
from server.schemas import ErasedAnswer
from server.service import Service
from tests.fakes import HashingEncoder
from tests.server.conftest import MakeService, listening

OTHERS = {
    "other clients": {"POST /rerank", "POST /v2/rerank", "GET /info", "POST /ubi/queries", "POST /ubi/events"}
    | {"GET /v1/{index}/search", "GET /v1/{index}/doc/{document_id}"},
    "probes": {"GET /healthz", "GET /livez", "GET /readyz", "GET /metrics"},
    "the pages": {route for route in NEEDS if "/v1/evaluations" in route or "/v1/operation/" in route},
    "clickwise keys": {"GET /admin/keys", "POST /admin/keys", "DELETE /admin/keys/{key_id}"},
}
"""Routes that are for somebody else."""

CALLS: list[calls.Call[Any]] = [
    calls.search("x", {}),
    calls.feedback("q", "d", "click", {}),
    calls.rerank("x", ["y"], {}),
    calls.document("a/b", None),
    calls.put("a/b", None, {}),
    calls.delete("a/b", None),
    calls.bulk([], None),
    calls.erase("a/b"),
    calls.indexes(),
    calls.pipelines(),
    calls.interleaving(0.9),
    calls.experiments(0.9),
    calls.releases(),
    calls.activate_index("docs", None, 1),
    calls.activate_model("organisation/model", "m", 1),
    calls.activate_click_model("off", 1),
    calls.submit({}, None),
    calls.job(1),
    calls.jobs({}),
    calls.cancel(1),
    calls.whoami(),
]
SLASHED = ("document_id", "person_id", "name")  # parts of a path that may have slashes


def route_of(call: calls.Call[Any]) -> str:
    """The route that a call meets: the longest of those that it could be."""
    found = []
    for route in NEEDS:
        method, path = route.split()
        for part in SLASHED:
            path = path.replace(f"{{{part}}}", f"{{{part}:path}}")
        if method == call.method and compile_path(path)[0].match(call.path):
            found.append(route)
    return max(found, key=lambda route: len(route.split("{")[0]))


def test_every_route_is_offered_or_for_somebody_else() -> None:
    offered = [route_of(call) for call in CALLS]
    assert len(set(offered)) == len(offered)
    assert set(offered).isdisjoint(set[str]().union(*OTHERS.values()))
    assert set(offered).union(*OTHERS.values()) == NEEDS.keys()


@pytest.fixture
def service(make_service: MakeService, new_index: Callable[..., Index]) -> Service:
    """Two generations of `docs`, the second of which waits, and all sessions split between two pipelines."""
    index = new_index(name="docs")
    documents = [Document("new", "Espresso", "espresso")]
    build_index(index.path, documents, BuildOptions(overwrite=True, activated=False), encoder=HashingEncoder())
    return make_service({"docs": index}, split="bm25:bm25-qe")


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    with listening(service) as url:
        yield url


def test_a_person_is_forgotten(address: str) -> None:
    with Client(address) as client:
        mine = client.search("espresso", user_id="../me / you", session_id="s1")
        client.feedback(mine.query_id, mine.hits[0].id, "click")
        client.search("espresso", session_id="s2")
        assert client.erase("../me / you") == ErasedAnswer(queries=1, rankings=1, impressions=1, events=1)
        assert client.erase("../me / you") == ErasedAnswer(queries=0, rankings=0, impressions=0, events=0)
        with pytest.raises(MissingError):
            client.search(query_id=mine.query_id)

    async def again() -> ErasedAnswer:
        async with AsyncClient(address) as client:
            return await client.erase("s2")

    assert asyncio.run(again()).queries == 1


def test_experiments(address: str) -> None:
    with Client(address) as client:
        assert client.experiments().experiments == []
        for number in range(8):
            client.search("espresso", session_id=f"s{number}")
        stands = client.experiments(confidence=0.9)
        assert (stands.confidence, stands.experiments[0].experiment) == (0.9, "bm25:bm25-qe")
        assert sum(arm.pages for arm in stands.experiments[0].arms) == 8
        assert client.interleaving().duels == []


def test_a_generation_is_activated_and_taken_back(address: str) -> None:
    with Client(address) as client:
        assert client.search("espresso").generation == "000001"
        made = client.activate_index("docs")
        assert (made.kind, made.name, made.target, made.share) == ("index", "docs", "000002", 1.0)
        assert client.search("espresso").generation == "000002"
        assert client.activate_index("docs", "000001", share=0.25).share == 0.25
        assert [(one.target, one.share) for one in client.releases().releases] == [("000002", 1.0), ("000001", 0.25)]
        assert client.activate_click_model("published").target == "published"
        with pytest.raises(MissingError, match="no/such"):
            client.activate_model("clickwise-minilm", "no/such/model")


def test_an_activation_that_may_have_arrived_is_not_sent_again() -> None:
    sent = []

    def lost(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        raise httpx.ReadTimeout("slow")

    transport = httpx.MockTransport(lost)
    with Client(transport=transport, sleep=lambda _: None, retries=Retries(most=2)) as client:
        for ask in (lambda: client.activate_index("docs"), lambda: client.erase("s")):
            with pytest.raises(ConnectionFailedError):
                ask()
    assert sent == ["/admin/indexes/docs:activate", *["/v1/people/s"] * 3]
