"""The tables of an experiment's report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eval.analysis import QUANTILES, Analysis
from eval.rankers import Taught
from eval.statistics import Comparison
from eval.tables import Cell, Table, best_in_columns, p_text

TESTS = {"randomisation": "Fisher's randomisation test", "t": "the paired t-test", "wilcoxon": "Wilcoxon's test"}
CORRECTIONS = {
    "holm": "corrected by Holm over",
    "bonferroni": "corrected by Bonferroni over",
    "none": "not corrected for",
}


def all_tables(analysis: Analysis) -> list[Table]:
    """In the order of the report."""
    tables = [main_table(analysis), k_table(analysis), measures_table(analysis)]
    if analysis.comparisons:
        tables.append(comparisons_table(analysis))
    if len(analysis.rounds) > 1:
        tables.insert(1, rounds_table(analysis))
    if analysis.experiment.published:
        tables.insert(1, published_table(analysis))
    if any(ranker.grid for ranker in analysis.experiment.rankers.values()):
        tables.append(choices_table(analysis))
    if any(ranker.learns for ranker in analysis.experiment.rankers.values()):
        tables.append(taught_table(analysis))
    tables += [latency_table(analysis), stages_table(analysis)]
    return [*tables, collections_table(analysis), left_out_table(analysis)]


def main_table(analysis: Analysis) -> Table:
    """The primary measure of every ranker on every collection, with what differs from the baseline beyond chance."""
    columns = analysis.columns
    rows: list[list[Cell]] = [[name, *(analysis.means[name][at] for at in columns)] for name in analysis.rankers]
    marks = {}
    for i, ranker in enumerate(analysis.rankers):
        for j, column in enumerate(columns, start=1):
            found = analysis.comparisons.get((ranker, column))
            if found and found.corrected <= analysis.statistics.level:
                marks[i, j] = f"{'+' if found.difference > 0 else '-'} {p_equals(found.corrected)}"
    protocol = analysis.protocol
    where = f"{protocol.measured} topics, mean over {len(protocol.seeds)} splits and"
    where = "all topics, mean over" if protocol.measured == "all" else where
    caption = f"{analysis.experiment.primary} on {where} k = {', '.join(map(str, protocol.k))}"
    notes = [*([_meaning(analysis)] if analysis.comparisons else []), _counted(analysis), *_untaught(analysis)]
    return Table("main", caption, ["ranker", *columns], rows, notes, 3, best_in_columns(rows), marks)


def _meaning(analysis: Analysis) -> str:
    options = analysis.statistics
    return (
        f"+ or - with a p-value: better or worse than {analysis.experiment.head.baseline} beyond chance, by "
        f"{TESTS[options.test]}, p at most {options.level:g}, {CORRECTIONS[options.correction]} all "
        f"{len(analysis.comparisons)} comparisons of this table. Cells without it are no established difference."
    )


def _counted(analysis: Analysis) -> str:
    """How few topics the figures rest on."""
    told = []
    for name, found in analysis.results.collections.items():
        measured = analysis.measured(found, analysis.protocol.seeds[0]).sum()
        told.append(f"{name} {measured} of {len(found.topics)} of {len(found.collection.topics)}")
    return f"Topics measured in a split, of those kept, of those there are: {', '.join(told)}."


def _untaught(analysis: Analysis) -> Iterator[str]:
    """Where a ranker is no other than without its learning."""
    for ranker, spec in analysis.experiment.rankers.items():
        nothing = [
            name
            for name, found in analysis.results.collections.items()
            if spec.learns
            and not any(
                outcome["kept"]
                for seed in analysis.protocol.seeds
                for outcome in found.bench.taught(Taught(seed, spec.learns, spec.learns_from)).learned.values()
            )
        ]
        if nothing:
            yield f"Nothing was learned for {ranker} on {', '.join(nothing)}: the table of what was learned says why."


def k_table(analysis: Analysis) -> Table:
    rows: list[list[Cell]] = []
    for ranker in analysis.rankers:
        rows.append([ranker])
        for k in analysis.protocol.k:
            means = [analysis.topics(name, ranker, ks=[k]).mean[0] for name in analysis.collections]
            rows[-1].append(float(np.mean(means)))
    columns = ["ranker", *(f"k={k}" for k in analysis.protocol.k)]
    caption = f"{analysis.experiment.primary} by the number k of feedback documents of each kind, mean over collections"
    return Table("k", caption, columns, rows, bold=best_in_columns(rows))


def measures_table(analysis: Analysis) -> Table:
    names = analysis.experiment.head.measures
    rows: list[list[Cell]] = [[one, *(analysis.mean_of(one, name) for name in names)] for one in analysis.rankers]
    caption = "All measures (named as in ir_measures), mean over collections"
    return Table("measures", caption, ["ranker", *names], rows, bold=best_in_columns(rows))


def rounds_table(analysis: Analysis) -> Table:
    rows: list[list[Cell]] = []
    for ranker in analysis.rankers:
        means = [analysis.topics(name, ranker, rounds=analysis.rounds).mean for name in analysis.collections]
        rows.append([ranker, *np.mean(means, axis=0).tolist()])
    columns = ["ranker", *(f"round {number}" for number in analysis.rounds)]
    caption = f"{analysis.experiment.primary} after each round of feedback, mean over collections and k"
    return Table("rounds", caption, columns, rows, bold=best_in_columns(rows))


def published_table(analysis: Analysis) -> Table:
    rows: list[list[Cell]] = []
    for collection, figures in analysis.experiment.published.items():
        ours = {ranker.published: name for name, ranker in analysis.experiment.rankers.items() if ranker.published}
        for method, value in figures.items():
            name = ours.get(method)
            here = analysis.means[name][collection] if name and collection in analysis.collections else None
            rows.append([collection, method, value, name, here, None if here is None else here - value])
    columns = ["collection", "method", "published", "ranker", "here", "difference"]
    return Table("published", "Published figures beside ours", columns, rows, digits=4)


def comparisons_table(analysis: Analysis) -> Table:
    rows = [[ranker, name, *_compared(found)] for (ranker, name), found in analysis.comparisons.items()]
    options = analysis.statistics
    notes = [
        f"Difference of {analysis.experiment.primary}, with its {1 - options.level:.0%} bootstrap interval "
        f"({options.resamples:,} resamples of topics). Three p-values: Fisher's randomisation, paired t, Wilcoxon; "
        f"'p corrected' is that of {TESTS[options.test]}, {CORRECTIONS[options.correction]} the table. Topics won, "
        "tied and lost; d is Cohen's effect size of the paired differences."
    ]
    columns = ["ranker", "collection", "difference", "low", "high", "p random", "p t", "p Wilcoxon", "p corrected"]
    caption = f"Every ranker against {analysis.experiment.head.baseline}"
    return Table("comparisons", caption, [*columns, "won", "tied", "lost", "d"], rows, notes, p=frozenset(range(5, 9)))


def _compared(found: Comparison) -> Iterator[Cell]:
    yield from (found.difference, found.low, found.high)
    yield from (found.p["randomisation"], found.p["t"], found.p["wilcoxon"])
    yield from (found.corrected, found.wins, found.ties, found.losses, found.effect)


def choices_table(analysis: Analysis) -> Table:
    """Which hyper-parameters the validation topics chose: one row per ranker and collection, one column per seed."""
    rows: list[list[Cell]] = []
    for ranker, spec in analysis.experiment.rankers.items():
        for name in analysis.collections if spec.grid else ():
            chosen = analysis.chosen[name, ranker]
            for k in analysis.protocol.k if analysis.protocol.tune == "k" else analysis.protocol.k[:1]:
                labels = [chosen[seed, k].label for seed in analysis.protocol.seeds]
                rows.append([ranker, name, str(k) if analysis.protocol.tune == "k" else "all", *labels])
    columns = ["ranker", "collection", "k", *(f"seed {seed}" for seed in analysis.protocol.seeds)]
    return Table("choices", "Hyper-parameters chosen on validation topics", columns, rows)


def taught_table(analysis: Analysis) -> Table:
    """What indexes have learned from training topics: one row per collection, part and seed."""
    rankers = analysis.experiment.rankers.values()
    # A part comes out alike in all rankers that learn it from the same.
    parts = {(part, ranker.learns_from): ranker.learns for ranker in rankers for part in ranker.learns}
    rows: list[list[Cell]] = []
    for name, found in analysis.results.collections.items():
        for (part, teacher), learns in parts.items():
            for seed in analysis.protocol.seeds:
                learned = found.bench.taught(Taught(seed, learns, teacher)).learned[part]
                numbers = [learned.get(key, "") for key in ("topics", "plain", "learned", "standard_error", "p")]
                outcome = "kept" if learned["kept"] else learned.get("problem", "not confirmed")
                rows.append([name, part, teacher, str(seed), *numbers, outcome])
    notes = ["nDCG@20 of the nearest neighbours, of each topic while cross-validation set it aside."]
    columns = ["collection", "what", "from", "seed", "topics", "plain", "learned", "s.e.", "p", "outcome"]
    return Table("taught", "What was learned from training topics", columns, rows, notes, 3)


def latency_table(analysis: Analysis) -> Table:
    rows: list[list[Cell]] = []
    for ranker in analysis.rankers:
        total = analysis.latency(ranker, analysis.collections)["total"]
        rows.append([ranker, *(total[name] for name in QUANTILES)])
    notes = [
        "Milliseconds for one query at a time in one process, all stages added up. A stage that several rankers share "
        "runs once and counts for each of them."
    ]
    return Table("latency", "Latency in milliseconds", ["ranker", *QUANTILES], rows, notes, digits=2)


def stages_table(analysis: Analysis) -> Table:
    rows: list[list[Cell]] = []
    for ranker in analysis.rankers:
        for stage, taken in analysis.latency(ranker, analysis.collections).items():
            if stage != "total":
                rows.append([ranker, stage, *(taken[name] for name in QUANTILES)])
    return Table("stages", "Latency by stage in milliseconds", ["ranker", "stage", *QUANTILES], rows, digits=2)


def collections_table(analysis: Analysis) -> Table:
    rows: list[list[Cell]] = []
    for name, found in analysis.results.collections.items():
        relevant = found.collection.spec.relevant
        counts = [sum(g >= relevant for g in found.bench.judged(topic).values()) for topic in found.topics]
        dropped = sum(map(len, found.bench.episodes.dropped.values()))
        rows.append(
            [name, found.bench.manifest.documents, len(found.topics), dropped, sum(counts) / len(counts), str(relevant)]
        )
    columns = ["collection", "documents", "topics", "dropped", "relevant per topic", "relevant from grade"]
    return Table("collections", "Collections", columns, rows, digits=1)


def left_out_table(analysis: Analysis) -> Table:
    """What was left out or has to be known, counted."""
    rows: list[list[Cell]] = []
    for name, found in analysis.results.collections.items():
        episodes = found.bench.episodes
        rows += [[name, f"topics dropped: {reason}", len(topics)] for reason, topics in episodes.dropped.items()]
        rows += [[name, reason, count] for reason, count in found.bench.excluded.items()]
        rows += [[name, what, count] for what, count in episodes.facts.items()]
    return Table("left-out", "What was left out, and counts of the feedback", ["collection", "what", "count"], rows)


def p_equals(p: float) -> str:
    """`p=.012`, or `p<.001`."""
    return f"p{p_text(p)}" if p < 0.001 else f"p={p_text(p)}"
