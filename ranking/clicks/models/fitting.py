"""From a click log to fitted models: what is for fitting, what chooses, and what is measured."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from index.errors import InputError
from ranking.clicks.codes import sessions
from ranking.clicks.log import ClickLog
from ranking.clicks.measures import Foresight, foresight
from ranking.clicks.models.base import Batches, FitOptions
from ranking.clicks.models.registry import Fitted, new
from ranking.clicks.sessions import Sessions, Vocabulary, joined

Split = Literal["order", "spread"]
Part = Literal["fit", "choose", "measure"]

LARGEST_CHOICE: Final = 100_000
"""At most so many pages choose when to stop; they are kept in memory."""
_TENTHS: Final = {"choose": 8, "measure": 9}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fitted model, what it makes of pages that it has not seen, and what the fit took."""

    fitted: Fitted
    foresight: Foresight
    seconds: float
    iterations: int

    def to_json(self) -> dict[str, Any]:
        """The figures, as JSON has them; null for a rank that no page reaches, and where none was measured."""
        found = self.foresight
        return {
            "model": self.fitted.model.name,
            "log_likelihood": _known(found.log_likelihood),
            "perplexity": _known(found.perplexity),
            "conditional_perplexity": _known(found.conditional_perplexity),
            "perplexity_by_rank": [_known(round(float(value), 6)) for value in found.by_rank],
            "conditional_perplexity_by_rank": [_known(round(float(value), 6)) for value in found.conditional_by_rank],
            "pages": found.pages,
            "queries": found.queries,
            "clicks": found.clicks,
            "seconds": round(self.seconds, 3),
            "iterations": self.iterations,
        }


@dataclass(frozen=True)
class Fitting:
    """How a log is divided: eight tenths fit, one chooses when to stop, one is measured; with a `test` log all of that
    log is measured. `order` takes the tenths one after the other, so that the past foresees the future; `spread` takes
    every tenth page, for logs that are sorted by query."""

    log: ClickLog
    test: ClickLog | None = None
    split: Split = "order"
    batch: int = 16_384

    def part(self, part: Part, vocabulary: Vocabulary) -> Iterator[Sessions]:
        """The pages of one part, a batch at a time."""
        if part == "measure" and self.test is not None:
            yield from sessions(self.test, vocabulary, batch=self.batch)
            return
        total, start = max(self.log.count("impressions"), 1), 0
        for some in sessions(self.log, vocabulary, batch=self.batch):
            number = np.arange(start, start + len(some))
            tenth = np.minimum(10 * number // total, 9) if self.split == "order" else number % 10
            start += len(some)
            chosen = self._belongs(tenth, part)
            if chosen.any():
                yield some if chosen.all() else some.take(chosen)

    def _belongs(self, tenth: Any, part: Part) -> Any:
        if self.test is not None:  # the last tenth is not needed for measuring
            tenth = np.where(tenth == _TENTHS["measure"], 0, tenth)
        return tenth == _TENTHS[part] if part in _TENTHS else tenth < min(_TENTHS.values())

    def run(self, name: str, options: FitOptions, earlier: Fitted | None = None) -> Outcome:
        """Fit a model, from the beginning or from an earlier fit on. Raises InputError for a log without pages, or an
        earlier fit of another model."""
        if earlier is not None and earlier.model.name != name:
            raise InputError(f"The earlier fit is of the model {earlier.model.name!r}.", f"Name --model {name!r} anew.")
        vocabulary = earlier.vocabulary if earlier else Vocabulary()
        model = earlier.model if earlier else new(name)
        start = time.perf_counter()

        def fitting() -> Iterable[Sessions]:
            return self.part("fit", vocabulary)

        choice = self._choice(vocabulary)
        report = model.fit(fitting, options, choice)
        seconds = time.perf_counter() - start
        if not report.impressions:
            raise InputError(f"The log {self.log.path} has no pages to fit to.", "Look: clickwise clicks inspect.")
        measured = foresight(model, self.part("measure", vocabulary))
        facts = {"options": asdict(options), "prior": report.prior, "iterations": report.iterations}
        fitted = Fitted(model, vocabulary, {**facts, "impressions": report.impressions})
        return Outcome(fitted, measured, seconds, report.iterations)

    def _choice(self, vocabulary: Vocabulary) -> Batches | None:
        """The pages that say when to stop, from memory; None where there are none."""
        parts, held = [], 0
        for some in self.part("choose", vocabulary):
            parts.append(some)
            held += len(some)
            if held >= LARGEST_CHOICE:
                break
        if not parts:
            return None
        kept = joined(parts)
        return lambda: kept.batches(self.batch)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
