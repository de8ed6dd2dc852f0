"""Exploration and interleaving in the service: who takes part, what is shown, and what is kept of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from index.errors import InputError, NotFoundError
from index.index import Index
from ranking.clicks.exploration import parse_policy
from ranking.clicks.interleaving import Duel
from ranking.clicks.log import ClickLog
from ranking.clicks.standings import standings
from server.configuration import load_settings
from server.duels import interleaving
from server.export import export_pages
from server.service import Service
from server.store.tables import impressions
from server.totals import Totals
from tests.server.conftest import MakeService, client_of

QUERY = "espresso grinder and a boat"
LIMIT = 4

Make = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id of a query decides what is drawn for its page, so that every run of these tests draws the same."""
    draw = Random(1)
    monkeypatch.setattr("server.search.uuid.uuid4", lambda: uuid.UUID(int=draw.getrandbits(128), version=4))


@pytest.fixture
def make_client(make_service: MakeService, dense_index: Index) -> Any:
    """A client of a service with these settings; its service is `client.service`."""
    opened = []

    def make(**values: Any) -> TestClient:
        service = make_service({"dense": dense_index}, **values)
        context = client_of(service)
        client = context.__enter__()
        opened.append(context)
        client.service = service  # type: ignore[attr-defined]
        return client

    yield make
    for context in opened:
        context.__exit__(None, None, None)


