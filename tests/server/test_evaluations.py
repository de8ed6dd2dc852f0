"""The reports of `clickwise eval` over HTTP; what they say is tested in tests/eval/test_browsing.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from eval.browsing import Browser
from server.app import create_app
from server.settings import Settings
from tests.server.test_problems import problem


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "eval" / "runs").mkdir(parents=True)
    settings = Settings(home=tmp_path)
    app = create_app(settings, evaluations=Browser(settings.evaluations_folder))
    client = TestClient(app)
    yield client
    client.close()
    app.state.house.close()


def test_an_empty_folder_is_no_error(reports: TestClient, tmp_path: Path) -> None:
    assert reports.get("/v1/evaluations").json() == {"folder": str(tmp_path / "eval" / "runs"), "runs": []}


@pytest.mark.parametrize("name", ["nope", "%2e%2e", "..%2f..%2fetc", "%2Fetc", "a%00b"])
def test_no_address_leads_elsewhere(reports: TestClient, tmp_path: Path, name: str) -> None:
    (tmp_path / "eval" / "summary.json").write_text("{}")
    for path in (name, f"{name}/topics?first=a&second=b", f"{name}/topic?topic=1"):
        assert reports.get(f"/v1/evaluations/{path}").status_code == 404
    problem(reports.get("/v1/evaluations/nope"), 404, "not-found", "run")
    assert reports.get(f"/v1/evaluations:compare?first={name}&second=nope").status_code == 404


def test_a_server_without_a_reader_says_so(client: TestClient) -> None:
    body = problem(client.get("/v1/evaluations"), 404, "not-found")
    assert "no evaluations" in body["detail"]
