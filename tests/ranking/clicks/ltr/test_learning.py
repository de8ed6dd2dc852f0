"""What objectives recover from clicks, and how training behaves: by seed, interrupted, stopped early."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from index.errors import ConflictError, InputError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.checkpoints import Epoch
from ranking.clicks.ltr.fit import Fitted, Recipe, fit
from ranking.clicks.ltr.measures import ndcg
from ranking.clicks.ltr.objectives.registry import OBJECTIVES
from ranking.clicks.ltr.simulation import position_bias, trust_bias
from ranking.clicks.ltr.training import Options
from ranking.clicks.sessions import Sessions
from tests.ranking.clicks.ltr.made import clicked, judged

QUICK = Options(epochs=12, batch=512, rate=0.02, bias_rate=0.1, patience=12)
SMALL = Recipe(kind="linear", options=QUICK)


def fitted(recipe: Recipe, bias: Bias, *, pages: int = 4000, shuffled: bool = True, **known: Bias) -> Fitted:
    data = judged()
    return fit(data.features.matrix, clicked(data, bias, pages, shuffled=shuffled), recipe, **known)


@pytest.mark.parametrize("objective", ["dla", "two-tower"])
def test_the_curve_is_recovered_where_pages_were_shuffled(objective: str) -> None:
    truth = position_bias(6)
    found = fitted(replace(SMALL, objective=objective), truth, pages=8000).believed
    assert found is not None
    np.testing.assert_allclose(found.alpha / found.alpha[:, :1], truth.alpha, atol=0.1)


def test_pairwise_debiasing_sees_that_clicks_fade_with_the_rank() -> None:
    found = fitted(replace(SMALL, objective="pair-debias"), position_bias(6), pages=6000)
    plus, minus = (part.numpy() for part in found.objective.ratios())  # type: ignore[operator]
    assert plus[0] == minus[0] == 1
    assert (np.diff(plus) < 0.03).all()
    assert plus[-1] < 0.75
    assert (np.abs(minus - 1) < 0.35).all()  # passing over is no rarer further down


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
@pytest.mark.parametrize("trust", [False, True])
def test_every_objective_learns_to_rank(objective: str, trust: bool) -> None:
    data, bias = judged(), trust_bias(6) if trust else position_bias(6)
    found = fit(data.features.matrix, clicked(data, bias, 3000), replace(SMALL, objective=objective), bias)
    random = ndcg(data, np.random.default_rng(0).random(len(data.features))).mean()
    assert ndcg(data, found.scores).mean() > random + 0.1
    assert found.trained.best.held_out > 0


@pytest.mark.parametrize("objective", ["naive-listwise", "dla", "two-tower", "pair-debias", "doubly-robust"])
def test_the_seed_decides_everything(objective: str) -> None:
    recipe = Recipe(objective, hidden=(8,), dropout=0.3, options=replace(QUICK, epochs=3))
    first, again = (fitted(recipe, position_bias(6), pages=800) for _ in range(2))
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.trained == again.trained
    other = fitted(replace(recipe, options=replace(recipe.options, seed=1)), position_bias(6), pages=800)
    assert not np.array_equal(first.scores, other.scores)


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fitted(Recipe(hidden=(8,), options=replace(QUICK, epochs=1)), position_bias(6), pages=200)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("objective", ["dla", "pair-debias"])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path: Path, objective: str) -> None:
    recipe = Recipe(objective, hidden=(8,), options=replace(QUICK, epochs=6))
    data, home = judged(), tmp_path / "run"
    log = clicked(data, position_bias(6), 800)
    whole = fit(data.features.matrix, log, recipe, home=tmp_path / "whole")

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(data.features.matrix, log, recipe, home=home, on_epoch=stop)
    with (home / "train.jsonl").open("a") as file:
        file.write('{"epoch": 4, "torn')  # killed in the middle of a line
    done: list[int] = []
    resumed = fit(data.features.matrix, log, recipe, home=home, on_epoch=lambda epoch: done.append(epoch.epoch))
    assert done == [4, 5, 6]
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert resumed.trained == whole.trained
    lines = [json.loads(line) for line in (home / "train.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines == [json.loads(line) for line in (tmp_path / "whole" / "train.jsonl").read_text().splitlines()]
    assert not list(home.glob(".*"))


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    data = judged()
    log = clicked(data, position_bias(6), 300)
    recipe = Recipe(hidden=(8,), options=replace(QUICK, epochs=1))
    fit(data.features.matrix, log, recipe, home=tmp_path)
    with pytest.raises(ConflictError, match="other options"):
        fit(data.features.matrix, log, replace(recipe, options=replace(recipe.options, rate=0.5)), home=tmp_path)
    with pytest.raises(ConflictError, match="other options"):
        fit(data.features.matrix, clicked(data, position_bias(6), 300, seed=1), recipe, home=tmp_path)
    longer = fit(data.features.matrix, log, replace(recipe, options=replace(recipe.options, epochs=2)), home=tmp_path)
    assert longer.trained.epochs == 2
    (tmp_path / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConflictError, match="damaged"):
        fit(data.features.matrix, log, recipe, home=tmp_path)


def test_training_stops_when_held_out_clicks_get_no_better_and_keeps_the_best() -> None:
    options = Options(epochs=200, batch=256, rate=0.05, patience=3)
    seen: list[Epoch] = []
    data = judged()
    found = fit(
        data.features.matrix,
        clicked(data, position_bias(6), 500),
        Recipe(kind="linear", options=options),
        on_epoch=seen.append,
    )
    assert found.trained.stopped == "patience"
    assert found.trained.epochs == len(seen) == found.trained.best.epoch + 3
    assert found.trained.best.held_out == max(epoch.held_out for epoch in seen)


def test_with_nothing_held_out_all_pages_train_and_the_last_epoch_is_kept(tmp_path: Path) -> None:
    data = judged()
    log = clicked(data, position_bias(6), 500)
    recipe = Recipe(kind="linear", held_out=0.0, options=Options(epochs=5, batch=256, rate=0.05, patience=1))
    whole = fit(data.features.matrix, log, recipe)
    assert (whole.trained.epochs, whole.trained.best.epoch, whole.trained.stopped) == (5, 5, "epochs")
    shorter = replace(recipe, options=replace(recipe.options, epochs=3))
    fit(data.features.matrix, log, shorter, home=tmp_path)
    resumed = fit(data.features.matrix, log, recipe, home=tmp_path)
    np.testing.assert_array_equal(resumed.scores, whole.scores)
    assert not np.array_equal(fit(data.features.matrix, log, shorter).scores, whole.scores)


def test_what_cannot_be_learned_from_is_said() -> None:
    data = judged()
    log = clicked(data, position_bias(6), 100)
    silent = Sessions.of(log.pair, np.zeros(log.pair.shape), log.query)
    with pytest.raises(InputError, match="no click"):
        fit(data.features.matrix, silent, SMALL)
    with pytest.raises(InputError, match="not finite"):
        fit(data.features.matrix * np.float32("nan"), log, SMALL)
    with pytest.raises(InputError, match="6 ranks"):
        fit(data.features.matrix, log, replace(SMALL, objective="ipw-listwise"), position_bias(3))


def test_one_query_and_clicks_on_the_first_rank_only_are_no_error() -> None:
    data = judged()
    log = clicked(data, position_bias(6), 200)
    one = log.take(log.query == log.query[0])
    for pages in (one, Sessions.of(log.pair, np.arange(6) < np.ones((len(log), 1)), log.query)):
        for objective in ("naive-listwise", "dla", "two-tower", "pair-debias"):
            recipe = replace(SMALL, objective=objective, options=replace(QUICK, epochs=2))
            assert np.isfinite(fit(data.features.matrix, pages, recipe).scores).all()


def test_guards_against_confounding_change_what_is_learned() -> None:
    # A good policy's pages, never shuffled: the rank tells the relevance, and a free tower takes it.
    data = judged()
    log = clicked(data, position_bias(6), 3000, scores=data.grades + 0.0)
    plain = replace(SMALL, objective="two-tower")
    free = fit(data.features.matrix, log, plain)
    frozen = fit(data.features.matrix, log, replace(plain, frozen=True), position_bias(6))
    dropped = fit(data.features.matrix, log, replace(plain, dropout=0.5))
    evened = fit(data.features.matrix, log, replace(plain, evened=True))
    assert frozen.believed is not None
    np.testing.assert_allclose(frozen.believed.alpha, position_bias(6).alpha, rtol=1e-4)
    assert not np.array_equal(free.scores, frozen.scores)
    assert not np.array_equal(free.scores, dropped.scores)
    assert np.isfinite(evened.scores).all()
