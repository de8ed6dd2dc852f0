"""A cross-encoder of ours as a Hugging Face directory, for every tool that reads one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from index.encoder import locate
from index.errors import InputError
from ranking.learning.bert import Bert, unnamed
from ranking.learning.cross_encoder import CrossEncoder

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def export(model: CrossEncoder, directory: Path) -> None:
    """Write config.json, model.safetensors (float32) and the tokenizer. transformers and sentence-transformers load it,
    and give the logits that the model gives without the dense prior.

    Raises InputError for a model that came from such a directory.
    """
    if not isinstance(model.bert, Bert) or not model.scale:
        raise InputError(f"The model {model.name!r} is a Hugging Face directory already.", "Copy that.")
    source, _ = locate("default")
    directory.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "num_labels": 1,
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = unnamed(model.parameters, model.bert.frame.layers)
    whole = {name: tensor.to(torch.float32).contiguous() for name, tensor in tensors.items()}
    save_file(whole, directory / "model.safetensors", metadata={"format": "pt"})
    for name in _TOKENIZER:
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)
