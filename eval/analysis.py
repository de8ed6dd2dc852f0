"""From values per topic to what the tables say: choices on validation topics, means, comparisons, latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from eval.experiment import CollectionResults, Floats, Results
from eval.jobs import Job
from eval.protocol import Part
from eval.rankers import Variant
from eval.statistics import Comparison, Strata, bootstrap, compare, corrected, interval

ALL = "mean"  # the column of the mean over the collections
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Topics:
    """What a ranker reaches on the measured topics of one collection: mean values and how often each is counted.

    `values` has shape (n, m) for m ranks of something (one value of k, say), `counts` shape (n,): in how many seeds the
    topic is measured. `topics` are their names.
    """

    topics: Sequence[str]
    values: Floats
    counts: Floats

    @property
    def mean(self) -> Floats:
        """The mean over seeds and topics, shape (m,)."""
        mean: Floats = self.counts @ self.values / self.counts.sum()
        return mean


class Analysis:
    """The figures of an experiment. Everything is computed when it is first asked for."""

    def __init__(self, results: Results) -> None:
        self.results, self.experiment = results, results.experiment
        self.protocol, self.statistics = results.experiment.protocol, results.experiment.statistics
        self.rankers = list(results.experiment.rankers)
        self.collections = list(results.collections)
        self.columns = [*self.collections, ALL] if len(self.collections) > 1 else self.collections

    @property
    def rounds(self) -> list[int]:
        found = next(iter(self.results.collections.values()))
        return list(next(iter(found.measured.values())).rounds)

    @cached_property
    def chosen(self) -> dict[tuple[str, str], dict[tuple[int, int], Variant]]:
        """(collection, ranker) -> (seed, k) -> the variant that is best on the validation topics."""
        return {
            (name, ranker): {
                (seed, k): self._choose(found, ranker, seed, k) for seed in self.protocol.seeds for k in self.protocol.k
            }
            for name, found in self.results.collections.items()
            for ranker in self.rankers
        }

    def _choose(self, found: CollectionResults, ranker: str, seed: int, k: int) -> Variant:
        """Best by the primary measure after the last round; of equal ones the first in the grid."""
        variants = [
            variant for variant in found.variants[ranker] if variant.taught is None or variant.taught.seed == seed
        ]
        if len(variants) == 1:
            return variants[0]
        mask = self._mask(found, seed, ("validation",))
        if not mask.any():
            return variants[0]
        ks = [k] if self.protocol.tune == "k" else self.protocol.k
        last, measure = self.rounds[-1], self.experiment.primary
        means = [
            np.mean([found.measured[Job(variant, at)].rounds[last][measure][mask].mean() for at in ks])
            for variant in variants
        ]
        return variants[int(np.argmax(np.round(means, 12)))]

    def _mask(self, found: CollectionResults, seed: int, parts: Sequence[Part]) -> npt.NDArray[np.bool_]:
        return np.array([found.splits[seed][topic] in parts for topic in found.topics])

    def measured(self, found: CollectionResults, seed: int) -> npt.NDArray[np.bool_]:
        """Which of a collection's topics a seed measures, shape (topics,)."""
        if self.protocol.measured == "all":
            return np.ones(len(found.topics), dtype=np.bool_)
        return self._mask(found, seed, (self.protocol.measured,))

    def topics(
        self, collection: str, ranker: str, measure: str = "", ks: Sequence[int] = (), rounds: Sequence[int] = ()
    ) -> Topics:
        """Values by topic, one column per round (the last one unless given), averaged over the k (all unless given).

        Each seed has its own choice of hyper-parameters and its own test topics; a topic's value is the mean over the
        seeds that measure it.
        """
        found = self.results.collections[collection]
        measure, ks, rounds = measure or self.experiment.primary, ks or self.protocol.k, rounds or self.rounds[-1:]
        total = np.zeros((len(found.topics), len(rounds)))
        counts = np.zeros(len(found.topics))
        for seed in self.protocol.seeds:
            mask = self.measured(found, seed)
            jobs = [Job(self.chosen[collection, ranker][seed, k], k) for k in ks]
            columns = [np.mean([found.measured[job].rounds[at][measure] for job in jobs], axis=0) for at in rounds]
            total[mask] += np.stack(columns, axis=1)[mask]
            counts += mask
        kept = counts > 0
        names = [topic for topic, keep in zip(found.topics, kept.tolist(), strict=True) if keep]
        return Topics(names, total[kept] / counts[kept, None], counts[kept])

    @cached_property
    def means(self) -> dict[str, dict[str, float]]:
        """ranker -> collection -> the mean of the primary measure over seeds, k and topics; and `mean` over those."""
        table = {}
        for ranker in self.rankers:
            row = {name: float(self.topics(name, ranker).mean[0]) for name in self.collections}
            table[ranker] = {**row, ALL: float(np.mean(list(row.values())))}
        return table

    def mean_of(self, ranker: str, measure: str) -> float:
        """The mean of a measure over the collections."""
        return float(np.mean([self.topics(name, ranker, measure).mean[0] for name in self.collections]))

    def bands(self, collections: Sequence[str], by_k: bool) -> Floats:
        """The lines of a figure: mean, lower and upper bound of its bootstrap confidence interval.

        Over some collections, for every ranker and every k (or every round, over all k): shape (rankers, places, 3).
        """
        columns = [self._columns(name, by_k) for name in collections]
        strata = np.repeat(np.arange(len(columns)), [len(part.counts) for part in columns])
        weights = balanced(np.concatenate([part.counts for part in columns]), strata)
        random = np.random.default_rng(self.statistics.seed)
        values = np.vstack([part.values for part in columns])
        means = bootstrap(values, weights, strata, self.statistics.resamples, random)
        bounds = [interval(column, self.statistics.level) for column in means.T]
        middle = np.mean([part.mean for part in columns], axis=0)
        return np.column_stack([middle, bounds]).reshape(len(self.rankers), -1, 3)

    def _columns(self, collection: str, by_k: bool) -> Topics:
        """Values by topic in one column per ranker and k, or per ranker and round."""
        ks: list[Sequence[int]] = [[k] for k in self.protocol.k] if by_k else [()]
        rounds = self.rounds[-1:] if by_k else self.rounds
        parts = [self.topics(collection, ranker, ks=at, rounds=rounds) for ranker in self.rankers for at in ks]
        return Topics(parts[0].topics, np.hstack([part.values for part in parts]), parts[0].counts)

    @cached_property
    def comparisons(self) -> dict[tuple[str, str], Comparison]:
        """(ranker, column) -> the ranker against the baseline, corrected over this whole table."""
        baseline = self.experiment.head.baseline
        others = [ranker for ranker in self.rankers if ranker != baseline]
        if not others:
            return {}
        groups = {name: [name] if name != ALL else self.collections for name in self.columns}
        by_group = {name: self.compare(others, baseline, members) for name, members in groups.items()}
        found = {(ranker, name): by_group[name][i] for i, ranker in enumerate(others) for name in groups}
        p = corrected([comparison.corrected for comparison in found.values()], self.statistics.correction)
        return {key: replace(one, corrected=value) for (key, one), value in zip(found.items(), p, strict=True)}

    def compare(
        self, rankers: Sequence[str], other: str, collections: Sequence[str], measure: str = ""
    ) -> list[Comparison]:
        """Each of some rankers against another one, every collection counting the same. Not corrected."""
        raw, counts = [], []
        for name in collections:
            theirs = self.topics(name, other, measure)
            raw.append(np.hstack([self.topics(name, ranker, measure).values for ranker in rankers]) - theirs.values)
            counts.append(theirs.counts)
        strata = np.repeat(np.arange(len(counts)), [len(part) for part in counts])
        return compare(np.vstack(raw), balanced(np.concatenate(counts), strata), strata, self.statistics)

    def latency(self, ranker: str, collections: Sequence[str]) -> dict[str, dict[str, float]]:
        """Stage -> the quantiles of its milliseconds per request, over all topics and k, for the chosen variants."""
        rows: dict[str, list[Floats]] = {}
        for name in collections:
            found = self.results.collections[name]
            jobs = {Job(variant, k) for (_, k), variant in self.chosen[name, ranker].items()}
            for job in sorted(jobs, key=lambda job: (job.k, job.variant.label)):
                for stage, taken in found.measured[job].times.items():
                    rows.setdefault(stage, []).append(taken)
        return {
            stage: {name: float(np.quantile(np.concatenate(taken), q)) for name, q in QUANTILES.items()}
            for stage, taken in rows.items()
        }

    def best(self, role: str) -> str | None:
        """The ranker of that role with the highest mean, None where there is none."""
        means = self.means
        names = [name for name, ranker in self.experiment.rankers.items() if ranker.role == role]
        return max(names, key=lambda name: means[name][ALL], default=None)

    @cached_property
    def gain(self) -> Comparison | None:
        """The best of ours against the best of the paper's methods, None where there is none of one kind.

        As these figures themselves have chosen the pair, its p-value is multiplied by the number of pairs (Bonferroni).
        """
        ours, paper = self.best("ours"), self.best("paper")
        if not ours or not paper:
            return None
        roles = [ranker.role for ranker in self.experiment.rankers.values()]
        found = self.compare([ours], paper, self.collections)[0]
        return replace(found, corrected=min(1.0, found.corrected * roles.count("ours") * roles.count("paper")))

    def summary(self) -> dict[str, object]:
        """What `summary.json` says; `gain_over_paper` is None where one side is missing."""
        means, gain = self.means, self.gain
        return {
            "name": self.experiment.head.name,
            "measure": self.experiment.primary,
            "ndcg20": {ranker: {name: row[name] for name in self.collections} for ranker, row in means.items()},
            "mean_ndcg20": {ranker: row[ALL] for ranker, row in means.items()},
            "gain_over_paper": gain.difference if gain else None,
            "gain_interval": [gain.low, gain.high] if gain else None,
            "gain_p_corrected": gain.corrected if gain else None,
            "best_of_ours": self.best("ours"),
            "best_of_paper": self.best("paper"),
            "topics": {name: len(found.topics) for name, found in self.results.collections.items()},
            "skipped": dict(self.results.skipped),
        }


def balanced(counts: Floats, strata: Strata) -> Floats:
    """Weights of topics, of mean 1, by which every stratum counts the same and a topic within it by its count."""
    weights = np.zeros(len(counts))
    for stratum in np.unique(strata):
        members = strata == stratum
        weights[members] = counts[members] / counts[members].sum()
    scaled: Floats = weights / weights.mean()
    return scaled
