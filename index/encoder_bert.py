"""BERT sentence encoders, computed directly: all-MiniLM-L6-v2 and every model of its shape.

Why not the library: this needs torch and tokenizers alone, which import in a fraction of the time, and it packs. The
tokens of a batch lie one text after the other without any padding, every matrix product runs over all of them,
and only attention is done per text (for all texts of equal length at once). So nothing is computed for padding, and a
text's vector does not depend on what it was encoded with. Every core works on a batch of its own. (torch would rather
split each operation over the cores, whose threads then wait for each other hundreds of times in a batch; where other
processes want the cores too, a query that takes 6 ms on one core takes hundreds on two.)

The network is BERT (Devlin et al. 2019, https://arxiv.org/abs/1810.04805), pooled as in Sentence-BERT (Reimers and
Gurevych 2019, https://arxiv.org/abs/1908.10084).
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, normalize, scaled_dot_product_attention

from index.distribution import Computed
from index.encoder import Encoder, load_again
from index.encoder_batches import batches, readable
from index.vectors import Single

_TOKENS = 1_024  # of a batch: larger ones are hardly quicker, and would keep a query waiting for longer
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _HELD = -1, -3, 64 * 2**20  # of mallopt(3), and bytes
_TEXTS = 1_024  # tokenised at a time: the tokenizer's own records of a text are many times its tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's configuration says beyond its weights."""

    heads: int
    epsilon: float
    pooling: Literal["mean", "cls"]
    max_tokens: int


