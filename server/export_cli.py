"""`clickwise export`: the store's impressions and events as a click log."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from index.errors import InputError

app = typer.Typer()


@app.command()
def export(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="The folder of the new click log.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only pages shown at this time or later: 2026-11-22, or ISO 8601."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only pages shown before this time.")] = None,
    index: Annotated[str | None, typer.Option(help="Only searches of this index.")] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the log LOG.")] = False,
    home: Annotated[Path | None, typer.Option(help="The folder of the store. [default: .clickwise]")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")] = None,
    store_url: Annotated[str | None, typer.Option(help="The store. [default: sqlite at home/store.db]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write what the server has recorded as a click log.

    The server may go on: what it records after the command has begun is for the next time. To export day by day, give
    each day a folder of its own, or --append to one, with --since and --until.
    """
    from contextlib import closing

    from index.progress import track
    from ranking.clicks.log import ClickLog
    from server.configuration import load_settings
    from server.export import Exported, export_pages
    from server.store import Store

    begin, end = _time(since, "--since"), _time(until, "--until")
    settings = load_settings({"home": home, "config": config, "store_url": store_url})
    report = Exported()
    with closing(Store.open(settings.store_address, missing_ok=False)) as store:
        pages = export_pages(store, begin=begin, end=end, index=index, report=report)
        ClickLog.write(log, track(pages, "Exporting"), append=append)
    if as_json:
        typer.echo(json.dumps({"log": str(log), **asdict(report)}))
        return
    typer.echo(f"Wrote {report.pages:,} pages with {report.events:,} events to {log}.")
    if report.elsewhere:
        typer.echo(f"{report.elsewhere:,} events on documents that no page had shown by then are with the last page.")


def _time(text: str | None, flag: str) -> datetime | None:
    """A time with its zone, UTC where it names none."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{flag} {text} is no time.", "Write it as 2026-11-22 or 2026-11-22T08:00:00+01:00.") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
