"""Click models the slow way: every hidden course of events on a page, one by one. What the fast ones are held against.

A world says what was examined and clicked, and what else happened, with its weight. `yes` and `no` weigh an attraction
and its absence by pair; they need not add up to one, as in a variational expectation step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Weigh = Callable[[int], tuple[float, float]]


@dataclass(frozen=True)
class World:
    weight: float = 1.0
    clicks: tuple[bool, ...] = ()
    examined: tuple[bool, ...] = ()
    happened: Counter[tuple[str, int]] = field(default_factory=Counter)  # (what, of which pair, rank or cell) -> times

    def then(self, weight: float, *what: tuple[str, int]) -> World:
        return World(self.weight * weight, self.clicks, self.examined, self.happened + Counter(what))

    def saw(self, examined: bool, clicked: bool) -> World:
        return World(self.weight, (*self.clicks, clicked), (*self.examined, examined), self.happened)


def factored(
    page: Sequence[int], attraction: Weigh, theta: Callable[[int, int], float], epsilon: Sequence[float]
) -> Iterator[World]:
    """`theta(rank, last)` examines; `epsilon[rank]` clicks on an examined document that does not attract."""

    def go(world: World, rank: int, last: int) -> Iterator[World]:
        if rank == len(page):
            yield world
            return
        pair = page[rank]
        if pair < 0:
            yield from go(world.saw(False, False), rank + 1, last)
            return
        look = theta(rank, last)
        cell = rank * 100 + last
        yes, no = attraction(pair)
        yield from go(world.then(1 - look).saw(False, False), rank + 1, last)
        seen = world.then(look, ("examined", cell))
        yield from go(seen.then(yes, ("attracts", pair)).saw(True, True), rank + 1, rank + 1)
        bored = seen.then(no, ("bores", pair))
        if epsilon[rank]:
            yield from go(bored.then(epsilon[rank], ("noise", rank)).saw(True, True), rank + 1, rank + 1)
        yield from go(bored.then(1 - epsilon[rank], ("refused", rank)).saw(True, False), rank + 1, last)

    yield from go(World(), 0, 0)


def chain(
    page: Sequence[int],
    attraction: Weigh,
    going_on: float,
    after_click: Callable[[World, int, int], Iterator[tuple[World, bool]]],
) -> Iterator[World]:
    """`after_click(world, pair, rank)` gives what may follow a click, and whether the reader goes on."""
    filled = [rank for rank, pair in enumerate(page) if pair >= 0]

    def go(world: World, rank: int, reading: bool) -> Iterator[World]:
        if rank == len(page):
            yield world
            return
        pair = page[rank]
        if pair < 0 or not reading:
            # An empty slot is passed over; `examined` is told of documents only.
            yield from go(world.saw(False, False), rank + 1, reading)
            return
        yes, no = attraction(pair)
        clicked = world.then(yes, ("attracts", pair)).saw(True, True)
        skipped = world.then(no, ("bores", pair)).saw(True, False)
        if rank == filled[-1]:
            yield from go(clicked, rank + 1, False)
            yield from go(skipped, rank + 1, False)
            return
        for following, on in after_click(clicked, pair, rank):
            yield from go(following, rank + 1, on)
        yield from go(skipped.then(going_on, ("on", 0)), rank + 1, True)
        if going_on < 1:
            yield from go(skipped.then(1 - going_on, ("off", 0)), rank + 1, False)

    yield from go(World(), 0, True)


@dataclass(frozen=True)
class Enumerated:
    """What all worlds of a page say."""

    worlds: tuple[World, ...]

    def likelihood(self, clicks: Sequence[bool]) -> float:
        return sum(world.weight for world in self.worlds if world.clicks == tuple(clicks))

    def starting(self, clicks: Sequence[bool]) -> float:
        return sum(world.weight for world in self.worlds if world.clicks[: len(clicks)] == tuple(clicks))

    def marginal(self, rank: int) -> float:
        return sum(world.weight for world in self.worlds if world.clicks[rank])

    def examined(self, clicks: Sequence[bool], rank: int) -> float:
        here = [world for world in self.worlds if world.clicks == tuple(clicks)]
        return sum(world.weight for world in here if world.examined[rank]) / sum(world.weight for world in here)

    def expected(self, clicks: Sequence[bool]) -> Mapping[tuple[str, int], float]:
        total = self.likelihood(clicks)
        counts: dict[tuple[str, int], float] = {}
        for world in self.worlds:
            if world.clicks == tuple(clicks):
                for what, times in world.happened.items():
                    counts[what] = counts.get(what, 0.0) + times * world.weight / total
        return counts
