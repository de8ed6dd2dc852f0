"""The command `clickwise`: one sub-command per room, loaded only when it is called.

The roof of the house: it alone may name every room. It names them as text, so `clickwise --help` and the completion of
command names import nothing but Typer.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from ranking.cli import Place
    from server.evaluations import Evaluations

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("server.demo", "See a ranking learn: index the Python documentation, judge two hits, watch it move."),
    "index": ("index.cli", "Build, update, list and describe indexes."),
    "search": ("ranking.cli", "Search an index, with documents given as relevant or not."),
    "rerank": ("ranking.jobs.cli", "Re-rank rows of queries and candidates, millions of them if need be."),
    "embed": ("ranking.jobs.embed_cli", "Embed a corpus, and after changes only what is new in it."),
    "train": ("ranking.learning.cli", "Train cross-encoders and what else is learned, and make tasks for it."),
    "eval": ("eval.cli", "Measure rankers on test collections, and compare what was measured."),
    "clicks": ("ranking.clicks.cli", "Use your click log: convert it, look at it, clean it, and learn from it."),
    "worker": ("server.jobs.cli", "Do batch jobs that were asked for over HTTP."),
    "store": ("server.store.cli", "Look after what the server has recorded: prune it, erase a person, migrate."),
    "export": ("server.export_cli", "Write what the server has recorded as a click log."),
    "serve": ("server.serve", "Serve search and feedback over HTTP, with a web page."),
    "keys": ("server.keys_cli", "Make, list and revoke the API keys of a service."),
    "doctor": ("server.doctor", "Check Java, models, packages and indexes, and say how to mend what is wrong."),
}
"""Command -> (the module whose `app`, a Typer, implements it; its line in the help)."""


INTERRUPTED = 130  # the exit code after Ctrl-C


class LazyCommand(TyperCommand):
    """Stands for a command until it is called: has its name and help line, and turns into the real one then."""

    def __init__(self, name: str, module: str, line: str) -> None:
        super().__init__(name, short_help=line, rich_markup_mode=None)
        self._module = module

    def get_short_help_str(self, limit: int = 45) -> str:
        return self.short_help or ""  # whole: the formatter wraps it

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        app: typer.Typer = importlib.import_module(self._module).app
        app._add_completion = False  # the root has it
        app.rich_markup_mode = None  # the same plain help everywhere, in a terminal and in a pipe
        command = typer.main.get_command(app)
        if isinstance(command, TyperGroup):
            for one in command.commands.values():
                one.short_help = one.get_short_help_str(1_000)  # the first sentence whole: the formatter wraps it
        return command.make_context(info_name, args, parent, **extra)


class Roof(TyperGroup):
    """The root command: knows its sub-commands by name only."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (module, line) in COMMANDS.items():
            self.add_command(LazyCommand(name, module, line))


class Places:
    """Indexes and pipelines as the flags, the environment and clickwise.toml have them.

    Handed down to the sub-commands of the lower floors, which know no settings: as `index.places.Locate`,
    `index.describe_cli.Known` and `ranking.cli.Configured`.
    """

    def __call__(self, name: str, home: Path | None = None) -> Path:
        """The directory of an index by name or path."""
        from index.places import is_path
        from server.configuration import load_settings

        return Path(name) if is_path(name) else load_settings({"home": home}).index_path(name)

    def indexes(self, home: Path | None) -> dict[str, Path]:
        """The indexes that there are, by name."""
        from server.configuration import load_settings

        return load_settings({"home": home}).index_paths()

    def place(self, index: str | None, home: Path | None, config: Path | None) -> Place:
        """Where a search takes place."""
        from index.errors import NotFoundError
        from index.places import is_path
        from ranking.cli import Place, only_index
        from ranking.config import specs_with
        from server.configuration import load_settings

        settings = load_settings({"home": home, "config": config})
        specs = specs_with(settings.pipelines, str(settings.config))
        known = settings.index_paths()
        name = index or settings.default_index or only_index(known, settings.home)
        if known and not is_path(name) and name not in known:
            raise NotFoundError(
                f"There is no index {name!r} in {settings.home.absolute()}; those there are: {', '.join(known)}.",
                "Name one of them, or say with --home where yours is.",
            )
        path = Path(name) if is_path(name) else settings.index_path(name)
        written = settings.config if settings.config and settings.config.is_file() else None
        return Place(path, specs, settings.default_pipeline, written)

    def evaluations(self, folder: Path) -> Evaluations:
        """The runs of `clickwise eval` in a folder, for the pages of the service."""
        from eval.browsing import Browser

        return Browser(folder)


app = typer.Typer(
    cls=Roof,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "obj": Places()},
    epilog="'clickwise COMMAND --help' tells more. Settings come from flags, CLICKWISE_* variables and clickwise.toml.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"clickwise {version('clickwise')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Search that learns from what each searcher clicks."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    0 is success, 1 a check that failed, 2 a command line or an input that is not usable (one line on stderr says what
    and what to do), 130 an interruption.
    """
    try:
        typer.main.get_command(app).main(list(arguments), prog_name="clickwise")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as problem:
        line = _one_line(problem)
        if line is None:
            raise
        typer.echo(f"clickwise: {line}", err=True)
        return 2
    return 0


def _one_line(problem: Exception) -> str | None:
    """What to tell about a failure that its reader can mend; None for a bug, which keeps its traceback."""
    from index.errors import ClickwiseError  # here, as it brings NumPy

    if isinstance(problem, ClickwiseError):
        return " ".join(str(problem).split())
    if isinstance(problem, OSError) and problem.strerror and problem.filename:
        return f"{problem.filename}: {problem.strerror}."
    return None


def main() -> None:
    """The entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a lone surrogate prints as \udXXX, also valid in JSON
    code = run(sys.argv[1:])
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # From here on Python waits for threads that still compute. A second Ctrl-C would have it go without them, and
        # they abort in C++ when they come back to an interpreter that is gone: so it ends the process at once.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has gone: nothing left to say, also not at shutdown
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
