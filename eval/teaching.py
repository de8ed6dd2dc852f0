"""What an index learns before rankers are measured on it: from training topics, never from those that choose or test.

A ranker with `learns = ["metric", "co-relevance"]` ranks on a copy of the collection's index, one for each seed, which
has been through what `clickwise train metric` and `train co-relevance` do: judgements of the training topics, and of
topics that the protocol drops, are all that it saw. A collection that names a split of judgements for teaching learns
from that one instead, the same for every seed. With `learns_from = "clicks"` it saw no judgement, but what simulated
searchers clicked on the first rankings of these topics, debiased as `--clicks` does. Where cross-validation confirms no
gain the index stays as it is, and so do the rankings.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from eval.crowds import crowd, looks, most_shown
from eval.digests import digest_of
from eval.episodes import highest_grade
from eval.rankers import Learns, Taught
from eval.store import writing_errors
from index.errors import InputError
from index.progress import Progress, track
from index.types import Query
from ranking.contract import Request
from ranking.learning.click_tasks import likely, soft_judgements
from ranking.learning.co_relevance import CoRelevanceTraining
from ranking.learning.judged_topics import Judgements
from ranking.learning.metric import MetricTraining
from ranking.pipeline import Pipeline

if TYPE_CHECKING:
    from eval.bench import Bench
    from index.index import Index

METRIC, CO_RELEVANCE = MetricTraining(), CoRelevanceTraining()
TRAININGS: Mapping[Learns, MetricTraining | CoRelevanceTraining] = {"metric": METRIC, "co-relevance": CO_RELEVANCE}


def lesson(bench: Bench, seed: int) -> tuple[dict[str, str], dict[str, Mapping[str, int]]]:
    """Topic -> text, and topic -> document -> grade, of what may be learned from under a seed."""
    collection = bench.collection
    if collection.taught is not None:
        found = collection.taught
        texts = {topic: found.topics[topic].query(collection.spec.query) for topic in found.topics}
        return texts, {topic: judged for topic, judged in found.qrels.items() if topic not in collection.topics}
    parts = bench.protocol.splits(bench.episodes.topics)[seed]
    named = [topic for topic in collection.topics if parts.get(topic, "train") == "train"]
    return {topic: bench.query(topic) for topic in named}, {topic: collection.qrels[topic] for topic in named}


def clicked(bench: Bench, judgements: Judgements) -> Judgements:
    """What searchers of the topics would have told by their clicks on the first rankings, as many pages of them as the
    protocol shows, and nothing about documents that nobody was shown. From the cache, or made now."""
    protocol, user = bench.protocol, bench.experiment.user
    searching = [protocol.searchers, protocol.page, protocol.pages, protocol.going_on, protocol.click_model]
    looking = [type(user).__name__, asdict(user), highest_grade(bench.collection)]  # type: ignore[call-overload]
    asked = [judgements.queries, {topic: dict(grades) for topic, grades in judgements.qrels.items()}]
    digest = digest_of(["clicks", bench.state, bench.first.digest, *searching, protocol.user_seed, *looking, *asked])
    found = bench.store.read(digest)
    if found is None:
        found = _told_by_clicks(bench, judgements)
        bench.store.write(digest, found)
    return Judgements(judgements.queries, found, source="clicks", complete=False)


def _told_by_clicks(bench: Bench, judgements: Judgements) -> dict[str, dict[str, int]]:
    protocol, first = bench.protocol, Pipeline(bench.first, bench.index)
    topics = [topic for topic, text in judgements.queries.items() if text.strip()]
    shown, most = {}, most_shown(protocol, protocol.pages)
    for topic in track(topics, "Asking those who searched before", len(topics)):
        (ranking,) = first.rank([Request(Query(topic, judgements.queries[topic]), limit=most)])
        shown[topic] = ranking.ids
    highest, user = highest_grade(bench.collection), bench.experiment.user
    pages = list(looks(shown, judgements.qrels, user, highest, protocol, protocol.pages))
    return likely(soft_judgements(pages, crowd(protocol.click_model, pages, protocol.page)))


def taught_index(bench: Bench, taught: Taught) -> tuple[Path, dict[str, Any]]:
    """The copy of the collection's index that has learned under a seed, from the cache or made now, and how each part
    came out: the outcome of `ranking.learning.on_index`, or the `problem` that stood against it.

    Parts are learned one on the other: a copy that has learned the first ones is where the last one begins.
    """
    *before, part = taught.learns
    start = bench.taught(replace(taught, learns=tuple(before)) if before else None)
    texts, qrels = lesson(bench, taught.seed)
    judgements = Judgements(texts, qrels, bench.collection.spec.relevant, "topics")
    if taught.teacher == "clicks":
        judgements = clicked(bench, judgements)
    judged = {topic: dict(grades) for topic, grades in judgements.qrels.items()}
    given = [start.state, texts, judged, judgements.relevant, judgements.complete, part, asdict(TRAININGS[part])]
    digest = digest_of(given)
    path, remembered = bench.store.index(f"{bench.collection.name}-taught", digest), digest_of(["taught", digest])
    outcome = bench.store.read(remembered)
    if outcome is None or not path.exists():
        with writing_errors(path), TemporaryDirectory(dir=path.parent, prefix=".teaching-") as folder:
            fresh = Path(folder) / "index"
            shutil.copytree(start.path, fresh, copy_function=_link, ignore=shutil.ignore_patterns("write.lock"))
            outcome = _learned(bench.open(fresh), judgements, part)
            with suppress(OSError):  # another process was quicker, with the same
                fresh.rename(path)
        bench.store.write(remembered, outcome)
    return path, {**start.learned, part: outcome}


def _learned(index: Index, judgements: Judgements, part: Learns) -> dict[str, Any]:
    from ranking.learning.on_index import learn_co_relevance, learn_metric

    try:
        if part == "co-relevance":
            return learn_co_relevance(index, judgements, CO_RELEVANCE)
        with Progress("Teaching a metric", METRIC.epochs) as progress:
            return learn_metric(index, judgements, METRIC, on_epoch=lambda _: progress.advance(1))
    except InputError as too_few:
        return {"kept": False, "problem": str(too_few)}


def _link(source: str, target: str) -> None:
    """No file of an index is written into again, so a second name will do; where the file system has none, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
