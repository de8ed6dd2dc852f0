"""The OpenAPI document is the checked-in one, and the application does what it says, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from index.index import Index
from server.keys import SCOPES, Keys
from server.openapi import rendered
from tests.conftest import small_corpus
from tests.fakes import HashingEncoder
from tests.server.conftest import MakeService, listening

CHECKED_IN = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
# A schema says less than a service asks (that a name is known, that an id is one's own), so what is accepted and
# refused is left to the tests of the routes. Here: no 5xx, no status, media type or body that is not documented.
LEFT_OUT = [positive_data_acceptance, negative_data_rejection]
PATIENCE = 300.0  # seconds; only a busy machine comes near it


def settings(examples: int, **more: Any) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        **more,
    )


def test_it_is_the_one_that_is_checked_in() -> None:
    assert CHECKED_IN.read_text(encoding="utf-8") == rendered(), "run: python -m server.openapi docs/openapi.json"


@schemathesis.serializer("application/x-ndjson")
def lines(_: object, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture
def served(make_service: MakeService, encoder: HashingEncoder, new_index: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of an application that wants keys, and the header with one that may do everything."""
    own: Index = new_index(documents=small_corpus()[:20])
    service = make_service({"own": own}, auth="on")
    _, key = Keys(service.store).create("everything", list(SCOPES))
    with listening(service) as url:
        yield url, {"Authorization": f"Bearer {key}"}


def test_every_route_answers_as_documented(served: tuple[str, dict[str, str]]) -> None:
    url, headers = served
    looked, failures = [], list[str]()
    with requests.Session() as session:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()
            looked.append(operation.label)

            @settings(8)
            @hypothesis.given(case=operation.as_strategy())
            def answers(case: Any) -> None:
                case.call_and_validate(session=session, headers=headers, excluded_checks=LEFT_OUT, timeout=PATIENCE)

            try:
                answers()
            except BaseExceptionGroup as group:  # what schemathesis raises
                failures.append(f"{operation.label}: {group.exceptions[0]}")
    assert failures == []
    assert len(looked) > 25


def test_sequences_of_requests_along_the_links(served: tuple[str, dict[str, str]]) -> None:
    url, headers = served
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")

    class Following(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers, "timeout": PATIENCE}

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            case.validate_response(response, excluded_checks=LEFT_OUT)

    Following.run(settings=settings(8, stateful_step_count=6))
