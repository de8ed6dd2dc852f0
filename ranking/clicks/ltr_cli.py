"""`clickwise clicks ltr`: a ranker from a click log, with the effect of the ranks taken out where that helps."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from index.errors import InputError
from index.interruption import goes_on

if TYPE_CHECKING:
    from ranking.clicks.ltr.choice import Chosen
    from ranking.clicks.ltr.features import Judged
    from ranking.clicks.ltr.fit import Fitted, Recipe
    from ranking.clicks.ltr.scorers import FeatureScorer
    from ranking.clicks.sessions import Sessions


class Scorer(StrEnum):
    mlp = "mlp"
    linear = "linear"


class People(StrEnum):
    pbm = "pbm"
    trust = "trust"
    cascade = "cascade"


# Also of 'clickwise train clicks'.
Debiased = Annotated[str, typer.Option(metavar="NAME", help="What auto compares with naive-listwise.")]
Randomised = Annotated[
    list[str],
    typer.Option(metavar="ARM", help="An arm of the log whose pages were shuffled: for comparing; repeatable."),
]
ShuffledRanks = Annotated[
    int | None, typer.Option(min=2, help="How many of the first ranks that arm shuffles. [default: all]")
]
PropensityFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="From 'clickwise clicks propensity --out'. [default: estimated by two-tower]"),
]
Epochs = Annotated[int, typer.Option(min=1, help="At most so many passes over the log.")]
Patience = Annotated[int, typer.Option(min=1, help="Stop after so many passes without a better one.")]
Clip = Annotated[float, typer.Option(min=1, help="Largest inverse propensity or ratio.")]


def ltr(
    train: Annotated[
        Path, typer.Option(metavar="FILE", help="Features of (query, document) pairs, as an SVMrank file.")
    ],
    log: Annotated[
        Path | None, typer.Option(help="A click log: the folder that 'clickwise clicks convert' writes.")
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="naive-listwise, naive-pointwise, ipw-listwise, ipw-pointwise, dla, two-tower, two-tower-additive, "
            "pair-debias, propensity-ratio, affine-listwise, affine-pointwise, direct, doubly-robust; or auto: naive, "
            "unless --debiased wins on shuffled pages.",
        ),
    ] = "auto",
    debiased: Debiased = "dla",
    randomised: Randomised = [],
    shuffled_ranks: ShuffledRanks = None,
    propensities: PropensityFile = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Judged pairs, SVMrank: prints nDCG@10.")] = None,
    simulate: Annotated[
        People | None, typer.Option(help="Simulate the log from the grades in --train, instead of --log.")
    ] = None,
    sessions: Annotated[int, typer.Option(min=1, help="Pages to simulate.")] = 10_000,
    scorer: Annotated[Scorer, typer.Option(help="A network with hidden layers, or a linear one.")] = Scorer.mlp,
    hidden: Annotated[str, typer.Option(metavar="N,N", help="Sizes of the hidden layers.")] = "64,32",
    epochs: Epochs = 60,
    patience: Patience = 10,
    batch: Annotated[int, typer.Option(min=1, help="Pages of one step.")] = 2048,
    rate: Annotated[float, typer.Option(min=1e-7, help="Learning rate.")] = 0.003,
    clip: Clip = 10.0,
    self_normalised: Annotated[
        bool, typer.Option("--self-normalised", help="Scale the weights of clicks to mean 1.")
    ] = False,
    dropout: Annotated[float, typer.Option(min=0, max=0.99, help="Of the two-tower's rank.")] = 0.0,
    frozen: Annotated[bool, typer.Option("--frozen", help="Two-tower: keep to the given propensities.")] = False,
    evened: Annotated[
        bool, typer.Option("--evened", help="Weight impressions by the inverse frequency of their document's rank.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The seed of everything.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the ranker here; an interrupted training goes on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a ranker from clicks.

    Queries and documents of the log are found in the features by qid: and by the name after #. A naive ranker is
    always a candidate: with auto, debiasing has to beat it on pages that were shuffled.
    """
    from index.progress import Progress
    from ranking.clicks.ltr.choice import choose
    from ranking.clicks.ltr.fit import Recipe, fit
    from ranking.clicks.ltr.logged import bias_of, divided, read_pages
    from ranking.clicks.ltr.objectives.registry import check_name
    from ranking.clicks.ltr.reporting import lines, reported
    from ranking.clicks.ltr.svmrank import read_svmrank
    from ranking.clicks.ltr.training import Options

    name = debiased if objective == "auto" else objective
    check_name(name)
    if (log is None) == (simulate is None):
        raise InputError("Clicks come from --log or from --simulate.", "Give one of them.")
    judged = read_svmrank(train)
    tested = None if test is None else read_svmrank(test, width=judged.features.width)
    traffic: Sessions | None
    if simulate is not None:
        pages, traffic, facts = _simulated(judged, simulate.value, sessions, seed)
    else:
        assert log is not None
        found = divided(*read_pages(log), judged.features, randomised, shuffled_ranks)
        pages, traffic, facts = found.pages, found.traffic, found.facts
    recipe = Recipe(
        name,
        scorer.value,
        _sizes(hidden),
        clip=clip,
        self_normalised=self_normalised,
        dropout=dropout,
        frozen=frozen,
        evened=evened,
        options=Options(epochs, batch, rate, patience=patience, seed=seed),
    )
    bias = None if propensities is None else bias_of(propensities, pages)
    matrix = judged.features.matrix
    chosen: Chosen[FeatureScorer] | None = None
    advice = "The same command goes on after the last epoch." if out else "With --out it could go on."
    with goes_on(advice), Progress("Training epochs") as progress:

        def step(_: object) -> None:
            progress.advance()

        if objective == "auto":
            chosen = choose(matrix, pages, recipe, traffic, bias, home=out, on_epoch=step)
            fitted, use = [chosen.naive, chosen.debiased], chosen.fitted
        else:
            use = fit(matrix, pages, recipe, bias, home=None if out is None else out / objective, on_epoch=step)
            fitted = [use]
    report = reported(fitted, use, chosen, objective, facts, _graded(fitted, tested))
    if out is not None:
        for each in fitted:
            _save(each, out / each.recipe.objective, report)
        _save(use, out, report)
    typer.echo(json.dumps(report, ensure_ascii=False) if as_json else "\n".join(lines(report, out)))


