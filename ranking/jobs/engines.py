"""The engines by name. To add one: write it, and name it here."""

from __future__ import annotations

from ranking.jobs.engine import Engine, InProcess
from ranking.jobs.local import LocalEngine
from ranking.options import unknown

NAMES = ("local", "in-process", "ray", "ray:ADDRESS")


def engine_of(name: str = "local", workers: int | None = None, threads: int | None = None) -> Engine:
    """An engine; the number of its workers and of their threads after the machine where they are not given.

    "ray" is the cluster at RAY_ADDRESS, or one started on this machine; "ray:ADDRESS" the one there. Raises InputError
    for a name that there is not, UnavailableError without Ray or its cluster.
    """
    if name == "local":
        return LocalEngine(workers, threads)
    if name == "in-process":
        return InProcess()
    if name == "ray" or name.startswith("ray:"):
        from ranking.jobs.ray_engine import RayEngine

        return RayEngine(name.partition(":")[2], workers, threads)
    raise unknown("engine", name, NAMES, "Job")
