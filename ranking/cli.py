"""`clickwise search`: ask an index, with documents given as relevant or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import typer

from index.errors import InputError
from index.places import HOME, indexes_in, locate, none_in

if TYPE_CHECKING:
    from ranking.pipeline import PipelineSpec

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a search takes place: the index's directory, the pipelines there are, the one for want of a name, and the
    configuration file that holds pipelines besides ours."""

    index: Path
    specs: Mapping[str, PipelineSpec]
    pipeline: str | None = None
    config: Path | None = None


@runtime_checkable
class Configured(Protocol):
    """What the roof hands down: it knows the settings, and this floor does not."""

    def place(self, index: str | None, home: Path | None, config: Path | None) -> Place: ...


@app.command()
def search(
    context: typer.Context,
    query: Annotated[
        str, typer.Argument(help="What to search for. May be empty where documents are given as relevant.")
    ],
    index: Annotated[
        str | None, typer.Option(help="The index's name, or its directory. [default: the only one there is]")
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(help="How to rank. [default: smoothed, or bm25-qe on an index without embeddings]")
    ] = None,
    relevant: Annotated[list[str], typer.Option(metavar="ID", help="A document that is relevant; repeatable.")] = [],
    not_relevant: Annotated[list[str], typer.Option(metavar="ID", help="One that is not relevant; repeatable.")] = [],
    condition: Annotated[
        str | None,
        typer.Option("--filter", metavar="CONDITION", help="Which documents may answer: 'kind == \"function\"'."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many hits to show.")] = 10,
    exclude_feedback: Annotated[
        bool, typer.Option("--exclude-feedback", help="Leave the documents that were judged out of the hits.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each stage of the pipeline made of a hit.")
    ] = False,
    home: Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search an index.

    With documents given as relevant or not relevant, shows how far each hit moved by that.
    """
    from index.filters import parse_filter
    from index.index import Index
    from ranking.config import build_pipeline, preferred
    from ranking.feedback import Feedback
    from ranking.report import as_text, report

    if not query.strip() and not relevant and not not_relevant:
        raise InputError("The query is empty.", "Say what to search for, or which documents are relevant (--relevant).")
    asked = parse_filter(condition) if condition is not None else None
    place = place_of(context, index, home, config)
    opened = Index.open(place.index)
    name = pipeline or place.pipeline or preferred(place.specs, opened)
    found = report(
        build_pipeline(name, place.specs, opened),
        query,
        Feedback.judged(relevant, not_relevant),
        asked,
        limit=limit,
        exclude_feedback=exclude_feedback,
        explain=explain,
    )
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else as_text(found))


def only_index(names: Iterable[str], home: Path) -> str:
    """The index that is meant where none is named, of those in a home folder. Raises NotFoundError without any,
    InputError with several."""
    known = list(names)
    if not known:
        raise none_in(home)
    if len(known) > 1:
        raise InputError("No index is named, and there are several.", f"Name one with --index: {', '.join(known)}.")
    return known[0]


def place_of(context: typer.Context, index: str | None, home: Path | None, config: Path | None) -> Place:
    """Where the command line, the environment and the configuration say that ranking takes place."""
    if isinstance(context.obj, Configured):
        return context.obj.place(index, home, config)
    from ranking.config import load_specs

    path = locate(index or only_index(indexes_in(home or HOME), home or HOME), home)
    return Place(path, load_specs(config), config=config)
