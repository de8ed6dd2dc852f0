"""The real data on which off-policy estimators are checked: Thompson sampling's value from the uniformly random log.

Each of the two logs of a campaign has 46 to 69 clicks, so the click rate to be met is itself known to about 15%, and
relative errors of some tens of percent are chance. What can be asked for is that the intervals hold, and the figures
below, which a change of an estimator would move.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.log import Log, Options, evaluate, frequencies, read_open_bandit, uniform

CLICK_RATE = {("random", "men"): 0.0046, ("random", "women"): 0.0046, ("bts", "men"): 0.0069, ("bts", "women"): 0.0046}
ITEMS = {"men": 34, "women": 46}
SNIPS_ERROR = {"men": -0.168, "women": 0.268}
DR_ERROR = {"men": -0.173, "women": 0.272}


def logged(data: Path, policy: str, campaign: str) -> Log:
    return read_open_bandit(data / "clicks" / "open-bandit" / policy / campaign)


@pytest.mark.parametrize(("policy", "campaign"), CLICK_RATE)
def test_the_logs_are_read_whole(data: Path, policy: str, campaign: str) -> None:
    log = logged(data, policy, campaign)
    assert len(log) == 10_000
    assert len(log.action.values) == ITEMS[campaign]
    assert log.reward.mean() == pytest.approx(CLICK_RATE[policy, campaign])
    assert sorted(log.position.values) == ["1", "2", "3"]
    assert log.propensity is not None
    if policy == "random":
        assert log.propensity == pytest.approx(1 / ITEMS[campaign])


@pytest.mark.parametrize("campaign", ITEMS)
def test_the_value_of_thompson_sampling_is_met_within_the_chance_of_both_logs(data: Path, campaign: str) -> None:
    own = logged(data, "bts", campaign)
    report = evaluate(logged(data, "random", campaign), frequencies(own), Options(resamples=300), own)
    assert report.support is not None
    assert report.support.missing == 0
    assert report.weights.mean == pytest.approx(1, abs=0.02)
    assert 2500 < report.weights.effective_rows < 4000
    assert report.weights.clipped_rows == 0
    assert report.warnings == ()
    assert report.truth is not None
    assert report.truth.value.value == pytest.approx(CLICK_RATE["bts", campaign])
    for name, error in report.truth.relative_error.items():
        assert error.low < 0 < error.high, name
    assert report.truth.relative_error["snips"].value == pytest.approx(SNIPS_ERROR[campaign], abs=0.001)
    assert report.truth.relative_error["dr"].value == pytest.approx(DR_ERROR[campaign], abs=0.005)


def test_from_a_log_that_hardly_shows_most_items_the_report_says_how_little_it_knows(data: Path) -> None:
    """The other way round: Thompson sampling showed some women's items once in a million impressions."""
    report = evaluate(logged(data, "bts", "women"), uniform(logged(data, "random", "women")), Options(resamples=100))
    assert report.weights.maximum > 20_000
    assert report.weights.effective_rows < 10
    assert report.weights.clipped_weight > 0.5
    assert any("effective sample" in warning for warning in report.warnings)
    assert report.estimates["clipped_ips"].standard_error < report.estimates["ips"].standard_error
