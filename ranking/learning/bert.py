"""A cross-encoder of BERT's shape, computed on packed tokens, with any number of deltas in one forward pass.

As in `index.encoder_bert`, the tokens of a batch lie one text after the other without padding, and only attention is
done text by text (all of equal length at once). Here parameters are a plain mapping, so that what differentiates
through them (adaptation, meta-learning) and what only reads them share one implementation.

The network is BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805) as a sequence classifier: the first token's
last state goes through the pooler (a tanh layer) to one logit. Of the last layer, only what that token needs is
computed: not even the keys and values of the others (`Bert._attend_first`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention, softmax

from ranking.learning.delta import Delta, wide

Parameters = Mapping[str, Tensor]
Runs = list[tuple[int, int]]  # (length, count) of neighbouring texts of equal length


@dataclass(frozen=True, slots=True)
class Frame:
    """What a model's configuration says beyond its weights."""

    layers: int
    heads: int
    width: int
    epsilon: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the batch that one delta changes: `texts` texts, which hold `tokens` tokens."""

    texts: slice
    tokens: slice
    delta: Delta


@dataclass(frozen=True, slots=True)
class Packed:
    """n texts one after the other: `ids` and `types` of all tokens, and the length of each text."""

    ids: Tensor
    types: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Packed:
        """From (token ids, token types) of every text."""
        ids = torch.tensor([token for text in texts for token in text[0]], dtype=torch.int32)
        types = torch.tensor([kind for text in texts for kind in text[1]], dtype=torch.int32)
        return cls(ids, types, tuple(len(text[0]) for text in texts))


class Body(Protocol):
    """A network that can be cut at its layers: what the engine and adaptation ask of one."""

    frame: Frame

    def embed(self, p: Parameters, texts: Packed) -> Tensor: ...

    def states(
        self, p: Parameters, x: Tensor, lengths: Sequence[int], layers: range, parts: Sequence[Part] = ()
    ) -> Tensor: ...

    def pooled(self, p: Parameters, x: Tensor, lengths: Sequence[int], parts: Sequence[Part] = ()) -> Tensor: ...

    def logits(self, p: Parameters, pooled: Tensor, parts: Sequence[Part] = ()) -> Tensor: ...


class Bert:
    """The forward pass in three pieces: `embed`, `states` up to any layer, `pooled` from there.

    `parameters` are named as `named` makes them from a model's file. They may be of any type torch computes in.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def embed(self, p: Parameters, texts: Packed) -> Tensor:
        """The states below the first layer, shape (tokens, width)."""
        positions = torch.cat([torch.arange(length).repeat(count) for length, count in _runs(texts.lengths)])
        ids, types, places = (each.to(p["words"].device) for each in (texts.ids, texts.types, positions))
        x = embedding(ids, p["words"]) + embedding(places, p["positions"]) + embedding(types, p["types"])
        return self._norm(p, "norm", x, ())

    def states(
        self, p: Parameters, x: Tensor, lengths: Sequence[int], layers: range, parts: Sequence[Part] = ()
    ) -> Tensor:
        """The states (tokens, width) after `layers`, from those before them. All of each text's tokens go on."""
        runs = _runs(lengths)
        for layer in layers:
            at = f"layers.{layer}"
            attended = self._attend(self._linear(p, f"{at}.qkv", x, parts), runs)
            x = self._norm(p, f"{at}.norm", self._linear(p, f"{at}.attended", attended, parts) + x, parts)
            inner = gelu(self._linear(p, f"{at}.up", x, parts))
            x = self._norm(p, f"{at}.last_norm", self._linear(p, f"{at}.down", inner, parts) + x, parts)
        return x

    def pooled(self, p: Parameters, x: Tensor, lengths: Sequence[int], parts: Sequence[Part] = ()) -> Tensor:
        """From the states before the last layer, (tokens, width), to the pooled states (texts, width), float32 or
        wider."""
        at = f"layers.{self.frame.layers - 1}"
        firsts = torch.tensor([0, *lengths[:-1]], device=x.device).cumsum(0)
        rows = [Part(part.texts, part.texts, part.delta) for part in parts]
        attended = self._attend_first(p, f"{at}.qkv", x, lengths, parts)
        x = self._norm(p, f"{at}.norm", self._linear(p, f"{at}.attended", attended, rows) + x[firsts], rows)
        inner = gelu(self._linear(p, f"{at}.up", x, rows))
        x = self._norm(p, f"{at}.last_norm", self._linear(p, f"{at}.down", inner, rows) + x, rows)
        return torch.tanh(wide(self._linear(p, "pooler", x, rows)))

    def logits(self, p: Parameters, pooled: Tensor, parts: Sequence[Part] = ()) -> Tensor:
        """Pooled states (texts, width) to scores (texts, labels)."""
        rows = [Part(part.texts, part.texts, part.delta) for part in parts]
        pooled = pooled.to(p["head.weight"].dtype)
        return wide(self._linear(p, "head", pooled, rows))

    def forward(self, p: Parameters, texts: Packed, parts: Sequence[Part] = ()) -> Tensor:
        """Scores (texts, labels)."""
        x = self.states(p, self.embed(p, texts), texts.lengths, range(self.frame.layers - 1), parts)
        return self.logits(p, self.pooled(p, x, texts.lengths, parts), parts)

    def _linear(self, p: Parameters, name: str, x: Tensor, parts: Sequence[Part]) -> Tensor:
        weight, bias = f"{name}.weight", f"{name}.bias"
        y = self._product(p, name, x)
        pieces = []
        for part in parts:
            piece = y[part.tokens]
            if (change := part.delta.vector(bias, y)) is not None:
                piece = piece + change
            if (change := part.delta.product(weight, x[part.tokens])) is not None:
                piece = piece + change
            pieces.append(piece)
        return _with_parts(y, parts, pieces)

    def _product(self, p: Parameters, name: str, x: Tensor) -> Tensor:
        """A linear map without any delta, in the type of x."""
        return linear(x, p[f"{name}.weight"].to(x.dtype), p[f"{name}.bias"].to(x.dtype))

    def _norm(self, p: Parameters, name: str, x: Tensor, parts: Sequence[Part]) -> Tensor:
        weight, bias = f"{name}.weight", f"{name}.bias"
        scale, shift = p[weight].to(x.dtype), p[bias].to(x.dtype)
        y = layer_norm(x, (self.frame.width,), scale, shift, self.frame.epsilon)
        pieces = []
        for part in parts:
            longer, further = part.delta.vector(weight, x), part.delta.vector(bias, x)
            if longer is None and further is None:
                pieces.append(y[part.tokens])
                continue
            own_scale = scale if longer is None else scale + longer
            own_shift = shift if further is None else shift + further
            pieces.append(layer_norm(x[part.tokens], (self.frame.width,), own_scale, own_shift, self.frame.epsilon))
        return _with_parts(y, parts, pieces)

    def _attend(self, qkv: Tensor, runs: Runs) -> Tensor:
        """Self-attention within each text: (tokens, 3 x width) -> (tokens, width)."""
        attended = []
        for part in by_run(qkv, runs):
            count, length, _ = part.shape
            q, k, v = part.view(count, length, 3, self.frame.heads, -1).permute(2, 0, 3, 1, 4).unbind()
            attended.append(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(count * length, -1))
        return torch.cat(attended)

    def _attend_first(
        self, p: Parameters, name: str, x: Tensor, lengths: Sequence[int], parts: Sequence[Part]
    ) -> Tensor:
        """What the first token of each text attends to: (tokens, width) -> (texts, width).

        With one query a text, its products change places: q (K x) is (q K) x, and the mean of V x is V of the mean, so
        that keys and values, of all tokens, are never made. (A bias of keys moves all scores of a text by the same,
        which a softmax does not see.) What is left is little, and is done in float32 or wider.
        """
        heads, width = self.frame.heads, self.frame.width
        attended = []
        for part in _stretches(parts, lengths):
            weight, bias = (part.delta.changed(f"{name}.{kind}", p[f"{name}.{kind}"]) for kind in ("weight", "bias"))
            (q, k, v), (shift, _, further) = weight.view(3, heads, -1, width), bias.view(3, heads, 1, -1)
            texts = by_run(wide(x[part.tokens]), _runs(lengths[part.texts]))
            firsts = torch.cat([run[:, 0] for run in texts])
            asked = (firsts @ q.transpose(1, 2) + shift) @ k * (width / heads) ** -0.5  # (heads, texts, width)
            means = [
                softmax(own @ run.transpose(1, 2), dim=2) @ run
                for own, run in zip(asked.transpose(0, 1).split([len(run) for run in texts]), texts, strict=True)
            ]
            values = torch.cat(means).transpose(0, 1) @ v.transpose(1, 2) + further  # (heads, texts, width / heads)
            attended.append(values.transpose(0, 1).flatten(1))
        return torch.cat(attended).to(x.dtype)


