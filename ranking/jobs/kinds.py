"""The kinds of jobs. To add one: write a module with `plan(job) -> Plan`, and name it here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ranking.options import unknown

if TYPE_CHECKING:
    from ranking.jobs.job import Job
    from ranking.jobs.running import Plan

KINDS: Final[Mapping[str, str]] = {
    "rerank": "ranking.jobs.rerank",
    "embed": "ranking.jobs.embed",
}


def plan_of(job: Job) -> Plan:
    """The plan of a job. Raises InputError for a kind that there is not, or options that do not fit; NotFoundError for
    an input, an index or a file that is not there."""
    if job.kind not in KINDS:
        raise unknown("kind of job", job.kind, KINDS, "Job")
    made: Plan = importlib.import_module(KINDS[job.kind]).plan(job)
    return made
