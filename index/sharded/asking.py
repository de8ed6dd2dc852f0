"""Asking all shards at once, and going on without those that do not answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from index.sharded.shard import Commit
from index.sharded.workers import Workers


class Asking:
    """The questions of one call of the rankers: how long they may take, and what they missed.

    A shard that has not answered once is not asked again in the same call, so that a call waits for it once. `deadline`
    (by `time.perf_counter`) ends all waiting earlier than the patience of the index. Thread-safe.
    """

    def __init__(self, workers: Workers, commits: tuple[Commit, ...], patience: float) -> None:
        self._workers, self._commits, self._patience = workers, commits, patience
        self.deadline: float | None = None
        self.missing: dict[int, str] = {}

    def anew(self) -> Asking:
        """For the same commits, with nothing missed yet and no deadline."""
        return Asking(self._workers, self._commits, self._patience)

    @property
    def shards(self) -> int:
        return len(self._commits)

    def told(self) -> str | None:
        """What is missing, in words; None where nothing is."""
        if not self.missing:
            return None
        names = ", ".join(str(number) for number in sorted(self.missing))
        number = sorted(self.missing)[0]
        which = f"Shard {names}" if len(self.missing) == 1 else f"Shards {names}"
        return f"{which} of {self.shards} did not answer, and the documents there are missing: {self.missing[number]}"

    def all(self, part: str, method: str, *args: Any) -> dict[int, Any]:
        """The answers of all shards to one question, by number; those that are missing are not among them."""
        return self.some(part, method, dict.fromkeys(range(self.shards), args))

    def some(self, part: str, method: str, args: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """As `all`, where only some shards are asked, each with arguments of its own.

        Raises what a shard says is wrong with the question, and UnavailableError where no shard answers any more.
        """
        asked = {
            number: self._workers.ask(number, "read", self._commits[number], part, method, given)
            for number, given in args.items()
            if number not in self.missing
        }
        until = time.perf_counter() + self._patience
        if self.deadline is not None:
            until = min(until, self.deadline)
        answers = {}
        for number, answer in asked.items():
            try:
                answers[number] = self._waited(answer, until)
            except (InputError, NotFoundError, ConflictError):
                raise
            except Exception as problem:
                answer.cancel()
                self.missing[number] = _reason(problem)
        if len(self.missing) == self.shards:
            raise UnavailableError(f"No shard of the index answers: {next(iter(self.missing.values()))}", "Try again.")
        return answers

    @staticmethod
    def _waited(answer: Future[Any], until: float) -> Any:
        return answer.result(max(0.0, until - time.perf_counter()))


def _reason(problem: Exception) -> str:
    if isinstance(problem, FutureTimeoutError | TimeoutError):
        return "it took too long."
    if isinstance(problem, UnavailableError):
        return problem.message
    return " ".join(f"{type(problem).__name__}: {problem}".split())
