"""The algorithms of meta-learning, on a tiny network in double precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from index.errors import InputError
from ranking.learning.adaptation import Adaptation, Support, adapt
from ranking.learning.bert import Bert
from ranking.learning.engine import Engine
from ranking.learning.meta import AcrossTasks, MetaLearner, MetaRecipe, Name, learner_of
from ranking.learning.pair import Pair
from ranking.learning.supervised import CrossEncoderLearner
from ranking.learning.training import Schedule, train
from ranking.learning.tuning import Tuned, group_of
from tests.ranking.learning.samples import sample_task, sample_tasks
from tests.ranking.learning.tiny import FRAME, tiny_model, tiny_parameters

NAMES: tuple[Name, ...] = get_args(Name)
ONE = MetaRecipe(rank=2, pairs=1, documents=6, singles=0.0, unadapted=0.0, k=(2,), thin=2)
"""One episode a step, and nothing in the loss beside its outer loss."""


def learner(name: Name, recipe: MetaRecipe = ONE, *, moved: bool = True) -> MetaLearner:
    """`moved` takes it away from where training begins, where half of the thin factors are zero."""
    base = {key: tensor.double() for key, tensor in tiny_parameters().items()}
    made = MetaLearner(name, Bert(FRAME), base, tiny_model().tokenizer, sample_tasks(), recipe)
    if moved:
        random = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for key, tensor in made.parameters.items():
                if not key.startswith("log_"):
                    tensor += 0.1 * torch.randn(tensor.shape, generator=random, dtype=torch.float64)
            made.parameters["log_scale"].fill_(0.0)
    return made


def loss_of(made: MetaLearner) -> Tensor:
    return made.loss(np.random.default_rng(5), 0.0)[0]


def gradients(made: MetaLearner) -> dict[str, Tensor]:
    found = torch.autograd.grad(
        loss_of(made), list(made.parameters.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(made.parameters, found, strict=True))


def slope(made: MetaLearner, direction: dict[str, Tensor], step: float = 1e-6) -> float:
    """The change of the loss in a direction, by central differences.

    Their error goes with the step squared and the loss's third derivative, up to 1e-5 of the slope at a step of 1e-5;
    rounding is about 1e-9 at a step of 1e-6.
    """
    values = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            for name, way in direction.items():
                made.parameters[name].add_(sign * step * way)
        values.append(float(loss_of(made).detach()))
        with torch.no_grad():
            for name, way in direction.items():
                made.parameters[name].sub_(sign * step * way)
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize(
    ("name", "tuned"),
    [("second-order", "biases"), ("second-order", "lora"), ("second-order", "all"), ("anil", "biases")],
)
def test_second_order_gradients_are_those_of_finite_differences(name: Name, tuned: Tuned) -> None:
    made = learner(name, replace(ONE, tuned=tuned, inner_rate=0.3))
    found = gradients(made)
    random = torch.Generator().manual_seed(1)
    # A list: the order of a set, and so which directions are drawn, would change from run to run.
    groups = ["log_rates", "log_scale", "head", "pooler", "norm", *(f"layers.{n}" for n in range(FRAME.layers))]
    for group in groups:
        own = [key for key in found if key == group or (group_of(key) == group and not key.startswith("log_"))]
        way = {key: torch.randn(found[key].shape, generator=random, dtype=torch.float64) for key in own}
        expected = sum(float((found[key] * way[key]).sum()) for key in own)
        assert own
        assert slope(made, way) == pytest.approx(expected, rel=1e-5, abs=1e-8), group


def gap(rate: float, across: bool) -> float:
    """How far first-order gradients are from exact ones, relative to these."""
    recipe = replace(ONE, inner_rate=rate, learn_rates=False)
    first = learner("fomaml" if across else "maml", recipe)
    exact = learner("second-order", recipe)
    if across:
        exact.algorithm = AcrossTasks()
        exact.algorithm.second_order = True
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        one, other = gradients(first), gradients(exact)
    names = [name for name in one if name != "log_precision"]
    far = sum(float((one[name] - other[name]).square().sum()) for name in names)
    return float(np.sqrt(far / sum(float(other[name].square().sum()) for name in names)))


@pytest.mark.parametrize("across", [False, True])
def test_first_order_is_second_order_without_the_inner_rate(across: bool) -> None:
    large, small, none = (gap(rate, across) for rate in (1e-2, 1e-3, 1e-9))
    assert none < 1e-7
    assert 1e-5 < small < 0.2 * large  # the difference goes with the rate


def test_the_first_order_gradient_is_that_of_the_outer_loss_at_the_adapted_parameters() -> None:
    made = learner("maml", replace(ONE, inner_rate=0.3))
    found = gradients(made)
    random = np.random.default_rng(5)
    random.random()  # whether the task is given feedback
    support, target = made.source.divided(random)
    p = made.delta.added_to(made.base)
    given, asked = made.loop.read(p, support), made.loop.read(p, target)
    changes, _ = made.loop.adapted(p, given, made.scale, torch.full((2, 4), 0.3).double(), second_order=False)
    loss = made.ranking_loss(p, asked, {name: change.detach() for name, change in changes.items()})
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in made.parameters.items():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad)


@pytest.mark.parametrize("tuned", ["biases", "norms", "all"])
def test_one_step_of_reptile_is_the_gradient_of_the_inner_loss(tuned: Tuned) -> None:
    """Also of thin factors, though the inner steps change whole weights."""
    made = learner("reptile", replace(ONE, tuned=tuned, steps=1, layers=FRAME.layers, inner_rate=0.01))
    found = gradients(made)
    random = np.random.default_rng(5)
    random.random()
    support, _ = made.algorithm.draw(made.source, random)
    p = made.delta.added_to(made.base)
    made.loop.loss(p, made.loop.read(p, support), {}, made.scale).backward()  # type: ignore[no-untyped-call]
    moved = {name.removesuffix(".a").removesuffix(".b") for name in made.loop.fresh}
    checked = 0
    for name, parameter in made.parameters.items():
        if name.removesuffix(".a").removesuffix(".b") in moved:
            assert parameter.grad is not None
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-6, atol=1e-10)
            checked += 1
    assert checked >= len(moved)


@pytest.mark.parametrize("name", ["fomaml", "maml", "second-order", "anil"])
def test_learned_rates_get_their_gradient(name: Name) -> None:
    """With one inner step it is exact whatever the order."""
    made = learner(name, replace(ONE, steps=1, inner_rate=0.3))
    found = gradients(made)["log_rates"]
    assert bool((found != 0).all())
    for column in range(found.shape[1]):
        way = torch.zeros_like(found)
        way[0, column] = 1.0
        assert slope(made, {"log_rates": way}) == pytest.approx(float(found[0, column]), rel=1e-5, abs=1e-8)


def test_rates_are_learned_only_where_there_is_something_to_learn_them_from() -> None:
    assert "log_rates" not in learner("reptile").parameters
    assert "log_rates" not in learner("maml", replace(ONE, learn_rates=False)).parameters
    rates = learner("maml").about["inner_rates"]
    assert [set(step) for step in rates] == [{"layers.1", "layers.2", "pooler", "head"}] * 2
    assert [set(step) for step in learner("anil").about["inner_rates"]] == [{"head"}] * 2


@pytest.mark.parametrize("name", NAMES)
def test_training_makes_the_loss_smaller(name: Name, tmp_path: Path) -> None:
    made = learner(name, replace(ONE, pairs=20, singles=0.3, rate=1e-2, inner_rate=0.1), moved=False)
    before = np.mean([float(made.loss(np.random.default_rng(n), 0.0)[0].detach()) for n in range(4)])
    train(made, Schedule(steps=12, warmup=1), tmp_path, {}, "Training")
    after = np.mean([float(made.loss(np.random.default_rng(n), 0.0)[0].detach()) for n in range(4)])
    assert after < 0.95 * before


@pytest.mark.parametrize("name", ["second-order", "reptile"])
def test_a_resumed_training_ends_bit_by_bit_where_an_undisturbed_one_does(name: Name, tmp_path: Path) -> None:
    def numbers(folder: str, steps_before_it_dies: int | None) -> str:
        made = learner(name, replace(ONE, pairs=20, singles=0.3), moved=False)
        original, calls = made.loss, 0

        def dying(random: np.random.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
            nonlocal calls
            calls += 1
            if calls == steps_before_it_dies:
                raise OSError("killed")
            return original(random, progress)

        made.loss = dying  # type: ignore[method-assign]
        train(made, Schedule(steps=6, warmup=2, checkpoint_every=2), tmp_path / folder, {}, "Training")
        return made.delta.digest + str(made.about)

    whole = numbers("whole", None)
    assert numbers("again", None) == whole
    with pytest.raises(OSError, match="killed"):
        numbers("parts", 4)
    assert numbers("parts", None) == whole


@pytest.mark.parametrize(("name", "tuned"), [("maml", "biases"), ("maml", "lora"), ("anil", "head")])
def test_adaptation_takes_the_steps_that_were_trained_for(name: Name, tuned: Tuned) -> None:
    recipe = replace(ONE, tuned=tuned, inner_rate=0.3, thin=4)
    made = learner(name, recipe, moved=False)
    plain = tiny_model()
    model = replace(plain, inner_rates=tuple(made.about["inner_rates"]))
    task = sample_task(3, 3, 3)
    p = {key: tensor.double() for key, tensor in plain.parameters.items()}
    rates = torch.full((2, len(made.loop.groups)), 0.3, dtype=torch.float64)
    scale = torch.tensor(2.0, dtype=torch.float64)
    expected, losses = made.loop.adapted(p, made.loop.read(p, task), scale, rates, second_order=False)
    pairs = [Pair.of(tokens) for tokens in plain.tokenizer.pairs(task.query, task.texts)]
    support = Support(pairs, 2.0 * task.prior, task.relevance, task.weight)
    found = adapt(Engine(model), support, Adaptation(tuned=tuned, layers=2, rate=0.0))
    assert found.ended == "done"
    np.testing.assert_allclose(found.losses, losses, atol=1e-5)
    assert found.delta.tensors.keys() == expected.keys()
    for key, change in expected.items():
        torch.testing.assert_close(found.delta.tensors[key].double(), change.detach(), atol=1e-5, rtol=1e-3)
    with pytest.raises(InputError, match="no learning rates of its own"):
        adapt(Engine(plain), support, Adaptation(tuned=tuned, rate=0.0))


def test_tasks_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(InputError, match="enough documents of both kinds"):
        MetaLearner("maml", Bert(FRAME), tiny_parameters(), tiny_model().tokenizer, [sample_task(0, 1, 5)], ONE)
    with pytest.raises(InputError, match="There are no tasks to learn from"):
        MetaLearner("maml", Bert(FRAME), tiny_parameters(), tiny_model().tokenizer, [], ONE)


def test_the_closed_form_goes_by_the_same_recipe() -> None:
    made = learner_of("head", Bert(FRAME), tiny_parameters(), tiny_model().tokenizer, sample_tasks(), ONE)
    assert isinstance(made, CrossEncoderLearner)
    assert (made.recipe.method, made.recipe.rank, made.recipe.k) == ("meta", 2, (2,))


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_points_the_same_way(name: Name) -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        base = {key: tensor.to(dtype) for key, tensor in tiny_parameters().items()}
        recipe = replace(ONE, pairs=20, tuned="all", inner_rate=0.01)
        made = MetaLearner(name, Bert(FRAME), base, tiny_model().tokenizer, sample_tasks(), recipe)
        assert {tensor.dtype for tensor in made.parameters.values()} == {torch.float32}
        with torch.no_grad():
            made.parameters["log_scale"].fill_(0.0)
        found.append(torch.cat([gradient.flatten() for gradient in gradients(made).values()]))
    assert bool(torch.isfinite(found[1]).all())
    assert float(torch.cosine_similarity(*found, dim=0)) > 0.98