def named(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The parameters of a BERT's file under our names; queries, keys and values become one matrix.

    The pooler and the head may be missing (a sentence encoder has none): then they are left out.
    """
    bare = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    ours = {
        "words": bare["embeddings.word_embeddings.weight"],
        "positions": bare["embeddings.position_embeddings.weight"],
        "types": bare["embeddings.token_type_embeddings.weight"],
    }
    places = {"norm": "embeddings.LayerNorm", "pooler": "pooler.dense", "head": "classifier"}
    for layer in range(layers):
        at, theirs = f"layers.{layer}", f"encoder.layer.{layer}"
        places |= {f"{at}.{name}": f"{theirs}.{place}" for name, place in _PLACES.items()}
        for kind in ("weight", "bias"):
            parts = [bare[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            ours[f"{at}.qkv.{kind}"] = torch.cat(parts)
    for name, place in places.items():
        for kind in ("weight", "bias"):
            if f"{place}.{kind}" in bare:
                ours[f"{name}.{kind}"] = bare[f"{place}.{kind}"]
    return ours


def unnamed(parameters: Parameters, layers: int) -> dict[str, Tensor]:
    """The inverse of `named`, with the prefix `bert.` as transformers writes a sequence classifier."""
    theirs = {
        "bert.embeddings.word_embeddings.weight": parameters["words"],
        "bert.embeddings.position_embeddings.weight": parameters["positions"],
        "bert.embeddings.token_type_embeddings.weight": parameters["types"],
    }
    places = {"norm": "bert.embeddings.LayerNorm", "pooler": "bert.pooler.dense", "head": "classifier"}
    for layer in range(layers):
        at, there = f"layers.{layer}", f"bert.encoder.layer.{layer}"
        places |= {f"{at}.{name}": f"{there}.{place}" for name, place in _PLACES.items()}
        for kind in ("weight", "bias"):
            for part, tensor in zip(("query", "key", "value"), parameters[f"{at}.qkv.{kind}"].chunk(3), strict=True):
                theirs[f"{there}.attention.self.{part}.{kind}"] = tensor
    for name, place in places.items():
        theirs |= {f"{place}.{kind}": parameters[f"{name}.{kind}"] for kind in ("weight", "bias")}
    return {name: tensor.contiguous() for name, tensor in theirs.items()}


_PLACES = {
    "attended": "attention.output.dense",
    "norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "last_norm": "output.LayerNorm",
}


def _runs(lengths: Sequence[int]) -> Runs:
    return [(length, len(list(group))) for length, group in groupby(lengths)]


def by_run(x: Tensor, runs: Runs) -> list[Tensor]:
    """Packed rows (tokens, d) as one tensor (texts, length, d) for every run of texts of equal length."""
    parts = torch.split(x, [length * count for length, count in runs])
    return [part.reshape(count, length, -1) for part, (length, count) in zip(parts, runs, strict=True)]


def _stretches(parts: Sequence[Part], lengths: Sequence[int]) -> Iterator[Part]:
    """The whole batch in stretches of one delta each, those that no part changes among them."""
    text = token = 0
    for part in parts:
        if text < part.texts.start:
            yield Part(slice(text, part.texts.start), slice(token, part.tokens.start), _NOTHING)
        yield part
        text, token = part.texts.stop, part.tokens.stop
    if text < len(lengths):
        yield Part(slice(text, len(lengths)), slice(token, sum(lengths)), _NOTHING)


_NOTHING = Delta({})


def _with_parts(y: Tensor, parts: Sequence[Part], pieces: Sequence[Tensor]) -> Tensor:
    """y with the rows of every part replaced by its piece. Parts are in order and do not overlap."""
    if not parts:
        return y
    if len(parts) == 1 and len(pieces[0]) == len(y):
        return pieces[0]
    whole, at = [], 0
    for part, piece in zip(parts, pieces, strict=True):
        whole += [y[at : part.tokens.start], piece]
        at = part.tokens.stop
    return torch.cat([*whole, y[at:]])
