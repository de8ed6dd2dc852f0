"""What every encoder does with texts before its model sees them: cut, clean, and put into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_CHARACTERS_PER_TOKEN = 100  # no token is longer (longer words become one "unknown"): what lies beyond is never read


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Positions of texts in batches of at most `budget` tokens together, longest texts first.

    Texts of one batch are close in length. A text longer than the budget is a batch of its own.
    """
    batch: list[int] = []
    tokens = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and tokens + lengths[position] > budget:
            yield batch
            batch, tokens = [], 0
        batch.append(position)
        tokens += lengths[position]
    if batch:
        yield batch


def readable(text: str, max_tokens: int) -> str:
    """The part of a text that a model can see, in characters that every tokenizer takes (no lone surrogates)."""
    start = text[: _CHARACTERS_PER_TOKEN * max_tokens]
    return start if start.isascii() else start.encode("utf-8", "replace").decode("utf-8")
