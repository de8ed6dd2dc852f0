"""Sentence encoders of any make, through sentence-transformers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from index.distribution import Computed
from index.encoder import Encoder, load_again
from index.encoder_batches import batches, readable

_TOKENS = 8_192  # a batch, padding included
_CHARACTERS_PER_TOKEN = 4  # of prose, about: for sorting into batches before tokens are known
_MAX_TOKENS = 512  # where a model does not say


class LibraryEncoder:
    """A sentence-transformers model on the processor. Satisfies `index.encoder.Encoder`."""

    def __init__(self, directory: Path, name: str, checksum: str, *, bf16: bool, max_tokens: int | None = None) -> None:
        self.name, self.checksum = name, checksum
        self._bf16 = bf16
        self._model = _load(directory)
        self._lock = threading.Lock()
        self.computed = Computed()
        longest = int(self._model.max_seq_length or _MAX_TOKENS)
        self.max_tokens = self._model.max_seq_length = min(longest, max_tokens or longest)
        self.dimension = int(self._run([""]).shape[1])

    def __reduce__(self) -> tuple[Callable[..., Encoder], tuple[str, str, int, bool]]:
        """In a pickle it is its name: whoever reads that loads the model."""
        return load_again, (self.name, self.checksum, self.max_tokens, self._bf16)

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Encode n texts to (n, dimension) float32, rows L2-normalised. Thread-safe.

        One forward pass runs at a time (each uses all cores); calls take turns batch by batch. `on_progress` gets the
        number of texts done since its last call.
        """
        clean = [readable(text, self.max_tokens) for text in texts]
        lengths = [min(self.max_tokens, len(text) // _CHARACTERS_PER_TOKEN + 2) for text in clean]
        vectors = np.empty((len(clean), self.dimension), np.float32)
        for batch in batches(lengths, _TOKENS):
            vectors[batch] = self._run([clean[i] for i in batch])
            if on_progress is not None:
                on_progress(len(batch))
        return vectors

    def _run(self, texts: list[str]) -> npt.NDArray[np.float32]:
        import torch

        with self._lock, torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            start = time.perf_counter()
            vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False)
            self.computed.add(len(texts), None, time.perf_counter() - start)
        rows: npt.NDArray[np.float32] = np.asarray(vectors, np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
        return rows


def _load(directory: Path) -> Any:
    """The model, from its files alone: no network, no pickles, no code of its own."""
    with _silence():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(directory),
            device="cpu",
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        ).eval()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep transformers' bars and hints off the terminal while a model loads."""
    from transformers.utils import logging as its_logging

    logging: Any = its_logging  # its functions have no types
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
