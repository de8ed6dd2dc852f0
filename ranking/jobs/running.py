"""Running a job: what is planned is compared with what is there, and what is missing is done."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from index.errors import ConflictError, InputError
from ranking.jobs.engine import Engine, InProcess, Task
from ranking.jobs.job import Done, Job, Part, Report, Summary
from ranking.jobs.kinds import plan_of
from ranking.jobs.output import Manifest, Output
from ranking.jobs.storage import Place


class Plan(Protocol):
    """What a kind makes of a job."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What decides the output, by names that tell a person what has changed: hashes of input, index, models; the
        options. Plain values. Cheap to find out: it is asked at every run."""
        ...

    @property
    def max_rejects(self) -> int | None:
        """So many rows may be rejected before the job gives up; None for any number."""
        ...

    def follows(self, before: Mapping[str, Any]) -> bool:
        """Whether a finished output with those facts is what this job takes up and brings up to date."""
        ...

    def parts(self, output: Output, advance: Callable[[int], None], stop: threading.Event) -> Sequence[Part]:
        """Cut the input into parts, and prepare under `output.prepared()` what workers need of it. Called once for all
        runs, unless it was interrupted: then again, in an empty folder. `advance` counts rows."""
        ...

    def task(self, output: Output) -> Task:
        """What workers carry out."""
        ...

    def finish(self, output: Output, parts: Sequence[Part]) -> None:
        """What comes after the last part. May be interrupted and called again."""
        ...


class TooManyRejects(InputError):
    """More rows were rejected than the job allows."""


def run(
    job: Job,
    engine: Engine | None = None,
    on_report: Callable[[Report], None] | None = None,
    stop: threading.Event | None = None,
    *,
    overwrite: bool = False,
) -> Summary:
    """Run a job, or go on with it, or find that it is done.

    `engine` is `InProcess` where none is given. `on_report` is called in this thread, at least after every part.
    `stop` may be set by another thread: the job ends soon, with `Summary.stopped`. `overwrite` starts anew.

    Raises ConflictError where the output belongs to another job, or something that decides it has changed (named), or
    another run is at work; TooManyRejects; and what `plan_of` and the workers raise. What is done by then stays done.
    """
    halt = stop or threading.Event()
    watch = _Watch(on_report or (lambda report: None))
    output, plan = Output(Place.at(job.output)), plan_of(job)
    facts = dict(plan.facts)  # before anything is touched: they show what is wrong with the job
    with output.locked():
        if overwrite:
            output.clear()
        manifest = _manifest(job, plan, facts, output, watch, halt)
        if manifest is None:
            return Summary(job.output, 0, 0, 0, 0, watch.seconds, stopped=True)
        if manifest.summary is not None:
            output.tidy()
            plan.finish(output, manifest.parts)  # what is asked for beside the output may be new: a TREC run, say
            rows = manifest.summary.rows
            return Summary(**{**manifest.summary.as_dict(), "seconds": watch.seconds, "resumed": rows})
        done = output.done()
        resumed = sum(part.rows for part in done.values())
        watch.begin(manifest.parts, done.values())
        _check_rejects(watch.rejected, plan, output)
        todo = [part for part in manifest.parts if part.number not in done]
        for made in (engine or InProcess()).run(plan.task(output), todo, watch.advance, halt):
            done[made.part] = made
            watch.finished(made)
            _check_rejects(watch.rejected, plan, output)
        summary = _summary(job, manifest.parts, done, resumed, watch.seconds)
        if not summary.stopped:
            watch.stage("finishing")
            plan.finish(output, manifest.parts)
            output.finish(manifest, summary)
        return summary


def _manifest(
    job: Job, plan: Plan, facts: Mapping[str, Any], output: Output, watch: _Watch, stop: threading.Event
) -> Manifest | None:
    """The manifest that is there, if it is of this very job, or a new one. None where preparing was stopped."""
    known = output.load()
    taken_up = known is not None and known.summary is not None and known.facts != facts and plan.follows(known.facts)
    if known is not None and not taken_up:
        _check_same(known.facts, facts, output)
        return known
    output.tidy()  # what a killed run has prepared
    if not taken_up:
        output.check_empty()
    watch.stage("reading")
    parts = plan.parts(output, watch.advance, stop)
    if stop.is_set():
        return None
    manifest = Manifest(job, facts, parts)
    output.save(manifest)
    return manifest


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], output: Output) -> None:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        changes = "; ".join(f"{name} was {before.get(name)} and is {now.get(name)}" for name in names)
        raise ConflictError(
            f"{output.place} was begun with something else: {changes}.",
            "Put that back to go on, name another output, or start anew with --overwrite.",
        )


def _check_rejects(rejected: int, plan: Plan, output: Output) -> None:
    if plan.max_rejects is not None and rejected > plan.max_rejects:
        raise TooManyRejects(
            f"{rejected:,} rows were rejected, and at most {plan.max_rejects:,} may be.",
            f"See {output.place / '_rejects'} for the reasons, then mend the input or raise --max-rejects.",
        )


def _summary(job: Job, parts: Sequence[Part], done: Mapping[int, Done], resumed: int, seconds: float) -> Summary:
    counts: Counter[str] = Counter()
    for made in done.values():
        counts.update(made.counts)
    return Summary(
        output=job.output,
        rows=sum(made.rows for made in done.values()),
        rejected=sum(made.rejected for made in done.values()),
        parts=len(done),
        resumed=resumed,
        seconds=round(seconds, 3),
        stopped=len(done) < len(parts),
        counts=dict(counts),
    )


@dataclass
class _Watch:
    """Counts rows and tells how fast they come."""

    tell: Callable[[Report], None]
    began: float = field(default_factory=time.monotonic)
    rejected: int = 0
    _stage: str = "reading"
    _since: float = 0.0
    _rows: int | None = None
    _before: int = 0  # rows that earlier runs had done
    _finished: int = 0  # rows of parts that this run has done
    _shown: int = 0  # rows that workers say they have done

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def stage(self, name: str) -> None:
        self._stage, self._since, self._shown = name, time.monotonic(), 0
        self._tell()

    def begin(self, parts: Sequence[Part], done: Any) -> None:
        made = list(done)
        self._rows = sum(part.rows for part in parts)
        self._before, self.rejected = sum(d.rows for d in made), sum(d.rejected for d in made)
        self.stage("starting")

    def advance(self, rows: int) -> None:
        if self._stage == "starting":  # loading the models is not the rows' fault
            self._stage, self._since = "working", time.monotonic()
        self._shown += rows
        self._tell()

    def finished(self, made: Done) -> None:
        self._finished += made.rows
        self.rejected += made.rejected
        self._shown = max(self._shown, self._finished)
        self._tell()

    def _tell(self) -> None:
        done = self._shown if self._rows is None else min(self._before + self._shown, self._rows)
        passed = time.monotonic() - self._since
        rate = self._shown / passed if passed > 0 else 0.0
        left = (self._rows - done) / rate if self._rows is not None and rate else None
        self.tell(Report(self._stage, done, self._rows, self.rejected, rate, left))
