"""`clickwise demo`: the whole idea in one screen. A search, two judgements, and the list before and after."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from index.errors import UnavailableError
from index.interruption import goes_on
from index.types import Query, Ranking
from ranking.contract import Request
from ranking.feedback import Feedback
from server.configuration import load_settings
from server.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

INDEX = "python"
QUERY = "copy files"
RELEVANT = ("shutil.copytree", "shutil.copy2")
SHOWN = 10
READ = 96  # tokens of a text that are embedded: the signature and what the first sentences say, in half the time

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to show: the ranking of one query before and after its feedback, with the documents' titles."""

    documents: int
    pipeline: str
    relevant: tuple[str, ...]
    before: Ranking
    after: Ranking
    titles: dict[str, str]
    milliseconds: float


@app.command()
def demo(
    home: Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")] = None,
    build_only: Annotated[bool, typer.Option("--build-only", help="Build the example index and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """See a ranking learn.

    Indexes the documentation of this Python (once), searches it, gives two hits as relevant, and shows the list before
    and after.
    """
    settings = load_settings({"home": home})
    path = settings.index_path(INDEX)
    if not (path / "current").exists():
        _build(path, quiet=as_json)
    if build_only:
        return
    scene = play(path)
    if as_json:
        typer.echo(json.dumps(_as_data(scene), ensure_ascii=False))
    else:
        _show(scene, settings)


def play(path: Path) -> Scene:
    """Rank the query twice on the index at `path`: without feedback, and with the two documents given as relevant."""
    from index.index import Index
    from ranking.config import build_pipeline, load_specs, preferred

    index = Index.open(path)
    specs = load_specs()
    pipeline = build_pipeline(preferred(specs, index), specs, index)
    query = Query("demo", QUERY)
    (before,) = pipeline.rank([Request(query)])
    relevant = _relevant(before)
    began = time.perf_counter()
    (after,) = pipeline.rank([Request(query, Feedback.judged(relevant=relevant))])
    milliseconds = 1000 * (time.perf_counter() - began)
    view = index.view()
    shown = list(dict.fromkeys([*before.ids[:SHOWN], *after.ids[:SHOWN], *relevant]))
    titles = {doc.id: doc.title or doc.id for doc in view.lexical.documents(shown) if doc is not None}
    return Scene(view.documents, pipeline.name, relevant, before, after, titles, milliseconds)


def _build(path: Path, quiet: bool) -> None:
    from index.build import BuildOptions, build_index
    from index.encoder import load_encoder
    from index.progress import Progress
    from index.pydocs import python_documents

    if not quiet:
        typer.echo(f"Indexing the documentation of this Python (once), into {path.absolute()} ...", err=True)
    try:
        encoder = load_encoder("default", max_tokens=READ)
    except UnavailableError as problem:
        typer.echo(f"Without embeddings: {problem}", err=True)
        encoder = None
    began = time.monotonic()
    with goes_on("Nothing was indexed; the same command begins anew."), Progress("Indexing") as progress:
        options = BuildOptions(source="python documentation")
        manifest = build_index(path, python_documents(), options, encoder=encoder, on_progress=progress.advance)
    if not quiet:
        typer.echo(f"{manifest.documents:,} documents in {time.monotonic() - began:.0f} s", err=True)


def _relevant(before: Ranking) -> tuple[str, ...]:
    """The two documents to give as relevant: those we like, or on an unusual Python two others of the list."""
    found = [doc for doc in RELEVANT if doc in before.ids]
    return tuple([*found, *(doc for doc in before.ids[2:] if doc not in found)][:2])


def _moves(scene: Scene) -> list[int | None]:
    """For each document shown after: how many ranks it rose, or None where it was not in the list before."""
    old = {doc: rank for rank, doc in enumerate(scene.before.ids)}
    return [old[doc] - rank if doc in old else None for rank, doc in enumerate(scene.after.ids[:SHOWN])]


def _show(scene: Scene, settings: Settings) -> None:
    """The two lists side by side: with colour on a terminal, as plain aligned text in a pipe."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    corpus = f"{scene.documents:,} documents about this Python, pipeline {scene.pipeline}"
    console.print(f"\nSearching for [bold]{QUERY}[/] among {corpus}.")
    console.print("Then somebody says that two of the documents are what was meant:\n")
    for doc in scene.relevant:
        console.print(f"  [green]+[/] [bold]{doc}[/]")
    console.print()
    console.print(_table(scene, console.width, lines=console.is_terminal))
    console.print("\nmoved: by how many ranks the document after it rose ▲ or fell ▼; new: not found before")
    console.print(f"\nRanked again in {scene.milliseconds:.0f} ms. Try it yourself in the browser:\n")
    console.print(f"  [bold]make serve[/]   (or: clickwise serve), then open http://{settings.host}:{settings.port}\n")


def _table(scene: Scene, width: int, lines: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if lines else None, pad_edge=lines, padding=(0, 2, 0, 0))
    half = max(16, (width - 17) // 2)  # what the two lists have, after the numbers and the space between
    table.add_column("", justify="right", width=2)
    table.add_column("before", no_wrap=True, overflow="ellipsis", max_width=half)
    table.add_column("moved", justify="right", width=5)
    table.add_column("after", no_wrap=True, overflow="ellipsis", max_width=half)
    olds, news = scene.before.ids[:SHOWN], scene.after.ids[:SHOWN]
    for rank, (old, new, move) in enumerate(zip(olds, news, _moves(scene), strict=False), start=1):
        table.add_row(str(rank), _marked(old, scene), _arrow(move), _marked(new, scene))
    return table


def _marked(doc: str, scene: Scene) -> str:
    from rich.markup import escape

    return f"[green]+ {escape(doc)}[/]" if doc in scene.relevant else f"  {escape(doc)}"


def _arrow(move: int | None) -> str:
    if move is None:
        return "[cyan]new[/]"
    if move == 0:
        return "[dim]=[/]"
    return f"[green]▲ {move}[/]" if move > 0 else f"[red]▼ {-move}[/]"


def _as_data(scene: Scene) -> dict[str, object]:
    def rows(ranking: Ranking) -> list[dict[str, object]]:
        return [
            {"rank": rank, "id": doc, "title": scene.titles[doc], "score": score}
            for rank, (doc, score) in enumerate(ranking.head(SHOWN), start=1)
        ]

    after = [{**row, "moved": move} for row, move in zip(rows(scene.after), _moves(scene), strict=True)]
    asked = {"query": QUERY, "pipeline": scene.pipeline, "documents": scene.documents, "relevant": scene.relevant}
    return {**asked, "before": rows(scene.before), "after": after, "milliseconds": round(scene.milliseconds, 1)}
