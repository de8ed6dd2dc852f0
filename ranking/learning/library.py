"""Cross-encoders of every other architecture, computed by transformers.

What goes into the classifier's last linear map is taken for the pooled vector, so such a model's head can be adapted
exactly like that of our own network; below the head nothing can be cut, and nothing else adapts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from index.errors import InputError
from ranking.learning.bert import Frame, Packed, Parameters, Part


class LibraryBody:
    """A classifier of transformers as a body of one layer, whose states below that layer are the tokens themselves."""

    def __init__(self, model: nn.Module, last: nn.Linear, max_tokens: int, padding: int) -> None:
        self.frame = Frame(layers=1, heads=1, width=last.in_features, epsilon=0.0, max_tokens=max_tokens)
        self._model, self._padding = model, padding
        self._seen: Tensor | None = None
        self._lock = threading.Lock()
        last.register_forward_hook(self._see)

    def embed(self, p: Parameters, texts: Packed) -> Tensor:
        return torch.stack([texts.ids, texts.types], dim=1)

    def states(
        self, p: Parameters, x: Tensor, lengths: Sequence[int], layers: range, parts: Sequence[Part] = ()
    ) -> Tensor:
        return x

    def pooled(self, p: Parameters, x: Tensor, lengths: Sequence[int], parts: Sequence[Part] = ()) -> Tensor:
        longest = max(lengths)
        texts = torch.split(x, list(lengths))
        ids = torch.full((len(texts), longest), self._padding, dtype=torch.int64)
        types = torch.zeros((len(texts), longest), dtype=torch.int64)
        mask = torch.zeros((len(texts), longest), dtype=torch.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)], types[row, : len(text)], mask[row, : len(text)] = text[:, 0], text[:, 1], 1
        known = {"token_type_ids": types} if self._takes_types else {}
        with self._lock:  # what the hook sees belongs to one call
            self._model(input_ids=ids, attention_mask=mask, **known)
            seen, self._seen = self._seen, None
        assert seen is not None
        return seen.float()

    def logits(self, p: Parameters, pooled: Tensor, parts: Sequence[Part] = ()) -> Tensor:
        if any(name.split(".")[0] != "head" for part in parts for name in part.delta.tensors):
            raise InputError("Of this model only the head can be adapted.", 'Use tuned = "head".')
        return linear(pooled, p["head.weight"].float(), p["head.bias"].float())

    @property
    def _takes_types(self) -> bool:
        return int(getattr(self._model.config, "type_vocab_size", 0) or 0) > 1

    def _see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._seen = inputs[0].detach().reshape(len(output), -1)


def load_library(directory: Path, dtype: torch.dtype) -> tuple[LibraryBody, dict[str, Tensor]]:
    """A sequence classifier of transformers from safetensors; no code of the model is run.

    Raises InputError for a model whose last map is not linear.
    """
    from transformers import AutoModelForSequenceClassification

    model: Any = AutoModelForSequenceClassification.from_pretrained(
        directory, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=dtype
    )
    model.eval()
    maps = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels]
    if not maps:
        raise InputError(f"The classifier of {directory.name!r} does not end in a linear map.", "Name another model.")
    last = maps[-1]
    own: Tensor | None = last.bias
    bias = torch.zeros(last.out_features) if own is None else own
    parameters = {"head.weight": last.weight.detach(), "head.bias": bias.detach(), "words": last.weight.detach()}
    limit = int(getattr(model.config, "max_position_embeddings", 512) or 512)
    # RoBERTa and its kin count positions from the padding token on.
    limit -= 2 if getattr(model.config, "model_type", "") in ("roberta", "xlm-roberta", "camembert") else 0
    return LibraryBody(model, last, limit, int(getattr(model.config, "pad_token_id", 0) or 0)), parameters
