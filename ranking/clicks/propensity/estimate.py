"""From a log to propensities: reads it once, estimates by one method, for every surface, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from index.errors import InputError
from ranking.clicks.propensity.blocks import Blocks
from ranking.clicks.propensity.bootstrap import intervals
from ranking.clicks.propensity.counts import GROUPS, Counts, Tally, pooled
from ranking.clicks.propensity.curve import Curve, Propensities, ends
from ranking.clicks.propensity.em import EM, RegressionEM
from ranking.clicks.propensity.harvest import Weighting, harvest
from ranking.clicks.propensity.identify import NotIdentifiedError, identify, spans
from ranking.clicks.propensity.randomised import Designs, Weighted, exchanged
from ranking.clicks.sessions import Floats, Sessions

Method: TypeAlias = Literal["auto", "randomised", "logged", "harvest", "em", "regression-em"]
METHODS: Final[tuple[str, ...]] = get_args(Method)

Batch: TypeAlias = "Sessions | tuple[Sessions, Floats | None]"
"""Pages; or pages with the logged probability of each document at its rank, shape (n, ranks), NaN where there is no
such."""

AGAIN: Final = "round:"
"""Arms of pages that feedback has ranked anew begin so. Clicks moved their documents, so they are left out."""

_FEW: Final = 100  # clicks at one rank: below that, an interval says little
_VIEWS: Final = 20  # of a pair: below that, em is biased
_ALL: Final = -1


@dataclass(frozen=True, slots=True)
class Options:
    """How to estimate.

    `ranks`: only the first ones. `by_surface`: a curve for each. `designs`: the ranks (from 1) that randomised arms
    exchanged, where the name of the arm does not say it. `features` (pairs, d), by the code of the pair, for
    `regression-em`. `weighting` and `between` are those of `harvest.harvest`, `clip` that of `randomised.Weighted`,
    `prior` that of `em.EM`.
    """

    ranks: int | None = None
    by_surface: bool = False
    designs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    features: Floats | None = None
    weighting: Weighting = "overlap"
    between: bool = False
    clip: float = 100.0
    prior: float = 0.0
    resamples: int = 200
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ranks is not None and self.ranks < 1:
            raise InputError(f"There are no {self.ranks} ranks.", "Ask for 1 or more.")
        if not 0 < self.confidence < 1:
            raise InputError(f"The confidence {self.confidence:g} is not between 0 and 1.", "Use 0.95, say.")
        if self.resamples < 0:
            raise InputError(f"There are no {self.resamples} resamples.", "Use 0 for no intervals, or 200.")


def estimate(log: Sessions | Iterable[Batch], method: Method = "auto", options: Options | None = None) -> Propensities:
    """The propensities of a log, given at once or in batches of one vocabulary.

    `auto` uses pages that were randomised (by design, then by logged probabilities) where there are enough of them for
    every rank, and otherwise harvests. Pages whose arm begins with `round:` are left out. Raises NotIdentifiedError
    where ranks are not connected, and InputError where the log has no pages, no clicks, too few of them, or nothing
    that the method needs.
    """
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}.", f"There are: {', '.join(METHODS)}.")
    chosen = options or Options()
    if method == "regression-em" and chosen.features is None:
        raise InputError("The method regression-em needs features.", "Give a table of them, or use em.")
    read = _Reading(chosen)
    for batch in [log] if isinstance(log, Sessions) else log:
        read.add(*(batch if isinstance(batch, tuple) else (batch, None)))
    try:
        return _estimated(read, method)
    except NotIdentifiedError as error:
        if most := _most(read, method):
            error.advice = f"{error.advice.removesuffix('.')}, or ask for the first {most} ranks (--ranks {most})."
        raise


def _estimated(read: _Reading, method: Method) -> Propensities:
    chosen, counts = read.options, read.tally.counts()
    used = read.best() if method == "auto" else method
    surfaces = {code: name for code, name in enumerate(counts.surfaces) if counts.pages[code] > 0}
    if not chosen.by_surface or len(surfaces) == 1:
        surfaces = {_ALL: ""}
    curves = []
    for code, name in surfaces.items():
        try:
            curves.append(_curve(read, counts if code == _ALL else counts.on(code), code, name, used))
        except InputError as error:
            if name:
                error.message = f"{name}: {error.message}"
            raise
    return Propensities(used, tuple(curves), chosen.confidence)


def _most(read: _Reading, method: Method) -> int:
    """How many of the first ranks, fewer than were asked for, have a curve: tried, as whatever connects two of them may
    be at a rank below. 0 where there are not even two."""
    ranks = read.tally.counts().ranks
    tried = copy(read)
    for most in range(min(read.options.ranks or ranks, ranks) - 1, 1, -1):
        tried.options = replace(read.options, ranks=most, resamples=0)
        try:
            _estimated(tried, method)
        except InputError:
            continue
        return most
    return 0


class _Reading:
    """What one pass over a log keeps for every method."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.tally = Tally()
        self._designs = {_ALL: Designs(options.designs)}
        self._weighted = {_ALL: Weighted(options.clip)}

    def add(self, batch: Sessions, propensities: Floats | None) -> None:
        moved = np.isin(batch.arm, [code for code, arm in enumerate(batch.arms) if arm.startswith(AGAIN)])
        if moved.any():
            batch, propensities = batch.take(~moved), None if propensities is None else propensities[~moved]
        self.tally.add(batch)
        if self.options.by_surface:
            for code in range(len(batch.surfaces)):
                self._designs.setdefault(code, Designs(self.options.designs, code))
                self._weighted.setdefault(code, Weighted(self.options.clip, code))
        for designs in self._designs.values():
            designs.add(batch)
        if propensities is not None:
            swaps = [code for code, arm in enumerate(batch.arms) if exchanged(arm) and not arm.startswith("shuffle")]
            free = ~np.isin(batch.arm, swaps)
            for weighted in self._weighted.values():
                weighted.add(batch.take(free), propensities[free])

    def best(self) -> Method:
        """Randomised pages where they reach as far as the log; they need no assumption about rankers."""
        wanted = self.options.ranks or self.tally.counts().ranks
        for name, made in (("randomised", self._designs[_ALL]), ("logged", self._weighted[_ALL])):
            clicks = made.clicks()
            if len(clicks) >= wanted and bool((clicks[:wanted] >= _FEW).all()):
                return "randomised" if name == "randomised" else "logged"
        return "harvest"

    def blocks(self, method: Method, counts: Counts, surface: int) -> tuple[Blocks, Floats, dict[str, float]]:
        """The blocks of a method, the clicks at each rank that they are made of, and what else there is to say."""
        if method == "harvest":
            blocks = harvest(counts, weighting=self.options.weighting, between=self.options.between)
            return blocks, counts.by_rank()[1], {}
        if method == "randomised":
            designs = self._designs[surface]
            return designs.blocks(), designs.clicks(), {"randomised_pages": designs.pages}
        made = self._weighted[surface]
        facts = {"randomised_pages": made.pages, "effective": made.effective, "clipped": made.clipped}
        return made.blocks(), made.clicks(), facts


