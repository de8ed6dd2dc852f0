"""Our network beside transformers', and many deltas in one pass beside one pass for each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ranking.learning.bert import Bert, Packed, Part, named, unnamed
from ranking.learning.delta import Delta
from ranking.learning.tuning import Tuned, fresh, thin_names, tuned_names
from tests.ranking.learning.tiny import FRAME, tiny_parameters, write_tiny

LENGTHS = (5, 9, 9, 3, 1, 12)


def texts_of(lengths: tuple[int, ...] = LENGTHS) -> list[tuple[list[int], list[int]]]:
    random = torch.Generator().manual_seed(3)
    ids = [torch.randint(5, 30_000, (length,), generator=random).tolist() for length in lengths]
    return [(own, [int(place > 2) for place in range(len(own))]) for own in ids]


def random_delta(what: Tuned, seed: int) -> Delta:
    p, layers = tiny_parameters(), range(FRAME.layers)
    thin = thin_names(p, layers) if what == "lora" else ()
    random = torch.Generator().manual_seed(seed)
    blank = fresh(p, tuned_names(p, what, layers), thin, rank=2)
    return Delta({name: 0.2 * torch.randn(tensor.shape, generator=random) for name, tensor in blank.items()})


def padded_logits(directory: Path) -> Tensor:
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    ids, types, mask = (torch.zeros((len(LENGTHS), max(LENGTHS)), dtype=torch.int64) for _ in range(3))
    for row, (own, kinds) in enumerate(texts_of()):
        ids[row, : len(own)], types[row, : len(own)], mask[row, : len(own)] = (
            torch.tensor(own),
            torch.tensor(kinds),
            torch.ones(len(own), dtype=torch.int64),
        )
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, token_type_ids=types, attention_mask=mask).logits
    return logits


@pytest.mark.parametrize("labels", [1, 2])
def test_the_logits_are_those_of_transformers(tmp_path: Path, labels: int) -> None:
    expected = padded_logits(write_tiny(tmp_path / "tiny", labels=labels))
    found = Bert(FRAME).forward(tiny_parameters(labels=labels), Packed.of(texts_of()))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_names_there_and_back() -> None:
    p = tiny_parameters()
    again = named(unnamed(p, FRAME.layers), FRAME.layers)
    assert again.keys() == p.keys()
    assert all(torch.equal(again[name], p[name]) for name in p)


def test_cutting_changes_nothing() -> None:
    bert, p, texts = Bert(FRAME), tiny_parameters(), Packed.of(texts_of())
    x = bert.embed(p, texts)
    for layer in range(FRAME.layers - 1):
        x = bert.states(p, x, texts.lengths, range(layer, layer + 1))
    cut = bert.logits(p, bert.pooled(p, x, texts.lengths))
    assert torch.equal(cut, bert.forward(p, texts))


@pytest.mark.parametrize("what", ["head", "biases", "norms", "lora", "all"])
def test_a_delta_in_the_pass_is_the_delta_in_the_parameters(what: Tuned) -> None:
    bert, p, texts, delta = Bert(FRAME), tiny_parameters(), Packed.of(texts_of()), random_delta(what, 1)
    part = Part(slice(0, len(LENGTHS)), slice(0, sum(LENGTHS)), delta)
    inside = bert.forward(p, texts, (part,))
    torch.testing.assert_close(inside, bert.forward(delta.added_to(p), texts), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(inside, bert.forward(p, texts), atol=1e-3)


def test_deltas_of_every_kind_share_one_pass() -> None:
    bert, p = Bert(FRAME), tiny_parameters()
    kinds: list[Tuned | None] = ["biases", None, "lora", "all", "norms", "head"]
    texts = texts_of()
    parts, at = [], 0
    for row, what in enumerate(kinds):
        if what is not None:
            tokens = slice(at, at + LENGTHS[row])
            parts.append(Part(slice(row, row + 1), tokens, random_delta(what, row)))
        at += LENGTHS[row]
    together = bert.forward(p, Packed.of(texts), parts)
    by_text = {part.texts.start: part.delta for part in parts}
    for row, text in enumerate(texts):
        own = by_text[row].added_to(p) if row in by_text else p
        torch.testing.assert_close(together[row], bert.forward(own, Packed.of([text]))[0], atol=1e-5, rtol=1e-5)


def test_the_network_computes_where_and_in_what_its_parameters_are() -> None:
    bert, texts = Bert(FRAME), Packed.of(texts_of())
    exact = bert.forward({name: tensor.double() for name, tensor in tiny_parameters().items()}, texts)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(bert.forward(tiny_parameters(), texts).double(), exact, atol=1e-5, rtol=1e-5)
    elsewhere = {name: tensor.to("meta") for name, tensor in tiny_parameters().items()}
    assert bert.forward(elsewhere, texts).device.type == "meta"
