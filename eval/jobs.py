"""The rankings of an experiment: each job is one variant of a ranker on one collection at one k.

Rankings come from the pipelines of the server, one request at a time as a server gets them. Rankers that begin alike
share the stages that they have in common; a stage's time is that of its one execution. Finished jobs stay in the
cache, and an interrupted one goes on after its last topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from eval.bench import Bench
from eval.crowds import crowd, looks, most_shown
from eval.digests import digest_of
from eval.episodes import Episode, eligible, highest_grade, negatives_of
from eval.protocol import Residual
from eval.rankers import Taught, Variant
from eval.sessions import Answer, Searcher, Timings
from eval.store import Journal
from index.progress import Progress, track
from index.types import Query, Ranking
from ranking.clicks.models.registry import Fitted
from ranking.contract import Request
from ranking.feedback import NO_FEEDBACK, Feedback
from ranking.pipeline import Pipeline, PipelineSpec, Trace, rank_together

DECIMALS = 8  # of the scores that are kept


@dataclass(frozen=True)
class Job:
    """One variant of a ranker at one k."""

    variant: Variant
    k: int


class Jobs:
    """The jobs of one collection."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.protocol = bench, bench.protocol
        self._crowds: dict[tuple[str, Taught | None], Fitted] = {}

    def digest(self, job: Job) -> str:
        """Names the rankings of a job: equal names, equal rankings."""
        state = self.bench.taught(job.variant.taught).state
        return digest_of([state, job.variant.digest, self._given[job.k if job.variant.feedback else None]])

    @cached_property
    def _given(self) -> dict[int | None, str]:
        """For each k (and for no feedback) a hash of what the rankers are given and how it is kept."""
        limits: list[object] = [self.protocol.keep, self.protocol.residual]
        if self.protocol.sessions:
            user = self.bench.experiment.user
            limits += [asdict(self.bench.experiment.debiasing)]
            limits += [asdict(self.protocol), type(user).__name__, asdict(user), self.bench.collection.judgements]  # type: ignore[call-overload]
        hashes: dict[int | None, str] = {}
        for k in (*self.protocol.k, None):
            given = [
                [e.topic, e.query, e.feedback.get(k, {}) if k is not None else {}, e.removed]
                for e in self.bench.episodes.kept
            ]
            hashes[k] = digest_of([limits, k if self.protocol.sessions else None, given])
        return hashes

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs whose rankings are not in the cache, of equal ones the first."""
        by_digest = {self.digest(job): job for job in reversed(jobs)}
        return [job for digest, job in reversed(by_digest.items()) if not self.bench.store.finished(digest)]

    def make(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Make rankings and put them into the cache, topic by topic."""
        for taught in {job.variant.taught for job in jobs if job.variant.spec.needs_vectors}:
            self.bench.taught(taught).index.warm_up()
        for k in dict.fromkeys(job.k for job in jobs):
            here = [job for job in jobs if job.k == k]
            with ExitStack() as opened:
                journals = {job: opened.enter_context(self.bench.store.journal(self.digest(job))) for job in here}
                for episode in self.bench.episodes.kept:
                    todo = [job for job in here if episode.topic not in journals[job].done]
                    self._make_topic(episode, todo, journals)
                    progress.advance(len(here))
            for job, journal in journals.items():
                self.bench.store.finish(self.digest(job), journal)

    def _make_topic(self, episode: Episode, jobs: Sequence[Job], journals: Mapping[Job, Journal]) -> None:
        if self.protocol.sessions:
            for job in jobs:
                journals[job].add(episode.topic, [_record(answer) for answer in self._session(episode, job)])
            return
        for fed, taught in dict.fromkeys((job.variant.feedback, job.variant.taught) for job in jobs):
            alike = [job for job in jobs if (job.variant.feedback, job.variant.taught) == (fed, taught)]
            answers = self._answers(episode, alike, episode.given(alike[0].k) if fed else NO_FEEDBACK)
            for job, answer in zip(alike, answers, strict=True):
                journals[job].add(episode.topic, [_record(answer)])

    def _answers(self, episode: Episode, jobs: Sequence[Job], feedback: Feedback) -> list[Answer]:
        """One answer per job, to the same request on the same index."""
        request = Request(
            Query(episode.topic, episode.query),
            feedback,
            exclude_feedback=self.protocol.residual == "candidates",
            limit=None if self.protocol.residual == "control" else self.protocol.keep + len(episode.removed),
        )
        pipelines = [self._pipeline(job.variant) for job in jobs]
        traces = [trace for (trace,) in rank_together(pipelines, [request])]
        residual = Residual.of(self.protocol, episode.removed)
        times = stage_times([pipeline.spec for pipeline in pipelines], traces)
        kept = [residual.ranking(trace.ranking).head(self.protocol.keep) for trace in traces]
        return [Answer(ranking, (), taken) for ranking, taken in zip(kept, times, strict=True)]

    def _pipeline(self, variant: Variant) -> Pipeline:
        return Pipeline(variant.spec, self.bench.taught(variant.taught).index)

    def _session(self, episode: Episode, job: Job) -> list[Answer]:
        pipeline = self._pipeline(job.variant)

        def rank(feedback: Feedback) -> tuple[Ranking, Timings]:
            given = feedback if job.variant.feedback else NO_FEEDBACK
            (trace,) = pipeline.trace([Request(Query(episode.topic, episode.query), given)])
            return trace.ranking, stage_times([pipeline.spec], [trace])[0]

        crowd = self._crowd(job.variant) if job.variant.reads == "debiased" else None
        judged = self.bench.judged(episode.topic)
        return self._searcher.session(episode, judged, job.k, rank, job.variant.reads, crowd)

    def _crowd(self, variant: Variant) -> Fitted | None:
        """The click model of those who searched before, None where nobody did."""
        if not self.protocol.searchers:
            return None
        key = (variant.spec.digest, variant.taught)
        if key not in self._crowds:
            episodes, known = self.bench.episodes.kept, {}
            pipeline = self._pipeline(variant)
            most = most_shown(self.protocol, self.protocol.rounds)
            for episode in track(episodes, "Asking those who searched before"):
                (ranking,) = pipeline.rank([Request(Query(episode.topic, episode.query))])
                residual = ranking.without(episode.removed)
                known[episode.topic] = eligible(residual.ids, self.protocol)[:most]
            judged = {episode.topic: self.bench.judged(episode.topic) for episode in episodes}
            user, highest = self.bench.experiment.user, highest_grade(self.bench.collection)
            pages = looks(known, judged, user, highest, self.protocol, self.protocol.rounds)
            self._crowds[key] = crowd(self.protocol.click_model, pages, self.protocol.page)
        return self._crowds[key]

    @cached_property
    def _searcher(self) -> Searcher:
        collection = self.bench.collection
        negatives, highest = negatives_of(collection, self.protocol), highest_grade(collection)
        experiment = self.bench.experiment
        return Searcher(self.protocol, collection.spec, experiment.user, negatives, highest, experiment.debiasing)

    def answers(self, job: Job) -> dict[str, list[Answer]]:
        """The rankings of a finished job by topic: one per round."""
        records = self.bench.store.rankings(self.digest(job)) or {}
        return {topic: [_answer(record) for record in rounds] for topic, rounds in records.items()}