def _curve(read: _Reading, counts: Counts, surface: int, name: str, method: Method) -> Curve:
    options = read.options
    counts = counts if options.ranks is None else counts.first(options.ranks)
    report = identify(counts)
    ranks = report.ranks
    extra: dict[str, float] = {}
    if method in ("harvest", "em"):
        report.require()
    if method in ("em", "regression-em"):
        solve, groups = _fitted(pooled(counts), options)
        clicks = report.clicks
    else:
        blocks, clicks, extra = read.blocks(method, counts, surface)
        solve, groups = blocks.solve, len(blocks.clicks)
    theta = _whole(solve(np.ones(groups)), ranks, method)
    low, high = intervals(
        lambda weights: _padded(solve(weights), ranks),
        groups, ranks, options.resamples, options.confidence, options.seed,
    )  # fmt: skip
    counted = {
        "pages": float(counts.pages.sum() if surface == _ALL else counts.pages[surface]),
        "shown": float(report.shown.sum()),
        "clicks": float(report.clicks.sum()),
        "shared_pairs": float(np.triu(report.shared, 1).sum()),
        **extra,
    }
    warnings = _warnings(theta, low, clicks[:ranks], options.resamples)
    if method == "em" and counted["shown"] < _VIEWS * len(np.unique(counts.pair)):
        warnings += ("Documents were shown too few times each for em: prefer harvest.",)
    return Curve(name, tuple(theta.tolist()), ends(low), ends(high), report.components, counted, warnings)


def _fitted(counts: Counts, options: Options) -> tuple[Callable[[Floats], Floats], int]:
    """EM as a function of the weights of groups; later fits begin where the first one ended."""
    model = EM(options.prior) if options.features is None else RegressionEM(options.features)
    whole = model.fit(counts)
    present, group = np.unique(counts.group, return_inverse=True)

    def solve(weights: Floats) -> Floats:
        if bool((weights == 1).all()):
            return whole.theta
        cell = weights[group]
        drawn = replace(counts, shown=counts.shown * cell, clicks=counts.clicks * cell)
        return model.fit(drawn, whole).theta if drawn.clicks.sum() > 0 else np.full(len(whole.theta), np.nan)

    return solve, min(len(present), GROUPS)


def _padded(theta: Floats, ranks: int) -> Floats:
    padded: Floats = np.pad(theta[:ranks], (0, max(ranks - len(theta), 0)), constant_values=np.nan)
    return padded


def _whole(theta: Floats, ranks: int, method: str) -> Floats:
    """The curve, if it has a value above 0 at every rank."""
    found = _padded(theta, ranks)
    unknown = np.flatnonzero(~np.isfinite(found)) + 1
    if len(unknown):
        raise NotIdentifiedError(
            f"No propensities: by the method {method} the log says nothing about rank {spans(unknown.tolist())}.",
            "Log more, or use another method.",
        )
    silent = np.flatnonzero(found <= 1e-5) + 1
    if len(silent):
        raise NotIdentifiedError(
            f"No propensities: there is no click to compare at rank {spans(silent.tolist())}, and a propensity of 0 "
            "weighs nothing.",
            "Log more.",
        )
    return found


def _warnings(theta: Floats, low: Floats, clicks: Floats, resamples: int) -> tuple[str, ...]:
    warnings = []
    few = np.flatnonzero(clicks < _FEW) + 1
    if len(few):
        warnings.append(f"Fewer than {_FEW} clicks at rank {spans(few.tolist())}: do not rely on the values there.")
    if resamples and bool(np.isnan(low).any()):
        warnings.append("Too few queries for intervals.")
    rising = np.flatnonzero(np.diff(theta) > 0.1 * theta[:-1]) + 2
    if len(rising):
        warnings.append(f"The curve rises at rank {spans(rising.tolist())}: look at the page's layout, and for bots.")
    return tuple(warnings)
