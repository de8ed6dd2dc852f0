"""How the duels of a click log stand: who won how many pages, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from ranking.clicks.interleaving import Duel, outcome
from ranking.clicks.pages import Page, Pages
from ranking.clicks.sequential import SequentialTest

Winner: TypeAlias = Literal["first", "second"]


@dataclass(slots=True)
class Standing:
    """One duel. `pages` were shown; those with a click are the ones of the test."""

    duel: Duel
    pages: int = 0
    test: SequentialTest = field(default_factory=SequentialTest)

    def add(self, page: Page) -> None:
        """One more interleaved page."""
        self.pages += 1
        told = preference(self.duel, page)
        if told is not None:
            self.test.add(told)

    def winner(self, confidence: float = 0.95) -> Winner | None:
        """Who is preferred, once that is sure."""
        if self.test.p_value > 1 - confidence or self.test.preference == 0:
            return None
        return "first" if self.test.preference > 0 else "second"

    def table(self, confidence: float = 0.95) -> dict[str, Any]:
        """The standing as plain values."""
        low, high = self.test.interval(confidence)
        return {
            **asdict(self.duel),
            "pages": self.pages,
            "clicked": self.test.pages,
            "first_wins": self.test.wins,
            "second_wins": self.test.losses,
            "ties": self.test.pages - self.test.wins - self.test.losses,
            "preference": self.test.preference,
            "low": low,
            "high": high,
            "p_value": self.test.p_value,
            "winner": self.winner(confidence),
        }


def preference(duel: Duel, page: Page) -> float | None:
    """What the clicks on a page tell, from -1 to 1; None where there are none, or the page lacks its scores."""
    clicked = {event.document for event in page.events if event.kind == "click"}
    flags = [document in clicked for document in page.documents]
    if not any(flags) or page.scores is None or len(page.scores) != len(flags):
        return None
    return outcome(duel.method, page.scores, flags)


def standings(pages: Iterable[Page | Pages]) -> list[Standing]:
    """The standing of every duel, in the order in which they first come; pages that are not interleaved are passed
    over."""
    found: dict[str, Standing] = {}
    for page in _single(pages):
        duel = Duel.of_arm(page.arm)
        if duel is not None:
            found.setdefault(duel.arm, Standing(duel)).add(page)
    return list(found.values())


def _single(pages: Iterable[Page | Pages]) -> Iterator[Page]:
    """Pages one by one; of a batch only those whose arm is a duel become objects."""
    for item in pages:
        if isinstance(item, Page):
            yield item
            continue
        duels = [Duel.of_arm(arm) is not None for arm in item.impressions.column("arm").to_pylist()]
        if any(duels):
            yield from item.take(np.array(duels)).rows()
