"""Objectives against their definitions, on pages small enough to enumerate every pattern of clicks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from index.errors import InputError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.objectives.dual import DualLearning
from ranking.clicks.ltr.objectives.estimates import (
    Affine,
    DoublyRobust,
    Form,
    InversePropensity,
    Naive,
    exposure,
    relevance_loss,
)
from ranking.clicks.ltr.objectives.pairwise import PropensityRatio
from ranking.clicks.ltr.objectives.protocol import Objective
from ranking.clicks.ltr.objectives.registry import NEED_BIAS, OBJECTIVES, Setting, make_objective
from ranking.clicks.ltr.objectives.towers import Additive, Multiplicative
from ranking.clicks.ltr.pages import Pages
from ranking.clicks.ltr.simulation import position_bias, trust_bias
from ranking.clicks.sessions import Sessions

FORMS: tuple[Form, ...] = ("pointwise", "listwise")
RELEVANCE = np.array([0.15, 0.6, 0.35, 0.9])
SCORES = np.array([0.4, -0.7, 1.3, 0.2])


def pages_of(pair: object, clicks: object, weight: object = None) -> Pages:
    return Pages.of(Sessions.of(pair, clicks, weight=weight))  # type: ignore[arg-type]


def scores_of(pages: Pages, requires_grad: bool = False) -> Tensor:
    return pages.spread(torch.tensor(SCORES, dtype=torch.float32)[pages.rows]).detach().requires_grad_(requires_grad)


def gradient(objective: Objective, pages: Pages) -> np.ndarray:
    scores = scores_of(pages, requires_grad=True)
    objective(scores, pages).backward()
    assert scores.grad is not None
    return scores.grad.numpy().astype(np.float64)


def every_pattern(bias: Bias, order: list[int]) -> Pages:
    """A page for each pattern of clicks, weighted by its probability: means are expectations."""
    ranks = len(order)
    patterns = np.array(list(product([0, 1], repeat=ranks)))
    chance = bias.alpha[0, :ranks] * RELEVANCE[order] + bias.beta[0, :ranks]
    weight = np.where(patterns, chance, 1 - chance).prod(axis=1) * len(patterns)
    return pages_of(np.tile(order, (len(patterns), 1)), patterns, weight)


def full_information(form: Form, order: list[int]) -> float:
    pages = pages_of([order], [[0] * len(order)])
    relevance = torch.tensor(RELEVANCE[order], dtype=torch.float32)[None]
    return float(relevance_loss(form, scores_of(pages), relevance, pages))


def expectation(objective: Objective, bias: Bias, order: list[int]) -> float:
    pages = every_pattern(bias, order)
    return float(objective(scores_of(pages), pages).detach())


ORDERS = [[0, 1, 2, 3], [3, 0, 2, 1], [2, 1]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ORDERS)
def test_inverse_propensities_are_unbiased_and_clicks_are_not(form: Form, order: list[int]) -> None:
    bias = position_bias(4)
    truth = full_information(form, order)
    assert expectation(InversePropensity(form, bias, None, bounded=False), bias, order) == pytest.approx(
        truth, rel=1e-4
    )
    assert expectation(Naive(form), bias, order) != pytest.approx(truth, rel=0.003)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_affine_correction_is_unbiased_under_trust_and_propensities_are_not(form: Form, order: list[int]) -> None:
    bias = trust_bias(4)
    truth = full_information(form, order)
    assert expectation(Affine(form, bias, None, bounded=False), bias, order) == pytest.approx(truth, rel=1e-3)
    only_position = InversePropensity(form, position_bias(4), None, bounded=False)
    assert expectation(only_position, bias, order) != pytest.approx(truth, rel=0.003)


@pytest.mark.parametrize("form", FORMS)
def test_doubly_robust_needs_one_of_its_parts_to_be_right(form: Form) -> None:
    bias, order = trust_bias(4), [3, 0, 2, 1]
    truth = full_information(form, order)
    right = exposure(Sessions.of([order], np.zeros((1, 4))), bias, 4)
    np.testing.assert_allclose(right[order], bias.alpha[0])
    wrong_regression, wrong_exposure = np.full(4, 0.4), np.full(4, 0.5)

    def value(regression: np.ndarray, rho: np.ndarray) -> float:
        return expectation(DoublyRobust(form, bias, regression, rho, None, bounded=False), bias, order)

    assert value(RELEVANCE, wrong_exposure) == pytest.approx(truth, rel=1e-3)
    assert value(wrong_regression, right) == pytest.approx(truth, rel=1e-3)
    assert value(wrong_regression, wrong_exposure) != pytest.approx(truth, rel=0.003)


def test_exposure_is_the_mean_alpha_of_a_pair_over_its_ranks() -> None:
    sessions = Sessions.of([[0, 1], [1, 0], [1, -1]], np.zeros((3, 2)), weight=[1, 2, 1])
    rho = exposure(sessions, Bias.of([1.0, 0.25]), 3)
    np.testing.assert_allclose(rho, [(1 + 2 * 0.25) / 3, (0.25 + 2 + 1) / 4, 1.0])


@pytest.mark.parametrize("form", FORMS)
def test_clipping_binds(form: Form) -> None:
    pages = pages_of([[0, 1, 2, 3]], [[0, 0, 0, 1]])
    bias = position_bias(4)
    for clip, factor in ((None, 4.0), (10.0, 4.0), (2.0, 2.0), (1.0, 1.0)):
        objective = InversePropensity(form, bias, clip, bounded=False)
        np.testing.assert_allclose(objective.relevance(pages), [[0, 0, 0, factor]])
    tight, loose = (gradient(InversePropensity(form, bias, clip, bounded=False), pages) for clip in (2.0, None))
    assert not np.allclose(tight, loose)
    robust = DoublyRobust(form, bias, np.zeros(4), bias.alpha[0], 2.0, bounded=False)
    np.testing.assert_allclose(robust.relevance(pages), [[0, 0, 0, 2]])
    dual = [gradient(dual_with(clip), pages) for clip in (1.5, 10.0)]
    assert not np.allclose(*dual)
    ratio = [gradient(PropensityRatio(bias, clip), pages) for clip in (1.5, None)]
    assert not np.allclose(*ratio)


def dual_with(clip: float) -> DualLearning:
    dual = DualLearning(4, clip=clip)
    with torch.no_grad():
        dual.logits.copy_(torch.tensor([[1.0, 0.5, 0.0, -0.5]]))
    return dual


@pytest.mark.parametrize("form", FORMS)
def test_self_normalised_weights_of_clicks_have_mean_one(form: Form) -> None:
    pages = pages_of([[0, 1, 2], [1, 2, 0]], [[1, 0, 1], [0, 0, 1]], weight=[1, 2])
    relevance = InversePropensity(form, position_bias(3), None, True, bounded=False).relevance(pages)
    assert float((relevance * pages.weight).sum() / (pages.clicks * pages.weight).sum()) == pytest.approx(1.0)


def test_bounds_keep_the_loss_from_falling_for_ever() -> None:
    # One click at rank 4 in four pages would be a relevance of 1; in one page it would be 4.
    pages = pages_of([[0, 1, 2, 3]], [[0, 0, 0, 1]])
    objective = InversePropensity("pointwise", position_bias(4))
    far = torch.tensor([[0.0, 0.0, 0.0, 50.0]])
    assert float(objective(far, pages)) >= 0
    unbounded = InversePropensity("pointwise", position_bias(4), bounded=False)
    assert float(unbounded(far, pages)) < -100
    trusting = Affine("listwise", trust_bias(4))
    assert float(trusting(torch.tensor([[-50.0, 0.0, 0.0, 0.0]]), pages)) >= 0


def test_bounds_change_nothing_where_mean_estimates_are_possible() -> None:
    bias, order = position_bias(4), [0, 1, 2, 3]
    pages = every_pattern(bias, order)
    for form in FORMS:
        inside, outside = (
            InversePropensity(form, bias, None, bounded=b)(scores_of(pages), pages) for b in (True, False)
        )
        assert float(inside) == pytest.approx(float(outside), rel=1e-5)


EXPOSURE = np.array([0.3, 0.5, 0.7, 0.9])


def made(name: str) -> Objective:
    return make_objective(name, Setting(3, bias=trust_bias(3), regression=RELEVANCE, exposure=EXPOSURE, clip=None))


def by_hand(name: str, s: np.ndarray, c: np.ndarray, pair: np.ndarray) -> float:
    """The loss of one page as its paper has it, in plain NumPy; only its gradient by s counts."""
    bias = trust_bias(3)
    a, b = bias.alpha[0], bias.beta[0]
    p, log_p = 1 / (1 + np.exp(-s)), s - np.log(np.exp(s).sum())
    tower = 0.5  # sigmoid(0)
    robust = RELEVANCE[pair] + (c - a * RELEVANCE[pair] - b) / EXPOSURE[pair]
    estimates = {"ipw": c / a, "affine": (c - b) / a, "doubly": robust}
    relevance = estimates.get(name.split("-", maxsplit=1)[0], c)
    if name.startswith(("ipw", "affine", "doubly")):
        relevance = relevance.clip(0, 1 if name.endswith("pointwise") else None)
    if name.endswith("pointwise"):
        return float(-(relevance * np.log(p) + (1 - relevance) * np.log(1 - p)).sum())
    if name.endswith("listwise") or name in ("dla", "doubly-robust"):
        return float(-(relevance * log_p).sum())  # DLA begins with equal propensities
    if name == "two-tower":
        return float(-(c * np.log(p * tower) + (1 - c) * np.log(1 - p * tower)).sum())
    if name == "two-tower-additive":
        return float(-(c * np.log(p) + (1 - c) * np.log(1 - p)).sum())
    if name == "direct":
        return float(-(c * np.log(a * p + b) + (1 - c) * np.log(1 - a * p - b)).sum())
    pairs = [(i, j) for i in range(len(s)) for j in range(len(s)) if c[i] and not c[j]]
    weight = (lambda i, j: a[j] / a[i]) if name == "propensity-ratio" else (lambda i, j: 1.0)
    assert name in ("propensity-ratio", "pair-debias")
    return float(sum(weight(i, j) * np.log1p(np.exp(s[j] - s[i])) for i, j in pairs))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("clicks", [[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1]])
def test_gradients_are_those_of_the_definition(name: str, clicks: list[int]) -> None:
    order = np.array([2, 0, 3])
    found = gradient(made(name), pages_of([order], [clicks]))[0]
    s, c, step = SCORES[order], np.array(clicks, dtype=float), 1e-5
    expected = [
        (by_hand(name, s + step * unit, c, order) - by_hand(name, s - step * unit, c, order)) / (2 * step)
        for unit in np.eye(3)
    ]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_multiplicative_tower_steps_as_regression_em_does() -> None:
    tower = Multiplicative(4)
    with torch.no_grad():
        tower.tower.logits.copy_(torch.tensor([[2.0, 0.3, -0.4, -1.0]]))
    theta = torch.sigmoid(torch.tensor([2.0, 0.3, -0.4, -1.0])).numpy()
    clicks = np.array([0, 1, 0, 0])
    found = gradient(tower, pages_of([[0, 1, 2, 3]], [clicks]))[0]
    gamma = 1 / (1 + np.exp(-SCORES))
    # E-step: the chance that it is relevant given the click; M-step: a step of cross-entropy with that as its label.
    posterior = np.where(clicks, 1.0, gamma * (1 - theta) / (1 - gamma * theta))
    np.testing.assert_allclose(found, gamma - posterior, atol=1e-6)
    assert tower.tower.logits.grad is not None
    examined = np.where(clicks, 1.0, theta * (1 - gamma) / (1 - gamma * theta))
    np.testing.assert_allclose(tower.tower.logits.grad.numpy()[0], theta - examined, atol=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_empty_slots_have_no_effect(name: str) -> None:
    objective = made(name)
    objective.train(False)
    whole = pages_of([[2, 0], [1, 3]], [[1, 0], [0, 1]])
    padded = pages_of([[2, 0, -1], [1, 3, -1]], [[1, 0, 0], [0, 1, 0]])
    a, b = gradient(objective, whole), gradient(objective, padded)
    np.testing.assert_allclose(b[:, :2], a, atol=1e-6)
    assert not b[:, 2].any()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_page_of_weight_two_is_two_pages(name: str) -> None:
    objective = made(name)
    objective.train(False)
    heavy = pages_of([[2, 0, 3], [1, 3, 0]], [[1, 0, 0], [0, 1, 1]], weight=[2, 1])
    twice = pages_of([[2, 0, 3], [2, 0, 3], [1, 3, 0]], [[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    one, two = (float(objective(scores_of(pages), pages).detach()) for pages in (heavy, twice))
    assert one == pytest.approx(two, rel=1e-5)


def test_a_dropped_tower_does_not_know_its_rank_and_a_frozen_one_learns_nothing() -> None:
    pages = pages_of([[0, 1, 2]] * 50, [[1, 0, 0]] * 50)
    for kind in (Multiplicative, Additive):
        dropped = kind(3, dropout=0.999999)
        with torch.no_grad():
            dropped.tower.logits.copy_(torch.tensor([[2.0, 0.0, -2.0]]))
        torch.manual_seed(0)
        assert dropped.tower(pages).unique().tolist() == [0.0]  # the mean of the ranks
        dropped.train(False)
        assert dropped.tower(pages)[0].tolist() == [2.0, 0.0, -2.0]
        frozen = kind(3, frozen=Bias.of([0.9, 0.5, 0.1]))
        assert not list(frozen.parameters())
    np.testing.assert_allclose(
        Multiplicative(3, frozen=Bias.of([0.9, 0.45, 0.09])).believed().alpha, [[1, 0.5, 0.1]], rtol=1e-5
    )


def test_surfaces_have_their_own_curves() -> None:
    pages = Pages.of(Sessions.of([[0, 1], [0, 1]], [[0, 1], [0, 1]], surface=[0, 1]))
    objective = InversePropensity("listwise", Bias.of([[1.0, 0.5], [1.0, 0.25]]), bounded=False)
    assert objective.relevance(pages).tolist() == [[0, 2], [0, 4]]
    towers = Multiplicative(2, surfaces=2)
    towers(scores_of(pages), pages).backward()
    assert towers.tower.logits.grad is not None
    assert towers.tower.logits.grad.shape == (2, 2)
    with pytest.raises(InputError, match="surfaces"):
        make_objective("ipw-listwise", Setting(2, 3, Bias.of([[1.0, 0.5], [1.0, 0.25]])))


def test_what_is_asked_for_wrongly_is_said() -> None:
    with pytest.raises(InputError, match="no objective 'x'"):
        make_objective("x", Setting(2))
    for name in sorted(NEED_BIAS):
        with pytest.raises(InputError):
            make_objective(name, Setting(2))
    with pytest.raises(InputError, match="3 ranks"):
        make_objective("ipw-listwise", Setting(3, bias=position_bias(2)))
    with pytest.raises(InputError, match="propensities are not usable"):
        Bias.of([1.0, 0.0])
    with pytest.raises(InputError, match="propensities are not usable"):
        Bias.of([0.9], [0.2])
