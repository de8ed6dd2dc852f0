"""Episodes: one topic each, with the feedback that the protocol gives for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.collections import Collection, CollectionSpec
from eval.protocol import Negatives, Protocol, Residual, gives_feedback
from eval.users import User, gains_of, generator
from index.errors import InputError
from index.types import Ranking
from ranking.feedback import NO_FEEDBACK, Feedback

Grades = Mapping[str, int]


@dataclass(frozen=True)
class Episode:
    """A topic under the protocol.

    `feedback` gives for each k the documents with their relevance. `removed` are the documents that are neither ranked
    nor judged when the answer is measured. `query` is the text that is searched with.
    """

    topic: str
    query: str
    feedback: Mapping[int, Mapping[str, float]]
    removed: tuple[str, ...] = ()

    def given(self, k: int) -> Feedback:
        grades = self.feedback.get(k, {})
        return Feedback.from_grades(grades) if grades else NO_FEEDBACK


@dataclass(frozen=True)
class Episodes:
    """All topics of a collection under the protocol.

    `dropped` lists by reason the topics that are left out, `unknown` by topic the judged documents that the collection
    lacks, `notes` says in sentences what a reader has to know, `facts` counts.
    """

    kept: tuple[Episode, ...]
    dropped: Mapping[str, Sequence[str]]
    unknown: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]
    facts: Mapping[str, int]

    @property
    def topics(self) -> list[str]:
        return [episode.topic for episode in self.kept]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Episodes:
        kept = []
        for row in stored["kept"]:
            feedback = {int(k): grades for k, grades in row["feedback"].items()}
            kept.append(Episode(row["topic"], row["query"], feedback, tuple(row["removed"])))
        return cls(tuple(kept), stored["dropped"], stored["unknown"], tuple(stored["notes"]), stored["facts"])


def make_episodes(
    collection: Collection,
    protocol: Protocol,
    user: User,
    queries: Mapping[str, str],
    firsts: Mapping[str, Ranking],
    unknown: Mapping[str, Sequence[str]],
) -> Episodes:
    """Give every topic its feedback, or drop it and say why.

    `queries` are the texts searched with, `firsts` the first rankings, `unknown` the judged documents that do not
    exist, all by topic. Raises InputError where no topic is left.
    """
    giver = Giver(collection, protocol, user)
    kept: list[Episode] = []
    dropped: dict[str, list[str]] = defaultdict(list)
    for topic in collection.topics:
        judged = without(collection.qrels[topic], unknown.get(topic, ()))
        try:
            kept.append(giver.episode(topic, queries[topic], firsts[topic], judged))
        except Dropped as reason:
            dropped[str(reason)].append(topic)
    if not kept:
        reasons = "; ".join(f"{reason} ({len(topics)} topics)" for reason, topics in dropped.items())
        raise InputError(
            f"No topic of the collection {collection.name!r} is left: {reasons}.",
            "Use a smaller k, a larger depth, or another collection.",
        )
    missing = {"judged documents that the collection lacks": sum(map(len, unknown.values()))}
    facts = {what: count for what, count in {**missing, **_facts(collection, protocol, kept)}.items() if count}
    return Episodes(tuple(kept), dict(dropped), dict(unknown), _notes(collection, protocol, kept, facts), facts)


def without(grades: Grades, docs: Sequence[str]) -> Grades:
    gone = set(docs)
    return {doc: grade for doc, grade in grades.items() if doc not in gone} if gone else grades


class Dropped(Exception):
    """The reason why a topic is left out."""


class Giver:
    """Gives the topics of one collection their feedback."""

    def __init__(self, collection: Collection, protocol: Protocol, user: User) -> None:
        self.collection, self.spec, self.protocol, self.user = collection, collection.spec, protocol, user
        self.negatives = negatives_of(collection, protocol)
        self.highest = highest_grade(collection)

    def episode(self, topic: str, query: str, first: Ranking, judged: Grades) -> Episode:
        """Raises Dropped where the topic does not suit the protocol."""
        if not query.strip():
            raise Dropped("the query is empty")
        self._check_judged(judged)
        feedback, removed = self._feedback(topic, eligible(first.ids, self.protocol), judged)
        named = self.collection.topics[topic].document
        removed += [topic] * self.spec.skip_query_document + ([named] if named else [])
        residual = Residual.of(self.protocol, removed)
        if not any(grade >= self.spec.relevant for grade in residual.judged(judged).values()):
            raise Dropped("no relevant document is left to find")
        return Episode(topic, query, feedback, tuple(removed))

    def _check_judged(self, judged: Grades) -> None:
        least = self.protocol.min_judged
        if sum(grade >= self.spec.relevant for grade in judged.values()) < least:
            raise Dropped(f"fewer than {least} documents are judged relevant")
        refused = sum(grade <= self.spec.not_relevant for grade in judged.values())
        if self.negatives == "judged" and refused < least:
            raise Dropped(f"fewer than {least} documents are judged not relevant")

    def _feedback(
        self, topic: str, first: Sequence[str], judged: Grades
    ) -> tuple[dict[int, dict[str, float]], list[str]]:
        """For each k the feedback, and the documents that could have become feedback."""
        if self.protocol.sessions:
            return {}, []  # its user reacts to each ranker's own rankings
        if self.protocol.feedback == "clicks":
            shown = list(first[: self.protocol.page])
            relevant, refused = click(shown, judged, self.user, self.highest, generator(self.protocol.user_seed, topic))
            if self.protocol.skipped == "ignored":
                refused = []
            candidates = shown
        else:
            size = self.protocol.candidates
            relevant, refused = by_judgement(first, judged, self.spec, self.negatives, self.protocol.fill_from)
            if len(relevant) < size:
                raise Dropped(f"the first ranking has fewer than {size} relevant documents")
            if len(refused) < size:
                raise Dropped(f"the first ranking has fewer than {size} non-relevant documents")
            candidates = [*relevant[:size], *refused[:size]]
        ks = self.protocol.k
        return {k: {**dict.fromkeys(refused[:k], 0.0), **dict.fromkeys(relevant[:k], 1.0)} for k in ks}, candidates


def negatives_of(collection: Collection, protocol: Protocol) -> Negatives:
    """Where non-relevant feedback comes from, `auto` resolved."""
    if protocol.negatives != "auto":
        return protocol.negatives
    return "judged" if collection.judges_negatives(protocol.candidates) else "unjudged"


def highest_grade(collection: Collection) -> int:
    return max((grade for judged in collection.qrels.values() for grade in judged.values()), default=1)


def eligible(ids: Sequence[str], protocol: Protocol) -> Sequence[str]:
    """Those of the documents that may become feedback."""
    return [doc for doc in ids if gives_feedback(doc)] if protocol.residual == "control" else ids


def by_judgement(
    ids: Sequence[str], judged: Grades, spec: CollectionSpec, negatives: Negatives, fill_from: int
) -> tuple[list[str], list[str]]:
    """The relevant and the non-relevant ones of these documents, in their order (unjudged ones that fill up last)."""
    relevant = [doc for doc in ids if judged.get(doc, -1) >= spec.relevant]
    refused = [doc for doc in ids if doc in judged and judged[doc] <= spec.not_relevant]
    if negatives == "unjudged":
        refused = [doc for doc in ids if judged.get(doc, 0) <= spec.not_relevant]
    elif negatives == "fill":
        refused += [doc for doc in ids[fill_from:] if doc not in judged]
    return relevant, refused


def click(
    shown: Sequence[str], judged: Grades, user: User, highest: int, random: np.random.Generator
) -> tuple[list[str], list[str]]:
    """What a user clicks on a page, and what is passed over above the last click, both in the order shown."""
    gains = gains_of(np.array([judged.get(doc, 0) for doc in shown], dtype=np.int64), highest)
    clicks = user.clicks(gains, random).tolist()
    last = max((place for place, hit in enumerate(clicks) if hit), default=0)
    clicked = [doc for doc, hit in zip(shown, clicks, strict=True) if hit]
    return clicked, [doc for doc, hit in zip(shown[:last], clicks[:last], strict=True) if not hit]


def _facts(collection: Collection, protocol: Protocol, kept: Sequence[Episode]) -> dict[str, int]:
    """Counts over the feedback of the largest k."""
    most = [(collection.qrels[episode.topic], episode.feedback.get(protocol.candidates, {})) for episode in kept]
    liked = [(doc, judged) for judged, grades in most for doc, grade in grades.items() if grade > 0.5]
    refused = [(doc, judged) for judged, grades in most for doc, grade in grades.items() if grade <= 0.5]
    return {
        "relevant feedback documents": len(liked),
        "relevant feedback documents that are not judged relevant": sum(
            judged.get(doc, 0) < collection.spec.relevant for doc, judged in liked
        ),
        "non-relevant feedback documents": len(refused),
        "non-relevant feedback documents that are unjudged": sum(doc not in judged for doc, judged in refused),
        "topics without feedback": 0 if protocol.sessions else sum(not grades for _, grades in most),
    }


def _notes(
    collection: Collection, protocol: Protocol, kept: Sequence[Episode], facts: Mapping[str, int]
) -> tuple[str, ...]:
    notes = []
    unjudged = facts.get("non-relevant feedback documents that are unjudged", 0)
    if negatives_of(collection, protocol) == "unjudged" and (unjudged or protocol.sessions):
        judges = "few" if collection.judges_negatives() else "hardly any"
        notes.append(
            f"This collection judges {judges} documents not relevant: non-relevant feedback is drawn from unjudged "
            "candidates too, of which some may be relevant."
        )
    if unjudged:
        share = unjudged / facts["non-relevant feedback documents"]
        notes.append(f"Of the non-relevant feedback documents {share:.0%} are unjudged.")
    if none := facts.get("topics without feedback", 0):
        notes.append(f"The simulated user clicked nothing for {none} of {len(kept)} topics.")
    return tuple(notes)
