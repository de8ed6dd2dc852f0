"""`clickwise serve`: the service in one process, with threads. It never forks: a forked child has no Java threads."""

from __future__ import annotations

import errno
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from index.errors import ConflictError, InputError

if TYPE_CHECKING:
    from server.evaluations import Evaluations
    from server.settings import Settings

app = typer.Typer()


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes any free one. [default: 8080]")] = None,
    home: Annotated[Path | None, typer.Option(help="The folder of indexes and store. [default: .clickwise]")] = None,
    index: Annotated[str | None, typer.Option(help="The index of searches that name none.")] = None,
    pipeline: Annotated[str | None, typer.Option(help="The pipeline of searches that name none.")] = None,
    click_model: Annotated[
        str | None, typer.Option(help="How clicks count: a folder of 'clicks fit', published, or off. [default: off]")
    ] = None,
    exploration: Annotated[
        str | None, typer.Option(metavar="POLICY", help="Shuffle a share of first pages, as in adjacent:10.")
    ] = None,
    interleaving: Annotated[
        str | None, typer.Option(metavar="A:B", help="Let two pipelines share a share of first pages.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="A:B", help="Give each of two pipelines sessions of its own.")
    ] = None,
    store_url: Annotated[str | None, typer.Option(help="Where events go. [default: sqlite at home/store.db]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [default: warning]")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file. [default: clickwise.toml]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where the service is as one JSON object.")] = False,
) -> None:
    """Serve search and feedback over HTTP, with a web page.

    Prints one line when it is ready, and runs until Ctrl-C.
    """
    from server.configuration import load_settings

    flags = {
        "host": host,
        "port": port,
        "home": home,
        "default_index": index,
        "default_pipeline": pipeline,
        "click_model": click_model,
        "exploration": exploration,
        "interleaving": interleaving,
        "split": split,
        "store_url": store_url,
        "log_level": log_level,
        "config": config,
    }

    def announce(url: str) -> None:
        typer.echo(json.dumps({"url": url}) if as_json else f"Clickwise is ready: open {url} (Ctrl-C stops it).")

    settings = load_settings(flags)
    reader: Callable[[Path], Evaluations] | None = getattr(context.obj, "evaluations", None)
    run(settings, announce, reader(settings.evaluations_folder) if reader else None)


def run(settings: Settings, announce: Callable[[str], None], evaluations: Evaluations | None = None) -> None:
    """Serve until SIGINT or SIGTERM, and end as `server.leaving` says.

    `announce` is called once with the page's address, when the service is warm.

    Raises what kept the service from opening: a missing index, a taken port, a store that cannot be written.
    """
    import uvicorn
    from threadpoolctl import threadpool_limits

    from server import logs
    from server.app import create_app
    from server.leaving import Server, exit_in_order

    # Requests run side by side: a product of 1000 x 384 that also spreads over all cores only makes them wait for each
    # other (twice the latency on two busy cores).
    threadpool_limits(1, user_api="blas")
    # The models give the interpreter away at every operation; at its usual patience of 5 ms they would wait that long
    # to get it back, a hundred times a query, whenever other requests keep it busy.
    sys.setswitchinterval(0.0005)
    listener = _listen(settings)
    url = _url(settings.host, listener.getsockname()[1])
    logs.configure(settings.log_level, settings.log_format)
    failures: list[BaseException] = []

    def on_warm(failure: BaseException | None) -> None:
        if failure is None:
            announce(url)
        else:
            failures.append(failure)
            server.should_exit = True

    application = create_app(settings, on_warm=on_warm, evaluations=evaluations)
    configuration = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.grace_seconds,
        timeout_keep_alive=65,  # longer than clients and balancers keep an idle connection: so they close it, not we
    )
    server = Server(configuration, settings.drain_seconds, application.state.house.leave)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, exit_in_order)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # the server has shut down in order before it passes the signal on
    finally:
        listener.close()
    if failures:
        raise failures[0]


def _listen(settings: Settings) -> socket.socket:
    """A socket that listens, opened before anything slow so that a taken port is told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"Something listens on {settings.host}:{settings.port} already.",
                "Stop it, or choose another port with --port (0 takes a free one).",
            ) from None
        reason = str(error.strerror).partition(" (")[0]  # the library adds the address once more
        raise InputError(
            f"The service cannot listen on {settings.host}:{settings.port}: {reason}.",
            "Choose another address with --host, or another port with --port.",
        ) from None
    # Connections inherit it. asyncio sets it only on sockets that name their protocol, which accepted ones do not, and
    # without it every answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # what a browser on this machine can open
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
