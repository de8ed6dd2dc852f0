"""The reports of `clickwise eval`: listed, opened, compared, by topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from starlette.responses import Response

from index.errors import NotFoundError
from server.access import Guarded
from server.door import House, TheHouse, problems
from server.evaluations import Evaluations, RunAnswer, RunsAnswer, TableAnswer, TopicAnswer, TopicsAnswer, Values
from server.schemas import Answer, ShortText

router = APIRouter(prefix="/v1", tags=["evaluations"], route_class=Guarded)

A = TypeVar("A", bound=Answer)
Measure = Annotated[str, Query(max_length=100, description="as ir_measures writes it; the run's first where left out")]
Name = Annotated[ShortText, Query()]


@router.get("/evaluations", response_model=RunsAnswer, responses=problems(404, 503))
async def runs(house: TheHouse) -> Response:
    """The runs of the folder, the newest first."""
    folder = str(house.settings.evaluations_folder)
    return await _answer(house, RunsAnswer, lambda evaluations: {"folder": folder, "runs": evaluations.runs()})


@router.get("/evaluations:compare", response_model=TableAnswer, responses=problems(404, 409, 422, 503))
async def compare(house: TheHouse, first: Name, second: Name, measure: Measure = "") -> Response:
    """Two runs: every ranker that both have, topic by topic, with intervals and corrected p-values."""
    return await _answer(house, TableAnswer, lambda evaluations: evaluations.compare(first, second, measure))


@router.get("/evaluations/{run}", response_model=RunAnswer, responses=problems(404, 409, 422, 503))
async def run(house: TheHouse, run: ShortText) -> Response:
    """One run with its tables."""
    return await _answer(house, RunAnswer, lambda evaluations: evaluations.run(run))


@router.get("/evaluations/{run}/topics", response_model=TopicsAnswer, responses=problems(404, 409, 422, 503))
async def topics(house: TheHouse, run: ShortText, first: Name, second: Name, measure: Measure = "") -> Response:
    """Two rankers of a run, topic by topic."""
    return await _answer(house, TopicsAnswer, lambda evaluations: evaluations.topics(run, first, second, measure))


@router.get("/evaluations/{run}/topic", response_model=TopicAnswer, responses=problems(404, 409, 422, 503))
async def topic(
    house: TheHouse,
    run: ShortText,
    topic: Name,
    collection: Annotated[str, Query(max_length=200)] = "",
    ranker: Annotated[list[str], Query(max_length=8, description="whose rankings; the best and the baseline")] = [],  # noqa: B006
    k: Annotated[
        int | None, Query(ge=0, description="feedback documents of each kind; the most where left out")
    ] = None,
    depth: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """One topic: its feedback, and the rankings of some rankers with their judgements."""
    return await _answer(
        house, TopicAnswer, lambda evaluations: evaluations.topic(run, topic, collection, ranker, k, depth)
    )


async def _answer(house: House, kind: type[A], look: Callable[[Evaluations], Values]) -> Response:
    evaluations = house.evaluations
    if evaluations is None:
        raise NotFoundError("This server shows no evaluations.", "Start it with 'clickwise serve'.")

    def work() -> Response:
        return Response(kind.model_validate(look(evaluations)).model_dump_json(), media_type="application/json")

    return await house.workers.run(work)
