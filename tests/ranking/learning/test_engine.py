"""The engine: what it computes does not depend on how it batches, and it never stalls."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from index.errors import OverloadedError
from ranking.learning.bert import Packed
from ranking.learning.delta import Delta
from ranking.learning.engine import Engine
from ranking.learning.pair import Pair
from ranking.learning.tuning import fresh, thin_names, tuned_names
from ranking.learning.work import BATCH, Work, batches
from tests.ranking.learning.tiny import FRAME, tiny_model

TEXTS = [" ".join(f"word{n} sail boat {n * i}" for n in range(1 + i % 7)) for i in range(40)]


def pairs_of(engine: Engine, query: str = "a boat", texts: list[str] | None = None) -> list[Pair]:
    return [pieces[0] for pieces in engine.model.tokenizer.passages(query, texts or TEXTS, 1)[1]]


def alone(engine: Engine, pair: Pair) -> float:
    model = engine.model
    packed = Packed.of([(pair.ids, pair.types)])
    return float(model.score(model.bert.forward(model.parameters, packed))[0])  # type: ignore[attr-defined]


def noise(engine: Engine, seed: int, thin: bool = False) -> Delta:
    """A delta that changes biases, normalisations and the head of all layers, and weights too if `thin`."""
    p, layers = engine.model.parameters, range(FRAME.layers)
    names = [*tuned_names(p, "biases", layers), *tuned_names(p, "norms", layers)]
    changes = fresh(p, dict.fromkeys(names), thin_names(p, layers) if thin else (), rank=2)
    random = torch.Generator().manual_seed(seed)
    return Delta({name: 0.3 * torch.randn(tensor.shape, generator=random) for name, tensor in changes.items()})


def test_scores_are_those_of_each_pair_alone() -> None:
    engine = Engine(tiny_model())
    pairs = pairs_of(engine)
    scores = engine.logits(engine.states(pairs))
    np.testing.assert_allclose(scores, [alone(engine, pair) for pair in pairs], atol=1e-5)


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_states_of_any_layer_lead_to_the_same_scores(cut: int) -> None:
    engine = Engine(tiny_model())
    pairs = pairs_of(engine)
    expected = engine.logits(engine.states(pairs))
    states = engine.states(pairs, cut)
    if cut == FRAME.layers:
        np.testing.assert_allclose(engine.logits(states), expected, atol=1e-6)
        return
    assert [tuple(s.shape) for s in states] == [(len(pair), FRAME.width) for pair in pairs]
    np.testing.assert_allclose(engine.logits(engine.pooled(pairs, states, cut, Delta({}))), expected, atol=1e-5)


@pytest.mark.parametrize("thin", [False, True])
def test_many_queries_share_a_forward_pass(thin: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three adapted models at once give the scores of three models with their deltas added in."""
    engine = Engine(tiny_model())
    deltas = [noise(engine, seed, thin) for seed in range(3)]
    chosen = [pairs_of(engine, query, TEXTS[:9]) for query in ("a boat", "coffee beans", "stars")]
    together: list[int] = []
    forward = engine._forward
    monkeypatch.setattr(
        engine, "_forward", lambda works: together.append(len({id(w.delta) for w in works})) or forward(works)
    )
    below = [engine.states(pairs, 1) for pairs in chosen]
    gate = threading.Barrier(3)

    def score(i: int) -> Any:
        gate.wait()
        return engine.logits(engine.pooled(chosen[i], below[i], 1, deltas[i]), deltas[i])

    with ThreadPoolExecutor(3) as clients:
        found = list(clients.map(score, range(3)))
    for i, pairs in enumerate(chosen):
        model = engine.model
        upper = {n: t for n, t in deltas[i].tensors.items() if not n.startswith("layers.0.")}
        changed = Delta(upper).added_to(model.parameters)
        expected = [float(model.bert.forward(changed, Packed.of([(p.ids, p.types)]))[0, 0]) for p in pairs]  # type: ignore[attr-defined]
        np.testing.assert_allclose(found[i], expected, atol=1e-3)


def test_what_is_remembered_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny_model())
    computed: list[int] = []
    forward = engine._forward
    monkeypatch.setattr(engine, "_forward", lambda works: computed.append(len(works)) or forward(works))
    pairs = pairs_of(engine)
    engine.states(pairs, keep=2)
    first = sum(computed)
    engine.states(pairs)
    engine.states(pairs, 2)
    assert sum(computed) == first == len({pair.key for pair in pairs})


def test_memory_is_bounded() -> None:
    engine = Engine(tiny_model(), kept=20_000)
    engine.states(pairs_of(engine), keep=1)
    assert 0 < engine.kept.bytes <= 20_000


def test_the_same_text_twice_in_one_call() -> None:
    engine = Engine(tiny_model())
    twice = engine.logits(engine.states(pairs_of(engine, texts=["a boat", "a star", "a boat"])))
    assert twice[0] == twice[2] != twice[1]


