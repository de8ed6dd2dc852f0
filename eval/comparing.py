"""Comparing what has been measured: rankers of run directories, or TREC runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.analysis import balanced
from eval.config import parse_config, read_config
from eval.formats.trec import read_run
from eval.measures import canonical, measure_all
from eval.statistics import Statistics, compare, corrected
from eval.tables import Cell, Table
from eval.tabulate import CORRECTIONS
from index.errors import InputError, NotFoundError
from ranking.qrels import read_qrels

Key = tuple[str, str]  # collection, topic


@dataclass(frozen=True)
class Scored:
    """A ranker's mean value and its count (of seeds) for each topic. `notes` say what was left out."""

    label: str
    measure: str
    values: Mapping[Key, float]
    counts: Mapping[Key, int]
    notes: Sequence[str] = field(default_factory=tuple)


Pair = tuple[Scored, Scored]


def operands(
    first: str, second: str, run_dir: Path | None, qrels: Path | None, measure: str, relevant: int
) -> list[Pair]:
    """What the two names of a command line mean: pairs to compare.

    Raises NotFoundError and InputError for what cannot be found or does not fit together.
    """
    if _is_run_directory(first) and _is_run_directory(second):
        mine, theirs = RunDirectory(Path(first)), RunDirectory(Path(second))
        shared = [name for name in mine.rankers if name in theirs.rankers]
        if not shared:
            raise InputError(f"{first} and {second} have no ranker in common.", "Name them: DIR:RANKER.")
        return [(mine.scored(name, measure), theirs.scored(name, measure)) for name in shared]
    return [tuple(_scored(name, run_dir, qrels, measure, relevant) for name in (first, second))]  # type: ignore[list-item]


def _scored(name: str, run_dir: Path | None, qrels: Path | None, measure: str, relevant: int) -> Scored:
    if Path(name).is_file():
        return scored_run(Path(name), qrels, measure, relevant)
    folder, colon, ranker = name.rpartition(":")
    if colon:
        return RunDirectory(Path(folder)).scored(ranker, measure)
    if run_dir is None:
        raise NotFoundError(f"There is no file {name}, and no run directory yet.", "Name one with --run.")
    return RunDirectory(run_dir).scored(name, measure)


def _is_run_directory(name: str) -> bool:
    return (Path(name) / "summary.json").is_file()


def scored_run(path: Path, qrels: Path | None, measure: str, relevant: int) -> Scored:
    """A TREC run measured on judgements; topics that the run lacks count 0."""
    if qrels is None:
        raise InputError(f"{path} is a TREC run, and there are no judgements.", "Name them with --qrels.")
    (name,) = canonical([measure or "nDCG@20"])
    excluded: Counter[str] = Counter()
    judged, run = read_qrels(qrels, excluded), read_run(path)
    values = measure_all([name], judged, run, relevant)[name].tolist()
    missing = sum(topic not in run for topic in judged)
    unjudged = sum(topic not in judged for topic in run)
    if unjudged == len(run):
        raise InputError(f"No topic of {path} has judgements in {qrels}.", "Check that the two fit.")
    counts = {
        "topics without a ranking, counted as 0": missing,
        "topics without judgements, left out": unjudged,
        **excluded,
    }
    notes = [f"{path.name}: {what}: {count}" for what, count in counts.items() if count]
    keys = [("", topic) for topic in judged]
    return Scored(path.name, name, dict(zip(keys, values, strict=True)), dict.fromkeys(keys, 1), notes)


