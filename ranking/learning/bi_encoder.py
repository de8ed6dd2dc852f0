"""The bi-encoder adapted to one query: the index's own sentence encoder, tuned a little on the feedback.

Query and texts go through the changed model each on its own, and score(d) = scale * cos(query, d) + bias. As a text's
states do not depend on the query, those below the first changed layer serve every click and every query.

The sentence encoder is a `Bert` whose pooled states are unit vectors: so the cross-encoder's engine computes, batches
and remembers for it as well.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import normalize

from index.encoder import Encoder, locate
from index.encoder_batches import readable
from index.encoder_bert import BertEncoder, Shape, native_bf16, read_shape, workers
from index.errors import InputError
from ranking.learning.adaptation import NOTHING, Adapted, backward, divided
from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Frame, Parameters, Part
from ranking.learning.cross_encoder import CrossEncoder, load_base
from ranking.learning.delta import Delta, wide
from ranking.learning.engine import Engine
from ranking.learning.objectives import TEACHER, binary
from ranking.learning.pair import Pair
from ranking.learning.tuning import Tuned, fresh, leaves, thin_names, tuned_names

_BIAS_RATE = 0.1  # of the free bias, which is in units of logits and not of parameters


class SentenceBert(Bert):
    """A BERT whose pooled states are the unit vectors of its texts, as `index.encoder_bert` pools them."""

    def __init__(self, frame: Frame, shape: Shape) -> None:
        super().__init__(frame)
        self.pooling = shape.pooling

    def pooled(self, p: Parameters, x: Tensor, lengths: Sequence[int], parts: Sequence[Part] = ()) -> Tensor:
        """From the states before the last layer, (tokens, width), to unit vectors (texts, width), float32 or wider."""
        x = wide(self.states(p, x, lengths, range(self.frame.layers - 1, self.frame.layers), parts))
        texts = torch.split(x, list(lengths))
        return normalize(torch.stack([text[0] if self.pooling == "cls" else text.mean(dim=0) for text in texts]))


class BiEncoder:
    """A sentence encoder that can be adapted, with the engine that owns it. Thread-safe."""

    def __init__(self, encoder: BertEncoder, max_tokens: int) -> None:
        directory, name = locate(encoder.name)
        shape = read_shape(directory)
        assert shape is not None, "a BertEncoder has one"
        self.max_tokens = min(max_tokens, encoder.max_tokens)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        bert, parameters, checksum = load_base(directory, torch.bfloat16 if native_bf16() else torch.float32)
        pairs = PairTokenizer(directory / "tokenizer.json", self.max_tokens)  # of a model, though nobody reads pairs
        model = CrossEncoder(name, checksum, SentenceBert(bert.frame, shape), parameters, pairs)
        self.engine = Engine(model)

    def texts(self, texts: Sequence[str]) -> list[Pair]:
        """The tokens of single texts, with as much of each as fits."""
        encoded = self._tokenizer.encode_batch_fast([readable(text, self.max_tokens) for text in texts])
        return [Pair.of((one.ids, one.type_ids)) for one in encoded]


_made: dict[tuple[str, str, int], BiEncoder] = {}
_making = threading.Lock()
os.register_at_fork(after_in_child=_made.clear)  # an engine's thread does not survive a fork


def bi_encoder(encoder: Encoder, max_tokens: int) -> BiEncoder:
    """The one of this process that is made of an index's encoder. Raises InputError where that is no plain BERT."""
    if not isinstance(encoder, BertEncoder):
        raise InputError(
            f"The index's encoder {encoder.name!r} cannot be adapted: it is not of the shape of a plain BERT.",
            "Use another pipeline, such as knn, or rebuild the index with --encoder default.",
        )
    key = (encoder.name, encoder.checksum, min(max_tokens, encoder.max_tokens))
    with _making:
        if key not in _made:
            _made[key] = BiEncoder(encoder, max_tokens)
        return _made[key]