def _simulated(judged: Judged, behaviour: str, count: int, seed: int) -> tuple[Sessions, Sessions, dict[str, Any]]:
    """Clicks on the pages of a ranker that knows a tenth of the grades, and as many on shuffled pages for comparing."""
    import numpy as np

    from ranking.clicks.ltr.simulation import attraction, people, production_scores
    from ranking.clicks.ltr.simulation import simulate as clicks_on

    random = np.random.default_rng(seed)
    scores, attracts = production_scores(judged, 0.1, random), attraction(judged)
    who = people(behaviour, 10)  # type: ignore[arg-type]
    pages = clicks_on(judged.features, scores, attracts, who, count, random)
    traffic = clicks_on(judged.features, scores, attracts, who, count, random, shuffled=True)
    return pages, traffic, {"pages": count, "simulated": behaviour, "shuffled_pages": count}


def _sizes(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() and 0 < int(part) <= 65_536 for part in text.split(",")):
        raise InputError(f"--hidden {text} names no sizes.", "Write it as 64,32.")
    return tuple(int(part) for part in text.split(","))


def _graded(fitted: list[Fitted[FeatureScorer]], tested: Judged | None) -> dict[str, float | None]:
    """nDCG@10 of each ranker on judged pairs."""
    from ranking.clicks.ltr.measures import ndcg
    from ranking.clicks.ltr.model import Model

    if tested is None:
        return {}
    values = {
        each.recipe.objective: ndcg(tested, Model(each.scorer.network).predict(tested.features.matrix))
        for each in fitted
    }
    return {name: float(value.mean()) if len(value) else None for name, value in values.items()}


def _save(each: Fitted[FeatureScorer], directory: Path, report: dict[str, Any]) -> None:
    from ranking.clicks.ltr.model import Model

    name = each.recipe.objective
    Model(each.scorer.network, {"objective": name, "recipe": _plain(each.recipe), "training": report}).save(directory)


def _plain(recipe: Recipe) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(recipe)
