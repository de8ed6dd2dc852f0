"""Loading cross-encoders: what is taken, and what is refused in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from index.errors import InputError, NotFoundError, UnavailableError
from ranking.learning.cross_encoder import load_cross_encoder
from ranking.learning.delta import Delta
from ranking.learning.engine import Engine
from tests.ranking.learning.tiny import write_tiny

PAIRS = [("a boat", "a mast and a keel"), ("a boat", "beans"), ("a boat", "a long walk along the harbour at low tide")]


def scores(name: str, precision: str = "fp32") -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    engine = Engine(load_cross_encoder(name, precision=precision, max_tokens=48))  # type: ignore[arg-type]
    _, pieces = engine.model.tokenizer.passages(PAIRS[0][0], [text for _, text in PAIRS], 1)
    return engine.logits(engine.states([piece[0] for piece in pieces]))


@pytest.mark.parametrize("labels", [1, 2])
def test_it_scores_as_the_library_does(labels: int, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    directory = write_tiny(tmp_path, labels=labels)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokens = AutoTokenizer.from_pretrained(directory)(PAIRS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**tokens).logits.double().numpy()
    expected = logits[:, 0] if labels == 1 else logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(scores(str(directory)), expected, atol=1e-4)


def test_every_other_architecture_is_left_to_the_library(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DistilBertConfig
    from transformers import DistilBertForSequenceClassification as Other

    directory = write_tiny(tmp_path)
    (directory / "model.safetensors").unlink()
    config = DistilBertConfig(vocab_size=30_522, dim=16, n_layers=2, n_heads=2, hidden_dim=32, num_labels=1)
    Other(config).save_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    tokens = AutoTokenizer.from_pretrained(directory)(PAIRS, padding=True, return_tensors="pt")
    tokens.pop("token_type_ids", None)
    with torch.inference_mode():
        expected = model(**tokens).logits[:, 0].double().numpy()
    np.testing.assert_allclose(scores(str(directory)), expected, atol=1e-4)


def test_bf16_keeps_the_order_of_what_is_clearly_apart(tmp_path: Path) -> None:
    directory = write_tiny(tmp_path, seed=5)
    exact, rounded = scores(str(directory)), scores(str(directory), "bf16")
    np.testing.assert_allclose(rounded, exact, atol=0.05 * float(np.ptp(exact)) + 0.02)


def test_its_own_activation_says_what_kind_of_score_it_is(tmp_path: Path) -> None:
    plain = write_tiny(tmp_path / "plain", sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"})
    sigmoid = write_tiny(tmp_path / "sigmoid")
    assert load_cross_encoder(str(plain)).score_kind == "logit"
    assert load_cross_encoder(str(sigmoid)).score_kind == "probability"


def test_three_labels_are_no_cross_encoder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 labels"):
        load_cross_encoder(str(write_tiny(tmp_path, labels=3)))


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", r"config\.json"), ("tokenizer.json", r"tokenizer\.json"), ("model.safetensors", "no weights in")],
)
def test_missing_files_are_named(missing: str, said: str, tmp_path: Path) -> None:
    directory = write_tiny(tmp_path)
    (directory / missing).unlink()
    with pytest.raises(UnavailableError, match=said):
        load_cross_encoder(str(directory))


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    directory = write_tiny(tmp_path)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(UnavailableError, match="no weights in safetensors"):
        load_cross_encoder(str(directory))


def test_a_damaged_model_is_said(tmp_path: Path) -> None:
    directory = write_tiny(tmp_path)
    (directory / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UnavailableError, match="could not be loaded"):
        load_cross_encoder(str(directory))
    (directory / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(UnavailableError, match="is no JSON"):
        load_cross_encoder(str(directory))


def test_a_path_that_leads_nowhere() -> None:
    with pytest.raises(NotFoundError, match="no model directory"):
        load_cross_encoder("/nowhere/at/all")


def test_a_hub_name_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="could not be fetched"):
        load_cross_encoder("nobody/no-such-model")


def test_a_delta_of_other_weights_is_refused(tmp_path: Path) -> None:
    Delta({}, {"base": "0" * 64, "scale": 1.0, "precision": 1.0}).save(tmp_path / "delta.safetensors")
    with pytest.raises(UnavailableError, match="checksum 000000000000"):
        load_cross_encoder(str(tmp_path / "delta.safetensors"))


def test_what_is_shipped_is_small_and_says_where_it_comes_from() -> None:
    from ranking.learning.cross_encoder import SHIPPED

    paths = sorted(SHIPPED.glob("*/delta.safetensors"))
    assert paths
    assert sum(path.stat().st_size for path in paths) <= 5_000_000
    for path in paths:
        about = Delta.load(path).about
        assert about["base"].startswith("53aa51172d14")
        card = (path.parent / "README.md").read_text(encoding="utf-8")
        assert all(word in card for word in ("arxiv-titles-abstracts", "msrd-movies", "clickwise train"))
        sums = json.loads((path.parent / "checksums.json").read_text(encoding="utf-8"))
        import hashlib

        assert hashlib.sha256(path.read_bytes()).hexdigest() == sums["delta.safetensors"]
