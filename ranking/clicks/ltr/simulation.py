"""Clicks of simulated people on judged data: what unbiased learning to rank is measured with, as the truth is known.

A production ranker, trained on the grades of a few queries, makes the pages; people with a known bias click them; a
ranker learns from the clicks and is measured by the grades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import torch

from index.errors import InputError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.features import Features, Judged
from ranking.clicks.ltr.objectives.protocol import log_share
from ranking.clicks.ltr.pages import Pages
from ranking.clicks.ltr.scorers import FeatureScorer, Kind, Scaling, new_scorer
from ranking.clicks.ltr.training import score_rows
from ranking.clicks.sessions import Flags, Floats, Sessions

Behaviour: TypeAlias = Literal["pbm", "trust", "cascade"]


def attraction(judged: Judged, noise: float = 0.1, top: float | None = None) -> Floats:
    """The chance that each document, once examined, is clicked: noise + (1 - noise) (2^grade - 1) / (2^top - 1).

    As Chapelle et al. have it (ERR, CIKM 2009), with clicks on what is not relevant (Ai et al., SIGIR 2018). `top` is
    the highest grade of the scale, by default the highest there is.
    """
    grades = judged.grades.astype(np.float64)
    highest = max(float(grades.max(initial=0.0)) if top is None else top, 1e-9)
    chance: Floats = noise + (1.0 - noise) * (np.exp2(grades) - 1.0) / (np.exp2(highest) - 1.0)
    return chance


class People(Protocol):
    """How people click pages of documents with these attractions, (n, r); False where they do not."""

    def click(self, attraction: Floats, random: np.random.Generator) -> Flags: ...


@dataclass(frozen=True, eq=False)
class AffinePeople:
    """Clicks with the chance alpha x attraction + beta, by rank: position bias, with or without trust bias."""

    bias: Bias

    def click(self, attraction: Floats, random: np.random.Generator) -> Flags:
        ranks = attraction.shape[1]
        chance = self.bias.alpha[0, :ranks] * attraction + self.bias.beta[0, :ranks]
        return np.asarray(random.random(attraction.shape) < chance)


@dataclass(frozen=True)
class CascadePeople:
    """They look from the top, go on after a click with the chance `go_on`, after none with `patience`
    (Craswell et al., WSDM 2008, with go_on = 0 and patience = 1)."""

    go_on: float = 0.0
    patience: float = 1.0

    def click(self, attraction: Floats, random: np.random.Generator) -> Flags:
        drawn = random.random(attraction.shape) < attraction
        stays = random.random(attraction.shape) < np.where(drawn, self.go_on, self.patience)
        examined = np.ones(attraction.shape, dtype=np.bool_)
        examined[:, 1:] = np.logical_and.accumulate(stays, axis=1)[:, :-1]
        return drawn & examined


def position_bias(ranks: int, eta: float = 1.0) -> Bias:
    """Examination of rank k with the chance (1 / k)^eta."""
    return Bias.of(np.arange(1, ranks + 1) ** -eta)


def trust_bias(ranks: int, eta: float = 1.0) -> Bias:
    """Position bias, and trust: what is examined at rank k is clicked with the chance 1 - (min(k, 20) + 1) / 100 where
    it attracts and .65 / min(k, 10) where it does not.

    The curves of Agarwal et al., "Addressing trust bias for unbiased learning-to-rank" (WWW 2019), as Vardasbi et al.
    (CIKM 2020) simulate them.
    """
    k = np.arange(1, ranks + 1)
    examined = k**-eta
    relevant, irrelevant = 1.0 - (np.minimum(k, 20) + 1) / 100.0, 0.65 / np.minimum(k, 10)
    return Bias.of(examined * (relevant - irrelevant), examined * irrelevant)


def people(behaviour: Behaviour, ranks: int, eta: float = 1.0) -> People:
    """People of a kind. Raises InputError for another one."""
    if behaviour == "pbm":
        return AffinePeople(position_bias(ranks, eta))
    if behaviour == "trust":
        return AffinePeople(trust_bias(ranks, eta))
    if behaviour == "cascade":
        return CascadePeople()
    raise InputError(f"There are no simulated people {behaviour!r}.", "Choose pbm, trust or cascade.")


def graded_scorer(
    judged: Judged,
    share: float,
    random: np.random.Generator,
    kind: Kind = "linear",
    steps: int = 100,
    scaling: Scaling = "standard",
) -> FeatureScorer:
    """A ranker trained, listwise, on the grades of a share of the queries: what experts' work gives without clicks.

    With few queries take few `steps`: on the other training queries of the collection of `eval.benchmarks.ltr`, a
    ranker of a tenth of them gets worse after about 20.
    """
    features = judged.features
    chosen = random.permutation(len(features.queries))[: max(1, round(share * len(features.queries)))]
    pages = Pages.of(candidate_pages(features, np.sort(chosen)))
    gains = torch.from_numpy(np.exp2(judged.grades) - 1.0)[pages.rows]
    target = pages.spread(gains.float()) * pages.shown
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1e-12)
    scorer = new_scorer(features.matrix, kind, seed=int(random.integers(2**31)), scaling=scaling)
    optimiser = torch.optim.AdamW(scorer.parameters(), lr=0.005, weight_decay=0.1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(random.integers(2**31)))
        for _ in range(steps):
            loss = -(target * log_share(pages.spread(scorer(pages.rows)), pages)).sum(dim=1).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return scorer


def production_scores(judged: Judged, share: float, random: np.random.Generator) -> Floats:
    """The scores of a linear ranker that knows the grades of a share of the queries: its pages are clicked."""
    return score_rows(graded_scorer(judged, share, random, steps=20), len(judged.features))


def candidate_pages(features: Features, queries: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None) -> Sessions:
    """One page per query with all of its candidates, in their order, without clicks."""
    found = features.candidates()
    codes = np.arange(len(found)) if queries is None else queries
    width = max((len(found[code]) for code in codes), default=0)
    pair = np.full((len(codes), width), -1, dtype=np.int32)
    for page, code in enumerate(codes):
        pair[page, : len(found[code])] = found[code]
    return Sessions.of(pair, np.zeros(pair.shape, dtype=np.bool_), codes)


def simulate(
    features: Features,
    scores: Floats,
    attraction: Floats,
    people: People,
    count: int,
    random: np.random.Generator,
    *,
    ranks: int = 10,
    shuffled: bool = False,
) -> Sessions:
    """`count` pages of queries drawn evenly: the best `ranks` documents by the scores, clicked.

    Documents stand in the order of their scores, or in a random one if `shuffled`: the randomised traffic on which
    rankers can be compared.
    """
    table = candidate_pages(features)
    given = np.where(table.shown, scores[np.maximum(table.pair, 0)], -np.inf)
    best = np.take_along_axis(table.pair, np.argsort(-given, axis=1, kind="stable")[:, :ranks], axis=1)
    query = random.integers(len(best), size=count)
    pair = best[query]
    if shuffled:
        keys = np.where(pair >= 0, random.random(pair.shape), np.inf)
        pair = np.take_along_axis(pair, np.argsort(keys, axis=1), axis=1)
    shown = pair >= 0
    clicks = people.click(np.where(shown, attraction[np.maximum(pair, 0)], 0.0), random) & shown
    return Sessions.of(pair, clicks, query)
