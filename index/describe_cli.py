"""`clickwise index list` and `info`, and what all commands about indexes share: finding one, and telling about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import typer

from index.errors import ClickwiseError
from index.places import Locate, indexes_in, locate, none_in

if TYPE_CHECKING:
    from index.index import Index

Home = Annotated[Path | None, typer.Option(help="The folder of the indexes. [default: .clickwise]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Named = Annotated[str, typer.Argument(metavar="INDEX", help="The index's name, or its directory.")]


@runtime_checkable
class Known(Protocol):
    """What the roof hands down: it knows which indexes the configuration names."""

    def indexes(self, home: Path | None) -> Mapping[str, Path]: ...


def show_all(context: typer.Context, home: Home = None, as_json: Json = False) -> None:
    """List the indexes.

    Those under the home folder, or those that the configuration names.
    """
    folder = located(context, "any", home).parent.parent  # the home folder, which the roof's `Locate` knows
    known = context.obj.indexes(home) if isinstance(context.obj, Known) else indexes_in(folder)
    told = [_told(name, path) for name, path in known.items()]
    if as_json:
        print_json({"indexes": told})
        return
    if not told:
        typer.echo(str(none_in(folder)), err=True)
    width = max((len(row["name"]) for row in told), default=0)
    for row in told:
        typer.echo(f"{row['name']:<{width}}  {row.get('problem') or _line(row)}")


def info(context: typer.Context, index: Named, home: Home = None, as_json: Json = False) -> None:
    """Describe an index.

    Tells how it was built and what is in it now.
    """
    found = opened(located(context, index, home))
    view, manifest, size = found.view(), found.manifest, _bytes(found)
    shards = found.shards()
    if as_json:
        answer = {"index": found.name, "path": str(found.path), "documents": view.documents, "bytes": size}
        described = {"shards": [asdict(shard) for shard in shards]} if shards else {}
        learned = {"learned": view.vectors.learned.about} if view.vectors else {}
        print_json({**answer, "fields": view.fields, **described, **learned, "manifest": asdict(manifest)})
        return
    model, space = manifest.encoder, manifest.space
    searched = ", ".join(f"{name} x{boost:g}" for name, boost in manifest.boosts.items())
    rows = {
        "documents": f"{view.documents:,}",
        "directory": f"{found.path}, {_megabytes(size)}",
        "generation": f"{manifest.generation}, built {manifest.created} by Clickwise {manifest.versions['clickwise']}",
        "source": manifest.source or "not recorded",
        "words": f"{manifest.analyzer} analyzer, {manifest.layout} ({searched}), k1={manifest.k1:g}, b={manifest.b:g}",
        "fields": ", ".join(f"{name} ({kind})" for name, kind in sorted(view.fields.items())) or "none",
        "vectors": f"{model.name} ({model.dimension} dimensions), {space.kind if space else 'none'}, {manifest.dense}"
        if model
        else "none",
    }
    if view.vectors and view.vectors.learned.about:
        rows["learned"] = ", ".join(_learned(part, about) for part, about in view.vectors.learned.about.items())
    if shards:
        rows["shards"] = str(len(shards))
        for shard in shards:
            rows[f"  {shard.number}"] = f"{shard.documents:,} documents, {_megabytes(shard.bytes)}"
    typer.echo(found.name)
    for label, value in rows.items():
        typer.echo(f"  {label:<12}{value}")


def located(context: typer.Context, name: str, home: Path | None) -> Path:
    """The directory of an index. The roof hands down a `Locate` that knows the configuration."""
    found: Locate = context.obj if callable(context.obj) else locate
    return found(name, home)


def opened(path: Path) -> Index:
    """The index in a directory."""
    from index.index import Index

    return Index.open(path)


def print_json(value: dict[str, Any]) -> None:
    """One object on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def _told(name: str, path: Path) -> dict[str, Any]:
    """An index in a few words, or what is wrong with it: one that is damaged hides no other."""
    told: dict[str, Any] = {"name": name, "path": str(path)}
    try:
        found = opened(path)
        view, manifest = found.view(), found.manifest
    except ClickwiseError as problem:
        return {**told, "problem": str(problem)}
    return {
        **told,
        "documents": view.documents,
        "bytes": _bytes(found),
        "generation": manifest.generation,
        "created": manifest.created,
        "source": manifest.source,
        "vectors": view.vectors is not None,
        "learned": list(view.vectors.learned.about) if view.vectors else [],
    }


def _line(row: Mapping[str, Any]) -> str:
    parts = [f"{row['documents']:,} documents", _megabytes(row["bytes"]), f"built {row['created'][:10]}"]
    parts += [f"from {row['source']}"] if row["source"] else []
    parts += [] if row["vectors"] else ["no vectors"]
    parts += [f"learned: {', '.join(row['learned'])}"] if row["learned"] else []
    return ", ".join(parts)


def _bytes(index: Index) -> int:
    return sum(file.stat().st_size for file in index.path.rglob("*") if file.is_file())


def _megabytes(size: int) -> str:
    return f"{max(size / 2**20, 0.1):.1f} MB"


def _learned(part: str, about: Mapping[str, Any]) -> str:
    """A part that was learned, and from what, as far as that is recorded."""
    known = "topics" in about and "learned_from" in about
    return f"{part} ({about['topics']} topics of {about['learned_from']})" if known else part
