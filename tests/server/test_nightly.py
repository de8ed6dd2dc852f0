"""Every night: what was clicked by day is exported, cleaned, fitted on top of the nights before, and served."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from index.index import Index
from ranking.clicks.models.registry import Fitted
from server import cli
from tests.server.conftest import MakeService, client_of

WORDS = "coffee beans and brewing"
SEARCHERS = 30


def day(client: TestClient, clicked: int) -> str:
    """Each searcher of a day clicks the hit at one place and no other; gives its document."""
    document = ""
    for _ in range(SEARCHERS):
        answer = client.post("/v1/search", json={"query": WORDS, "limit": 4}).json()
        document = answer["hits"][clicked]["id"]
        event = {"query_id": answer["query_id"], "document": document, "kind": "click"}
        assert client.post("/v1/feedback", json=event).status_code == 201
    return document


def believed(client: TestClient) -> dict[str, float]:
    """What a searcher's click on the second hit makes the service believe of every document on the page."""
    first = client.post("/v1/search", json={"query": WORDS, "limit": 4}).json()
    event = {"query_id": first["query_id"], "document": first["hits"][1]["id"], "kind": "click"}
    assert client.post("/v1/feedback", json=event).status_code == 201
    second = client.post("/v1/search", json={"query_id": first["query_id"], "limit": 4}).json()
    return {line["document"]: line["relevance"] for line in second["feedback"]}


def run(*arguments: object) -> None:
    assert cli.run([str(argument) for argument in arguments]) == 0


def test_a_night_after_a_day(
    lexical_index: Index, make_service: MakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with client_of(make_service({"docs": lexical_index})) as client:
        third = day(client, 2)
    run("export", "monday", "--home", "home")
    run("clicks", "clean", "monday", "monday-clean")
    run("clicks", "fit", "monday-clean", "--model", "pbm", "--out", "model")
    monday = Fitted.load(Path("model"))
    assert monday.model.relevance([monday.vocabulary.find(WORDS, third)])[0] > 0.5

    with client_of(make_service({"docs": lexical_index}, click_model="model")) as client:
        before = believed(client)
        first = day(client, 0)
        assert before[third] > before[first]
        # The next night goes on from this one, into the same folder, while the service runs.
        run("export", "all", "--home", "home")
        run("clicks", "clean", "all", "all-clean")
        run("clicks", "fit", "all-clean", "--continue", "model", "--decay", "0.5", "--out", "model")
        after = believed(client)
        assert after[first] > before[first]
        assert after[third] < before[third]
    tuesday = Fitted.load(Path("model"))
    assert tuesday.facts["impressions"] > monday.facts["impressions"]
