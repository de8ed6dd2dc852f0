"""One query and one text, as the tokens that a cross-encoder reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Pair:
    """Token ids and token types. `key` names them: equal keys, equal tokens."""

    ids: tuple[int, ...]
    types: tuple[int, ...]
    key: bytes

    @classmethod
    def of(cls, tokens: tuple[Sequence[int], Sequence[int]]) -> Pair:
        ids, types = tuple(tokens[0]), tuple(tokens[1])
        content = np.array([ids, types], dtype=np.int32).tobytes()
        return cls(ids, types, hashlib.blake2b(content, digest_size=16).digest())

    def __len__(self) -> int:
        return len(self.ids)
