"""Interleaving: two rankers share one result page, and clicks say whose documents people prefer.

Each method makes one list of two, and notes a *score* per document by which clicks are counted later; `outcome` turns
the clicks of a page into a preference from -1 (all for the second) to 1 (all for the first), 0 being a tie.

- Team draft (Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008): as
  captains pick teams. The score is 1 for the first ranker's picks and -1 for the second's; more clicks win.
- Balanced (Joachims, "Evaluating retrieval performance using clickthrough data", 2003): of every length, the list's top
  holds the tops of both, as evenly as can be. The score packs the document's rank in either ranking. People who click
  at random can favour one of two rankings that are shifted against each other (Chapelle et al., "Large-scale validation
  and analysis of interleaved search evaluation", TOIS 2012): for comparison with older figures, not for decisions.
- Probabilistic (Hofmann, Whiteson and de Rijke, "A probabilistic method for inferring preferences from clicks", CIKM
  2011): each place is drawn from one of two softened rankings. The score is the expected team of the document given the
  list, so no draw of teams adds noise: with identical rankers every page is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from index.errors import InputError

Method: TypeAlias = Literal["team-draft", "balanced", "probabilistic"]
METHODS: Final[tuple[str, ...]] = get_args(Method)

SOFTNESS: Final = 3.0  # of probabilistic interleaving: chances are rank^-3, the paper's choice
_PACK: Final = 4096  # ranks of balanced interleaving lie below it


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A page of two rankers. `scores[k]` is what a click on `documents[k]` counts, in the terms of the method."""

    documents: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Duel:
    """Who meets whom, and how. `arm` is its name in a log: method:first:second."""

    method: Method
    first: str
    second: str

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"There is no interleaving method {self.method!r}.", f"There are: {', '.join(METHODS)}.")
        if not self.first or not self.second or ":" in self.first + self.second:
            raise InputError(
                f"{self.first!r} and {self.second!r} cannot be compared.", "Name two rankers, without colons."
            )

    @property
    def arm(self) -> str:
        return f"{self.method}:{self.first}:{self.second}"

    @classmethod
    def of_arm(cls, arm: str | None) -> Duel | None:
        """The duel that an arm names; None for any other arm."""
        method, *names = (arm or "").split(":")
        if method not in METHODS or len(names) != 2 or not all(names):
            return None
        return cls(method, names[0], names[1])  # type: ignore[arg-type]  # it is among METHODS

    def interleave(
        self, first: Sequence[str], second: Sequence[str], length: int, random: np.random.Generator
    ) -> Interleaved:
        """One page of at most `length` documents; fewer where both rankings have no more."""
        coin = random.random
        match self.method:
            case "team-draft":
                return team_draft(first, second, length, [coin() < 0.5 for _ in range(length)])
            case "balanced":
                return balanced(first, second, length, first_begins=coin() < 0.5)
            case "probabilistic":
                return probabilistic(first, second, length, random)


def team_draft(first: Sequence[str], second: Sequence[str], length: int, coins: Sequence[bool]) -> Interleaved:
    """In every round a coin says who picks first (True: the first ranker), and each picks its best that is not on the
    page yet. `coins` has one for each round.

    As deep as the shorter ranking both can always pick, and only the coins say whose a place is. Below, a ranker may
    have the page to itself; clicks there count for nobody.
    """
    sides = (first, second)
    contested = min(length, len(first), len(second))
    documents: list[str] = []
    scores: list[float] = []
    taken: set[str] = set()
    for place in range(length):
        begins = 0 if coins[place // 2] else 1
        picker = begins if place % 2 == 0 else 1 - begins
        document = _best(sides[picker], taken) or _best(sides[1 - picker], taken)
        if document is None:
            break
        documents.append(document)
        scores.append((1.0, -1.0)[picker] if place < contested else 0.0)
        taken.add(document)
    return Interleaved(tuple(documents), tuple(scores))


def _best(side: Sequence[str], taken: set[str]) -> str | None:
    return next((document for document in side if document not in taken), None)


def balanced(first: Sequence[str], second: Sequence[str], length: int, *, first_begins: bool) -> Interleaved:
    """One coin says who is ahead where both have put in equally many."""
    sides, places = (first, second), [0, 0]
    documents: list[str] = []
    while len(documents) < length:
        able = [side for side in (0, 1) if places[side] < len(sides[side])]
        if not able:
            break
        leader = 0 if first_begins else 1
        picker = leader if places[leader] <= places[1 - leader] else 1 - leader
        picker = picker if picker in able else able[0]
        document = sides[picker][places[picker]]
        places[picker] += 1
        if document not in documents:
            documents.append(document)
    ranks = [{document: rank for rank, document in enumerate(side[: _PACK - 1], start=1)} for side in sides]
    packed = [_PACK * ranks[0].get(document, 0) + ranks[1].get(document, 0) for document in documents]
    return Interleaved(tuple(documents), tuple(float(value) for value in packed))


def probabilistic(first: Sequence[str], second: Sequence[str], length: int, random: np.random.Generator) -> Interleaved:
    """At every place a coin chooses a ranker, whose documents that are left are drawn with chances of rank^-3.

    Where one has none left, clicks count for nobody.
    """
    documents = list(dict.fromkeys([*first, *second]))
    chances = np.stack([_softened(side, documents) for side in (first, second)])
    left = np.ones(len(documents), dtype=np.bool_)
    chosen: list[str] = []
    scores: list[float] = []
    for _ in range(min(length, len(documents))):
        now = [_normalised(np.where(left, side, 0.0)) for side in chances]
        able = [side for side in (0, 1) if now[side].any()]
        picker = able[0] if len(able) == 1 else int(random.random() < 0.5)
        place = int(random.choice(len(documents), p=now[picker]))
        mine, theirs = float(now[0][place]), float(now[1][place])
        chosen.append(documents[place])
        scores.append((mine - theirs) / (mine + theirs) if len(able) == 2 else 0.0)
        left[place] = False
    return Interleaved(tuple(chosen), tuple(scores))


def _softened(side: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float64]:
    ranks = {document: rank for rank, document in enumerate(side, start=1)}
    return np.array([ranks[document] ** -SOFTNESS if document in ranks else 0.0 for document in documents])


def _normalised(chances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = chances.sum()
    return chances / total if total > 0 else chances


def outcome(method: Method, scores: Sequence[float], clicked: Sequence[bool]) -> float:
    """The preference of a page, from the scores of its documents and which of them were clicked.

    -1, 0 or 1 for team draft and balanced; anything between for probabilistic, the mean of the clicked documents'
    expected teams. A page without clicks is a tie.
    """
    counted = [score for score, click in zip(scores, clicked, strict=True) if click]
    if not counted:
        return 0.0
    if method == "probabilistic":
        return sum(counted) / len(counted)
    difference = sum(counted) if method == "team-draft" else _balanced_difference(counted)
    return float((difference > 0) - (difference < 0))


def _balanced_difference(clicked: Sequence[float]) -> float:
    """Clicks in the top k of the first ranking minus those in the top k of the second, where k is the smallest with
    which both tops together hold all that was clicked."""
    ranks = [divmod(int(score), _PACK) for score in clicked]
    deepest = max(min(rank for rank in pair if rank) for pair in ranks)
    mine, theirs = (sum(0 < pair[side] <= deepest for pair in ranks) for side in (0, 1))
    return mine - theirs
