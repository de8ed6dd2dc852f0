"""`clickwise train metric`, `co-relevance` and `prior`: what is learned on one index without a cross-encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from index.index import Index
    from index.learned import PartName
    from ranking.learning.judged import Epoch
    from ranking.learning.judged_topics import Judgements

app = typer.Typer()

Name = Annotated[str, typer.Argument(help="The index's name, or its directory.")]
Queries = Annotated[Path | None, typer.Option(help="BEIR's queries.jsonl.")]
Qrels = Annotated[Path | None, typer.Option(help="Judgements: BEIR's topic, document, grade, or TREC's four columns.")]
Clicks = Annotated[
    Path | None, typer.Option(help="Instead: a click log, or .jsonl or .parquet with query, document and relevance.")
]
ClickModel = Annotated[Path | None, typer.Option(help="What 'clickwise clicks fit' wrote, to debias the log with.")]
Relevant = Annotated[int, typer.Option(min=1, help="The least grade that is relevant.")]
Epochs = Annotated[int, typer.Option(min=1, help="Passes over the topics, at most.")]
Folds = Annotated[int, typer.Option(min=2, help="Of the cross-validation: each is set aside once, to confirm it.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the division of the topics and of the episodes.")]
Force = Annotated[bool, typer.Option("--force", help="Keep it though validation does not confirm it.")]
Forget = Annotated[bool, typer.Option("--forget", help="Learn nothing; forget what was learned before.")]
Home = Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")]
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
    epochs: Epochs = 16,
    penalty: Annotated[float, typer.Option(min=0.0, help="How strongly the map is held where it is.")] = 1e-3,
    folds: Folds = 10,
    seed: Seed = 0,
    force: Force = False,
    forget: Forget = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Learn a metric for an index from its own judgements, or from debiased clicks.

    The map lies with the index's generation and serves every stage with space = "learned". It is kept only where
    cross-validation confirms a gain; a rebuild of the index leaves it behind.
    """
    from ranking.learning.metric import MetricTraining
    from ranking.learning.on_index import learn_metric

    if forget:
        _forget(context, _opened(context, index, home), "metric", as_json)
        return
    opened = _opened(context, index, home)
    training = MetricTraining(epochs=epochs, penalty=penalty, folds=folds, seed=seed)
    judged = _judgements(queries, qrels, relevant, clicks, click_model)
    outcome = learn_metric(opened, judged, training, force=force, on_epoch=_say)
    typer.echo(json.dumps(outcome) if as_json else _sentence(outcome, "metric"))


