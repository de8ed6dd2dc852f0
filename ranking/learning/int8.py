"""BERT with its large matrix products in 8-bit integers, for processors that have instructions for these and none for
bf16.

Weights are rounded once, with a scale for every output; states whenever they come, with a scale for every token (as in
Dettmers et al., "LLM.int8()", 2022, section 2: some tokens' states are many times larger than the others', and one
scale for all would leave the rest few steps). oneDNN multiplies. What is not a layer's map, and whatever needs
gradients, is computed as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ranking.learning.bert import Bert, Frame, Parameters

_STEPS = 127  # on either side of zero
_ZERO = 128  # where zero lies: oneDNN wants the states without a sign


@dataclass(frozen=True, slots=True)
class _Map:
    """A weight matrix as oneDNN keeps it, and the scale () or (outputs,) by which its integers are multiplied."""

    packed: Tensor
    scale: Tensor
    zero: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> _Map:
        scale = (weight.abs().amax(dim=1).float() / _STEPS).clamp_min(1e-12)
        rounded = torch.round(weight.float() / scale[:, None]).to(torch.int8)
        zero = torch.zeros(len(scale), dtype=torch.int32)
        return cls(torch.ops.onednn.qlinear_prepack(rounded, None), scale, zero)

    def product(self, x: Tensor) -> Tensor:
        """x W^T: (rows, inputs) to float32 (rows, outputs)."""
        scale = (x.abs().amax(dim=1, keepdim=True).float() / _STEPS).clamp_min(1e-12)
        rounded = (x / scale).add_(_ZERO + 0.5).to(torch.uint8)
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, _ZERO, self.packed, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return product.mul_(scale)


class Int8Bert(Bert):
    """The network of `Bert` for given parameters, which stay what deltas and gradients are computed with."""

    def __init__(self, frame: Frame, parameters: Parameters) -> None:
        super().__init__(frame)
        names = (name.removesuffix(".weight") for name in parameters if name.startswith("layers."))
        maps = {name: parameters[f"{name}.weight"] for name in names if f"{name}.weight" in parameters}
        self._maps = {name: _Map.of(weight) for name, weight in maps.items() if weight.dim() == 2}

    def _product(self, p: Parameters, name: str, x: Tensor) -> Tensor:
        own = self._maps.get(name)
        if own is None or not len(x) or not torch.is_inference_mode_enabled():
            return super()._product(p, name, x)
        return (own.product(x) + p[f"{name}.bias"]).to(x.dtype)
