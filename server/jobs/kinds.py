"""What the kinds of jobs do. To add one: its request in `server.schemas_jobs`, a function here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from index.errors import ConflictError, InputError, NotFoundError
from index.progress import watched
from server.jobs.roots import Roots
from server.schemas_jobs import AnyJob, EmbedJob, FitClicksJob, RerankJob, TrainJob
from server.settings import Settings

Tell: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Is told how far a job is: a `server.schemas_jobs.JobProgress` as plain values."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind needs to do a job. Who sets `stop` sends SIGINT as well, for what looks only there. `attempt` counts
    from 1: what a later one finds may be what an earlier one has left."""

    settings: Settings
    roots: Roots
    tell: Tell
    stop: threading.Event
    attempt: int = 1


class Stopped(Exception):
    """The job was stopped before its end, and goes on from there when it is begun again."""


def check(job: AnyJob, settings: Settings) -> None:
    """What can be said about a job before it is begun. Raises the errors that it would fail with."""
    roots = Roots(settings.job_roots)
    source, target = _ends(job, roots)
    if isinstance(job, EmbedJob) and job.index is not None:
        _index(job.index, settings)
    if isinstance(job, FitClicksJob):
        from ranking.clicks.models.registry import new

        new(job.model)
        _check_click_model(job, target)
    if isinstance(job, RerankJob):
        from ranking.config import specs_with

        told = (job.topics, job.feedback, job.click_model)
        read = [source, *(roots.path(place, exists=True) for place in told if place is not None)]
        if job.run is not None and roots.path(job.run, exists=False).resolve() in [path.resolve() for path in read]:
            raise InputError(f"The run {job.run} is what the job reads.", "Name another file for the run.")
        _index(job.index, settings)
        specs = specs_with(settings.pipelines, str(settings.config))
        if job.pipeline is not None and job.pipeline not in specs:
            raise NotFoundError(f"There is no pipeline {job.pipeline!r}.", f"Valid: {', '.join(specs)}.")


def settled(job: AnyJob, settings: Settings) -> AnyJob:
    """The job with the index and the pipeline that it leaves to the service: its workers have not heard its flags."""
    if not isinstance(job, RerankJob):
        return job
    pipeline = job.pipeline or settings.default_pipeline
    return job.model_copy(update={"index": _named(job.index, settings), "pipeline": pipeline})


def perform(job: AnyJob, work: Work) -> dict[str, Any]:
    """Do a job and return its result. Raises Stopped, and what the kind raises."""
    try:
        result: dict[str, Any] = _KINDS[type(job)](job, work)
    except KeyboardInterrupt:
        raise Stopped from None
    return result


def _rerank(job: RerankJob, work: Work) -> dict[str, Any]:
    def place(name: str | None) -> str:
        return "" if name is None else str(work.roots.path(name, exists=True))

    options = {
        "index": str(_index(job.index, work.settings)),
        "pipeline": job.pipeline or work.settings.default_pipeline or "",
        "config": str(work.settings.config) if work.settings.pipelines else "",
        "topics": place(job.topics),
        "feedback": place(job.feedback),
        "click_model": place(job.click_model),
        "relevant": job.relevant,
        "limit": job.limit,
        "stages": job.stages,
        "exclude_feedback": job.exclude_feedback,
        "max_rejects": -1 if job.max_rejects is None else job.max_rejects,
        "run": "" if job.run is None else str(work.roots.path(job.run, exists=False)),
    }
    return _batch(job, options, work)


def _embed(job: EmbedJob, work: Work) -> dict[str, Any]:
    options: dict[str, Any] = {
        "format": job.format or "",
        "columns": tuple(job.columns),
        "partitions": job.partitions,
        "max_rejects": -1 if job.max_rejects is None else job.max_rejects,
    }
    if job.index is not None:
        from index.index import Index

        with closing(Index.open(_index(job.index, work.settings))) as index:
            encoder = index.manifest.encoder
        if encoder is None:
            raise InputError(f"The index {job.index!r} has no vectors.", "Name one that has, or leave out `index`.")
        options |= {"encoder": encoder.name, "max_tokens": encoder.max_tokens}
    return _batch(job, options, work)


