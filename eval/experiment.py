"""Running an experiment: every collection, every ranker, every k; measured, and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eval.bench import Bench
from eval.collections import Collection, load_collection
from eval.config import Experiment
from eval.digests import MEASURING, REPORTING, code_digest, digest_of
from eval.jobs import Job, Jobs
from eval.measures import Values, measure_all
from eval.protocol import Part, Residual
from eval.rankers import Variant, variants_of
from eval.store import Store
from index.errors import InputError, NotFoundError, UnavailableError
from index.progress import Progress
from ranking.config import specs_with

if TYPE_CHECKING:
    from index.encoder import Encoder

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A job's values: round -> measure -> one value per topic, and the milliseconds of each stage per ranking."""

    rounds: Mapping[int, Values]
    times: Mapping[str, Floats]


@dataclass(frozen=True)
class CollectionResults:
    """All that was found out on one collection. `measured` has every variant of every ranker at every k."""

    bench: Bench
    topics: Sequence[str]
    splits: Mapping[int, Mapping[str, Part]]
    variants: Mapping[str, Sequence[Variant]]
    measured: Mapping[Job, Measured]

    @property
    def collection(self) -> Collection:
        return self.bench.collection


@dataclass(frozen=True)
class Results:
    """An experiment with its results. `skipped` says why a collection is missing."""

    experiment: Experiment
    collections: Mapping[str, CollectionResults]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A hash of everything that the reports are made of."""
        parts = [
            [name, sorted(Jobs(found.bench).digest(job) for job in found.measured), found.collection.judgements]
            for name, found in self.collections.items()
        ]
        return digest_of([self.experiment.to_dict(), parts, self.skipped, code_digest(REPORTING)])


def run_experiment(
    experiment: Experiment, store: Store, *, skip_missing: bool = False, encoder: Encoder | None = None
) -> Results:
    """Do what the cache does not have yet, and give the results.

    Raises InputError for rankers or collections that are not usable; NotFoundError and UnavailableError for
    collections that are not at hand, unless they are to be skipped. `encoder` replaces the one that is named.
    """
    specs = specs_with(experiment.pipelines, "the experiment")
    variants = {
        name: variants_of(name, ranker, specs, experiment.protocol.expansion_terms, experiment.protocol.seeds)
        for name, ranker in experiment.rankers.items()
    }
    _check(experiment, variants)
    collections, skipped = _load(experiment, skip_missing)
    found = {}
    for number, collection in enumerate(collections, start=1):
        bench = Bench(collection, experiment, store, encoder)
        bench.build()
        found[collection.name] = _measure(bench, variants, f"Ranking {number}/{len(collections)} {collection.name}")
    return Results(experiment, found, skipped)


def _check(experiment: Experiment, variants: Mapping[str, Sequence[Variant]]) -> None:
    tuned = [name for name, choices in variants.items() if len({choice.label for choice in choices}) > 1]
    comparing = [name for name, choices in variants.items() if choices[0].spec.needs_vectors]
    if comparing and experiment.index.encoder == "none":
        raise InputError(
            f"Ranker {comparing[0]!r} compares embeddings, and the collections are to be indexed without any.",
            "Name an encoder in [index], or take the ranker out.",
        )
    learning = [name for name, choices in variants.items() if choices[0].taught is not None]
    if learning and experiment.protocol.measured in ("train", "all"):
        raise InputError(
            f"Ranker {learning[0]!r} learns from training topics, and would be measured on them.",
            'Set measured = "test", or let it learn nothing.',
        )
    if learning and experiment.index.encoder == "none":
        raise InputError(
            f"Ranker {learning[0]!r} learns about embeddings, and the collections are to be indexed without any.",
            "Name an encoder in [index], or let it learn nothing.",
        )
    clicking = [name for name in learning if experiment.rankers[name].learns_from == "clicks"]
    if clicking and not experiment.protocol.searchers:
        raise InputError(
            f"Ranker {clicking[0]!r} learns from clicks, and nobody searched before.",
            "Set the protocol's searchers above 0, or let it learn from judgements.",
        )
    reading = [name for name, choices in variants.items() if choices[0].reads != "protocol"]
    if reading and not experiment.protocol.sessions:
        raise InputError(
            f"Ranker {reading[0]!r} reads {variants[reading[0]][0].reads}, and there is one round for all.",
            "Set the protocol's rounds above 1, or leave out `reads`.",
        )
    if tuned and experiment.protocol.split[1] == 0:
        raise InputError(
            f"Ranker {tuned[0]!r} has a grid, and no topics are for validation.",
            "Give the protocol's split a second share, or take the grid out.",
        )
    if tuned and experiment.protocol.measured in ("validation", "all"):
        raise InputError(
            f"Ranker {tuned[0]!r} has a grid, and would be measured on the topics that choose from it.",
            'Set measured = "test", or take the grid out.',
        )


def _load(experiment: Experiment, skip_missing: bool) -> tuple[list[Collection], dict[str, str]]:
    collections, skipped = [], {}
    for name, spec in experiment.collections.items():
        try:
            collections.append(load_collection(name, spec, experiment.folder))
        except (NotFoundError, UnavailableError) as reason:
            if not skip_missing:
                raise
            skipped[name] = str(reason)
    if not collections:
        raise NotFoundError("None of the collections is at hand.", next(iter(skipped.values())))
    return collections, skipped


def _measure(bench: Bench, variants: Mapping[str, Sequence[Variant]], description: str) -> CollectionResults:
    jobs, topics = Jobs(bench), bench.episodes.topics
    every = [Job(variant, k) for choices in variants.values() for variant in choices for k in bench.protocol.k]
    missing = jobs.missing(every)
    if missing:
        with Progress(description, len(missing) * len(topics)) as progress:
            jobs.make(missing, progress)
    measured = {job: measure(jobs, job) for job in every}
    return CollectionResults(bench, topics, bench.protocol.splits(topics), variants, measured)


def measure(jobs: Jobs, job: Job) -> Measured:
    """Measure a finished job, or remember how that came out."""
    bench = jobs.bench
    names, relevant = bench.experiment.head.measures, bench.collection.spec.relevant
    judged = [bench.collection.judgements, relevant, bench.protocol.residual]
    digest = digest_of([jobs.digest(job), names, judged, code_digest(MEASURING)])
    stored: Any = bench.store.read(digest)
    if stored is None:
        stored = _measured(jobs, job, names, relevant)
        bench.store.write(digest, stored)
    rounds = {
        int(number): {name: np.array(row, dtype=np.float64) for name, row in values.items()}
        for number, values in stored["rounds"].items()
    }
    return Measured(rounds, {stage: np.array(row) for stage, row in stored["times"].items()})


def _measured(jobs: Jobs, job: Job, names: Sequence[str], relevant: int) -> dict[str, object]:
    bench, topics = jobs.bench, jobs.bench.episodes.topics
    answers = jobs.answers(job)
    removed = {episode.topic: episode.removed for episode in bench.episodes.kept}
    first = 0 if bench.protocol.sessions else 1
    rounds: dict[int, dict[str, list[float]]] = {}
    for number in range(len(answers[topics[0]])):
        at = {topic: answers[topic][number] for topic in topics}
        qrels = {
            topic: Residual.of(bench.protocol, [*removed[topic], *at[topic].removed]).judged(bench.judged(topic))
            for topic in topics
        }
        values = measure_all(names, qrels, {topic: answer.ranking for topic, answer in at.items()}, relevant)
        rounds[number + first] = {name: row.tolist() for name, row in values.items()}
    every = [answer for topic in topics for answer in answers[topic]]
    times = {stage: [answer.timings_ms[stage] for answer in every] for stage in every[0].timings_ms}
    return {"rounds": rounds, "times": times}
