"""Pydantic's complaints in the words of the house: over HTTP, in bodies of lines and in settings."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError
from starlette.testclient import TestClient

from index.errors import InputError
from server import problems
from server.configuration import load_settings
from server.faults import fault_reason, field_name, first_fault


def refuse(value: str) -> str:
    if value == "assert":
        raise AssertionError("Nobody is called so.")
    raise ValueError({"json": "JSON is no name.", "plain": "Too plain a name."}[value])


class Named(BaseModel):
    name: Annotated[str, AfterValidator(refuse)]
    tags: list[int] = []


def refused(value: Any) -> ValidationError:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(list[Named]).validate_python(value)
    return error.value


@pytest.mark.parametrize(
    ("name", "reason"), [("plain", "too plain a name"), ("json", "JSON is no name"), ("assert", "nobody is called so")]
)
def test_our_own_words_are_told_without_pydantics(name: str, reason: str) -> None:
    (fault,) = refused([{"name": name}]).errors()
    assert ("Value error" in fault["msg"]) != ("Assertion failed" in fault["msg"])  # otherwise nothing has to be mended
    assert fault_reason(fault) == reason


def test_the_first_fault_with_its_place() -> None:
    assert first_fault(refused([{"name": "plain", "tags": ["x"]}])) == "`[0].name`: too plain a name"
    assert first_fault(refused("nothing")) == "input should be a valid list"
    assert field_name(["feedback", 0, "relevance"]) == "feedback[0].relevance"


def test_what_is_no_object_is_told_without_words_of_python() -> None:
    wanted = "input should be an object with named members, as in {...}"
    assert first_fault(refused([3])) == f"`[0]`: {wanted}"
    for schema in (dict[str, int], dict[str, Named]):
        with pytest.raises(ValidationError) as error:
            TypeAdapter(schema).validate_python([1])
        assert first_fault(error.value) == wanted


def test_a_kind_that_there_is_not_or_that_is_missing(own_client: TestClient) -> None:
    for job, said in (
        ({"kind": "x"}, "`job`: its 'kind' should be one of 'rerank', 'embed', 'fit-clicks', 'train', and is 'x'."),
        ({}, "`job`: it lacks 'kind'."),
        ([], "`job`: input should be an object with named members, as in {...}."),
    ):
        assert own_client.post("/v1/jobs", json={"job": job}).json()["detail"] == said


def test_a_form_in_place_of_json(own_client: TestClient) -> None:
    """What `curl -d` sends without a header."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    told = own_client.post("/v1/search", content='{"query": "x"}', headers=form).json()
    assert told["detail"] == "The body cannot be used: input should be an object with named members, as in {...}."
    assert "Content-Type: application/json" in told["advice"]


def test_over_http() -> None:
    app = FastAPI()
    problems.install(app)

    @app.post("/")
    def post(body: Named) -> None: ...

    answer = TestClient(app).post("/", json={"name": "plain"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "`name`: too plain a name."
    assert answer.json()["errors"] == [{"field": "name", "detail": "too plain a name"}]


@pytest.mark.parametrize("values", [{"interleaving": "fused"}, {"exploration": "dance"}, {"shard_engine": "moon"}])
def test_in_settings(values: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        load_settings(values)
    (name,) = values
    assert error.value.message.startswith(f"The setting `{name}` (from a flag) is not usable: ")
    assert "alue error" not in error.value.message
    assert error.value.message.count("..") == 0
