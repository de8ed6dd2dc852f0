"""Buckets of a histogram: a value belongs to the first bound that is not below it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from index.distribution import Distribution


def test_values_are_counted_up_to_each_bound() -> None:
    seen = Distribution((1, 2, 4))
    for value in (0, 1, 1.5, 2, 3, 4, 4.5, 100):
        seen.add(value)
    assert seen.read() == ([2, 4, 6, 8], 116.0)
    assert seen.count == 8


def test_nothing_was_seen() -> None:
    assert Distribution((1, 2)).read() == ([0, 0, 0], 0.0)


def test_no_value_is_lost_between_threads() -> None:
    seen = Distribution((10,))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(seen.add, [1, 20] * 2_000))
    assert seen.read() == ([2_000, 4_000], 42_000.0)
