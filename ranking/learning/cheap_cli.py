"""`clickwise train metric` and `train prior`: what is learned on one index without a cross-encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from index.index import Index
    from ranking.learning.judged import Epoch, Gain

app = typer.Typer()

Name = Annotated[str, typer.Argument(help="The index's name, or its directory.")]
Queries = Annotated[Path | None, typer.Option(help="BEIR's queries.jsonl.")]
Qrels = Annotated[Path | None, typer.Option(help="BEIR's qrels: topic, document and grade, tab-separated.")]
Clicks = Annotated[
    Path | None, typer.Option(help="Instead: a click log, or .jsonl or .parquet with query, document and relevance.")
]
ClickModel = Annotated[Path | None, typer.Option(help="What 'clickwise clicks fit' wrote, to debias the log with.")]
Relevant = Annotated[int, typer.Option(min=1, help="The least grade that is relevant.")]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the topics.")]
Validation = Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the topics that confirm it.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the division of the topics and of the episodes.")]
Force = Annotated[bool, typer.Option("--force", help="Keep it though validation does not confirm it.")]
Forget = Annotated[bool, typer.Option("--forget", help="Forget what the index has instead.")]
Home = Annotated[Path | None, typer.Option(help="Where the indexes are.")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]


@app.command()
def metric(
    context: typer.Context,
    index: Name,
    queries: Queries = None,
    qrels: Qrels = None,
    relevant: Relevant = 1,
    clicks: Clicks = None,
    click_model: ClickModel = None,
    epochs: Epochs = 12,
    penalty: Annotated[float, typer.Option(min=0.0, help="How strongly the map is held where it is.")] = 1e-3,
    validation: Validation = 0.2,
    seed: Seed = 0,
    force: Force = False,
    forget: Forget = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Learn a metric for an index from its own judgements, or from debiased clicks.

    The map lies with the index's generation and serves every stage with space = "learned". It is kept only where
    topics that were set aside confirm a gain; a rebuild of the index leaves it behind.
    """
    from index.metric import Metric
    from ranking.learning.judged_topics import topics_of
    from ranking.learning.metric import MetricTraining, train_metric

    opened = _opened(context, index, home)
    if forget:
        opened.learn(None)
        typer.echo(f"The index {opened.name} has no learned metric now.", err=True)
        return
    vectors, topics = topics_of(opened, *_judgements(queries, qrels, clicks, click_model), relevant)
    training = MetricTraining(epochs=epochs, penalty=penalty, validation=validation, seed=seed)
    found = train_metric(vectors, topics, training, _say)
    weights = {"query_weight": found.query_weight, "negative_weight": found.negative_weight}
    outcome = _outcome(found.gain, weights, force)
    space = opened.view().vectors
    if outcome["kept"] and space is not None:
        opened.learn(Metric(found.matrix, space.space_digest, _about(outcome, qrels or clicks, seed)))
    typer.echo(json.dumps(outcome) if as_json else _sentence(outcome, "metric"))


@app.command()
def prior(
    context: typer.Context,
    index: Name,
    queries: Queries = None,
    qrels: Qrels = None,
    relevant: Relevant = 1,
    clicks: Clicks = None,
    click_model: ClickModel = None,
    epochs: Epochs = 6,
    rank: Annotated[int, typer.Option(min=1, help="Of the covariance's part beside the identity.")] = 8,
    validation: Validation = 0.2,
    seed: Seed = 0,
    force: Force = False,
    forget: Forget = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Learn the probe's prior for an index from its own judgements, or from debiased clicks: after the metric, where
    that is learned too.

    It lies with the index's generation and serves every probe with prior = "learned". It is kept only where topics
    that were set aside confirm a gain; a rebuild of the index, or another metric, leaves it behind.
    """
    from ranking.learning.judged_topics import topics_of
    from ranking.learning.prior import PriorTraining, train_prior

    opened = _opened(context, index, home)
    if forget:
        opened.learn_prior(None)
        typer.echo(f"The index {opened.name} has no learned prior now.", err=True)
        return
    vectors, topics = topics_of(opened, *_judgements(queries, qrels, clicks, click_model), relevant, learned=True)
    view = opened.view().vectors
    space = "" if view is None else view.learned_digest
    training = PriorTraining(epochs=epochs, rank=rank, validation=validation, seed=seed)
    found = train_prior(vectors, topics, space, training, _say)
    names = ("scale", "query_weight", "precision", "refused_weight")
    numbers = {name: float(getattr(found.prior, name)) for name in names}
    outcome = _outcome(found.gain, {**numbers, "noise": list(found.prior.noise)}, force)
    if outcome["kept"]:
        opened.learn_prior(found.prior.noted(_about(outcome, qrels or clicks, seed)))
    typer.echo(json.dumps(outcome) if as_json else _sentence(outcome, "prior"))


def _opened(context: typer.Context, name: str, home: Path | None) -> Index:
    from index.index import Index
    from index.places import locate

    find = context.obj if callable(context.obj) else locate
    return Index.open(find(name, home))


def _judgements(
    queries: Path | None, qrels: Path | None, clicks: Path | None, click_model: Path | None
) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Topic -> text, and topic -> document -> grade: as judged, or as clicks make likely (1 from even odds on)."""
    from index.errors import InputError
    from ranking.learning.click_tasks import read_soft_judgements
    from ranking.learning.judged_topics import read_qrels, read_queries

    if clicks is not None and queries is None and qrels is None:
        soft = read_soft_judgements(clicks, click_model).relevance
        likely = {query: {doc: int(grade >= 0.5) for doc, grade in found.items()} for query, found in soft.items()}
        return {query: query for query in likely}, likely
    if queries is None or qrels is None or clicks is not None:
        raise InputError("It is not clear what to learn from.", "Name --queries and --qrels, or --clicks.")
    return read_queries(queries), read_qrels(qrels)


def _say(epoch: Epoch) -> None:
    typer.echo(f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation nDCG@20 {epoch.ndcg:.4f}", err=True)


def _outcome(gain: Gain, numbers: Mapping[str, float | list[float]], force: bool) -> dict[str, Any]:
    return {
        "plain": round(gain.plain, 4),
        "learned": round(gain.learned, 4),
        "standard_error": round(gain.error, 4),
        **{name: _rounded(value) for name, value in numbers.items()},
        "topics": gain.topics,
        "validation_topics": gain.held_out,
        "kept": gain.confirmed or force,
    }


def _rounded(value: float | list[float]) -> float | list[float]:
    return [round(one, 4) for one in value] if isinstance(value, list) else round(value, 4)


def _about(outcome: Mapping[str, Any], source: Path | None, seed: int) -> dict[str, str]:
    told = {name: str(value) for name, value in outcome.items()}
    return {"learned_from": "" if source is None else source.name, "seed": str(seed), **told}


def _sentence(outcome: Mapping[str, Any], what: str) -> str:
    change = f"nDCG@20 on {outcome['validation_topics']} topics set aside: {outcome['plain']:.3f} without, "
    change += f"{outcome['learned']:.3f} with the {what} (standard error {outcome['standard_error']:.3f}). "
    return change + ("It is kept with the index." if outcome["kept"] else "Not confirmed: the index stays as it is.")