class _Affine(NamedTuple):
    """Weight and bias, of a linear map or of a layer normalisation."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: _Affine  # queries, keys and values in one product
    attended: _Affine
    norm: _Affine
    up: _Affine
    down: _Affine
    last_norm: _Affine


class BertEncoder:
    """A sentence encoder of BERT's shape on the processor. Satisfies `index.encoder.Encoder`."""

    def __init__(
        self, directory: Path, shape: Shape, name: str, checksum: str, *, bf16: bool, max_tokens: int | None = None
    ) -> None:
        self.name, self.checksum = name, checksum
        self.max_tokens = min(shape.max_tokens, max_tokens or shape.max_tokens)
        self._shape, self._bf16 = shape, bf16
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        weights = _Weights(directory, torch.bfloat16 if bf16 else torch.float32)
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every token of a single text has type 0, so that one vector goes with its position.
        types = weights["embeddings.token_type_embeddings.weight"][0]
        self._positions = weights["embeddings.position_embeddings.weight"] + types
        self._norm = weights.affine("embeddings.LayerNorm")
        self._layers = weights.layers()
        self.dimension = int(self._words.shape[1])
        self.computed = Computed()

    def __reduce__(self) -> tuple[Callable[..., Encoder], tuple[str, str, int, bool]]:
        """In a pickle it is its name: whoever reads that loads the model."""
        return load_again, (self.name, self.checksum, self.max_tokens, self._bf16)

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Encode n texts to (n, dimension) float32, rows L2-normalised. Thread-safe.

        A call has few batches under way at a time, so that a query waits for one or two batches of a long job and
        not for the job. `on_progress` gets the number of texts done since its last call.
        """
        tokens = self._tokenise(texts)
        vectors = np.empty((len(tokens), self.dimension), np.float32)
        pool, running = workers(), deque[tuple[list[int], Future[Single]]]()

        def collect() -> None:
            batch, future = running.popleft()
            vectors[batch] = future.result()
            if on_progress is not None:
                on_progress(len(batch))

        for batch in batches([len(text) for text in tokens], _TOKENS):
            running.append((batch, pool.submit(self._computed, [tokens[i] for i in batch])))
            if len(running) > torch.get_num_threads():
                collect()
        while running:
            collect()
        return vectors

    def _tokenise(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        tokens: list[npt.NDArray[np.int32]] = []
        for start in range(0, len(texts), _TEXTS):
            part = [readable(text, self.max_tokens) for text in texts[start : start + _TEXTS]]
            tokens.extend(np.array(text.ids, np.int32) for text in self._tokenizer.encode_batch_fast(part))
        return tokens

    def _computed(self, texts: list[npt.NDArray[np.int32]]) -> Single:
        start = time.perf_counter()
        vectors = self._forward(texts)
        self.computed.add(len(texts), sum(map(len, texts)), time.perf_counter() - start)
        return vectors

    @torch.inference_mode()
    def _forward(self, texts: list[npt.NDArray[np.int32]]) -> Single:
        """Unit vectors (n, dimension) of n texts, which are ordered by length."""
        runs = [(length, len(list(group))) for length, group in groupby(map(len, texts))]
        positions = torch.cat([torch.arange(length).repeat(count) for length, count in runs])
        tokens = embedding(torch.from_numpy(np.concatenate(texts)), self._words)
        x = self._normalise(tokens + embedding(positions, self._positions), self._norm)
        for layer in self._layers:
            attended = self._attend(linear(x, *layer.qkv), runs)
            x = self._normalise(linear(attended, *layer.attended).add_(x), layer.norm)
            x = self._normalise(linear(gelu(linear(x, *layer.up)), *layer.down).add_(x), layer.last_norm)
        pooled = [part[:, 0] if self._shape.pooling == "cls" else part.mean(dim=1) for part in _by_run(x.float(), runs)]
        vectors: Single = normalize(torch.cat(pooled)).numpy()
        return vectors

    def _attend(self, qkv: Tensor, runs: list[tuple[int, int]]) -> Tensor:
        """Self-attention within each text: (tokens, 3 x dimension) -> (tokens, dimension)."""
        attended = qkv.new_empty(len(qkv), self.dimension)
        for part, to in zip(_by_run(qkv, runs), _by_run(attended, runs), strict=True):
            count, length, _ = part.shape
            q, k, v = part.view(count, length, 3, self._shape.heads, -1).permute(2, 0, 3, 1, 4).unbind()
            to.view(count, length, self._shape.heads, -1).copy_(scaled_dot_product_attention(q, k, v).transpose(1, 2))
        return attended

    def _normalise(self, x: Tensor, norm: _Affine) -> Tensor:
        return layer_norm(x, (self.dimension,), norm.weight, norm.bias, self._shape.epsilon)


def _by_run(x: Tensor, runs: list[tuple[int, int]]) -> list[Tensor]:
    """Packed rows (tokens, d) as one view (texts, length, d) for every run of texts of equal length."""
    parts = torch.split(x, [length * count for length, count in runs])
    return [part.view(count, length, -1) for part, (length, count) in zip(parts, runs, strict=True)]


_starting = threading.Lock()


def workers() -> ThreadPoolExecutor:
    """As many threads as torch would use cores, each of which runs torch on one core. Shared by all models."""
    with _starting:
        return _start_workers()


@cache
def _start_workers() -> ThreadPoolExecutor:
    _keep_memory()
    count = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "encoder", initializer=torch.set_num_threads, initargs=(1,))
    everyone = threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(everyone.wait)
    everyone.wait()
    # What a thread sets for itself, torch also takes as the default of threads to come: put that back.
    torch.set_num_threads(count)
    return pool


def _keep_memory() -> None:
    """Have glibc hold on to some memory that is free. It would give what each operation has used back to the system,
    to ask for it again in the next: a fifteenth of the time."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:  # musl has none
        for option, number in ((_MMAP_THRESHOLD, _HELD // 2), (_TRIM_THRESHOLD, _HELD)):
            set_option(option, number)


os.register_at_fork(after_in_child=_start_workers.cache_clear)  # threads do not survive a fork


class _Weights:
    """A BERT's tensors by their names, with or without the prefix `bert.`, in one type."""

    def __init__(self, directory: Path, dtype: torch.dtype) -> None:
        tensors = load_file(directory / "model.safetensors")
        self._tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
        self._dtype = dtype

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name].to(self._dtype)

    def affine(self, *names: str) -> _Affine:
        """The weights and biases of these parts, stacked where there are several."""
        weights, biases = zip(*((self[f"{name}.weight"], self[f"{name}.bias"]) for name in names), strict=True)
        return _Affine(torch.cat(weights), torch.cat(biases))

    def layers(self) -> list[_Layer]:
        layers: list[_Layer] = []
        while f"encoder.layer.{len(layers)}.output.dense.weight" in self._tensors:
            at = f"encoder.layer.{len(layers)}."
            layers.append(
                _Layer(
                    qkv=self.affine(*(f"{at}attention.self.{part}" for part in ("query", "key", "value"))),
                    attended=self.affine(f"{at}attention.output.dense"),
                    norm=self.affine(f"{at}attention.output.LayerNorm"),
                    up=self.affine(f"{at}intermediate.dense"),
                    down=self.affine(f"{at}output.dense"),
                    last_norm=self.affine(f"{at}output.LayerNorm"),
                )
            )
        return layers


def native_bf16() -> bool:
    """Whether the processor multiplies bf16 by instructions of its own. (torch runs bf16 without, but slower.)"""
    able: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # an empty answer from an older torch
    return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))