class RunDirectory:
    """The results of an experiment, read from its directory. Raises NotFoundError where there is none."""

    def __init__(self, path: Path) -> None:
        if not (path / "summary.json").is_file():
            raise NotFoundError(f"{path} is no complete run directory.", "Make one with 'clickwise eval run'.")
        self.path = path
        self.experiment = parse_config(read_config(str(path / "config.toml")), str(path / "config.toml"))
        self.rankers = list(self.experiment.rankers)
        self.summary: dict[str, Any] = json.loads((path / "summary.json").read_text(encoding="utf-8"))

    def scored(self, ranker: str, measure: str = "") -> Scored:
        """The measured topics of a ranker after the last round, averaged over k and seeds."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        (name,) = canonical([measure]) if measure else (self.experiment.primary,)
        if ranker not in self.rankers:
            raise NotFoundError(f"{self.path} has no ranker {ranker!r}.", f"It has {', '.join(self.rankers)}.")
        chosen = (pc.field("ranker") == ranker) & (pc.field("measure") == name)
        if self.experiment.protocol.measured != "all":
            chosen &= pc.field("split") == self.experiment.protocol.measured
        columns = ["collection", "topic", "seed", "round", "value"]
        rows = pq.read_table(self.path / "perquery.parquet", columns=columns, filters=chosen).to_pydict()
        if not rows["value"]:
            known = ", ".join(self.experiment.head.measures)
            raise NotFoundError(f"{self.path} has no values of {name}.", f"It has {known}.")
        last = max(rows["round"])
        values, seeds = defaultdict[Key, list[float]](list), defaultdict[Key, set[int]](set)
        for collection, topic, seed, number, value in zip(*(rows[column] for column in columns), strict=True):
            if number == last:
                values[collection, topic].append(value)
                seeds[collection, topic].add(seed)
        means = {key: float(np.mean(found)) for key, found in values.items()}
        return Scored(f"{self.path.name}:{ranker}", name, means, {key: len(found) for key, found in seeds.items()})


def comparison_table(pairs: Sequence[Pair], options: Statistics | None = None) -> Table:
    """One row per pair and collection, and per pair the mean; p-values corrected over the whole table."""
    options = options or Statistics()
    rows, notes = [], dict.fromkeys(note for pair in pairs for side in pair for note in side.notes)
    for mine, theirs in pairs:
        keys = sorted(mine.values.keys() & theirs.values.keys())
        if not keys:
            raise InputError(f"{mine.label} and {theirs.label} have no topic in common.", "Compare runs that do.")
        alone = len(mine.values.keys() ^ theirs.values.keys())
        if alone:
            notes[f"{mine.label} against {theirs.label}: {alone} topics that only one of them has are left out."] = None
        names = sorted({collection for collection, _ in keys})
        groups = {**{name: [name] for name in names}, "mean": names} if len(names) > 1 else {names[0]: names}
        rows += [(mine, theirs, name, _compare(mine, theirs, keys, part, options)) for name, part in groups.items()]
    p = corrected([found.corrected for *_, found in rows], options.correction)
    cells: list[list[Cell]] = []
    for (mine, theirs, name, found), value in zip(rows, p, strict=True):
        one = replace(found, corrected=value)
        cells.append([mine.label, theirs.label, name or "all", one.difference, one.low, one.high])
        cells[-1] += [one.p["randomisation"], one.p["t"], one.p["wilcoxon"]]
        cells[-1] += [one.corrected, one.wins, one.ties, one.losses, one.effect]
    columns = ["A", "B", "collection", "A - B", "low", "high", "p random", "p t", "p Wilcoxon", "p corrected"]
    caption = (
        f"{pairs[0][0].measure}, with {1 - options.level:.0%} intervals; "
        f"'p corrected' is {CORRECTIONS[options.correction]} the table"
    )
    ps = frozenset(range(6, 10))
    return Table("compare", caption, [*columns, "won", "tied", "lost", "d"], cells, list(notes), p=ps)


def _compare(mine: Scored, theirs: Scored, keys: Sequence[Key], members: Sequence[str], options: Statistics) -> Any:
    chosen = [key for key in keys if key[0] in members]
    raw = np.array([[mine.values[key] - theirs.values[key]] for key in chosen])
    counts = np.array([mine.counts[key] for key in chosen], dtype=np.float64)
    strata = np.array([members.index(key[0]) for key in chosen])
    return compare(raw, balanced(counts, strata), strata, options)[0]
