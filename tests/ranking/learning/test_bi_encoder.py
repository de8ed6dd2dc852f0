"""The adapted sentence encoder, with a tiny model from a directory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch

from index.encoder import Encoder, load_encoder
from index.encoder_bert import BertEncoder
from index.errors import InputError
from ranking.learning.bi_encoder import BiAdaptation, BiEncoder, Evidence, adapt, bi_encoder
from ranking.learning.delta import Delta
from ranking.learning.tuning import Tuned
from tests.fakes import HashingEncoder
from tests.ranking.learning.tiny import write_sentences

TEXTS = ["mast and keel", "", "espresso in a small cup", "a comet " * 100, "tacking against the wind", "iterators"]


def encoder_of(directory: Path, **settings: Any) -> Encoder:
    return load_encoder(str(write_sentences(directory, seed=5, **settings)), precision="fp32")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return encoder_of(tmp_path_factory.mktemp("models") / "sentences")


@pytest.fixture
def model(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> BiEncoder:
    monkeypatch.setattr("ranking.learning.bi_encoder.native_bf16", lambda: False)
    assert isinstance(encoder, BertEncoder)
    return BiEncoder(encoder, 48)


def judged(model: BiEncoder, relevance: list[float], weight: list[float] | None = None) -> Evidence:
    query, *texts = model.texts(["sailing boats", *TEXTS[: len(relevance)]])
    return Evidence(query, texts, np.array(relevance), np.array(weight or [1.0] * len(relevance)))


def vectors(model: BiEncoder, evidence: Evidence, how: BiAdaptation, delta: Delta) -> npt.NDArray[np.float32]:
    cut, pairs = how.cut(model.engine.layers), evidence.everything
    found = model.engine.pooled(pairs, model.engine.states(pairs, cut), cut, delta)
    return np.asarray(torch.stack(found).numpy())


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_unadapted_vectors_are_the_index_s(pooling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranking.learning.bi_encoder.native_bf16", lambda: False)
    encoder = encoder_of(tmp_path / pooling, pooling=pooling)
    own = bi_encoder(encoder, 48)
    found = torch.stack(own.engine.states(own.texts(TEXTS))).numpy()
    np.testing.assert_allclose(found, encoder.encode(TEXTS), atol=1e-5)


def test_a_bound_on_the_tokens_is_kept(encoder: Encoder) -> None:
    assert isinstance(encoder, BertEncoder)
    assert [len(text) for text in BiEncoder(encoder, 10).texts(["a comet " * 100, ""])] == [10, 2]
    assert BiEncoder(encoder, 10_000).max_tokens == encoder.max_tokens


@pytest.mark.parametrize("tuned", sorted(set(get_args(Tuned)) - {"head"}))
@pytest.mark.parametrize("layers", [1, 2, 10])
def test_steps_make_relevant_texts_more_like_the_query(tuned: Any, layers: int, model: BiEncoder) -> None:
    evidence = judged(model, [1.0, 0.0, 0.0, 1.0])
    how = BiAdaptation(tuned=tuned, layers=layers, epochs=20, rate=1e-2)
    adapted = adapt(model.engine, evidence, how)
    assert adapted.ended == "done"
    assert len(adapted.losses) == 20
    assert adapted.losses[-1] < 0.9 * adapted.losses[0]
    before, after = (vectors(model, evidence, how, delta) for delta in (Delta({}), adapted.delta))
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1.0, atol=1e-5)

    def margin(rows: npt.NDArray[np.float32]) -> float:
        cosines = rows[1:] @ rows[0]
        return float(cosines[[0, 3]].mean() - cosines[[1, 2]].mean())

    assert margin(after) > margin(before)


def test_only_the_top_layers_change(model: BiEncoder) -> None:
    adapted = adapt(model.engine, judged(model, [1.0, 0.0]), BiAdaptation(layers=1, epochs=1))
    assert {name.rsplit(".", 2)[0] for name in adapted.delta.tensors} == {"layers.2"}


def test_the_gradient_is_that_of_the_whole_network(model: BiEncoder) -> None:
    """The first step of AdamW on each parameter goes against the sign of the gradient that autograd finds in one go."""
    evidence, rate = judged(model, [1.0, 0.0, 0.3], [1.0, 2.0, 0.5]), 1e-3
    adapted = adapt(model.engine, evidence, BiAdaptation(layers=1, epochs=1, rate=rate))
    bert, p = model.engine.model.bert, model.engine.model.parameters
    name = "layers.2.up.bias"
    changed = {**p, name: p[name].clone().requires_grad_()}
    rows = []
    for pair in evidence.everything:
        below = model.engine.states([pair], 2)[0].clone()
        rows.append(bert.pooled(changed, below, [len(pair)])[0])
    scores = 20.0 * (torch.stack(rows[1:]) @ rows[0])
    relevance, weight = torch.tensor(evidence.relevance), torch.tensor(evidence.weight)
    p_relevant = torch.sigmoid(scores - ((weight * scores).sum() / weight.sum()).detach())
    loss = -(weight * (relevance * p_relevant.log() + (1 - relevance) * (1 - p_relevant).log())).sum() / weight.sum()
    (gradient,) = torch.autograd.grad(loss, changed[name])
    clear = gradient.abs() > 1e-5
    assert bool(clear.any())
    torch.testing.assert_close(adapted.delta.tensors[name][clear], -rate * gradient[clear].sign(), rtol=1e-2, atol=1e-6)
    assert adapted.losses[0] == pytest.approx(float(loss.detach()), rel=1e-4)


def test_weights_count(model: BiEncoder) -> None:
    """What has next to no weight has next to no say."""
    how = BiAdaptation(epochs=1)
    without = adapt(model.engine, judged(model, [1.0, 0.0]), how)
    light = adapt(model.engine, judged(model, [1.0, 0.0, 1.0], [1.0, 1.0, 1e-9]), how)
    assert light.losses[0] == pytest.approx(without.losses[0], rel=1e-4)


def test_no_feedback_and_no_time_change_nothing(model: BiEncoder) -> None:
    assert adapt(model.engine, judged(model, []), BiAdaptation()).delta.tensors == {}
    evidence = judged(model, [1.0, 0.0])
    model.engine.states(evidence.everything, BiAdaptation().cut(model.engine.layers))
    late = adapt(model.engine, evidence, BiAdaptation(), deadline=time.perf_counter() + 1e-9)
    assert late.ended == "deadline"
    assert late.delta.tensors == {}


def test_what_is_not_finite_ends_with_the_base_model(model: BiEncoder) -> None:
    adapted = adapt(model.engine, judged(model, [1.0, float("nan")]), BiAdaptation())
    assert adapted.ended == "not finite"
    assert adapted.delta.tensors == {}


def test_other_encoders_cannot_be_adapted() -> None:
    with pytest.raises(InputError, match="cannot be adapted"):
        bi_encoder(HashingEncoder(), 48)


def test_one_per_model(encoder: Encoder) -> None:
    assert bi_encoder(encoder, 32) is bi_encoder(encoder, 32)
    assert bi_encoder(encoder, 32) is not bi_encoder(encoder, 16)
