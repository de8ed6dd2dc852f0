"""How the duels and the traffic splits of the store stand."""

from __future__ import annotations

from collections.abc import Iterable

from ranking.clicks.splits import SideCounts, SplitStanding
from server.schemas_catalog import ArmInfo, DuelInfo, ExperimentInfo, ExperimentsAnswer, InterleavingAnswer
from server.totals import Totals


def experiments(totals: Totals, indexes: Iterable[str], confidence: float) -> ExperimentsAnswer:
    """The standing of every split on every index, from all pages and clicks that are recorded."""
    found = totals.splits()
    return ExperimentsAnswer(
        confidence=confidence,
        experiments=[
            _experiment(index, standing, confidence) for index in indexes for where, standing in found if where == index
        ],
    )


def _experiment(index: str, standing: SplitStanding, confidence: float) -> ExperimentInfo:
    low, high = standing.test.interval(confidence)
    first, second = _sides(standing.experiment)
    return ExperimentInfo(
        index=index,
        experiment=standing.experiment,
        arms=[_arm(first, standing.first), _arm(second, standing.second)],
        pairs=standing.test.pages,
        difference=standing.test.preference,
        low=low,
        high=high,
        p_value=standing.test.p_value,
        winner=standing.winner(confidence),
    )


def _sides(experiment: str) -> tuple[str, str]:
    first, _, second = experiment.partition(":")
    return ("serving", "canary") if first == "canary" else (first, second)


def _arm(name: str, counts: SideCounts) -> ArmInfo:
    return ArmInfo(
        name=name,
        pages=counts.pages,
        clicked=counts.clicked,
        clicks=counts.clicks,
        clicks_per_page=counts.clicks_per_page,
        mrr=counts.mrr,
    )


def interleaving(totals: Totals, indexes: Iterable[str], confidence: float) -> InterleavingAnswer:
    """The standing of every duel on every index, from all pages and clicks that are recorded."""
    found = totals.duels()
    return InterleavingAnswer(
        confidence=confidence,
        duels=[
            DuelInfo(index=index, **standing.table(confidence))
            for index in indexes
            for where, standing in found
            if where == index
        ],
    )
