"""`clickwise embed`: a corpus to vectors."""

from __future__ import annotations

from typing import Annotated

import typer

from ranking.jobs import front

app = typer.Typer()


@app.command()
def embed(
    source: Annotated[str, typer.Argument(help="A file, a folder of files, or irds:ID of ir_datasets.")],
    output: Annotated[str, typer.Argument(help="The folder of the vectors, or a URI.")],
    encoder: Annotated[str, typer.Option(help="The embedding model: a hub name, a path, or 'default'.")] = "default",
    max_tokens: Annotated[
        int, typer.Option(min=0, help="Embed this much of a text; less is faster. 0: all that the model reads.")
    ] = 0,
    source_format: Annotated[
        str, typer.Option("--format", help="The format, where the file's ending does not tell it.")
    ] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="Where id, title or text comes from; repeatable."),
    ] = None,
    partitions: Annotated[
        int, typer.Option(min=1, help="Files of the output, at most; a worker holds the vectors of one in memory.")
    ] = 64,
    max_rejects: front.MaxRejects = -1,
    engine: front.EngineName = "local",
    workers: front.Workers = None,
    threads: front.Threads = None,
    overwrite: front.Overwrite = False,
    as_json: front.Json = False,
) -> None:
    """Embed a corpus.

    Writes Parquet files with id, a digest of the text, and the vector. When the corpus has changed and the same command
    is given again, only new and changed documents are embedded, and deleted ones go.
    """
    from ranking.jobs.engines import engine_of
    from ranking.jobs.job import Job

    options = {
        "encoder": encoder,
        "max_tokens": max_tokens,
        "format": source_format,
        "columns": column or [],
        "partitions": partitions,
        "max_rejects": max_rejects,
    }
    job = Job("embed", source, output, options)
    front.carry_out(job, engine_of(engine, workers, threads), overwrite=overwrite, as_json=as_json)
