"""How sure an estimate is: the percentile bootstrap over pages (Efron & Tibshirani, "An introduction to the bootstrap",
1993, chapter 13; Field & Welsh, "Bootstrapping clustered data", JRSS-B 2007).

Whole pages are drawn, because the rows of one page are not independent. All estimators see the same samples, and
self-normalised ones divide by the weights of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from eval.log.estimators import Parts
from eval.log.labels import FloatArray, IntArray
from index.errors import InputError
from index.progress import track


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its percentile interval and its standard error, which is that of the bootstrap samples."""

    value: float
    low: float
    high: float
    standard_error: float

    @classmethod
    def of(cls, value: float, samples: FloatArray, confidence: float) -> Interval:
        """The interval that holds this share of the samples; the samples that are not defined (NaN) do not count.

        Raises InputError if none is defined.
        """
        defined = samples[np.isfinite(samples)]
        if not len(defined):
            raise InputError("No bootstrap sample has an estimate.", "Give a longer log.")
        tail = (1 - confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return cls(value, float(low), float(high), float(np.std(defined)))


def bootstrap(parts: Mapping[str, Parts], page: IntArray, times: int, seed: int) -> dict[str, FloatArray]:
    """Each estimate in `times` bootstrap samples: arrays of shape (times,), NaN where a sample has only weights of 0.

    `page`, of shape (n,), says which rows belong together. Raises InputError if there are fewer than two pages.
    """
    unit, pages = _units(page)
    columns = [
        np.ones(len(page)),
        *(column for part in parts.values() for column in (part.base, part.top, part.bottom)),
    ]
    sums = np.stack([np.bincount(unit, weights=column, minlength=pages) for column in columns], axis=1)
    totals = np.stack([counts @ sums for counts in _draws(pages, times, seed)])
    rows, rest = totals[:, 0], totals[:, 1:]
    answers = {}
    for i, name in enumerate(parts):
        base, top, bottom = rest[:, 3 * i : 3 * i + 3].T
        share = np.divide(top, bottom, out=np.full(times, np.nan), where=bottom > 0)
        answers[name] = base / rows + share
    return answers


def refitted(compute: Callable[[FloatArray], float], page: IntArray, times: int, seed: int) -> FloatArray:
    """An estimate that is computed from scratch in each sample, given how often that has each row, shape (n,).

    The samples are the first ones of `bootstrap` with the same seed. Returns an array of shape (times,).
    """
    unit, pages = _units(page)
    return np.array([compute(counts[unit]) for counts in _draws(pages, times, seed)])


def _units(page: IntArray) -> tuple[IntArray, int]:
    """The number of each row's page, and how many pages there are."""
    ids, unit = np.unique(page, return_inverse=True)
    if len(ids) < 2:
        raise InputError("All rows are of one page: that says nothing about how sure an answer is.", "Give more pages.")
    return unit.astype(np.int64), len(ids)


def _draws(pages: int, times: int, seed: int) -> Iterator[FloatArray]:
    """How often each page is in each sample: arrays of shape (pages,)."""
    random = np.random.default_rng(seed)
    for _ in track(range(times), "Resampling"):
        yield np.bincount(random.integers(pages, size=pages), minlength=pages).astype(np.float64)
