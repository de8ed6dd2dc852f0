"""Adaptation: feedback moves the scores the right way, in time, and never leaves a broken model."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch

from ranking.learning import adaptation
from ranking.learning.adaptation import PAPER, Adaptation, Support, adapt, cut_of
from ranking.learning.engine import Engine
from ranking.learning.tuning import Tuned
from tests.ranking.learning.tiny import FRAME, tiny_model

TEXTS = [f"a note on boats and tides {n}" for n in range(4)] + [f"beans, roast and brew {n}" for n in range(4)]


@pytest.fixture
def engine() -> Engine:
    return Engine(tiny_model())


def support_of(engine: Engine, relevance: list[float], weight: list[float] | None = None) -> Support:
    pairs = [pieces[0] for pieces in engine.model.tokenizer.passages("harbour", TEXTS[: len(relevance)], 1)[1]]
    return Support(pairs, np.zeros(len(pairs)), np.array(relevance), np.array(weight or [1.0] * len(pairs)))


def margin(engine: Engine, support: Support, adapted: adaptation.Adapted, how: Adaptation) -> float:
    """By how much the mean score of the relevant exceeds that of the others."""
    cut = cut_of(how, FRAME.layers)
    states = engine.states(support.pairs, cut)
    pooled = states if cut == FRAME.layers else engine.pooled(support.pairs, states, cut, adapted.delta)
    scores = engine.logits(pooled, adapted.delta)
    return float(scores[support.relevance > 0.5].mean() - scores[support.relevance < 0.5].mean())


NONE = adaptation.Adapted(adaptation.NOTHING, (), "done")
GRADES = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("tuned", get_args(Tuned))
@pytest.mark.parametrize("objective", ["binary", "pairwise", "listwise"])
def test_what_is_relevant_moves_up(engine: Engine, tuned: Any, objective: Any) -> None:
    how = Adaptation(tuned=tuned, objective=objective, epochs=8, rate=1e-2)
    support = support_of(engine, GRADES)
    adapted = adapt(engine, support, how)
    assert adapted.ended == "done"
    assert margin(engine, support, adapted, how) > margin(engine, support, NONE, how) + 0.1
    assert all(bool(torch.isfinite(tensor).all()) for tensor in adapted.delta.tensors.values())


def test_the_published_recipe_takes_one_document_a_step_through_all_layers(engine: Engine) -> None:
    support = support_of(engine, GRADES)
    adapted = adapt(engine, support, replace(PAPER, rate=2e-3))
    assert len(adapted.losses) == 8
    assert adapted.losses[-1] < adapted.losses[0]
    assert {name.rpartition(".")[2] for name in adapted.delta.tensors} == {"bias", "weight"}  # the head's weight
    assert any(name.startswith("layers.0.") for name in adapted.delta.tensors)


def test_top_layers_leave_the_lower_ones_alone(engine: Engine) -> None:
    adapted = adapt(engine, support_of(engine, GRADES), Adaptation(tuned="biases", layers=1, epochs=2))
    touched = {name.split(".")[1] for name in adapted.delta.tensors if name.startswith("layers.")}
    assert touched == {str(FRAME.layers - 1)}


def test_the_same_feedback_gives_the_same_delta(engine: Engine) -> None:
    how = Adaptation(tuned="lora", epochs=3, batch=2)
    first, again = (adapt(engine, support_of(engine, GRADES), how).delta for _ in range(2))
    assert first.digest == again.digest


def test_feedback_of_one_class_is_fine(engine: Engine) -> None:
    for grades in ([1.0, 1.0], [0.0, 0.0], [1.0]):
        for tuned in ("head", "biases"):
            adapted = adapt(engine, support_of(engine, grades), Adaptation(tuned=tuned))  # type: ignore[arg-type]
            assert adapted.ended == "done"


def test_no_feedback_changes_nothing(engine: Engine) -> None:
    assert not adapt(engine, support_of(engine, []), Adaptation()).delta.tensors


def test_soft_relevance_lies_between(engine: Engine) -> None:
    """A click believed at .8 moves less than a judgement, and one of hardly any weight hardly at all."""
    how = Adaptation(tuned="head")
    margins = []
    for high, weight in ((1.0, 1.0), (0.8, 1.0), (1.0, 1e-6)):
        grades = [high] * 4 + [1.0 - high] * 4
        support = support_of(engine, grades, [weight] * 8)
        margins.append(margin(engine, support, adapt(engine, support, how), how))
    before = margin(engine, support_of(engine, GRADES), NONE, how)
    assert margins[0] > margins[1] > margins[2]
    assert margins[2] == pytest.approx(before, abs=1e-3)


def test_a_pull_towards_the_base_model_keeps_the_change_small(engine: Engine) -> None:
    def size(pull: float) -> float:
        how = Adaptation(tuned="biases", exact=False, epochs=10, rate=1e-2, pull=pull)
        delta = adapt(engine, support_of(engine, GRADES), how).delta
        return sum(float(tensor.square().sum()) for tensor in delta.tensors.values())

    assert size(10.0) < 0.5 * size(0.0)


def test_after_the_deadline_the_best_so_far_is_the_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Adaptation(tuned="biases", epochs=10_000)
    support = support_of(engine, GRADES)
    engine.states(support.pairs, keep=cut_of(how, FRAME.layers))
    looks = itertools.count()
    with monkeypatch.context() as patched:
        patched.setattr("ranking.learning.adaptation.time", SimpleNamespace(perf_counter=lambda: float(next(looks))))
        late = adapt(engine, support, how, deadline=60.0)  # of a clock that goes on when one looks at it
    assert late.ended == "deadline"
    assert len(late.losses) == 59  # it looks before each step, and once before the first
    assert margin(engine, support, late, how) > margin(engine, support, NONE, how)


def test_it_stops_early_where_the_loss_has_settled(engine: Engine) -> None:
    adapted = adapt(engine, support_of(engine, GRADES), Adaptation(tuned="biases", epochs=500, rate=1e-1, settle=0.05))
    assert adapted.ended == "settled"
    assert len(adapted.losses) < 500


def test_a_loss_that_is_not_finite_falls_back_on_the_base_model(engine: Engine) -> None:
    support = replace(support_of(engine, GRADES), offset=np.full(8, np.nan))
    for tuned in ("head", "biases"):
        adapted = adapt(engine, support, Adaptation(tuned=tuned))  # type: ignore[arg-type]
        assert adapted.ended == "not finite"
        assert not adapted.delta.tensors


def test_a_new_click_goes_on_from_the_last_delta(engine: Engine) -> None:
    how = Adaptation(tuned="biases", epochs=6)
    first = adapt(engine, support_of(engine, GRADES), how)
    warm = adapt(engine, support_of(engine, GRADES), replace(how, epochs=1), start=first.delta)
    cold = adapt(engine, support_of(engine, GRADES), replace(how, epochs=1))
    assert warm.losses[0] < cold.losses[0]
