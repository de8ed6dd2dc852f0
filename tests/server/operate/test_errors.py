"""Recent errors: what a process answered with 500 and above, and what its log warned of."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from index.errors import UnavailableError
from server.operate.errors import KEPT, RecentErrors
from server.service import Service


def test_failed_answers_are_kept_with_their_request(
    own: Service, own_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnavailableError("The disk is full.", "Make room.")

    own_client.get("/v1/documents/nope")  # the client's own mistake
    monkeypatch.setattr(own, "search", fail)
    answer = own_client.post("/v1/search", json={"query": "a secret"}, headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 503
    found = own_client.get("/v1/operation/errors").json()
    (error,) = found["errors"]
    assert error["source"] == "POST /v1/search"
    assert error["message"] == "The disk is full. Make room."
    assert (error["status"], error["request_id"], error["level"]) == (503, "r-1", "error")
    assert error["time"] >= found["since"]
    assert "secret" not in str(found)


def test_lines_of_the_log_are_kept_the_newest_first() -> None:
    recent = RecentErrors()
    log = logging.getLogger("clickwise.somewhere")
    recent.start()
    try:
        log.info("all is well")
        log.warning("the disk is %s", "slow")
        try:
            raise ValueError("broken")
        except ValueError:
            log.exception("it failed")
    finally:
        recent.stop()
    log.warning("nobody listens")
    errors = recent.answer().errors
    assert [(one.level, one.source, one.message) for one in errors] == [
        ("error", "clickwise.somewhere", "it failed: ValueError: broken"),
        ("warning", "clickwise.somewhere", "the disk is slow"),
    ]


def test_only_so_many_are_kept() -> None:
    recent = RecentErrors()
    for number in range(KEPT + 5):
        recent.emit(logging.LogRecord("clickwise", logging.ERROR, "", 0, f"error {number}", None, None))
    kept = recent.answer().errors
    assert len(kept) == KEPT
    assert kept[0].message == f"error {KEPT + 4}"


def test_a_service_that_warms_up_is_no_error(own: Service, own_client: TestClient) -> None:
    app: Any = own_client.app
    app.state.house.service = None
    assert own_client.get("/readyz").status_code == 503
    assert own_client.post("/v1/search", json={"query": "boat"}).status_code == 503
    app.state.house.service = own
    assert own_client.get("/v1/operation/errors").json()["errors"] == []