def read_shape(directory: Path) -> Shape | None:
    """The shape of the model in a directory, or None where it is not one that `BertEncoder` computes exactly.

    Cautious on purpose: any setting that it does not know leaves the model to the library.
    """
    config = _json(directory / "config.json")
    pooling = _pooling(directory)
    text = _json(directory / "sentence_bert_config.json")
    tokenizer = _json(directory / "tokenizer_config.json")
    plain = (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and text.get("transformer_task", "feature-extraction") == "feature-extraction"
        and not text.get("do_lower_case")
        and not text.get("query_length")
        and not text.get("document_length")
        and not _json(directory / "config_sentence_transformers.json").get("default_prompt_name")
        and (directory / "model.safetensors").is_file()
        and _tokenizer_agrees(directory, tokenizer)
    )
    if not plain or pooling is None:
        return None
    limits = (text.get("max_seq_length") or tokenizer.get("model_max_length"), config["max_position_embeddings"])
    return Shape(
        heads=config["num_attention_heads"],
        epsilon=config.get("layer_norm_eps", 1e-12),
        pooling=pooling,
        max_tokens=int(min(limit for limit in limits if limit)),
    )


def _pooling(directory: Path) -> Literal["mean", "cls"] | None:
    """How the model pools, where its modules are Transformer, Pooling and perhaps Normalize, and nothing else."""
    modules = _json(directory / "modules.json")
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules] if isinstance(modules, list) else []
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modules[0]["path"]:
        return None
    settings = _json(directory / modules[1]["path"] / "config.json")
    named = settings.get("pooling_mode")
    modes = [named] if named else [key for key, on in settings.items() if key.startswith("pooling_mode_") and on]
    if modes in (["mean"], ["pooling_mode_mean_tokens"]):
        return "mean"
    return "cls" if modes in (["cls"], ["pooling_mode_cls_token"]) else None


def _tokenizer_agrees(directory: Path, settings: dict[str, Any]) -> bool:
    """Whether tokenizer.json says what tokenizer_config.json says, so that reading the former alone is right."""
    normaliser = _json(directory / "tokenizer.json").get("normalizer") or {}
    return (
        normaliser.get("type") == "BertNormalizer"
        and normaliser.get("lowercase") == settings.get("do_lower_case", True)
        and normaliser.get("strip_accents") == settings.get("strip_accents")
        and normaliser.get("handle_chinese_chars") == settings.get("tokenize_chinese_chars", True)
    )


def _json(path: Path) -> Any:
    """A JSON file's content; an empty object where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
