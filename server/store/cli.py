"""`clickwise store`: what is in the store, and taking things out of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from server.settings import Settings
    from server.store.database import Database
    from server.store.records import Erased

app = typer.Typer(no_args_is_help=True)

Home = Annotated[Path | None, typer.Option(help="The folder of the store. [default: .clickwise]")]
Config = Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")]
Url = Annotated[str | None, typer.Option("--store-url", help="The store. [default: sqlite at home/store.db]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def store() -> None:
    """Look after the store of impressions and events: SQLite or PostgreSQL, while the server goes on."""


@app.command()
def info(home: Home = None, config: Config = None, store_url: Url = None, as_json: Json = False) -> None:
    """Say where the store is, how much is in it, and since when."""
    from server.store.contents import contents

    with _opened(home, config, store_url, upgrade=False) as (database, _):
        found = contents(database)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(found.where)
    behind = "" if found.revision == found.newest else f" (this Clickwise works with {found.newest}: store migrate)"
    _table({"schema": f"{found.revision or 'from before migrations'}{behind}", "size": f"{found.bytes / 1e6:,.1f} MB"})
    _table({name: f"{count:,}" for name, count in found.rows.items()})
    if found.oldest and found.latest:
        _table({"from": found.oldest, "to": found.latest})


@app.command()
def prune(
    days: Annotated[int | None, typer.Option(min=1, help="Keep this many days. [default: retention_days, 90]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    home: Home = None,
    config: Config = None,
    store_url: Url = None,
    as_json: Json = False,
) -> None:
    """Remove what is older than the retention. Run it every night."""
    from server.store.retention import prunable
    from server.store.retention import prune as pruned

    with _opened(home, config, store_url) as (database, settings):
        kept = settings.retention_days if days is None else days
        done = (prunable if dry_run else pruned)(database, kept)
    what = "Would remove" if dry_run else "Removed"
    _say(done, f"{what} {{}}: what is older than {kept} days.", as_json, days=kept, dry_run=dry_run)


@app.command()
def erase(
    person: Annotated[str, typer.Argument(metavar="ID", help="A session, client or user id, as it was sent.")],
    home: Home = None,
    config: Config = None,
    store_url: Url = None,
    as_json: Json = False,
) -> None:
    """Forget one person: every query that they were shown a page of or clicked on, with all that belongs to it.

    Exported click logs are not the store's: they hold the person's pseudonym until they are deleted or exported anew.
    """
    from server.store.people import erase as erased

    with _opened(home, config, store_url) as (database, _):
        done = erased(database, person)
    _say(done, "Removed {}.", as_json)


@app.command()
def migrate(home: Home = None, config: Config = None, store_url: Url = None, as_json: Json = False) -> None:
    """Bring the store's tables to what this Clickwise works with. The server does so too when it starts."""
    from server.store.schema import NEWEST

    with _opened(home, config, store_url, upgrade=False) as (database, _):
        before = database.upgrade()
        where = database.where
    if as_json:
        typer.echo(json.dumps({"store": where, "before": before, "after": NEWEST}))
    elif before == NEWEST:
        typer.echo(f"{where} has the revision {NEWEST} already.")
    else:
        typer.echo(f"{where} has the revision {NEWEST} now{f', it had {before}' if before else ''}.")


@contextmanager
def _opened(
    home: Path | None, config: Path | None, store_url: str | None, *, upgrade: bool = True
) -> Iterator[tuple[Database, Settings]]:
    from contextlib import closing

    from server.configuration import load_settings
    from server.store.database import database_at

    settings = load_settings({"home": home, "config": config, "store_url": store_url})
    with closing(database_at(settings.store_address, missing_ok=False)) as database:
        if upgrade:
            database.upgrade()
        yield database, settings


def _say(done: Erased, sentence: str, as_json: bool, **more: Any) -> None:
    if as_json:
        typer.echo(json.dumps({**more, **asdict(done)}))
        return
    typer.echo(sentence.format(", ".join(f"{count:,} {name}" for name, count in asdict(done).items())))


def _table(lines: dict[str, str]) -> None:
    for label, value in lines.items():
        typer.echo(f"  {label:<12}{value}")