@app.command("co-relevance")
def co_relevance(
    context: typer.Context,
    index: Name,
    queries: Queries = None,
    qrels: Qrels = None,
    relevant: Relevant = 1,
    clicks: Clicks = None,
    click_model: ClickModel = None,
    rank: Annotated[int, typer.Option(min=1, help="The most numbers that a document's vector is extended by.")] = 256,
    folds: Folds = 10,
    seed: Seed = 0,
    force: Force = False,
    forget: Forget = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Learn which documents of an index are relevant together, from its own judgements or from debiased clicks.

    It lies with the index's generation and serves every stage with space = "learned", beside the metric where there is
    one. It is kept only where cross-validation confirms a gain; a rebuild of the index leaves it behind.
    """
    from ranking.learning.co_relevance import CoRelevanceTraining
    from ranking.learning.on_index import learn_co_relevance

    if forget:
        _forget(context, _opened(context, index, home), "co-relevance", as_json)
        return
    opened = _opened(context, index, home)
    training = CoRelevanceTraining(rank=rank, folds=folds, seed=seed)
    judged = _judgements(queries, qrels, relevant, clicks, click_model)
    outcome = learn_co_relevance(opened, judged, training, force=force)
    typer.echo(json.dumps(outcome) if as_json else _sentence(outcome, "co-relevance"))


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
    folds: Folds = 10,
    seed: Seed = 0,
    force: Force = False,
    forget: Forget = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Learn the probe's prior for an index from its own judgements, or from debiased clicks.

    Where a metric is learned too, that comes first. The prior lies with the index's generation and serves every probe
    with prior = "learned". It is kept only where cross-validation confirms a gain; a rebuild of the index, or another
    metric, leaves it behind.
    """
    from ranking.learning.on_index import learn_prior
    from ranking.learning.prior import PriorTraining

    if forget:
        _forget(context, _opened(context, index, home), "prior", as_json)
        return
    opened = _opened(context, index, home)
    training = PriorTraining(epochs=epochs, rank=rank, folds=folds, seed=seed)
    judged = _judgements(queries, qrels, relevant, clicks, click_model)
    outcome = learn_prior(opened, judged, training, force=force, on_epoch=_say)
    typer.echo(json.dumps(outcome) if as_json else _sentence(outcome, "prior"))


def _forget(context: typer.Context, index: Index, name: PartName, as_json: bool) -> None:
    """Forget what was learned, and say what went. Raises InputError for options that only learning has."""
    from index.errors import InputError

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source and source.name == "COMMANDLINE" and parameter.name not in ("index", "forget", "home", "as_json"):
            raise InputError(
                f"--forget learns nothing, and {parameter.opts[0]} was given beside it.", "Leave one of them out."
            )
    gone = index.forget(name)
    if as_json:
        typer.echo(json.dumps({"index": index.name, "forgotten": gone}))
    else:
        said = f"has forgotten its {' and its '.join(sorted(gone))}" if gone else f"had learned no {name}"
        typer.echo(f"The index {index.name} {said}.", err=True)


def _opened(context: typer.Context, name: str, home: Path | None) -> Index:
    from index.index import Index
    from index.places import locate

    find = context.obj if callable(context.obj) else locate
    return Index.open(find(name, home))


def _judgements(
    queries: Path | None, qrels: Path | None, relevant: int, clicks: Path | None, click_model: Path | None
) -> Judgements:
    """As judged, or as clicks make likely (grade 1 from even odds on)."""
    from index.errors import InputError
    from ranking.learning.click_tasks import likely, read_soft_judgements
    from ranking.learning.judged_topics import Judgements, read_queries
    from ranking.qrels import read_qrels

    if clicks is not None and queries is None and qrels is None:
        grades = likely(read_soft_judgements(clicks, click_model))
        return Judgements({query: query for query in grades}, grades, relevant, clicks.name, complete=False)
    if queries is None or qrels is None or clicks is not None:
        raise InputError("It is not clear what to learn from.", "Name either --queries and --qrels, or --clicks.")
    return Judgements(read_queries(queries), read_qrels(qrels), relevant, qrels.name)


def _say(epoch: Epoch) -> None:
    typer.echo(f"epoch {epoch.number}: loss {epoch.loss:.4f}, nDCG@20 of topics set aside {epoch.ndcg:.4f}", err=True)


def _sentence(outcome: Mapping[str, Any], what: str) -> str:
    missing, judged = outcome["missing_documents"], outcome["judged_topics"]
    change = f"Judged documents that the index does not have: {missing:,}. " if missing else ""
    change += f"nDCG@20 of {outcome['topics']:,} topics that count, of {judged:,}, each while it was set aside: "
    change += f"{outcome['plain']:.3f} without, "
    change += f"{outcome['learned']:.3f} with the {what} (p {outcome['p']:.3f}). "
    if "first_page" in outcome:
        (first, page), (given, feedback) = outcome["first_page"], outcome["with_feedback"]
        change += f"First pages {first:.3f} and {page:.3f}, with feedback {given:.3f} and {feedback:.3f}. "
    if outcome.get("dropped"):
        lost = " and ".join(outcome["dropped"])
        return change + f"It is kept with the index; the {lost}, learned on the metric before, went: train it again."
    return change + ("It is kept with the index." if outcome["kept"] else "Not confirmed: the index stays as it is.")
