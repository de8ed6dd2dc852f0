"""What the inference engine computes, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby

from torch import Tensor

from ranking.learning.bert import Part
from ranking.learning.delta import Delta
from ranking.learning.pair import Pair

BATCH = 1_536  # tokens: more are hardly quicker per token, and would keep a short request waiting for longer


@dataclass(slots=True)
class Work:
    """One pair to compute: from its tokens up to the cut (no `states`), or from its states at the cut to its pooled
    vector."""

    pair: Pair
    cut: int
    keep: int | None
    delta: Delta | None
    states: Tensor | None
    call: int = 0
    done: Future[Tensor] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[bool, int, int, bool]:
        """Works of one kind can be computed together."""
        return self.states is None, self.cut, -1 if self.keep is None else self.keep, self.delta is None


def batches(works: Sequence[Work], cores: int) -> Iterator[list[Work]]:
    """Works in batches that can be computed together, of about `BATCH` tokens at most. Marks them as running.

    Each kind makes as many batches for every core, of about as many tokens, so that none waits for another at the end.
    Works of one delta stay together, for each delta is applied to one stretch of the batch; within them the longest go
    first. Cancelled ones come out too (nobody else accounts for them), and are not computed.
    """
    order = sorted(works, key=lambda work: (work.kind, id(work.delta), -len(work.pair)))
    for _, group in groupby(order, key=lambda work: work.kind):
        alike = list(group)
        tokens = sum(len(work.pair) for work in alike)
        size = tokens / (cores * max(1, math.ceil(tokens / BATCH / cores)))
        batch: list[Work] = []
        before, end = 0, size
        for work in alike:
            if batch and before + len(work.pair) / 2 > end:
                yield _marked(batch)
                batch, end = [], end + size
            batch.append(work)
            before += len(work.pair)
        yield _marked(batch)


def _marked(batch: list[Work]) -> list[Work]:
    for work in batch:
        work.done.set_running_or_notify_cancel()
    return batch


def stretches(works: Sequence[Work]) -> list[Part]:
    """The stretch of each delta, where works of one delta are neighbours."""
    parts: list[Part] = []
    token = 0
    for text, work in enumerate(works):
        end = token + len(work.pair)
        if work.delta is not None:
            last = parts[-1] if parts else None
            if last is not None and last.delta is work.delta and last.texts.stop == text:
                parts[-1] = Part(slice(last.texts.start, text + 1), slice(last.tokens.start, end), work.delta)
            else:
                parts.append(Part(slice(text, text + 1), slice(token, end), work.delta))
        token = end
    return parts
