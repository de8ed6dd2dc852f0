"""What the commands that run jobs have in common: flags, progress, the last line and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from index.interruption import goes_on
from ranking.jobs.engine import Engine
from ranking.jobs.job import Job, Report, Summary

EngineName = Annotated[str, typer.Option("--engine", help="Where: local (processes), in-process, ray or ray:ADDRESS.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes. [default: after cores and memory]")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of each worker. [default: the cores there are left]")]
MaxRejects = Annotated[
    int, typer.Option("--max-rejects", min=-1, help="Give up after so many rows that cannot be used; -1: never.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew where the output holds another job's.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def carry_out(job: Job, engine: Engine, *, overwrite: bool, as_json: bool) -> None:
    """Run a job with its progress on the terminal, and tell what came of it. Ends with exit code 1 where rows were
    rejected."""
    from ranking.jobs.running import TooManyRejects, run

    advice = "What is done is kept, and the same command goes on."
    try:
        with goes_on(advice), watching(job.kind) as watch:
            summary = run(job, engine, watch, overwrite=overwrite)
    except TooManyRejects as error:
        typer.echo(f"clickwise: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({**summary.as_dict(), "engine": engine.name}))
    else:
        typer.echo("\n".join([*told(summary), *_first_reject(summary)]))
    if summary.rejected:
        raise typer.Exit(1)


@contextmanager
def watching(kind: str) -> Iterator[Callable[[Report], None]]:
    """What draws reports where stderr is a terminal."""
    from index.progress import Progress

    with Progress(kind) as progress:
        yield lambda report: progress.show(*shown(report))


def shown(report: Report) -> tuple[str, int, int | None]:
    """A report as words, rows done, and rows there are."""
    words = [report.stage]
    if report.stage == "working":
        words.append(f"{report.rows_per_second:,.0f} rows/s")
    if report.rejected:
        words.append(f"{report.rejected:,} rejected")
    if report.remaining is not None:
        words.append(f"{duration(report.remaining)} left")
    return ", ".join(words), report.done, report.rows


def told(summary: Summary) -> list[str]:
    """The summary as a person reads it, in lines."""
    new = summary.rows - summary.resumed
    lines = [f"{summary.output}: {summary.rows:,} rows in {summary.parts:,} parts."]
    if summary.resumed:
        lines.append(f"{summary.resumed:,} of them were done before.")
    if new:
        lines.append(f"{new:,} rows in {duration(summary.seconds)}, {new / max(summary.seconds, 1e-9):,.0f} rows/s.")
    if degraded := summary.counts.get("degraded"):
        lines.append(f"{degraded:,} answers are less than they could be: a model's adaptation failed.")
    if summary.rejected:
        lines.append(f"{summary.rejected:,} of the {summary.rows:,} rejected: see _rejects.jsonl there.")
    return lines


def _first_reject(summary: Summary) -> Iterator[str]:
    """The first row that was rejected, in words."""
    if summary.rejected:
        from ranking.jobs.inputs import lines_of
        from ranking.jobs.output import Output
        from ranking.jobs.storage import Place

        _, line = next(lines_of(Output(Place.at(summary.output)).rejects()))
        reject = json.loads(line)
        named = f" (query_id {reject['query_id']})" if reject.get("query_id") else ""
        yield f"The first is row {reject['row']}{named}: {reject['reason']}: {reject['detail'].rstrip('.')}."


def duration(seconds: float) -> str:
    """Seconds in the unit that fits: 12.3 s, 4 min 05 s, 3 h 20 min, 2 d 5 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
