"""The feedback protocol: which feedback a ranker gets, on what it is measured, which topics choose and which test.

The defaults are those of Baumgärtner et al., "Incorporating Relevance Feedback for Information-Seeking Retrieval using
Few-Shot Document Re-Ranking" (EMNLP 2022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from index.errors import InputError
from index.types import Ranking
from ranking.options import number

Negatives = Literal["auto", "judged", "unjudged", "fill"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Protocol:
    """Every choice by its name, the paper's as the default.

    k: how many relevant and how many non-relevant feedback documents, each value by itself.
    first, depth: the pipeline of the first ranking, and how deep feedback documents are looked for in it.
    feedback: `judged` takes them from the top of the first ranking in rank order, by the judgements; `clicks` shows
        its first `page` documents to a simulated user (table [user]) and takes the first k clicked ones as relevant.
    skipped: whether documents that the user passed over, above the last click, count as non-relevant (k at most).
    negatives: `judged` takes non-relevant documents that were judged so, `unjudged` takes unjudged ones too, `fill`
        takes judged ones and fills up with unjudged ones from rank `fill_from` on. `auto` is `judged` where most topics
        have max(k) documents judged not relevant, and `unjudged` for other collections.
    min_judged: drop topics with fewer judged relevant documents, or (where negatives are judged) non-relevant ones.
    residual: on what the rankings are measured. `candidates`: all candidate feedback documents, max(k) of each kind
        whatever k is, are removed from run and judgements. `control`: half of all documents, drawn by a hash of their
        ids, gives the feedback and the other half is measured. `seen`: what this ranker has shown is removed. `none`:
        nothing is.
    expansion_terms: how many terms query expansion adds in rankers of the role `paper`; 0 leaves them as they are.
    rounds: of feedback in one session. With more than one, each round shows the first `page` unseen documents of the
        ranker's own ranking, and k of each kind become feedback.
    user_seed: of the simulated user's chances.
    searchers: how many searched for each topic before. In sessions, a click model is fitted to their clicks and reads
        those of rankers that read debiased clicks; without any, clicks are read by the published curve. Theirs on the
        training topics' first rankings teach the rankers that learn from clicks.
    pages, going_on: how many pages of such a ranking they see at most, and how likely each of them, at the end of one
        page, goes on to the next. In sessions they see as many as there are rounds.
    click_model: which one; `document-ctr` knows of no bias, and shows what the log alone is worth.
    split, seeds: the shares of train, validation and test topics, drawn anew for each seed.
    measured: the topics that the tables are about.
    tune: choose hyper-parameters by the mean over k for each collection and seed, or for each k by itself.
    keep: how many documents of each ranking are kept and measured.
    """

    k: tuple[int, ...] = field(default=(2, 4, 8), metadata={"low": 0})
    first: str = "bm25"
    depth: int = number(1000, low=1)
    feedback: Literal["judged", "clicks"] = "judged"
    skipped: Literal["not-relevant", "ignored"] = "not-relevant"
    negatives: Negatives = "auto"
    fill_from: int = number(100, low=0)
    min_judged: int = number(0, low=0)
    residual: Literal["candidates", "control", "seen", "none"] = "candidates"
    expansion_terms: int = number(16, low=0)
    rounds: int = number(1, low=1, high=50)
    page: int = number(10, low=1)
    user_seed: int = number(0, low=0)
    searchers: int = number(0, low=0)
    pages: int = number(1, low=1, high=50)
    going_on: float = number(1.0, low=0.0, high=1.0)
    click_model: Literal["document-ctr", "pbm", "trust", "ubm", "dbn", "sdbn", "ccm", "dcm", "cascade"] = "pbm"
    split: tuple[float, ...] = field(default=(0.6, 0.2, 0.2), metadata={"low": 0.0, "high": 1.0})
    seeds: tuple[int, ...] = field(default=(0, 1, 2), metadata={"low": 0})
    measured: Literal["test", "validation", "train", "all"] = "test"
    tune: Literal["collection", "k"] = "collection"
    keep: int = number(100, low=1)

    def __post_init__(self) -> None:
        for name in ("k", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise InputError(f"The protocol's {name} is {list(values)}.", "Give different whole numbers.")
        if len(self.split) != len(PARTS) or abs(sum(self.split) - 1.0) > 1e-9:
            raise InputError(f"The protocol's split is {list(self.split)}.", "Give three shares that add up to 1.")
        if self.sessions and self.residual == "candidates":
            raise InputError(
                "With several rounds there is no fixed set of candidate feedback documents to remove.",
                'Set residual = "control" (comparable between rankers), "seen" or "none".',
            )
        if not self.sessions and self.residual == "seen":
            raise InputError('residual = "seen" needs a session.', 'Set rounds above 1, or residual = "candidates".')

    @property
    def sessions(self) -> bool:
        return self.rounds > 1

    @property
    def candidates(self) -> int:
        """How many feedback documents of each kind a topic must have."""
        return max(self.k)

    def splits(self, topics: Sequence[str]) -> dict[int, dict[str, Part]]:
        """Seed -> topic -> its part. What the shares leave over after rounding down goes to the training topics.

        Drawn from the sorted topics by NumPy's PCG64, so it is the same everywhere; the paper drew its splits with
        another generator.
        """
        names = sorted(topics)
        # A hair above, as 0.2 * 15 is a little less than 3.
        validation, test = (int(share * len(names) + 1e-9) for share in self.split[1:])
        train = len(names) - validation - test if self.split[0] > 0 else 0
        if not train:  # no training topics are wanted: the rest is tested
            test = len(names) - validation
        labels: list[Part] = [*["train"] * train, *["validation"] * validation, *["test"] * test]  # type: ignore[list-item]
        drawn = {}
        for seed in self.seeds:
            order = np.random.default_rng(seed).permutation(len(names))
            drawn[seed] = {names[i]: label for i, label in zip(order.tolist(), labels, strict=True)}
        return drawn


@dataclass(frozen=True)
class Residual:
    """What is left of a collection to measure on: see `Protocol.residual`. `removed` are documents by id."""

    removed: frozenset[str] = frozenset()
    control: bool = False

    @classmethod
    def of(cls, protocol: Protocol, removed: Collection[str]) -> Residual:
        return cls(frozenset(removed), protocol.residual == "control")

    def keeps(self, doc: str) -> bool:
        return doc not in self.removed and not (self.control and gives_feedback(doc))

    def ranking(self, ranking: Ranking) -> Ranking:
        return ranking.without([doc for doc in ranking.ids if not self.keeps(doc)])

    def judged(self, grades: Mapping[str, int]) -> dict[str, int]:
        return {doc: grade for doc, grade in grades.items() if self.keeps(doc)}


def gives_feedback(doc: str) -> bool:
    """Whether a document is in the half that gives feedback, where feedback and measurement are kept apart.

    This is the test-and-control method of Chang, Cirillo and Razon, "Evaluation of feedback retrieval using modified
    freezing, residual collection, and test and control groups" (in The SMART Retrieval System, 1971).
    """
    return bool(hashlib.sha256(doc.encode("utf-8", "surrogatepass")).digest()[0] & 1)
