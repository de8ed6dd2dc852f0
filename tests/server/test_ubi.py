"""User Behavior Insights come in as they are, become impressions and events, and teach the next ranking."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.event import listen
from starlette.testclient import TestClient

from server.service import Service
from tests.server.test_problems import problem


def query(query_id: str = "q1", **more: Any) -> dict[str, Any]:
    hits = ["coffee-00", "coffee-05", "sailing-03"]
    return {
        "query_id": query_id,
        "application": "shop",
        "client_id": "client-1",
        "user_query": "espresso",
        "query_response_hit_ids": hits,
        "timestamp": "2026-01-01T12:00:00.000Z",
        **more,
    }


def click(document: str | int = "coffee-05", ordinal: int = 2, query_id: str = "q1", **more: Any) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "application": "shop",
        "action_name": "click",
        "client_id": "client-1",
        "session_id": "session-1",
        "timestamp": "2026-01-01T12:00:04.000Z",
        "event_attributes": {"object": {"object_id": document}, "position": {"ordinal": ordinal}, "dwell_time": 2.5},
        **more,
    }


def post(client: TestClient, path: str, *records: Any) -> dict[str, Any]:
    response = client.post(path, json=records[0] if len(records) == 1 else list(records))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_click_teaches_the_next_ranking(own_client: TestClient, own: Service) -> None:
    assert post(own_client, "/ubi/queries", query())["recorded"] == 1
    assert post(own_client, "/ubi/events", click())["recorded"] == 1
    assert set(own.store.marks("q1")) == {"coffee-05"}
    answer = own_client.post("/v1/search", json={"query_id": "q1"}).json()
    assert (answer["round"], answer["query"]) == (2, "espresso")
    assert [line["document"] for line in answer["feedback"]] == ["coffee-05"]


def test_what_is_sent_again_is_recorded_once(own_client: TestClient, own: Service) -> None:
    for times in (0, 1):
        assert post(own_client, "/ubi/queries", query(), query("q2"))["duplicates"] == 2 * times
        assert post(own_client, "/ubi/events", click(), click("coffee-00", 1))["duplicates"] == 2 * times
    [page] = own.store.seen("q1", ["coffee-05", "coffee-00"])
    assert page.documents == ("coffee-00", "coffee-05", "sailing-03")
    assert page.clicked == {"coffee-05": 2500, "coffee-00": 2500}


def test_a_body_is_one_commit_and_each_query_is_read_once(own_client: TestClient, own: Service) -> None:
    statements: list[str] = []
    listen(own.store.database.engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    post(own_client, "/ubi/queries", query("q1"), query("q2"), query("q1"), query("q1", user_query="another"))
    assert own.store.writes.done.count == 1
    statements.clear()
    answer = post(own_client, "/ubi/events", *(click("coffee-05", n, f"q{1 + n % 2}") for n in range(10)))
    assert answer["recorded"] == 10
    assert own.store.writes.done.count == 2
    assert sum("FROM rankings" in statement for statement in statements) == 2


def test_an_id_of_another_question_is_refused_beside_those_that_are_new(own_client: TestClient, own: Service) -> None:
    post(own_client, "/ubi/queries", query("q1"))
    answer = post(own_client, "/ubi/queries", query("q0"), query("q1", user_query="another"), query("q2"))
    assert (answer["recorded"], answer["rejected"]) == (2, 1)
    assert [(error["record"], error["detail"]) for error in answer["errors"]] == [
        (2, "The query_id 'q1' belongs to another question. Use an id of its own.")
    ]
    assert own.store.query("q1").text == "espresso"
    assert own.store.round("q2") is not None


def test_lines_and_single_objects_and_arrays(own_client: TestClient) -> None:
    lines = "\n".join(json.dumps(query(f"q{number}")) for number in range(3))
    assert own_client.post("/ubi/queries", content=lines).json()["recorded"] == 3
    raw = [json.dumps(query(f"raw{n}", user_query="two\u2028lines\x85"), ensure_ascii=False) for n in range(2)]
    assert own_client.post("/ubi/queries", content="\r\n".join(raw).encode()).json()["recorded"] == 2
    assert post(own_client, "/ubi/queries", query("single"))["recorded"] == 1
    assert post(own_client, "/ubi/queries", query("a"), query("b"))["recorded"] == 2


def test_what_cannot_be_used_is_counted_and_named(own_client: TestClient) -> None:
    post(own_client, "/ubi/queries", query())
    answer = post(
        own_client,
        "/ubi/events",
        click(),
        click(query_id="never sent"),
        click(action_name="impression"),
        click("no such document"),
        click(event_attributes="none"),
        "no object",
        click(event_attributes={"object": {"object_id": "coffee-00"}, "position": {"ordinal": -1}}),
    )
    counts = {name: answer[name] for name in ("recorded", "duplicates", "ignored", "rejected")}
    assert counts == {"recorded": 1, "duplicates": 0, "ignored": 1, "rejected": 5}
    assert [(line["record"], line["field"]) for line in answer["errors"]] == [
        (5, "event_attributes"),
        (6, None),
        (7, "event_attributes.position.ordinal"),
        (2, None),
        (4, None),
    ]


def test_a_query_needs_no_more_than_the_standard_asks(own_client: TestClient, own: Service) -> None:
    """`user_query` alone is required, people who are not known may be empty, and the answer has a `query_id`."""
    answer = post(own_client, "/ubi/queries", {"user_query": "espresso", "user_id": "", "client_id": None})
    assert (answer["recorded"], answer["rejected"]) == (1, 0)
    assert own.store.query(answer["query_id"]).text == "espresso"
    told = click("coffee-05", query_id=answer["query_id"], application="", user_id="")
    assert post(own_client, "/ubi/events", told)["recorded"] == 1
    assert post(own_client, "/ubi/queries", query("q1"))["query_id"] == "q1"
    assert post(own_client, "/ubi/queries", {"user_query": "a"}, {"user_query": "b"})["query_id"] is None


def test_an_index_that_is_not_there_is_named_with_those_that_are(own_client: TestClient) -> None:
    told = own_client.post("/ubi/queries", json=query(query_attributes={"index": "gone"}))
    said = problem(told, 422, "bad-record")
    assert said["errors"] == [
        {"line": 1, "field": "query_attributes.index", "detail": "There is no index 'gone'. Valid: own"}
    ]
    assert said["title"] == "A record cannot be used"


def test_clicks_on_no_hit_are_left_aside_and_said(own_client: TestClient) -> None:
    """The standard asks an event for `action_name` and `timestamp` alone."""
    post(own_client, "/ubi/queries", query())
    spot = {"position": {"xy": {"x": 10.5, "y": 20}}}
    bare = {"action_name": "click", "timestamp": "2018-11-13T20:20:39Z"}
    said = "Clicks without query_id or event_attributes.object.object_id, which teach nothing: {}."
    answer = post(own_client, "/ubi/events", bare)
    assert (answer["ignored"], answer["rejected"], answer["notes"]) == (1, 0, [said.format(1)])
    answer = post(own_client, "/ubi/events", click(event_attributes=spot), click(query_id=""), bare, click())
    assert (answer["recorded"], answer["ignored"], answer["rejected"]) == (1, 3, 0)
    assert said.format(3) in answer["notes"]
    for shown in (None, {}, {"object_id": None, "object_id_field": "sku"}, {"description": "the banner"}):
        answer = post(own_client, "/ubi/events", click(event_attributes={"object": shown, "position": {"ordinal": 1}}))
        assert (answer["ignored"], answer["rejected"]) == (1, 0)


def test_half_characters_in_what_is_noted_besides_harm_nothing(own_client: TestClient, own: Service) -> None:
    attributes = {"pipeline": "new\ud800", "pipeline_version": "2", "session_id": "s\udfff"}
    record = json.dumps(query(query_attributes=attributes))
    assert own_client.post("/ubi/queries", content=record).json()["recorded"] == 1
    made = own.store.round("q1")
    assert made is not None
    assert made.version == "new? 2"
    assert own_client.delete("/v1/people/s%3F").json()["queries"] == 1


@pytest.mark.parametrize("person", ["session-1", "client-1", "user-1"])
def test_whom_only_clicks_name_is_erased(own_client: TestClient, own: Service, person: str) -> None:
    post(own_client, "/ubi/queries", query(client_id=""), query("q2", client_id=""))
    named = click(user_id="user-1")
    post(own_client, "/ubi/events", named, click(query_id="q2", session_id="", client_id=None))
    assert post(own_client, "/ubi/events", named)["duplicates"] == 1
    stored = b"".join(path.read_bytes() for path in Path(own.store.database.where).parent.glob("store.db*"))
    assert b"coffee-05" in stored
    assert person.encode() not in stored
    answer = own_client.delete(f"/v1/people/{person}").json()
    assert answer == {"queries": 1, "rankings": 1, "impressions": 1, "events": 1}
    assert own_client.post("/v1/search", json={"query_id": "q1"}).status_code == 404
    assert own_client.post("/v1/search", json={"query_id": "q2"}).status_code == 200


def test_where_nothing_can_be_used_it_is_a_problem(own_client: TestClient) -> None:
    told = problem(own_client.post("/ubi/events", json=[click(query_id="never sent")]), 422, "bad-record")
    assert told["errors"][0]["line"] == 1
    problem(own_client.post("/ubi/queries", content=b"\xff"), 422, "invalid-input")
    problem(own_client.post("/ubi/queries", content=b"nonsense"), 422, "invalid-input")


def test_an_id_belongs_to_one_question(own_client: TestClient) -> None:
    post(own_client, "/ubi/queries", query())
    other = own_client.post("/ubi/queries", json=query(user_query="sails"))
    assert "belongs to another question" in problem(other, 422, "bad-record")["detail"]


def test_the_base_of_the_ordinals_is_found_out_and_said(own_client: TestClient, own: Service) -> None:
    post(own_client, "/ubi/queries", query(query_response_hit_ids=[]))
    documents = [f"coffee-{number:02}" for number in range(4)]
    answer = post(own_client, "/ubi/events", *(click(doc, place) for place, doc in enumerate(documents)))
    assert answer["notes"] == ["shop: ordinals count from 0 (1 events have ordinal 0 and 1 have 1)."]
    assert answer["recorded"] == 4


def test_the_sample_of_opensearch(own_client: TestClient, data: Path) -> None:
    path = data / "clicks" / "ubi-sample" / "ubi_queries_events.ndjson"
    with path.open(encoding="utf-8") as file:
        head = list(itertools.islice(file, 400))
    body = "".join(line for line in head if "action_name" not in line)
    sent = sum("user_query" in line for line in body.splitlines())
    answer = own_client.post("/ubi/queries", content=body).json()
    assert sent > 100
    assert (answer["recorded"], answer["rejected"]) == (sent, 0)