def search(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/search", json={"limit": LIMIT, "highlight": False, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def service_of(client: TestClient) -> Service:
    return client.service  # type: ignore[attr-defined,no-any-return]


def recorded(client: TestClient) -> list[dict[str, Any]]:
    with service_of(client).store.reading() as connection:
        rows = connection.execute(select(impressions).order_by(impressions.c.impression_id)).mappings()
        return [dict(row) for row in rows]


def click(client: TestClient, answer: dict[str, Any], document: str) -> None:
    body = {"query_id": answer["query_id"], "document": document, "kind": "click"}
    assert client.post("/v1/feedback", json=body).status_code == 201


# --- exploration


def test_without_the_settings_nothing_is_exchanged(make_client: Make) -> None:
    client = make_client()
    assert ids(search(client, query=QUERY)) == ids(search(client, query=QUERY, session_id="s"))
    assert all(row["arm"] is row["propensities"] is row["credits"] is None for row in recorded(client))


@pytest.mark.parametrize("name", ["shuffle:3", "adjacent:4", "pair:4", "plackett-luce:2:4"])
def test_what_is_shown_is_what_is_kept_with_its_probabilities(make_client: Make, name: str) -> None:
    plain = ids(search(make_client(), query=QUERY))
    client = make_client(exploration=name, exploration_share=1.0)
    answers = [search(client, query=QUERY) for _ in range(6)]
    policy = parse_policy(name)
    for answer, row in zip(answers, recorded(client)[1:], strict=True):
        page = policy.explore(LIMIT, answer["query_id"])
        assert ids(answer) == json.loads(row["documents"]) == [plain[place] for place in page.order]
        assert json.loads(row["propensities"]) == pytest.approx(page.propensities)
        assert row["arm"] == page.arm
        scores = [hit["score"] for hit in answer["hits"]]
        assert scores == sorted(scores, reverse=True)
    assert len({tuple(ids(answer)) for answer in answers}) > 1


def test_only_first_pages_of_new_questions_without_feedback_explore(make_client: Make) -> None:
    client = make_client(exploration="shuffle:4", exploration_share=1.0)
    first = search(client, query=QUERY)
    known = {"document": ids(first)[0], "relevance": 1.0}
    search(client, query=QUERY, offset=2)
    search(client, query=QUERY, feedback=[known])
    search(client, query_id=first["query_id"])
    search(client, query_id=first["query_id"], feedback=[known])
    search(client, query_id=first["query_id"], offset=2)
    rows = recorded(client)
    assert rows[0]["arm"] == "shuffle:4"
    assert [row["arm"] for row in rows[1:]] == [None] * 5
    assert [row["propensities"] for row in rows[1:]] == [None] * 5


def test_a_further_page_goes_on_from_the_page_that_was_shown(make_client: Make) -> None:
    client = make_client(exploration="shuffle:4", exploration_share=1.0)
    first = search(client, query=QUERY)
    rest = search(client, query_id=first["query_id"], offset=LIMIT)
    assert not set(ids(first)) & set(ids(rest))
    again = search(client, query_id=first["query_id"])
    ranks = {hit["id"]: hit["rank"] for hit in first["hits"]}
    for hit in again["hits"]:
        if hit["id"] in ranks:
            assert hit["previous_rank"] == ranks[hit["id"]]


def test_a_session_stays_on_its_side_and_the_share_holds(make_client: Make) -> None:
    client = make_client(exploration="shuffle:4", exploration_share=0.4)
    for session in range(30):
        for _ in range(2):
            search(client, query=QUERY, session_id=f"session-{session}")
    sides: dict[str, set[bool]] = {}
    for row in recorded(client):
        sides.setdefault(row["session_id"], set()).add(row["arm"] is not None)
    assert all(len(found) == 1 for found in sides.values())
    exploring = sum(True in found for found in sides.values())
    assert 4 <= exploring <= 20


def test_one_hit_cannot_be_exchanged(make_client: Make) -> None:
    client = make_client(exploration="shuffle:4", exploration_share=1.0)
    search(client, query=QUERY, limit=1)
    assert recorded(client)[0]["arm"] is None


# --- interleaving


def test_two_pipelines_share_a_page(make_client: Make) -> None:
    client = make_client(interleaving="fused:bm25", interleaving_share=1.0)
    first, second = (ids(search(client, query=QUERY, pipeline=name, limit=8)) for name in ("fused", "bm25"))
    answer = search(client, query=QUERY)
    row = recorded(client)[-1]
    assert row["arm"] == "team-draft:fused:bm25"
    assert (answer["pipeline"], answer["score_kind"]) == ("fused", "interleaved")
    assert ids(answer)[0] in (first[0], second[0])
    assert set(ids(answer)) <= set(first) | set(second)
    credits = json.loads(row["credits"])
    assert len(credits) == LIMIT
    assert set(credits) <= {1.0, -1.0, 0.0}
    assert row["propensities"] is None
    assert [row["arm"] for row in recorded(client)[:2]] == [None, None]  # who names a pipeline gets it


def test_the_next_round_belongs_to_the_first_pipeline(make_client: Make) -> None:
    client = make_client(interleaving="bm25:fused", interleaving_share=1.0)
    answer = search(client, query=QUERY)
    click(client, answer, ids(answer)[0])
    again = search(client, query_id=answer["query_id"])
    assert (again["pipeline"], again["round"]) == ("bm25", 2)
    assert recorded(client)[-1]["arm"] is None


def test_an_index_without_embeddings_has_no_duel_that_needs_them(
    make_service: MakeService, lexical_index: Index
) -> None:
    service = make_service({"lexical": lexical_index}, interleaving="fused:bm25", interleaving_share=1.0)
    with client_of(service) as client:
        client.service = service  # type: ignore[attr-defined]
        search(client, query=QUERY)
        assert recorded(client)[0]["arm"] is None


def test_sessions_in_a_duel_do_not_explore(make_client: Make) -> None:
    client = make_client(
        interleaving="fused:bm25", interleaving_share=0.5, exploration="shuffle:4", exploration_share=0.5
    )
    for session in range(30):
        search(client, query=QUERY, session_id=str(session))
    arms = [row["arm"] for row in recorded(client)]
    assert set(arms) == {"team-draft:fused:bm25", "shuffle:4"}


@pytest.mark.parametrize("method", ["team-draft", "balanced", "probabilistic"])
def test_the_report_counts_clicks_for_the_right_side(make_client: Make, method: str) -> None:
    """Somebody who clicks on what only the second pipeline would show there is on the second's side."""
    client = make_client(interleaving="fused:bm25", interleaving_share=1.0, interleaving_method=method)
    assert client.get("/v1/interleaving").json() == {"confidence": 0.95, "duels": []}
    clicked = 0
    for _ in range(12):
        answer = search(client, query=QUERY)
        credits = json.loads(recorded(client)[-1]["credits"])
        wanted = [place for place, credit in enumerate(credits) if credit < 0 or method != "team-draft"]
        if wanted:
            clicked += 1
            click(client, answer, ids(answer)[wanted[0]])
    search(client, query=QUERY)  # nobody clicks
    report = client.get("/v1/interleaving", params={"confidence": 0.9}).json()
    (duel,) = report["duels"]
    assert report["confidence"] == 0.9
    assert (duel["index"], duel["method"], duel["first"], duel["second"]) == ("dense", method, "fused", "bm25")
    assert (duel["pages"], duel["clicked"]) == (13, clicked)
    assert duel["first_wins"] + duel["second_wins"] + duel["ties"] == clicked
    assert duel["low"] <= duel["preference"] <= duel["high"]
    if method == "team-draft":
        assert (duel["first_wins"], duel["second_wins"], duel["winner"]) == (0, clicked, "second")
        assert duel["p_value"] < 0.01


@pytest.mark.parametrize("confidence", ["0", "1", "x", "nan"])
def test_a_confidence_that_is_none_is_refused(make_client: Make, confidence: str) -> None:
    assert make_client().get("/v1/interleaving", params={"confidence": confidence}).status_code == 422


def test_an_exported_log_tells_the_same_story(make_client: Make, tmp_path: Path) -> None:
    client = make_client(interleaving="fused:bm25", interleaving_share=0.5, exploration="pair:4", exploration_share=0.5)
    for session in range(20):
        answer = search(client, query=QUERY, session_id=str(session))
        click(client, answer, ids(answer)[session % LIMIT])
    store = service_of(client).store
    log = ClickLog.write(tmp_path / "log", export_pages(store))
    (mine,) = standings(log.pages())
    (theirs,) = interleaving(Totals(store), ["dense"], 0.95).duels
    assert {"index": "dense", **mine.table()} == theirs.model_dump()
    assert mine.duel == Duel("team-draft", "fused", "bm25")
    explored = [page for pages in log.pages() for page in pages.rows() if page.propensities is not None]
    assert explored
    for page in explored:
        assert page.arm is not None
        assert page.arm.startswith("pair:1:")
        assert len(page.propensities or ()) == len(page.documents)


# --- settings and old stores


@pytest.mark.parametrize(
    "values",
    [{"exploration": "dance"}, {"interleaving": "fused"}, {"interleaving": "a:b:c"}, {"exploration_share": 1.5},
     {"interleaving_method": "coin"}],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "clickwise.toml"
    config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    with pytest.raises(InputError, match=next(iter(values))):
        load_settings({"config": config})


def test_a_duel_of_an_unknown_pipeline_is_refused_at_the_start(make_service: MakeService, dense_index: Index) -> None:
    with pytest.raises(NotFoundError, match="'best'"):
        make_service({"dense": dense_index}, interleaving="fused:best")


def test_shares_cannot_be_more_than_everybody(make_service: MakeService, dense_index: Index) -> None:
    shares = {"exploration_share": 0.6, "interleaving_share": 0.6}
    with pytest.raises(InputError, match="more than all traffic"):
        make_service({"dense": dense_index}, exploration="shuffle:3", interleaving="fused:bm25", **shares)
