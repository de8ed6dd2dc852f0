"""BERT in bf16, as oneDNN computes it soonest.

Weight matrices are kept in the order in which oneDNN reads them (otherwise it puts them into it in every product), and
attention is two matrix products with a softmax between, on whole vectors of the processor: the fused kernel of torch
takes half as long again. What needs gradients is computed as it was.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softmax

from ranking.learning.bert import Bert, Frame, Parameters, Runs, by_run

_LANES = 32  # bf16 numbers of a 512-bit register: a softmax over other multiples takes up to twice as long
_TOKENS = 512  # of equally long texts that are attended to at once: their scores stay near the processor
_ROWS = 1_024  # for which weights are put in order; it hardly depends on them


class Bf16Bert(Bert):
    """The network of `Bert` for given parameters, which stay what deltas and gradients are computed with."""

    def __init__(self, frame: Frame, parameters: Parameters) -> None:
        super().__init__(frame)
        names = (name.removesuffix(".weight") for name in parameters if name.startswith("layers."))
        weights = {name: parameters[f"{name}.weight"] for name in names if f"{name}.weight" in parameters}
        self._packed = {
            name: (weight, torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS))
            for name, weight in weights.items()
            if weight.dim() == 2
        }

    def _product(self, p: Parameters, name: str, x: Tensor) -> Tensor:
        own = self._packed.get(name)
        if own is None or own[0] is not p[f"{name}.weight"] or not len(x) or not torch.is_inference_mode_enabled():
            return super()._product(p, name, x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, own[1], p[f"{name}.bias"], "none", [], "")
        return product

    def _attend(self, qkv: Tensor, runs: Runs) -> Tensor:
        if not torch.is_inference_mode_enabled():
            return super()._attend(qkv, runs)
        heads, width = self.frame.heads, self.frame.width // self.frame.heads
        attended = qkv.new_empty(len(qkv), self.frame.width)
        few = _shortened(runs)
        for part, to in zip(by_run(qkv, few), by_run(attended, few), strict=True):
            count, length, _ = part.shape
            room = -(-length // _LANES) * _LANES
            parted = part.view(count, length, 3, heads, width).permute(2, 0, 3, 1, 4)
            q = parted[0].reshape(-1, length, width)
            keys_values = qkv.new_empty(2, count, heads, room, width)
            keys_values[:, :, :, :length], keys_values[:, :, :, length:] = parted[1:], 0
            k, v = keys_values.view(2, -1, room, width)
            scores = torch.baddbmm(q.new_empty(1), q, k.transpose(1, 2), beta=0, alpha=width**-0.5)
            scores[:, :, length:] = -torch.inf
            means = torch.bmm(softmax(scores, 2), v).view(count, heads, length, width)
            to.view(count, length, heads, width).copy_(means.transpose(1, 2))
        return attended


def _shortened(runs: Runs) -> Runs:
    """The same texts in runs of at most `_TOKENS` tokens, or of one text."""
    most = {length: max(1, _TOKENS // length) for length, _ in runs}
    return [(length, min(most[length], count - at)) for length, count in runs for at in range(0, count, most[length])]
