"""The engines by name. To add one: write it, and name it here."""

from __future__ import annotations

from ranking.jobs.engine import Engine, InProcess
from ranking.jobs.local import LocalEngine
from ranking.options import unknown

NAMES = ("local", "in-process")


def engine_of(name: str = "local", workers: int | None = None, threads: int | None = None) -> Engine:
    """An engine; the number of its workers and of their threads after the machine where they are not given.

    Raises InputError for a name that there is not.
    """
    if name == "local":
        return LocalEngine(workers, threads)
    if name == "in-process":
        return InProcess()
    raise unknown("engine", name, NAMES, "Job")
