"""`clickwise clicks synthetic` and `judgements`: Baidu-ULTR without, and beside, its click log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from index.errors import ConflictError, NotFoundError


def synthetic(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of the files.")],
    sessions: Annotated[int, typer.Option(min=1, help="Result pages per part.")] = 10_000,
    parts: Annotated[int, typer.Option(min=1, help="How many gzip parts.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="How many queries there are.")] = 100,
    documents: Annotated[int, typer.Option(min=10, help="Documents per query.")] = 20,
    seed: Annotated[int, typer.Option(help="The seed of all that is random.")] = 0,
) -> None:
    """Write made-up sessions and annotations in the layout of Baidu-ULTR, oddities included.

    Users are position-based, with the examination curve that was found on the real data set.
    """
    from index.progress import track
    from ranking.clicks.baidu_synthetic import Synthetic

    if out.exists() and any(out.iterdir()):
        raise ConflictError(f"{out} is not empty.", "Name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    world = Synthetic(queries, documents, seed)
    for part in track(range(parts), "Writing"):
        world.write_sessions(out / f"part-{part:05d}.gz", sessions, part)
    notes = out.with_name(f"{out.name}-annotations.txt")
    world.write_annotations(notes)
    typer.echo(f"Wrote {parts} part(s) of {sessions:,} sessions to {out}, and {notes}.")


def judgements(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="annotation_data_0522.txt, or one like it.")],
    out: Annotated[Path, typer.Argument(metavar="QRELS", help="A TSV file: query-id, corpus-id, score, bucket.")],
) -> None:
    """Turn the expert annotations of Baidu-ULTR into judgements, with the names that convert gives."""
    from ranking.clicks.formats.baidu_annotations import read_annotations
    from ranking.clicks.reading import Reading, ReadReport

    if not source.is_file():
        raise NotFoundError(f"There is no file {source}.", "Name the annotation file.")
    report, count = ReadReport(), 0
    part = out.with_name(f".{out.name}.writing")
    with part.open("w", encoding="utf-8") as file:
        file.write("query-id\tcorpus-id\tscore\tbucket\n")
        for row in read_annotations(source, Reading("skip", report, {})):
            file.write(f"{row.query}\t{row.document}\t{row.grade}\t{row.bucket}\n")
            count += 1
    part.replace(out)
    for error in report.errors:
        typer.echo(error.message, err=True)
    typer.echo(f"Wrote {count:,} judgements to {out}; {report.skipped:,} bad lines were skipped.")
