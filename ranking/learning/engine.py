"""The inference engine: one owner per model, who batches across requests.

Callers tokenise, hand in their pairs and wait. One thread owns the model's queue: it takes whatever waits, whoever sent
it, packs it into batches (`ranking.learning.work`) and has every core compute one of its own.

The network is cut at a layer: what lies below does not depend on a query's delta, so its states are kept, within
bounds, and a click recomputes only what lies above. Cut above the last layer, the states of a pair are its pooled
vector.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import wait
from itertools import count
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from index.distribution import Computed
from index.encoder_bert import workers
from index.errors import OverloadedError, UnavailableError
from ranking.learning.bert import Packed
from ranking.learning.cache import BytesCache
from ranking.learning.cross_encoder import CrossEncoder
from ranking.learning.delta import Delta
from ranking.learning.pair import Pair
from ranking.learning.work import BATCH, Work, batches, stretches

Floats: TypeAlias = npt.NDArray[np.float64]

_ROUND = 8 * BATCH  # tokens that are sorted and packed at a time
_QUEUE = 400_000  # tokens that may wait: some seconds of work on two cores
_KEPT = 256 * 2**20  # bytes of states
_DELTAS = 32 * 2**20  # bytes of deltas
_RETRY = 1.0  # seconds after which a refused caller may try again

_apart = False


def keep_calls_apart() -> None:
    """Have the engines that this process makes from now on compute every call by itself, and remember nothing.

    What comes of a call then depends on it alone, to the last bit, and not on what others have asked for. For processes
    that work on batch jobs, whose calls are large enough to fill batches; none of them is refused.
    """
    global _apart  # noqa: PLW0603
    _apart = True


class Engine:
    """The owner of one model. Thread-safe. `queue` is in tokens, `kept` in bytes of states."""

    def __init__(self, model: CrossEncoder, *, queue: int = _QUEUE, kept: int = _KEPT) -> None:
        self.model = model
        self.layers = model.bert.frame.layers
        self._apart, self._calls = _apart, count(1)
        self._limit = sys.maxsize if _apart else queue
        self.kept = BytesCache[tuple[bytes, int], Tensor](0 if _apart else kept, lambda states: states.nbytes)
        self.deltas = BytesCache[bytes, Delta](0 if _apart else _DELTAS, lambda delta: delta.bytes + 64)
        self.computed = Computed()
        self._waiting: deque[Work] = deque()
        self._tokens = 0
        self._changed = threading.Condition()
        self._cores = torch.get_num_threads()
        self._slots = threading.Semaphore(self._cores)
        self._owner: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Have its thread end when nothing waits any more. Work that comes all the same is done by another, which ends
        after it."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def states(
        self, pairs: Sequence[Pair], cut: int | None = None, *, keep: int | None = None, timeout: float | None = None
    ) -> list[Tensor]:
        """The states of each pair before layer `cut`, (tokens, width), or where it is None its pooled vector (width,).

        What is remembered is not computed again. `keep` remembers the states before another layer on the way. Raises
        OverloadedError where too much is waiting already, TimeoutError after `timeout` seconds.
        """
        at = self.layers if cut is None else cut
        found = [self.kept.get((pair.key, at)) for pair in pairs]
        missing = {pair.key: pair for pair, states in zip(pairs, found, strict=True) if states is None}
        works = {key: self._starting_work(pair, at, keep) for key, pair in missing.items()}
        self._finish(list(works.values()), timeout)
        return [
            states if states is not None else works[pair.key].done.result()
            for pair, states in zip(pairs, found, strict=True)
        ]

    def pooled(
        self, pairs: Sequence[Pair], states: Sequence[Tensor], cut: int, delta: Delta, timeout: float | None = None
    ) -> list[Tensor]:
        """The pooled vectors (width,) of a model changed by `delta`, from the states before layer `cut`.

        Raises as `states` does.
        """
        works = [Work(pair, cut, None, delta, held) for pair, held in zip(pairs, states, strict=True)]
        self._finish(works, timeout)
        return [work.done.result() for work in works]

    def logits(self, pooled: Sequence[Tensor], delta: Delta | None = None) -> Floats:
        """The scores (n,) of pooled vectors: one matrix product, so it is done here and now."""
        if not pooled:
            return np.zeros(0)
        return self.head(torch.stack(list(pooled)), delta).double().numpy()

    @torch.inference_mode()
    def head(self, pooled: Tensor, delta: Delta | None = None) -> Tensor:
        """Scores (n,) from pooled vectors (n, width), in float32."""
        weight, bias = (self.model.parameters[f"head.{kind}"].float() for kind in ("weight", "bias"))
        if delta is not None:
            weight = weight + delta.tensors.get("head.weight", torch.zeros(()))
            bias = bias + delta.tensors.get("head.bias", torch.zeros(()))
        return self.model.score(pooled @ weight.T + bias)

    @property
    def alive(self) -> bool:
        """False where its thread has died; the next work starts another."""
        return self._owner is None or self._owner.is_alive()

    @property
    def waiting_tokens(self) -> int:
        """Tokens that wait or are being computed."""
        return self._tokens

    def _starting_work(self, pair: Pair, cut: int, keep: int | None) -> Work:
        """From the tokens, or from states that are remembered somewhere below the cut."""
        held = self.kept.get((pair.key, keep)) if keep is not None and cut == self.layers else None
        return Work(pair, cut, keep, None, held) if held is None else Work(pair, keep or 0, None, None, held)

    def _finish(self, works: Sequence[Work], timeout: float | None) -> None:
        if not works:
            return
        self._submit(works)
        _, late = wait([work.done for work in works], timeout)
        if late:
            for work in works:
                work.done.cancel()
            raise TimeoutError
        for work in works:
            work.done.result()

    def _submit(self, works: Sequence[Work]) -> None:
        tokens = sum(len(work.pair) for work in works)
        with self._changed:
            if self._tokens and self._tokens + tokens > self._limit:
                raise OverloadedError(
                    f"More texts are waiting than the queue of the model {self.model.name!r} takes.",
                    "Try again in a moment, or re-rank fewer documents.",
                    retry_after=_RETRY,
                )
            if self._owner is None or not self._owner.is_alive():  # started late: threads do not survive a fork
                self._owner = threading.Thread(target=self._own, name=f"owner of {self.model.name}", daemon=True)
                self._owner.start()
            call = next(self._calls)
            for work in works:
                work.call = call
            self._waiting.extend(works)
            self._tokens += tokens
            self._changed.notify()

    def _own(self) -> None:
        """Round after round: what has waited longest, up to a few batches, so that nobody waits for a long job's
        end."""
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed:
                        self._owner = None
                        return
                    self._changed.wait()
                works: list[Work] = []
                tokens = 0
                while self._waiting and tokens < _ROUND and (not works or self._together(works[0], self._waiting[0])):
                    works.append(self._waiting.popleft())
                    tokens += len(works[-1].pair)
            for batch in self._packed(works):
                self._slots.acquire()
                workers().submit(self._compute, batch)

    def _packed(self, works: list[Work]) -> list[list[Work]]:
        """The works in batches. Where that fails those who wait are told, and the owner lives on for the others."""
        try:
            return list(batches(works, 1 if self._apart else self._cores))
        except Exception as error:
            for work in works:
                if not work.done.done():
                    work.done.set_exception(
                        UnavailableError(
                            f"The model {self.model.name!r} failed: {str(error) or type(error).__name__}.",
                            "Try again; if it stays so, see whether the machine has memory left.",
                        )
                    )
            with self._changed:
                self._tokens -= sum(len(work.pair) for work in works)
            return []

    def _together(self, a: Work, b: Work) -> bool:
        return not self._apart or a.call == b.call

    def _compute(self, batch: list[Work]) -> None:
        """Compute a batch on this core, tell those who wait, and remember the states below the cut."""
        started = [work for work in batch if work.done.running()]
        start = time.perf_counter()
        try:
            if started:
                for work, result in zip(started, self._forward(started), strict=True):
                    work.done.set_result(result)
        except Exception as error:  # every one of them is told; the owner lives on
            for work in started:
                if not work.done.done():
                    work.done.set_exception(error)
        finally:
            self._slots.release()
            with self._changed:
                self._tokens -= sum(len(work.pair) for work in batch)
            if started:
                tokens = sum(len(work.pair) for work in started)
                self.computed.add(len(started), tokens, time.perf_counter() - start)

    @torch.inference_mode()
    def _forward(self, works: list[Work]) -> list[Tensor]:
        bert, p = self.model.bert, self.model.parameters
        lengths = [len(work.pair) for work in works]
        first = works[0]
        parts = stretches(works)
        if first.states is None:
            x = bert.embed(p, Packed.of([(work.pair.ids, work.pair.types) for work in works]))
            below = 0
        else:
            x, below = torch.cat([work.states for work in works if work.states is not None]), first.cut
        stops = [stop for stop in (first.keep, first.cut) if first.states is None and stop is not None]
        for stop in sorted({min(stop, self.layers - 1) for stop in stops}):
            x = bert.states(p, x, lengths, range(below, stop))
            below = stop
            if stop in (first.keep, first.cut):
                self._remember(works, stop, torch.split(x, lengths))
        if first.states is None and first.cut < self.layers:
            return [states.clone() for states in torch.split(x, lengths)]
        x = bert.states(p, x, lengths, range(below, self.layers - 1), parts)
        pooled = list(bert.pooled(p, x, lengths, parts))
        if first.delta is None:
            self._remember(works, self.layers, pooled)
        return pooled

    def _remember(self, works: Sequence[Work], cut: int, states: Sequence[Tensor]) -> None:
        for work, own in zip(works, states, strict=True):
            self.kept.put((work.pair.key, cut), own.clone())  # a view would hold on to the whole batch


def remaining(deadline: float | None) -> float | None:
    """Seconds left until a deadline on the clock of `time.perf_counter`, None where there is none."""
    return None if deadline is None else max(0.0, deadline - time.perf_counter())
