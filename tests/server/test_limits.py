"""Token buckets: how much goes through, and what callers are told to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import limits
from server.limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_goes_through_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(10.0, 3, clock)
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0


def test_callers_have_buckets_of_their_own() -> None:
    buckets = Buckets(1.0, 1, Clock())
    assert [buckets.take(caller) > 0 for caller in ("a", "b", "a", "b")] == [False, False, True, True]


def test_a_rate_below_one_lets_the_first_request_through() -> None:
    clock = Clock()
    buckets = Buckets(0.1, 1, clock)
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(10.0)


def test_the_number_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CALLERS", 3)
    buckets = Buckets(1.0, 1, Clock())
    for caller in "abcde":
        buckets.take(caller)
    assert len(buckets._full_at) == 3
    assert buckets.take("e") > 0  # the newest ones are remembered
    assert buckets.take("a") == 0.0


class Reference:
    """The textbook's bucket: so many tokens, filled as time goes by."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, float(burst), now

    def take(self, now: float) -> bool:
        self.tokens, self.at = min(self.burst, self.tokens + (now - self.at) * self.rate), now
        if self.tokens < 1 - 1e-9:
            return False
        self.tokens -= 1
        return True


@given(
    rate=st.sampled_from([0.25, 1.0, 8.0]),
    burst=st.integers(1, 5),
    pauses=st.lists(st.integers(0, 16).map(lambda eighths: eighths / 8), max_size=60),
)
def test_it_decides_as_a_bucket_of_tokens(rate: float, burst: int, pauses: list[float]) -> None:
    clock = Clock()
    buckets, reference = Buckets(rate, burst, clock), Reference(rate, burst, clock.now)
    for pause in pauses:
        clock.now += pause
        wait = buckets.take("a")
        assert (wait == 0.0) == reference.take(clock.now)
        if wait:  # who waits as told gets through
            ahead = Buckets(rate, burst, Clock())
            ahead._full_at.update(buckets._full_at)
            ahead._clock = lambda at=clock.now + wait: at  # type: ignore[misc]
            assert ahead.take("a") == 0.0
