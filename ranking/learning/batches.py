"""Tokens of (query, text) pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer

from index.encoder_batches import readable
from ranking.learning.cache import BytesCache
from ranking.learning.pair import Pair

Tokens = tuple[list[int], list[int]]
"""Token ids and token types of one pair."""

_LEAST_TEXT = 16  # tokens that a text keeps beside however long a query
_OVERLAP = 32  # tokens that neighbouring passages share
_REMEMBERED = 32 * 2**20  # bytes of pairs: some thousands, so that a click does not read again what it ranks again
_TOKEN = 48  # bytes of a token in a `Pair`, as Python keeps numbers


class _Text(NamedTuple):
    """The pieces of one text, and whether more were left unread."""

    pieces: tuple[Pair, ...]
    cut: bool


class PairTokenizer:
    """[CLS] query [SEP] text [SEP] and its likes, as the model's own tokenizer puts pairs together. Thread-safe.

    A pair has at most `max_tokens` tokens: the text is cut, and of the query what would leave the text fewer than 16.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._pairs = Tokenizer.from_file(str(path))
        self._pairs.no_padding()
        self._pairs.enable_truncation(max_tokens, strategy="only_second")
        self._pieces = Tokenizer.from_file(str(path))
        self._pieces.no_padding()
        self._pieces.enable_truncation(max_tokens, stride=min(_OVERLAP, max_tokens // 4), strategy="only_second")
        self._whole = Tokenizer.from_file(str(path))
        self._whole.no_padding()
        self._whole.no_truncation()
        self._marks = len(self._whole.encode("", "").ids)
        self.remembered = BytesCache[bytes, _Text](
            _REMEMBERED, lambda text: 256 + _TOKEN * sum(len(piece) for piece in text.pieces)
        )

    def pairs(self, query: str, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each pair, with as much of the text as fits."""
        asked = self._shortened(query)
        encoded = self._pairs.encode_batch_fast([(asked, readable(text, self.max_tokens)) for text in texts])
        return [(one.ids, one.type_ids) for one in encoded]

    def passages(self, query: str, texts: Sequence[str], most: int) -> tuple[int, list[list[Pair]]]:
        """Each text in up to `most` pairs, from its beginning on, and how many texts were not read to their end.

        What was read lately is remembered, by query and text.
        """
        asked = self._shortened(query)
        start = [readable(text, self.max_tokens * (most + 1)) for text in texts]
        keys = [_key(asked, text, most) for text in start]
        known = {key: self.remembered.get(key) for key in dict.fromkeys(keys)}
        missing = {key: whole for key, whole in zip(keys, start, strict=True) if known[key] is None}
        encoded = self._pieces.encode_batch([(asked, whole) for whole in missing.values()])
        for key, one in zip(missing, encoded, strict=True):
            parts = [one, *one.overflowing]
            own = _Text(tuple(Pair.of((part.ids, part.type_ids)) for part in parts[:most]), len(parts) > most)
            self.remembered.put(key, own)
            known[key] = own
        read = [text for key in keys if (text := known[key]) is not None]
        return sum(text.cut for text in read), [list(text.pieces) for text in read]

    def _shortened(self, query: str) -> str:
        """As many of a query's tokens as leave room for the text, as characters."""
        asked = readable(query, self.max_tokens)
        # The overlap of passages has to be shorter than what a pair has room for.
        room = self.max_tokens - self._marks - max(_LEAST_TEXT, self.max_tokens // 2)
        whole = self._whole.encode(asked, add_special_tokens=False)
        return asked if len(whole.ids) <= room else asked[: whole.offsets[room - 1][1]]


def _key(query: str, text: str, most: int) -> bytes:
    whole = hashlib.blake2b(f"{most} {len(query)} ".encode(), digest_size=16)
    whole.update(query.encode())
    whole.update(text.encode())
    return whole.digest()
