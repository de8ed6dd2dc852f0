"""A cross-encoder of three small layers with random weights, in memory and as a Hugging Face directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from index.encoder import locate
from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Frame, unnamed
from ranking.learning.cross_encoder import CrossEncoder

FRAME = Frame(layers=3, heads=2, width=16, epsilon=1e-12, max_tokens=64)
WORDS = 30_522  # of the packaged tokenizer


def tiny_parameters(seed: int = 0, labels: int = 1) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.4) -> Tensor:
        return scale * torch.randn(shape, generator=random)

    width, inner = FRAME.width, 2 * FRAME.width
    made = {"words": normal(WORDS, width), "positions": normal(FRAME.max_tokens, width), "types": normal(2, width)}
    shapes = {"pooler": (width, width), "head": (labels, width)}
    norms = ["norm"]
    for layer in range(FRAME.layers):
        at = f"layers.{layer}"
        shapes |= {f"{at}.qkv": (3 * width, width), f"{at}.attended": (width, width)}
        shapes |= {f"{at}.up": (inner, width), f"{at}.down": (width, inner)}
        norms += [f"{at}.norm", f"{at}.last_norm"]
    for name, (outputs, inputs) in shapes.items():
        made |= {f"{name}.weight": normal(outputs, inputs), f"{name}.bias": normal(outputs, scale=0.1)}
    for name in norms:
        made |= {f"{name}.weight": 1.0 + normal(width, scale=0.1), f"{name}.bias": normal(width, scale=0.1)}
    return made


def tiny_model(seed: int = 0, max_tokens: int = 48) -> CrossEncoder:
    tokenizer = PairTokenizer(locate("default")[0] / "tokenizer.json", max_tokens)
    return CrossEncoder("tiny", f"tiny {seed}", Bert(FRAME), tiny_parameters(seed), tokenizer)


def write_tiny(directory: Path, *, labels: int = 1, seed: int = 0, **settings: object) -> Path:
    """The model as transformers writes one; `settings` go into its config.json."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": FRAME.width,
        "intermediate_size": 2 * FRAME.width,
        "num_hidden_layers": FRAME.layers,
        "num_attention_heads": FRAME.heads,
        "max_position_embeddings": FRAME.max_tokens,
        "type_vocab_size": 2,
        "vocab_size": WORDS,
        "layer_norm_eps": FRAME.epsilon,
        "id2label": {str(label): f"LABEL_{label}" for label in range(labels)},
        "label2id": {f"LABEL_{label}": label for label in range(labels)},
        **settings,
    }
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = unnamed(tiny_parameters(seed, labels), FRAME.layers)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(locate("default")[0] / name, directory / name)
    return directory


def write_sentences(directory: Path, *, pooling: str = "mean", seed: int = 0) -> Path:
    """A sentence encoder of the same network, as sentence-transformers writes one."""
    write_tiny(directory, seed=seed)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    (directory / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    (directory / "1_Pooling").mkdir()
    modes = {"pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_cls_token": pooling == "cls"}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes), encoding="utf-8")
    own = {"max_seq_length": 48, "do_lower_case": False}
    (directory / "sentence_bert_config.json").write_text(json.dumps(own), encoding="utf-8")
    return directory
