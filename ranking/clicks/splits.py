"""Traffic splits: two ways of ranking, each for its own share of the sessions, compared by what people click.

Other than in a duel nobody sees both, so pages are compared in pairs: the first of either side, the second of either,
and so on, each by the reciprocal rank of its first click. Under equal preference the differences have mean zero, which
`SequentialTest` may be asked about at any time. Each side counts as fast as the slower one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from ranking.clicks.pages import Page
from ranking.clicks.sequential import SequentialTest

Side: TypeAlias = Literal["first", "second"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)
PREFIX: Final = "split:"
CANARY: Final = "canary:"
"""How the experiment is named that a release on trial makes, before its number."""


@dataclass(frozen=True, slots=True)
class Split:
    """One side of an experiment, as the arm of a page names it: split:EXPERIMENT:first or split:EXPERIMENT:second."""

    experiment: str
    side: Side

    @property
    def arm(self) -> str:
        return f"{PREFIX}{self.experiment}:{self.side}"

    @classmethod
    def of_arm(cls, arm: str | None) -> Split | None:
        """The side that an arm names; None for any other arm."""
        if not arm or not arm.startswith(PREFIX):
            return None
        experiment, _, side = arm.removeprefix(PREFIX).rpartition(":")
        return cls(experiment, side) if experiment and side in SIDES else None


@dataclass(slots=True)
class SideCounts:
    """The pages of one side. `reciprocal` is the sum of 1 / rank of every page's first clicked document."""

    pages: int = 0
    clicked: int = 0
    clicks: int = 0
    reciprocal: float = 0.0

    @property
    def clicks_per_page(self) -> float:
        return self.clicks / self.pages if self.pages else 0.0

    @property
    def mrr(self) -> float:
        """The mean reciprocal rank of the first click; 0 for pages without any."""
        return self.reciprocal / self.pages if self.pages else 0.0


@dataclass(slots=True)
class SplitStanding:
    """One experiment. The test's outcomes are the first side's reciprocal rank less the second's."""

    experiment: str
    first: SideCounts = field(default_factory=SideCounts)
    second: SideCounts = field(default_factory=SideCounts)
    test: SequentialTest = field(default_factory=SequentialTest)
    _waiting: dict[Side, deque[float]] = field(default_factory=lambda: {side: deque() for side in SIDES})

    def add(self, side: Side, page: Page) -> None:
        """One more page of a side."""
        counts = self.first if side == "first" else self.second
        reciprocal, clicks = clicked(page)
        counts.pages += 1
        counts.clicked += bool(clicks)
        counts.clicks += clicks
        counts.reciprocal += reciprocal
        self._waiting[side].append(reciprocal)
        if all(self._waiting.values()):
            first, second = (self._waiting[one].popleft() for one in SIDES)
            self.test.add(first - second)

    def winner(self, confidence: float = 0.95) -> Side | None:
        """Whose pages people click higher up, once that is sure."""
        if self.test.p_value > 1 - confidence or self.test.preference == 0:
            return None
        return "first" if self.test.preference > 0 else "second"


def clicked(page: Page) -> tuple[float, int]:
    """The reciprocal rank of the first clicked document, 0 without one, and how many were clicked."""
    places = {document: place for place, document in enumerate(page.documents, start=1)}
    found = {event.document for event in page.events if event.kind == "click"} & places.keys()
    return (1.0 / min(places[document] for document in found) if found else 0.0), len(found)


def split_standings(pages: Iterable[Page]) -> list[SplitStanding]:
    """The standing of every experiment, in the order in which they first come; other pages are passed over."""
    found: dict[str, SplitStanding] = {}
    for page in pages:
        split = Split.of_arm(page.arm)
        if split is not None:
            found.setdefault(split.experiment, SplitStanding(split.experiment)).add(split.side, page)
    return list(found.values())
