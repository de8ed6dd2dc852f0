"""Ctrl-C of work that keeps what it has done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def goes_on(advice: str) -> Iterator[None]:
    """On Ctrl-C say on one line what the same command will do, and end with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {advice}", err=True)
        raise typer.Exit(130) from None