def test_nothing_to_do() -> None:
    engine = Engine(tiny_model())
    assert engine.states([]) == []
    assert len(engine.logits([])) == 0


def test_a_full_queue_refuses_and_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny_model(), queue=BATCH)
    entered, leave = threading.Event(), threading.Event()
    forward = engine._forward

    def slow(works: Any) -> Any:
        entered.set()
        leave.wait()
        return forward(works)

    monkeypatch.setattr(engine, "_forward", slow)
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(engine.states, pairs_of(engine))
        entered.wait()
        with pytest.raises(OverloadedError) as refused:
            engine.states(pairs_of(engine, "another query", TEXTS * 3))
        assert refused.value.status == 429
        assert refused.value.retry_after > 0
        leave.set()
        assert len(waiting.result()) == len(TEXTS)
    assert len(engine.states(pairs_of(engine, "another query"))) == len(TEXTS)


def test_a_caller_who_runs_out_of_time_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny_model())
    leave = threading.Event()
    forward = engine._forward
    monkeypatch.setattr(engine, "_forward", lambda works: leave.wait() and forward(works))
    with pytest.raises(TimeoutError):
        engine.states(pairs_of(engine), timeout=0.0)
    leave.set()
    monkeypatch.undo()
    assert len(engine.states(pairs_of(engine, "coffee"))) == len(TEXTS)
    assert engine._tokens == 0 or engine.states(pairs_of(engine, "stars"))


def test_an_error_reaches_the_caller_and_the_owner_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny_model())

    def broken(works: Any) -> Any:
        raise ArithmeticError("no")

    monkeypatch.setattr(engine, "_forward", broken)
    with pytest.raises(ArithmeticError):
        engine.states(pairs_of(engine))
    monkeypatch.undo()
    assert len(engine.states(pairs_of(engine))) == len(TEXTS)


def test_many_callers_at_once() -> None:
    engine = Engine(tiny_model())
    queries = [f"query {n} boat" for n in range(12)]
    with ThreadPoolExecutor(6) as clients:
        found = list(clients.map(lambda q: engine.logits(engine.states(pairs_of(engine, q))), queries))
    for query, scores in zip(queries, found, strict=True):
        pairs = pairs_of(engine, query)
        np.testing.assert_allclose(scores[:3], [alone(engine, pair) for pair in pairs[:3]], atol=1e-5)


@pytest.mark.parametrize("apart", [True, False])
def test_calls_are_kept_apart_where_that_is_wanted(apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight calls wait at the same time: their batches mix, but not in the processes of batch jobs."""
    monkeypatch.setattr("ranking.learning.engine._apart", apart)
    engine = Engine(tiny_model())
    forward, leave, batches = engine._forward, threading.Event(), []

    def waiting(works: list[Any]) -> Any:
        leave.wait(60)
        batches.append({work.call for work in works})
        return forward(works)

    monkeypatch.setattr(engine, "_forward", waiting)
    calls = [pairs_of(engine, texts=[f"{TEXTS[i]} {number}" for i in range(4)]) for number in range(8)]
    with ThreadPoolExecutor(8) as callers:
        answers = [callers.submit(engine.states, call) for call in calls]
        while engine.waiting_tokens < sum(len(pair) for call in calls for pair in call):
            pass
        leave.set()
        for call, answer in zip(calls, answers, strict=True):
            np.testing.assert_allclose(
                engine.logits(answer.result()), [alone(engine, pair) for pair in call], atol=1e-5
            )
    assert (max(map(len, batches)) == 1) == apart
    assert (len(engine.kept) == 0) == apart


@given(
    st.lists(st.tuples(st.integers(1, 400), st.sampled_from([1, 2]), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 4),
)
def test_batches_hold_everything_once_and_are_of_about_one_size(drawn: Any, cores: int) -> None:
    """However little there is, every core has its share of it: the cores are done at about the same time."""
    deltas = [Delta({}), Delta({})]
    works = [
        Work(Pair((0,) * length, (0,) * length, b""), cut, None, deltas[number % 2] if changed else None, None)
        for number, (length, cut, changed) in enumerate(drawn)
    ]
    made = list(batches(works, cores))
    assert sorted(id(work) for batch in made for work in batch) == sorted(map(id, works))
    assert all(work.done.running() for work in works)
    longest = max(map(len, (work.pair for work in works)))
    for kind in {work.kind for work in works}:
        alike = [work for work in works if work.kind == kind]
        own = [batch for batch in made if batch[0].kind == kind]
        assert all(work.kind == kind for batch in own for work in batch)
        runs = [[id(delta) for delta, _ in groupby(batch, key=lambda work: work.delta)] for batch in own]
        assert all(len(run) == len(set(run)) for run in runs)
        share = sum(len(work.pair) for work in alike) / max(cores, len(own))
        assert max(sum(len(work.pair) for work in batch) for batch in own) <= min(BATCH, share * 2) + longest