@dataclass(frozen=True)
class BiAdaptation:
    """How to adapt: what changes in how many of the top layers, how many AdamW steps over all feedback at which
    learning rate, what a cosine is multiplied by to become a logit, and the rank of thin factors."""

    tuned: Tuned = "biases"
    layers: int = 2
    epochs: int = 8
    rate: float = 2e-3
    scale: float = TEACHER
    rank: int = 4
    seed: int = 0

    def cut(self, layers: int) -> int:
        """The first layer that changes: what lies below need not be computed again."""
        return max(0, min(layers - self.layers, layers - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A query, and n judged texts with the relevance in [0, 1] and the weight of each, both of shape (n,)."""

    query: Pair
    texts: Sequence[Pair]
    relevance: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]

    @property
    def everything(self) -> list[Pair]:
        return [self.query, *self.texts]


def adapt(engine: Engine, evidence: Evidence, how: BiAdaptation, *, deadline: float | None = None) -> Adapted:
    """Fit a delta to feedback. `deadline` is a time of `time.perf_counter`, after which the best so far is the answer.

    A loss that is not finite ends with the base model. Raises as `Engine.states` does.
    """
    if not len(evidence.texts):
        return Adapted(NOTHING, (), "done")
    left = None if deadline is None else max(0.0, deadline - time.perf_counter())
    states = engine.states(evidence.everything, how.cut(engine.layers), timeout=left)
    return _Steps(engine, evidence, how, states).run(deadline)


class _Steps:
    """Gradient steps. As in `adaptation`, the texts are divided among the cores: each computes its vectors and, given
    the loss's gradient with respect to these, its share of the gradient."""

    def __init__(self, engine: Engine, evidence: Evidence, how: BiAdaptation, states: Sequence[Tensor]) -> None:
        self.model, self.how, self.states = engine.model, how, states
        self.layers = range(how.cut(engine.layers), engine.layers)
        p = {name: tensor for name, tensor in engine.model.parameters.items() if name.startswith("layers.")}
        thin = thin_names(p, self.layers) if how.tuned == "lora" else ()
        self.leaves = dict(leaves(fresh(p, tuned_names(p, how.tuned, self.layers), thin, how.rank, how.seed)).tensors)
        self.lengths = [len(text) for text in evidence.everything]
        self.groups = divided(range(len(self.lengths)), self.lengths)
        self.relevance = torch.tensor(evidence.relevance).float()
        self.weight = torch.tensor(evidence.weight).float()
        self.bias: Tensor | None = None
        self.optimizer = torch.optim.AdamW(self.leaves.values(), lr=how.rate, weight_decay=0.0)

    def run(self, deadline: float | None) -> Adapted:
        best, losses = NOTHING, list[float]()
        for _ in range(self.how.epochs):
            if deadline is not None and time.perf_counter() >= deadline:
                return Adapted(best, tuple(losses), "deadline")
            losses.append(self._step())
            best = Delta(self.leaves).detached()
            finite = all(bool(torch.isfinite(tensor).all()) for tensor in best.tensors.values())
            if not (np.isfinite(losses[-1]) and finite):
                return Adapted(NOTHING, tuple(losses), "not finite")
        return Adapted(best, tuple(losses), "done")

    def _step(self) -> float:
        """One step on all texts. Gives the loss before it."""
        # A graph of its own per core: backward passes of one graph wait for each other.
        copies = [{name: leaf.detach().requires_grad_() for name, leaf in self.leaves.items()} for _ in self.groups]
        found = list(workers().map(self._vectors, self.groups, copies))
        order = torch.tensor([row for group in self.groups for row in group])
        vectors = torch.cat(found).detach()[torch.argsort(order)].requires_grad_()
        loss = self._loss(vectors)
        loss.backward()  # type: ignore[no-untyped-call]
        assert vectors.grad is not None
        shares = torch.split(vectors.grad[order], [len(group) for group in self.groups])
        gradients = list(workers().map(backward, found, shares, copies))
        for name, leaf in self.leaves.items():
            leaf.grad = sum((part[name] for part in gradients), torch.zeros_like(leaf))
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, vectors: Tensor) -> Tensor:
        """From the vectors of the query and the texts. The bias starts where the texts on the whole are undecided."""
        scores = self.how.scale * (vectors[1:] @ vectors[0])
        if self.bias is None:
            mean = (self.weight * scores.detach()).sum() / self.weight.sum().clamp_min(1e-9)
            self.bias = (-mean).requires_grad_()
            self.optimizer.add_param_group({"params": [self.bias], "lr": _BIAS_RATE})
        self.bias.grad = None
        return binary(scores + self.bias, self.relevance, self.weight)

    def _vectors(self, rows: Sequence[int], own: dict[str, Tensor]) -> Tensor:
        """The vectors (n, width) of some texts with gradients to a core's own copy of the parameters."""
        p, bert = self.model.parameters, self.model.bert
        lengths = [self.lengths[row] for row in rows]
        parts = (Part(slice(0, len(rows)), slice(0, sum(lengths)), Delta(own)),)
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.cat([self.states[row] for row in rows]).clone()
            x = bert.states(p, x, lengths, self.layers[:-1], parts)
            return bert.pooled(p, x, lengths, parts)
