"""`clickwise worker`: does the jobs that were asked for over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def worker(
    drain: Annotated[bool, typer.Option("--drain", help="End when no job is due.")] = False,
    home: Annotated[Path | None, typer.Option(help="The folder of indexes and store. [default: .clickwise]")] = None,
    store_url: Annotated[str | None, typer.Option(help="The store. [default: sqlite at home/store.db]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: warning]")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")] = None,
) -> None:
    """Do batch jobs that were asked for at POST /v1/jobs, one at a time.

    Start as many as there is room for, on any machine that reaches the store and the folders of job_roots. Ctrl-C or
    SIGTERM stops the job at hand and hands it back: another worker, or this one later, goes on where it was.
    """
    import signal
    import threading
    from contextlib import closing

    from index.errors import InputError
    from server.configuration import load_settings
    from server.jobs.queue import Queue
    from server.jobs.worker import Worker
    from server.logs import configure
    from server.store import Store

    settings = load_settings({"home": home, "config": config, "store_url": store_url, "log_level": log_level})
    if not settings.job_roots:
        raise InputError(
            "There are no folders that jobs may use.", 'Name some in the settings: job_roots = { data = "/srv/data" }.'
        )
    configure(settings.log_level, settings.log_format)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with closing(Store.open(settings.store_address)) as store:
        typer.echo(f"Waiting for jobs of {store.database.where} (Ctrl-C stops).", err=True)
        Worker(Queue(store), settings).run(stop, drain=drain)
