"""`clickwise rerank`: rows of queries, with candidates or without, to rankings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ranking.jobs import front

app = typer.Typer()


@app.command()
def rerank(
    context: typer.Context,
    rows: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Rows as Parquet or JSONL, queries as TSV, or a TREC run; a file, a folder, or a URI (s3://...).",
        ),
    ],
    output: Annotated[str, typer.Argument(help="The folder of the rankings, or a URI.")],
    index: Annotated[
        str | None, typer.Option(help="The index's name, or its directory. [default: the only one there is]")
    ] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Rank the texts that the rows bring, instead of an index's documents.")
    ] = False,
    encoder: Annotated[
        str, typer.Option(help="The embedding model of such texts: a hub name, a path, 'default', or 'none'.")
    ] = "default",
    pipeline: Annotated[
        str | None, typer.Option(help="How to rank. [default: smoothed, or bm25-qe on an index without embeddings]")
    ] = None,
    topics: Annotated[
        str | None, typer.Option(help="The queries that a TREC run answers: JSONL, TSV or TREC's <top>.")
    ] = None,
    feedback: Annotated[
        str | None, typer.Option(help="What is known to be relevant: qrels, or the folder of a click log.")
    ] = None,
    relevant: Annotated[int, typer.Option(help="The least grade of the qrels that is relevant.")] = 1,
    click_model: Annotated[
        Path | None, typer.Option(help="The fitted model that reads the click log. [default: the published curve]")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many documents are kept per query.")] = 1000,
    stages: Annotated[bool, typer.Option("--stages", help="Keep the scores of every stage of the pipeline.")] = False,
    exclude_feedback: Annotated[
        bool, typer.Option("--exclude-feedback", help="Leave the documents of the feedback out of the rankings.")
    ] = False,
    run: Annotated[str | None, typer.Option(metavar="FILE", help="Write the rankings as a TREC run as well.")] = None,
    part_rows: Annotated[
        int, typer.Option(min=1, help="Rows of a part: what is in memory, and what a kill costs.")
    ] = 1024,
    max_rejects: front.MaxRejects = -1,
    engine: front.EngineName = "local",
    workers: front.Workers = None,
    threads: front.Threads = None,
    overwrite: front.Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rank a sample only, and estimate time and cost of all.")
    ] = False,
    sample: Annotated[int, typer.Option(min=1, help="How many rows the estimate ranks.")] = 256,
    price: Annotated[float | None, typer.Option(min=0.0, help="What an hour of this machine costs.")] = None,
    home: Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")] = None,
    as_json: front.Json = False,
) -> None:
    """Re-rank many rows.

    A row has query_id and query, and maybe documents (the candidates' ids), texts (where no index holds them), scores,
    feedback and a filter; without candidates they are retrieved first. A job that was interrupted goes on where it was
    when the same command is given again. Exit code 1: some rows were rejected, see _rejects.jsonl in the output.
    """
    from index.errors import InputError
    from ranking.cli import place_of
    from ranking.jobs.engines import engine_of
    from ranking.jobs.job import Job

    if texts and index:
        raise InputError("Both --index and --texts were given.", "Give one of them.")
    place = place_of(context, "." if texts else index, home, config)
    options: dict[str, object] = {
        "index": "" if texts else str(place.index.absolute()),
        "texts": texts,
        "encoder": encoder if texts else "",
        "pipeline": pipeline or place.pipeline,
        "config": str(place.config.absolute()) if place.config else None,
        "topics": topics,
        "feedback": feedback,
        "click_model": str(click_model) if click_model else None,
        "run": run,
    }
    numbers = {
        "relevant": relevant,
        "limit": limit,
        "stages": stages,
        "exclude_feedback": exclude_feedback,
        "part_rows": part_rows,
        "max_rejects": max_rejects,
    }
    job = Job("rerank", rows, output, {name: value for name, value in options.items() if value} | numbers)
    chosen = engine_of(engine, workers, threads)
    if not dry_run:
        front.carry_out(job, chosen, overwrite=overwrite, as_json=as_json)
        return
    from ranking.jobs.estimate import estimate

    with front.watching("estimating") as watch:
        found = estimate(job, chosen, sample, watch)
    typer.echo(json.dumps(found.as_dict(price)) if as_json else found.told(price))
