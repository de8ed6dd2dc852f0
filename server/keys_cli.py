"""`clickwise keys`: API keys of a service's store, made, listed and ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from server.keys import Key, Keys

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of a service.")

Home = Annotated[Path | None, typer.Option(help="The folder of the store. [default: .clickwise]")]
Config = Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")]
Url = Annotated[str | None, typer.Option("--store-url", help="The store. [default: sqlite at home/store.db]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, so that you know it again.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: read, feedback, write or admin; repeat it. [default: read, feedback]"),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="For how long. [default: until revoked]")] = None,
    home: Home = None,
    config: Config = None,
    store_url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once: the store keeps its hash alone."""
    with _keys(home, config, store_url, missing_ok=True) as keys:
        key, text = keys.create(name, scope or ["read", "feedback"], days)
    if as_json:
        typer.echo(json.dumps({"key": text, **_told(key)}))
        return
    typer.echo(text)
    typer.echo(f"Key {key.id} ({', '.join(key.scopes)}). Keep it now: it cannot be shown again.", err=True)


@app.command("list")
def show(home: Home = None, config: Config = None, store_url: Url = None, as_json: AsJson = False) -> None:
    """List the keys, without the keys themselves."""
    with _keys(home, config, store_url) as keys:
        found = keys.all()
    if as_json:
        typer.echo(json.dumps({"keys": [_told(key) for key in found]}))
        return
    if not found:
        typer.echo("There is no key. 'clickwise keys create NAME' makes one.")
    for key in found:
        typer.echo(f"{key.id}  {_state(key):<20}  {','.join(key.scopes):<26}  {key.name}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as 'list' and the logs tell it.")],
    home: Home = None,
    config: Config = None,
    store_url: Url = None,
    as_json: AsJson = False,
) -> None:
    """End a key, for good. A service that runs knows within two seconds."""
    with _keys(home, config, store_url) as keys:
        key = keys.revoke(key_id)
    typer.echo(json.dumps(_told(key)) if as_json else f"Key {key.id} ({key.name}) is revoked.")


@contextmanager
def _keys(home: Path | None, config: Path | None, store_url: str | None, *, missing_ok: bool = False) -> Iterator[Keys]:
    """The keys of the store that the service of these settings uses; with `missing_ok` it is made where it is missing:
    the first key may be there before the service."""
    from contextlib import closing

    from server.configuration import load_settings
    from server.keys import Keys
    from server.store import Store

    address = load_settings({"home": home, "config": config, "store_url": store_url}).store_address
    with closing(Store.open(address, missing_ok=missing_ok)) as store:
        yield Keys(store)


def _told(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created": _moment(key.created_ms),
        "expires": key.expires_ms and _moment(key.expires_ms),
        "revoked": key.revoked_ms and _moment(key.revoked_ms),
        "valid": key.valid,
    }


def _state(key: Key) -> str:
    if key.revoked_ms is not None:
        return "revoked"
    if key.expires_ms is None:
        return "valid"
    return f"{'until' if key.valid else 'ended'} {_moment(key.expires_ms)[:10]}"


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
