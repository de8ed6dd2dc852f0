"""`clickwise train metric`: what is learned without a cross-encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def metric(
    context: typer.Context,
    index: Annotated[str, typer.Argument(help="The index's name, or its directory.")],
    queries: Annotated[Path | None, typer.Option(help="BEIR's queries.jsonl.")] = None,
    qrels: Annotated[Path | None, typer.Option(help="BEIR's qrels: topic, document and grade, tab-separated.")] = None,
    relevant: Annotated[int, typer.Option(min=1, help="The least grade that is relevant.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the topics.")] = 12,
    penalty: Annotated[float, typer.Option(min=0.0, help="How strongly the map is held where it is.")] = 1e-3,
    validation: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the topics that confirm it.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the division of the topics and of the episodes.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Keep the metric though validation does not confirm it.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the index's metric instead.")] = False,
    home: Annotated[Path | None, typer.Option(help="Where the indexes are.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Learn a metric for an index from its own judgements.

    The map lies with the index's generation and serves every stage with space = "learned". It is kept only where
    topics that were set aside confirm a gain; a rebuild of the index leaves it behind.
    """
    from index.errors import InputError
    from index.index import Index
    from index.metric import Metric
    from index.places import locate
    from ranking.learning.judged_topics import read_qrels, read_queries, topics_of
    from ranking.learning.metric import Epoch, MetricTraining, train_metric

    find = context.obj if callable(context.obj) else locate
    opened = Index.open(find(index, home))
    if forget:
        opened.learn(None)
        typer.echo(f"The index {opened.name} has no learned metric now.", err=True)
        return
    if queries is None or qrels is None:
        raise InputError("There is nothing to learn from.", "Name --queries and --qrels.")

    def say(epoch: Epoch) -> None:
        typer.echo(f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation nDCG@20 {epoch.ndcg:.4f}", err=True)

    training = MetricTraining(epochs=epochs, penalty=penalty, validation=validation, seed=seed)
    vectors, topics = topics_of(opened, read_queries(queries), read_qrels(qrels), relevant)
    learned = train_metric(vectors, topics, training, say)
    outcome = {
        "plain": round(learned.plain, 4),
        "learned": round(learned.learned, 4),
        "standard_error": round(learned.error, 4),
        "query_weight": round(learned.query_weight, 4),
        "negative_weight": round(learned.negative_weight, 4),
        "topics": learned.topics,
        "validation_topics": learned.held_out,
        "kept": learned.confirmed or force,
    }
    if outcome["kept"]:
        about = {"qrels": qrels.name, "seed": str(seed), **{name: str(value) for name, value in outcome.items()}}
        space = opened.view().vectors
        if space is not None:
            opened.learn(Metric(learned.matrix, space.space_digest, about))
    typer.echo(json.dumps(outcome) if as_json else _sentence(outcome))


def _sentence(outcome: dict[str, float]) -> str:
    change = f"nDCG@20 on {outcome['validation_topics']} topics set aside: {outcome['plain']:.3f} without, "
    change += f"{outcome['learned']:.3f} with the metric (standard error {outcome['standard_error']:.3f}). "
    return change + ("It is kept with the index." if outcome["kept"] else "Not confirmed: the index stays as it is.")
