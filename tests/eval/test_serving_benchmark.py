"""What the benchmark of the service counts."""

from __future__ import annotations

from collections import Counter

from eval.benchmarks.kills import Acknowledged, _toll
from eval.benchmarks.load import Mix, Seen
from eval.benchmarks.serving import until


def test_only_good_answers_count_and_only_in_time() -> None:
    seen = Seen([(0.0, 0.1, 200), (1.0, 0.2, 201), (2.0, 5.0, 200), (3.0, 0.0, 429), (4.0, 0.1, 500), (5.0, 0.1, 0)])
    assert (seen.good(), seen.good(within=1.0), seen.failures) == (3, 2, 2)
    assert seen.statuses == {200: 2, 201: 1, 429: 1, 500: 1, 0: 1}
    assert (seen.p(50), seen.p(100, begin=1.0, end=2.0), seen.p(50, begin=9.0)) == (0.2, 0.2, 0.0)


def test_what_is_missing_and_what_is_there_twice() -> None:
    promised = Acknowledged(events={"e1", "e2"}, documents={"d1"}, queries={"q1"})
    everything = _toll(1, promised, Counter(["e1", "e2", "q1", "unacknowledged"]), Counter(["d1", "d2"]))
    assert (everything.acknowledged, everything.lost, everything.duplicated) == (4, 0, 0)
    broken = _toll(1, promised, Counter(["e1", "e1", "q1"]), Counter(["d2"]))
    assert (broken.lost, broken.duplicated) == (2, 1)


def test_recovery_is_waited_for_within_bounds() -> None:
    looks = iter([False, False, True])
    assert until(lambda: next(looks), 60.0) < 60.0
    assert until(lambda: False, 0.0) == 0.0


def test_a_mix_is_the_same_for_a_seed() -> None:
    words = [letter * 3 for letter in "abcdefghijklmn"]
    first, second = (Mix(words, seed=3) for _ in range(2))
    for _, one, other in zip(range(20), first.acts(), second.acts(), strict=False):
        assert one.__qualname__ == other.__qualname__