def stage_times(specs: Sequence[PipelineSpec], traces: Sequence[Trace]) -> list[dict[str, float]]:
    """For each of several pipelines that ran together the milliseconds of its stages, of encoding, and in all.

    A stage that several share has run in the first of them, and counts in all.
    """
    taken: dict[str, float] = {}
    for spec, trace in zip(specs, traces, strict=True):
        for stage in spec.stages:
            taken.setdefault(stage.key, trace.timings_ms[stage.name])
    encoding = sum(trace.timings_ms.get("encode", 0.0) for trace in traces)
    times = []
    for spec in specs:
        stages = {stage.name: taken[stage.key] for stage in spec.stages}
        if spec.needs_vectors:
            stages["encode"] = encoding
        times.append({**stages, "total": sum(stages.values())})
    return times


def _record(answer: Answer) -> dict[str, Any]:
    return {
        "ids": answer.ranking.ids,
        "scores": np.round(answer.ranking.scores, DECIMALS).tolist(),
        "removed": answer.removed,
        "ms": {stage: round(ms, 4) for stage, ms in answer.timings_ms.items()},
    }


def _answer(record: Mapping[str, Any]) -> Answer:
    return Answer(Ranking(record["ids"], np.array(record["scores"])), tuple(record["removed"]), record["ms"])
