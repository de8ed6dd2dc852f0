"""The network as oneDNN computes it in bf16, beside the plain one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from ranking.learning.bert import Bert, Packed, Part
from ranking.learning.bf16 import Bf16Bert
from ranking.learning.delta import Delta
from ranking.learning.precision import in_order
from ranking.learning.tuning import fresh, tuned_names
from tests.ranking.learning.tiny import FRAME, WORDS, tiny_model, tiny_parameters

able = getattr(torch.cpu, "get_capabilities", dict)()
pytestmark = pytest.mark.skipif(
    not (able.get("avx512_bf16") or able.get("amx_bf16")), reason="the processor has no instructions for bf16"
)

P = {name: tensor.bfloat16() for name, tensor in tiny_parameters().items()}


def texts_of(lengths: Sequence[int]) -> Packed:
    random = torch.Generator().manual_seed(3)
    ids = [torch.randint(5, WORDS, (length,), generator=random).tolist() for length in lengths]
    return Packed.of([(own, [0] * len(own)) for own in ids])


@pytest.mark.parametrize("lengths", [(64,), (1, 1, 1), (33, 33, 32, 31, 7), (64,) * 20, (9,) * 200])
@torch.inference_mode()
def test_the_logits_are_those_of_fp32_but_for_rounding(lengths: Sequence[int]) -> None:
    texts = texts_of(lengths)
    exact = Bert(FRAME).forward(tiny_parameters(), texts)
    found = Bf16Bert(FRAME, P).forward(P, texts)
    plain = Bert(FRAME).forward(P, texts)
    assert found.shape == exact.shape
    assert float((found - exact).abs().mean()) <= 1.5 * float((plain - exact).abs().mean()) + 2e-3
    # By how much rounding moves a logit at most depends on the order of the sums, which is the processor's own.
    torch.testing.assert_close(found, exact, atol=0.15, rtol=0.0)


@torch.inference_mode()
def test_a_text_s_states_do_not_depend_on_its_neighbours() -> None:
    bert = Bf16Bert(FRAME, P)
    lengths = (40, 17, 17, 3)
    texts = texts_of(lengths)
    together = bert.states(P, bert.embed(P, texts), lengths, range(2)).split(lengths)
    for own, ids in zip(together, texts.ids.split(lengths), strict=True):
        alone = Packed(ids, torch.zeros_like(ids), (len(ids),))
        torch.testing.assert_close(own, bert.states(P, bert.embed(P, alone), alone.lengths, range(2)))


@torch.inference_mode()
def test_deltas_and_other_parameters_are_heeded() -> None:
    """The weights in oneDNN's order are used for the parameters that they are made of, and for no others."""
    lengths = (12, 12, 5)
    texts = texts_of(lengths)
    random = torch.Generator().manual_seed(1)
    blank = fresh(P, tuned_names(P, "all", range(FRAME.layers)))
    delta = Delta({name: 0.2 * torch.randn(tensor.shape, generator=random) for name, tensor in blank.items()})
    bert = Bf16Bert(FRAME, P)
    part = Part(slice(0, len(lengths)), slice(0, sum(lengths)), delta)
    expected = Bert(FRAME).forward(delta.added_to(tiny_parameters()), texts)
    for found in (bert.forward(P, texts, (part,)), bert.forward(delta.added_to(P), texts)):
        torch.testing.assert_close(found, expected, atol=0.15, rtol=0.0)
        assert not torch.allclose(found, bert.forward(P, texts), atol=0.15)


def test_gradients_are_those_of_the_plain_network() -> None:
    texts = texts_of((12, 5))
    found = []
    for bert in (Bert(FRAME), Bf16Bert(FRAME, P)):
        shift = torch.zeros(3 * FRAME.width, requires_grad=True)
        part = Part(slice(0, 2), slice(0, 17), Delta({"layers.1.qkv.bias": shift}))
        bert.forward(P, texts, (part,)).sum().backward()  # type: ignore[no-untyped-call]
        found.append(shift.grad)
    assert found[0] is not None
    assert torch.equal(*found)  # type: ignore[arg-type]


def test_models_in_bf16_are_computed_so() -> None:
    assert isinstance(in_order(tiny_model()).bert, Bf16Bert)
