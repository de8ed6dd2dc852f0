"""`clickwise index`: build and update indexes; `index.describe_cli` describes them."""

from __future__ import annotations

import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from index.describe_cli import Home, Json, Named, info, located, opened, print_json, show_all
from index.errors import ClickwiseError, InputError
from index.interruption import goes_on
from index.places import check_folder, check_name, name_for
from index.source_cli import (
    Columns,
    Errors,
    Format,
    OnError,
    PythonDocs,
    Source,
    counts,
    documents_of,
    field_types,
    number_of,
    pairs,
    say_what_was_bad,
)

if TYPE_CHECKING:
    from index.encoder import Encoder

app = typer.Typer(no_args_is_help=True)
PYTHON_DOCS = "python"  # the name of the default corpus's index
SHOWN = 5  # unknown ids that are named


class Layout(StrEnum):
    flat = "flat"
    multifield = "multifield"


class Conditioning(StrEnum):
    none = "none"
    centred = "centred"
    whitened = "whitened"


class Engine(StrEnum):
    threads = "threads"
    processes = "processes"
    ray = "ray"


@app.callback()
def index() -> None:
    """Build, update, list and describe indexes."""


@app.command()
def build(
    context: typer.Context,
    source: Source = None,
    python_docs: PythonDocs = False,
    name: Annotated[str | None, typer.Option(help="The index's name. [default: after the source]")] = None,
    out: Annotated[Path | None, typer.Option(help="The index's directory, instead of a name.")] = None,
    home: Home = None,
    source_format: Format = None,
    column: Columns = [],
    on_error: Errors = OnError.stop,
    field: Annotated[
        list[str],
        typer.Option(metavar="NAME:TYPE", help="A field's type: keyword, number or date. [default: inferred]"),
    ] = [],
    analyzer: Annotated[str, typer.Option(help="A Lucene analyzer by name.")] = "english",
    language: Annotated[str | None, typer.Option(help="The analyzer of a language: de, fr, ja ...")] = None,
    layout: Annotated[Layout, typer.Option(help="Search title and text as one field, or as two.")] = Layout.flat,
    boost: Annotated[
        list[str],
        typer.Option(metavar="NAME=NUMBER", help="The weight of title or contents in the multifield layout."),
    ] = [],
    k1: Annotated[float, typer.Option(help="BM25: how soon repeated terms stop counting.")] = 0.9,
    b: Annotated[float, typer.Option(help="BM25: how much long documents are marked down.")] = 0.4,
    encoder: Annotated[
        str, typer.Option(help="The embedding model: a hub name, a path, 'default', or 'none' for no vectors.")
    ] = "default",
    max_tokens: Annotated[
        int | None, typer.Option(help="Embed this much of a text; less is faster. [default: all the model reads]")
    ] = None,
    conditioning: Annotated[
        Conditioning, typer.Option(help="How the embedding space is evened out.")
    ] = Conditioning.whitened,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Divide the documents among so many shards, built side by side.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="Where shards are built: in threads, in processes, or on a Ray cluster.")
    ] = Engine.processes,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the index, and let go of what it has learned.")
    ] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Let what serves serve on, until the new generation is activated.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build an index of a corpus.

    The corpus is a file or a folder in BEIR, Pyserini, Parquet, TREC, CSV or TSV format, plain, .gz or .zst, or a
    folder of texts (.txt, .md), each a document. Whoever searches the index meanwhile keeps the generation before,
    until the new one is complete.
    """
    from index.build import BuildOptions, build_index
    from index.progress import Progress

    if name and out:
        raise InputError("--name and --out were both given.", "Give one of them.")
    if language:
        if analyzer != "english":
            raise InputError("--analyzer and --language were both given.", "Give one of them.")
        analyzer = "english" if language == "en" else language
    if name:
        check_name(name)
    path = (
        check_folder(out)
        if out
        else located(context, name or (PYTHON_DOCS if python_docs else name_for(source or "")), home)
    )
    options = BuildOptions(
        analyzer=analyzer,
        layout=layout.value,
        boosts={key: number_of("--boost", key, value) for key, value in pairs("--boost", boost, "=").items()},
        k1=k1,
        b=b,
        fields=field_types(field),
        conditioning=conditioning.value,
        overwrite=overwrite or waiting,
        activated=not waiting,
        source="python documentation" if python_docs else source or "",
        shards=shards,
    )
    documents, report = documents_of(source, python_docs, source_format, column, on_error)
    behind = _learned_on(path)
    began = time.monotonic()
    with goes_on("Nothing was changed; the same command begins anew."), Progress("Indexing") as progress:
        manifest = build_index(
            path,
            documents,
            options,
            encoder=_encoder(encoder, max_tokens),
            on_progress=progress.advance,
            engine=engine.value,
        )
    seconds = time.monotonic() - began
    if as_json:
        answer = {"index": path.name, "path": str(path), "seconds": round(seconds, 3), "left_behind": behind}
        print_json({**answer, **counts(report), "manifest": asdict(manifest)})
        return
    say_what_was_bad(report)
    among = f" in {shards} shards" if shards else ""
    typer.echo(f"Built {path}: {manifest.documents:,} documents{among} in {seconds:.1f} s.")
    if not manifest.documents:
        typer.echo("The source holds no documents: check that it is the right one.", err=True)
    if behind:
        left = f"What was learned on the generation before stays behind with it: {', '.join(behind)}."
        typer.echo(f"{left} Learn it again with 'clickwise train'.", err=True)


@app.command()
def update(
    context: typer.Context,
    index: Named,
    source: Source = None,
    python_docs: PythonDocs = False,
    delete: Annotated[list[str], typer.Option(metavar="ID", help="Delete this document; repeatable.")] = [],
    home: Home = None,
    source_format: Format = None,
    column: Columns = [],
    on_error: Errors = OnError.stop,
    as_json: Json = False,
) -> None:
    """Add, replace and delete documents.

    A document replaces the one of the same id. A service that runs on the index sees the change at its next search.
    """
    from index.progress import Progress

    if not (source or python_docs or delete):
        raise InputError("There is nothing to do.", "Name a source of documents, or --delete ID.")
    found = opened(located(context, index, home))
    upserted = deleted = 0
    unknown: list[str] = []
    report = None
    if source or python_docs:
        documents, report = documents_of(source, python_docs, source_format, column, on_error)
        with goes_on("What was not complete is gone; the same command begins anew."), Progress("Indexing") as progress:
            upserted = found.upsert(documents, progress.advance)
    if delete:
        wanted = list(dict.fromkeys(delete))
        held = found.view().lexical.holds(wanted)
        unknown = [doc for doc, there in zip(wanted, held, strict=True) if not there]
        deleted = found.delete(wanted)
    count = found.view().documents
    if as_json:
        done = {"upserted": upserted, "deleted": deleted, "unknown": unknown, "documents": count}
        print_json({"index": found.name, **done, **counts(report)})
        return
    say_what_was_bad(report)
    typer.echo(f"Updated {found.path}: {upserted:,} added or replaced, {deleted:,} deleted, {count:,} now.")
    if unknown:
        named = ", ".join(unknown[:SHOWN]) + (" ..." if len(unknown) > SHOWN else "")
        typer.echo(f"To be deleted but not in the index: {len(unknown):,} ({named}).", err=True)


app.command("list")(show_all)
app.command()(info)


def _learned_on(path: Path) -> list[str]:
    """What was learned on the generation that serves; nothing where there is none, or a damaged one."""
    from index import generations, learned

    try:
        current = generations.read_current(path)
    except ClickwiseError:
        return []
    return [*learned.names(generations.generation_path(path, current.generation))]


def _encoder(name: str, max_tokens: int | None) -> Encoder | None:
    if name == "none":
        return None
    from index.encoder import load_encoder

    return load_encoder(name, max_tokens=max_tokens)
