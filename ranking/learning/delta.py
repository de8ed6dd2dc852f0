"""Deltas: the few numbers by which a model adapted to one query differs from its base model.

A delta adds to named parameters. A bias or a normalisation changes by a tensor of its own shape. A weight matrix
changes by one of its own shape, or by a product of two thin ones: `NAME.a` (rank, inputs) and `NAME.b` (outputs, rank),
so that x W^T becomes x W^T + (x a^T) b^T (LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import linear

from index.errors import NotFoundError, UnavailableError


@dataclass(frozen=True, eq=False)
class Delta:
    """Changes by the name of the parameter. `about` says where it comes from and is kept with it in its file."""

    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """What its numbers take in memory."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def digest(self) -> str:
        """SHA-256 of its numbers and their names, hexadecimal."""
        whole = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            whole.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
        return whole.hexdigest()

    def changes(self, name: str) -> bool:
        return name in self.tensors or f"{name}.a" in self.tensors

    def vector(self, name: str, like: Tensor) -> Tensor | None:
        """The change of a bias or a normalisation, in the type of `like`; None where it has none."""
        change = self.tensors.get(name)
        return None if change is None else change.to(like.dtype)

    def product(self, name: str, x: Tensor) -> Tensor | None:
        """What the changed weight `name` adds to x W^T, shape (rows, outputs); None where it is not changed."""
        if (dense := self.tensors.get(name)) is not None:
            return linear(x, dense.to(x.dtype))
        if (thin := self.tensors.get(f"{name}.a")) is not None:
            return linear(linear(x, thin.to(x.dtype)), self.tensors[f"{name}.b"].to(x.dtype))
        return None

    def changed(self, name: str, base: Tensor) -> Tensor:
        """The parameter `name` with its change, if any, in it: float32 or wider."""
        if (dense := self.tensors.get(name)) is not None:
            return wide(base) + wide(dense)
        if (thin := self.tensors.get(f"{name}.a")) is not None:
            return wide(base) + wide(self.tensors[f"{name}.b"]) @ wide(thin)
        return wide(base)

    def added_to(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The parameters with the changes in them. Raises KeyError for a change of what is not there."""
        thin = {name[:-2] for name in self.tensors if name.endswith(".a") and f"{name[:-2]}.b" in self.tensors}
        dense = {name for name in self.tensors if name[-2:] not in (".a", ".b") or name[:-2] not in thin}
        changes = {name: self.changed(name, parameters[name]).to(parameters[name].dtype) for name in thin | dense}
        return {**parameters, **changes}

    def detached(self) -> Delta:
        """The same numbers, out of any computation of gradients, in memory of their own."""
        return Delta({name: tensor.detach().clone() for name, tensor in self.tensors.items()}, self.about)

    def save(self, path: Path) -> None:
        about = {"about": json.dumps(dict(self.about), sort_keys=True)}
        save_file({name: tensor.detach().contiguous() for name, tensor in self.tensors.items()}, path, metadata=about)

    @classmethod
    def load(cls, path: Path) -> Delta:
        """Raises NotFoundError where there is no such file, UnavailableError where it is none of ours."""
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("about", "{}"))
                return cls({name: file.get_tensor(name) for name in file.keys()}, about)  # noqa: SIM118
        except FileNotFoundError:
            raise NotFoundError(f"There is no model at {path}.", "Check the path.") from None
        except (OSError, SafetensorError, ValueError) as error:
            raise UnavailableError(f"The delta {path} cannot be read: {error}.", "Train it again.") from error


def wide(tensor: Tensor) -> Tensor:
    """The same numbers in float32, or in float64 where they are in it already."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
