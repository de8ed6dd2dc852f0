"""The estimators: unbiased where they promise it, and the identities between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from eval.log.estimators import MODELLING, WEIGHTING, Rows
from eval.log.labels import FloatArray
from index.errors import InputError

ALL = WEIGHTING | MODELLING
quick = settings(deadline=None, max_examples=50)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def rows(draw: st.DrawFn, low: float = 0.0) -> Rows:
    """Rows without any structure; weights from `low` up, and at least one above 0."""
    n = draw(st.integers(1, 20))
    columns = [draw(npst.arrays(np.float64, n, elements=floats(*bounds))) for bounds in ((low, 9), *[(-5, 5)] * 3)]
    columns[0][draw(st.integers(0, n - 1))] += 1
    return Rows(columns[0], np.minimum(columns[0], draw(floats(0.5, 5))), *columns[1:])


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, FloatArray]:
    """One situation with m actions: both policies, the click rates, and a model of them that may be quite wrong."""
    m = draw(st.integers(2, 6))
    arrays = {name: draw(npst.arrays(np.float64, m, elements=floats(0.01, 1))) for name in ("logging", "rate", "model")}
    target = draw(npst.arrays(np.float64, m, elements=floats(0, 1)))
    target[draw(st.integers(0, m - 1))] += 0.1
    return arrays | {"logging": arrays["logging"] / arrays["logging"].sum(), "target": target / target.sum()}


def every_outcome(world: dict[str, FloatArray], clip: float) -> tuple[FloatArray, Rows]:
    """All (action, click) that one row of a log may hold, with their probabilities."""
    m = len(world["rate"])
    click = np.repeat([1.0, 0.0], m)
    chance = np.concatenate((world["logging"] * world["rate"], world["logging"] * (1 - world["rate"])))
    weight = np.tile(world["target"] / world["logging"], 2)
    expected = np.full(2 * m, world["target"] @ world["model"])
    return chance, Rows(weight, np.minimum(weight, clip), click, expected, np.tile(world["model"], 2))


@quick
@given(worlds())
def test_ips_and_doubly_robust_are_unbiased_whatever_the_model(world: dict[str, FloatArray]) -> None:
    chance, outcomes = every_outcome(world, clip=10)
    for name in ("ips", "dr"):
        parts = ALL[name](outcomes)
        mean = chance @ (parts.base + parts.top / parts.bottom)  # the expectation over what one row may hold
        assert mean == pytest.approx(world["target"] @ world["rate"], abs=1e-12)


@quick
@given(worlds())
def test_with_the_true_model_all_model_based_estimators_are_unbiased(world: dict[str, FloatArray]) -> None:
    chance, outcomes = every_outcome(world | {"model": world["rate"]}, clip=1.5)
    for name in ("dm", "dr", "clipped_dr"):
        parts = ALL[name](outcomes)
        assert chance @ (parts.base + parts.top) == pytest.approx(world["target"] @ world["rate"], abs=1e-12)


@quick
@given(worlds(), floats(0.1, 3))
def test_clipped_ips_is_never_above_ips_for_clicks(world: dict[str, FloatArray], clip: float) -> None:
    _, outcomes = every_outcome(world, clip)
    assert ALL["clipped_ips"](outcomes).value() <= ALL["ips"](outcomes).value() + 1e-12


@quick
@given(rows(), floats(-3, 3))
def test_self_normalised_estimators_move_with_the_rewards(given: Rows, shift: float) -> None:
    assert given.expected is not None
    assert given.factual is not None
    moved = Rows(given.weight, given.clipped, given.reward + shift, given.expected + shift, given.factual + shift)
    for name in ("snips", "sndr"):
        assert ALL[name](moved).value() == pytest.approx(ALL[name](given).value() + shift, abs=1e-9)


@quick
@given(rows())
def test_snips_stays_within_the_rewards(given: Rows) -> None:
    assert given.reward.min() - 1e-9 <= ALL["snips"](given).value() <= given.reward.max() + 1e-9


@quick
@given(rows())
def test_doubly_robust_without_weights_is_the_direct_method(given: Rows) -> None:
    zero = np.zeros_like(given.weight)
    blind = Rows(zero, zero, given.reward, given.expected, given.factual)
    assert ALL["dr"](blind).value() == ALL["clipped_dr"](blind).value() == ALL["dm"](given).value()


@quick
@given(rows())
def test_doubly_robust_with_a_model_of_nothing_is_ips(given: Rows) -> None:
    zero = np.zeros_like(given.weight)
    plain = Rows(given.weight, given.clipped, given.reward, zero, zero)
    for robust, weighted in {"dr": "ips", "clipped_dr": "clipped_ips", "sndr": "snips"}.items():
        assert ALL[robust](plain).value() == ALL[weighted](given).value()


@quick
@given(rows())
def test_the_logging_policy_itself_has_exactly_its_mean_reward(given: Rows) -> None:
    one = np.ones_like(given.weight)
    for estimator in WEIGHTING.values():
        assert estimator(Rows(one, one, given.reward)).value() == pytest.approx(given.reward.mean(), abs=1e-15)


@quick
@given(rows(low=0.1))
def test_clipping_binds_below_the_largest_weight_and_only_there(given: Rows) -> None:
    positive = np.abs(given.reward) + 1
    for clip, changes in ((given.weight.max(), False), (given.weight.max() * 0.9, True)):
        clipped = Rows(given.weight, np.minimum(given.weight, clip), positive)
        assert (ALL["clipped_ips"](clipped).value() < ALL["ips"](clipped).value()) is changes


def test_weights_of_nothing_but_zero_are_refused() -> None:
    zero = np.zeros(3)
    with pytest.raises(InputError, match="weight 0"):
        ALL["snips"](Rows(zero, zero, np.ones(3))).value()


@pytest.mark.parametrize("name", sorted(MODELLING))
def test_without_a_model_the_model_based_estimators_say_so(name: str) -> None:
    one: Any = np.ones(3)
    with pytest.raises(InputError, match="model of the reward"):
        ALL[name](Rows(one, one, one))
