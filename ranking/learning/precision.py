"""In what a cross-encoder computes: the fastest that the processor has instructions for, where the model's rankings
bear it.

What rounding does to a ranking depends on the model, so it is seen and not assumed: before a model serves in anything
coarser than fp32, it ranks a small sample in both. The outcome is kept (`ranking.learning.verdicts`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from index.encoder_bert import native_bf16, workers
from index.errors import InputError
from ranking.learning import verdicts
from ranking.learning.bert import Bert, Packed
from ranking.learning.bf16 import Bf16Bert
from ranking.learning.int8 import Int8Bert
from ranking.learning.judged import one_core
from ranking.learning.sample import PASSAGES, QUESTIONS

if TYPE_CHECKING:
    from ranking.learning.cross_encoder import CrossEncoder

Computed: TypeAlias = Literal["fp32", "bf16", "int8"]
Load: TypeAlias = Callable[[torch.dtype], "CrossEncoder"]

LEAST_TAU, LEAST_NDCG = 0.98, 0.995
_TOP = 10
_log = logging.getLogger("clickwise.learning")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much of fp32's ranking is left, as means over the sample's questions: Kendall's tau of all passages, and
    nDCG@10 where what fp32 ranks first is worth most."""

    tau: float
    ndcg: float

    @property
    def enough(self) -> bool:
        return self.tau >= LEAST_TAU and self.ndcg >= LEAST_NDCG


_seen: dict[tuple[str, Computed], Agreement] = {}


def offered() -> tuple[Computed, ...]:
    """What the processor has instructions for beside fp32, the first choice first. (Where it has both, bf16 is nearly
    as quick as int8 and far more exact.)"""
    able: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if native_bf16():
        return ("bf16",)
    return ("int8",) if any(able.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8")) else ()


def chosen(load: Load) -> CrossEncoder:
    """The model in the first precision on offer that ranks as fp32 does, or else in fp32."""
    for precision in offered():
        if precision == "bf16":
            model = in_order(load(torch.bfloat16))
        else:
            model = load(torch.float32)
            if not isinstance(model.bert, Bert):
                continue
            model = quantised(model)
        found = _agreement(model, precision, load)
        if found.enough:
            return model
        _log.warning(
            "The model %s ranks otherwise in %s (Kendall's tau %.3f, nDCG@10 %.3f): it computes in fp32, more slowly.",
            model.name,
            precision,
            found.tau,
            found.ndcg,
        )
    return load(torch.float32)


def _agreement(model: CrossEncoder, precision: Computed, load: Load) -> Agreement:
    """The agreement with fp32 as it was seen before, in this process or another, or is seen now."""
    key = (model.checksum, precision)
    if key not in _seen:
        about = verdicts.conditions(*key)
        kept = verdicts.read(about)
        _seen[key] = agreement(model, load(torch.float32)) if kept is None else Agreement(*kept)
        if kept is None:
            verdicts.write(about, _seen[key].tau, _seen[key].ndcg)
    return _seen[key]


def quantised(model: CrossEncoder) -> CrossEncoder:
    """A model in fp32 with its matrix products in int8. Raises InputError for one that transformers computes."""
    if not isinstance(model.bert, Bert):
        raise InputError(f"The model {model.name!r} is not computed in int8.", "Use bf16, fp32 or auto.")
    return replace(model, bert=Int8Bert(model.bert.frame, model.parameters), computed_in="int8")


def in_order(model: CrossEncoder) -> CrossEncoder:
    """A model in bf16 as oneDNN computes it soonest, where the network is ours and the processor one of x86's with
    instructions for bf16."""
    able: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if not (isinstance(model.bert, Bert) and (able.get("avx512_bf16") or able.get("amx_bf16"))):
        return model
    return replace(model, bert=Bf16Bert(model.bert.frame, model.parameters))


def agreement(model: CrossEncoder, exact: CrossEncoder) -> Agreement:
    """How much of the ranking of `exact` is left in another precision, on the sample."""
    workers()  # as many as there are cores: so before this thread, and whoever asks meanwhile, has one only
    with one_core():
        pairs = [(_scores(model, question), _scores(exact, question)) for question in QUESTIONS]
    return Agreement(
        float(np.mean([kendall_tau(*pair) for pair in pairs])), float(np.mean([_ndcg(*pair) for pair in pairs]))
    )


@torch.inference_mode()
def _scores(model: CrossEncoder, question: str) -> npt.NDArray[np.float64]:
    """The scores of the passages, shape (passages,)."""
    tokens = model.tokenizer.pairs(question, PASSAGES)
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i][0]))
    body, p = model.bert, model.parameters
    packed = Packed.of([tokens[i] for i in order])
    x = body.states(p, body.embed(p, packed), packed.lengths, range(body.frame.layers - 1))
    logits = model.score(body.logits(p, body.pooled(p, x, packed.lengths)))
    scores = np.empty(len(order))
    scores[order] = logits.double().numpy()
    return scores


def kendall_tau(a: Sequence[float] | npt.NDArray[np.float64], b: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Kendall's tau-b of two lists of n scores, n small: quadratic. 1 where neither tells anything apart."""
    first, second = (np.sign(np.subtract.outer(s, s))[np.triu_indices(len(s), 1)] for s in (np.array(a), np.array(b)))
    untied = math.sqrt(float(np.abs(first).sum()) * float(np.abs(second).sum()))
    if not untied:
        return 1.0 if not first.any() and not second.any() else 0.0
    return float(first @ second) / untied


def _ndcg(scores: npt.NDArray[np.float64], exact: npt.NDArray[np.float64]) -> float:
    """nDCG@10 of one order where the other's first ten are worth 10, 9, ... 1."""
    gains = np.zeros(len(exact))
    best = np.argsort(-exact, kind="stable")[:_TOP]
    gains[best] = np.arange(len(best), 0, -1)
    discounts = 1.0 / np.log2(np.arange(2.0, len(best) + 2.0))
    found = gains[np.argsort(-scores, kind="stable")[:_TOP]]
    reached, most = float(found @ discounts), float(gains[best] @ discounts)
    return reached / most