def _batch(job: RerankJob | EmbedJob, options: Mapping[str, Any], work: Work) -> dict[str, Any]:
    """Do a job of `ranking.jobs`."""
    from ranking.jobs import Job, Report, run

    def told(report: Report) -> None:
        work.tell(
            {
                "stage": report.stage,
                "done": report.rows if report.stage == "finishing" else report.done,
                "total": report.rows,
                "rejected": report.rejected,
                "per_second": report.rows_per_second,
                "remaining_s": report.remaining,
            }
        )

    source, target = _ends(job, work.roots)
    summary = run(Job(job.kind, str(source), str(target), options), on_report=told, stop=work.stop)
    if summary.stopped:
        raise Stopped
    return {**summary.as_dict(), "output": job.output}


def _fit_clicks(job: FitClicksJob, work: Work) -> dict[str, Any]:
    from ranking.clicks.log import ClickLog
    from ranking.clicks.models.base import FitOptions
    from ranking.clicks.models.fitting import Fitting

    source, target = _ends(job, work.roots)
    if work.attempt == 1:
        _check_click_model(job, target)
    work.tell({"stage": "fitting", "done": 0, "total": None})
    options = FitOptions(iterations=job.iterations, prior=job.prior)
    outcome = Fitting(ClickLog.open(source), None, job.split).run(job.model, options, None)
    outcome.fitted.save(target)
    return {"output": job.output, **outcome.to_json()}


def _train(job: TrainJob, work: Work) -> dict[str, Any]:
    from ranking.learning.runs import Run, run
    from ranking.learning.supervised import CrossEncoderLearner, Recipe

    source, target = _ends(job, work.roots)
    shared = {name: getattr(job, name) for name in ("rank", "pairs", "documents", "rate", "seed")}
    recipe = Recipe(method=job.method, **shared)
    how = Run((source,), target, steps=job.steps, seed=job.seed, tokens=job.tokens, precision=job.precision)

    def told(stage: str, done: int, total: int | None) -> None:
        work.tell({"stage": stage.lower(), "done": done, "total": total})

    with watched(told):
        path = run(how, job.method, recipe, partial(CrossEncoderLearner, recipe=recipe))
    return {"output": job.output, "model": f"{job.output}/{path.name}", "steps": job.steps}


def _ends(job: AnyJob, roots: Roots) -> tuple[Path, Path]:
    """Where a job reads, and the folder where it writes. Raises InputError where that is a file."""
    target = roots.path(job.output, exists=False)
    if target.is_file():
        raise InputError(f"The output {job.output} is a file.", "Name a folder, or a new one.")
    return roots.path(job.input, exists=True), target


def _check_click_model(job: FitClicksJob, target: Path) -> None:
    """Raises ConflictError where the job would write over a click model, or over anything else."""
    from ranking.clicks.models.registry import check_out

    if check_out(target) and not job.overwrite:
        raise ConflictError(
            f"There is a click model at {job.output} already.",
            'Name another output, or replace it with "overwrite": true.',
        )


def _index(named: str | None, settings: Settings) -> Path:
    name, paths = _named(named, settings), settings.index_paths()
    if name is None:
        raise InputError("No index is named, and there is not just one.", f"Name one of {', '.join(paths)}.")
    if name not in paths:
        raise NotFoundError(f"There is no index {name!r}.", f"Valid: {', '.join(paths)}.")
    return paths[name]


def _named(named: str | None, settings: Settings) -> str | None:
    """The name of the index that is meant; None where several could be."""
    paths = settings.index_paths()
    return named or settings.default_index or (next(iter(paths)) if len(paths) == 1 else None)


_KINDS: Final[Mapping[type, Callable[..., dict[str, Any]]]] = {
    RerankJob: _rerank,
    EmbedJob: _embed,
    FitClicksJob: _fit_clicks,
    TrainJob: _train,
}
