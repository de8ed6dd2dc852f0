"""The client against the real application on loopback, and its patience against a service that is made to refuse."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from pydantic import BaseModel

from server.client import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    InvalidError,
    MissingError,
    OverloadedError,
    UnauthorizedError,
    UnavailableError,
    calls,
)
from server.client.retrying import Retries
from server.keys import Keys
from server.schemas import DocumentBody, FeedbackRequest, SearchRequest
from server.schemas_rerank import RerankRequest
from server.service import Service
from tests.server.conftest import MakeService, listening


@pytest.fixture
def address(own: Service) -> Iterator[str]:
    with listening(own) as url:
        yield url


def test_search_feedback_and_search_again(address: str) -> None:
    with Client(address) as client:
        first = client.search("espresso beans", limit=5)
        assert len(first.hits) == 5
        told = client.feedback(first.query_id, first.hits[3].id, "relevant", position=4)
        assert not told.duplicate
        again = client.search(query_id=first.query_id)
        assert (again.round, [line.document for line in again.feedback]) == (2, [first.hits[3].id])


def test_documents(address: str) -> None:
    with Client(address) as client:
        assert client.put("a/b c?#", title="Odd", text="An odd name", fields={"year": 2024}).created
        assert client.document("a/b c?#").fields == {"year": 2024}
        assert client.bulk([{"id": "x", "text": "one"}, {"id": "y", "text": "two"}]).upserted == 2
        for odd in ("..", ".", "../people/x", "a/../../x", "%2e%2e/x", "/x//"):
            assert client.put(odd, text="An odd name").id == odd
            assert client.document(odd).id == odd
            client.delete(odd)
        client.delete("x")
        with pytest.raises(MissingError) as error:
            client.document("x")
        assert error.value.status == 404
        assert [index.name for index in client.indexes().indexes] == ["own"]
        assert "fused" in {pipeline.name for pipeline in client.pipelines().pipelines}


def test_rerank(address: str) -> None:
    with Client(address) as client:
        answer = client.rerank("espresso", ["a boat", "an espresso"], top_n=1, return_documents=True)
        assert [(line.index, line.document) for line in answer.results] == [(1, {"text": "an espresso"})]


def test_errors_in_the_words_of_the_service(address: str) -> None:
    said = httpx.post(f"{address}/v1/search", json={"query": "x", "limit": 0}).json()
    with Client(address) as client, pytest.raises(InvalidError) as error:
        client.search("x", limit=0)
    told = error.value
    assert (told.type, told.title, told.detail, told.advice, told.field) == (
        said["type"],
        said["title"],
        said["detail"],
        said["advice"],
        said["field"],
    )
    assert str(told) == f"{said['detail']} {said['advice']}"


def test_keys(make_service: MakeService, own: Service) -> None:
    guarded = make_service(own.catalog.indexes, auth="on")
    key = Keys(guarded.store).create("test", ["read"])[1]
    with listening(guarded) as url:
        with Client(url, key) as client:
            assert client.whoami().scopes == ["read"]
        with Client(url) as client, pytest.raises(UnauthorizedError):
            client.search("x")


def test_without_blocking(address: str) -> None:
    async def both() -> list[int]:
        async with AsyncClient(address) as client:
            answers = await asyncio.gather(*(client.search("espresso", limit=limit) for limit in (1, 2, 3)))
            with pytest.raises(InvalidError):
                await client.search("x", limit=0)
            return [len(answer.hits) for answer in answers]

    assert asyncio.run(both()) == [1, 2, 3]


def test_both_clients_offer_the_same() -> None:
    def offered(client: type) -> dict[str, str]:
        methods = inspect.getmembers(client, inspect.isfunction)
        return {name: str(inspect.signature(method)) for name, method in methods if not name.startswith("_")}

    assert offered(Client) == offered(AsyncClient)
    assert len(offered(Client)) > 8


@pytest.mark.parametrize(
    ("options", "schema", "positional"),
    [
        (calls.SearchOptions, SearchRequest, {"query"}),
        (calls.FeedbackOptions, FeedbackRequest, {"query_id", "document", "kind"}),
        (calls.RerankOptions, RerankRequest, {"query", "documents"}),
        (calls.DocumentOptions, DocumentBody, set()),
    ],
)
def test_the_options_are_those_of_the_service(options: type, schema: type[BaseModel], positional: set[str]) -> None:
    assert options.__annotations__.keys() | positional == schema.model_fields.keys()


PROBLEM = {"type": "urn:clickwise:problem:busy", "title": "Busy", "detail": "Too many.", "advice": "Wait."}


class Refusing:
    """A service that refuses with each of these statuses in turn and then answers; `bodies` are what it was sent."""

    def __init__(self, *refusals: int | Exception, retry_after: str | None = "2") -> None:
        self.refusals, self.retry_after = list(refusals), retry_after
        self.bodies: list[dict[str, object]] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content) if request.content else {})
        if not self.refusals:
            return httpx.Response(201, json={"event_id": 1, "query_id": "q", "duplicate": False})
        refusal = self.refusals.pop(0)
        if isinstance(refusal, Exception):
            raise refusal
        headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
        problem = {**PROBLEM, "status": refusal, "request_id": "r"}
        return httpx.Response(refusal, json=problem, headers=headers)

    def client(self, **retries: float) -> Client:
        own = Retries(**retries)  # type: ignore[arg-type]
        return Client(transport=httpx.MockTransport(self), sleep=self.waits.append, retries=own)


def tell(client: Client) -> None:
    with client:
        client.feedback("q", "d", "click")


def test_it_comes_again_when_the_service_says() -> None:
    service = Refusing(429, 503)
    tell(service.client())
    assert service.waits == [2.0, 2.0]
    keys = {body["idempotency_key"] for body in service.bodies}
    assert (len(service.bodies), len(keys)) == (3, 1)


def test_not_for_ever() -> None:
    service = Refusing(*[429] * 10)
    with pytest.raises(OverloadedError) as error:
        tell(service.client(most=2))
    assert (len(service.bodies), error.value.retry_after, str(error.value)) == (3, 2.0, "Too many. Wait.")


def test_not_after_an_hour() -> None:
    service = Refusing(429, retry_after="3600")
    with pytest.raises(OverloadedError):
        tell(service.client())
    assert service.waits == []


@pytest.mark.parametrize("retry_after", [None, "Fri, 01 Jan 2027 00:00:00 GMT"])
def test_longer_and_longer_where_no_time_is_named(retry_after: str | None) -> None:
    service = Refusing(503, 503, 503, retry_after=retry_after)
    tell(service.client())
    assert [0.5 <= wait / longest <= 1 for wait, longest in zip(service.waits, (0.25, 0.5, 1.0), strict=True)] == [
        True
    ] * 3


@pytest.mark.parametrize("failure", [503, httpx.ReadTimeout("slow")])
def test_a_search_that_may_have_arrived_is_not_sent_again(failure: int | Exception) -> None:
    service = Refusing(failure)
    with service.client() as client, pytest.raises((UnavailableError, ConnectionFailedError)):
        client.search("x")
    assert len(service.bodies) == 1


@pytest.mark.parametrize(
    "send",
    [lambda client: client.feedback("q", "d", "click"), lambda client: client.search("x")],
    ids=["event", "search"],
)
def test_what_cannot_have_arrived_is_sent_again(send: Callable[[Client], object]) -> None:
    service = Refusing(*[httpx.ConnectError("refused")] * 4)
    with service.client() as client, pytest.raises(ConnectionFailedError, match="cannot be reached"):
        send(client)
    assert len(service.bodies) == 4


@pytest.mark.parametrize("lost", [503, httpx.ReadTimeout("slow")])
def test_a_deletion_whose_answer_got_lost_is_done(lost: int | Exception) -> None:
    with Refusing(lost, 404).client() as client:
        client.delete("d")
    with Refusing(404).client() as client, pytest.raises(MissingError):
        client.delete("d")
    with Refusing(lost, 404).client() as client, pytest.raises(MissingError):
        client.document("d")


def test_something_else_answers() -> None:
    strange = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>"))
    with Client(transport=strange) as client, pytest.raises(ConnectionFailedError, match="502 without a problem"):
        client.indexes()
