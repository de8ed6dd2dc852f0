"""Whether a log can say anything about propensities at all.

Position and relevance come apart only where the same document, for the same query, was shown at different ranks. Ranks
that no chain of such pairs connects have curves of their own, each with a factor that nothing in the log fixes; a click
model fits such a log as well as any other and is wrong about it (Chen et al., "Identifiability matters: revealing the
hidden recoverable condition in unbiased learning to rank", ICML 2024).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from ranking.clicks.propensity.counts import Counts, Ints, count, pooled
from ranking.clicks.sessions import Flags, Floats, Sessions

REMEDY = "Log a second ranker version, randomise a share of the traffic (the setting exploration)"


class NotIdentifiedError(InputError):
    """The log does not say what was asked of it, however long it is."""

    kind = "not-identified"


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What connects the ranks of a log.

    `shared` (ranks, ranks): how many pairs were shown at both ranks; on the diagonal, at that rank. `clicked`: how many
    of them were clicked at one of both ranks: the others say nothing. `components`: the ranks (from 1) that shared
    pairs connect, the first rank's first; `informed` is the same through pairs that were clicked.
    """

    shared: Ints
    clicked: Ints
    components: tuple[tuple[int, ...], ...]
    informed: tuple[tuple[int, ...], ...]
    pages: float
    shown: Floats
    clicks: Floats

    @property
    def ranks(self) -> int:
        return len(self.shown)

    @property
    def connected(self) -> bool:
        """Whether pairs with clicks connect all ranks."""
        return len(self.informed) == 1

    @property
    def identified(self) -> int:
        """How many of the first ranks, as many as can be, are connected with each other without help of the others."""

        def alone(ranks: int) -> bool:
            return bool((components(self.clicked[:ranks, :ranks] > 0) == 0).all()) and bool(self.shown[:ranks].all())

        return next((ranks for ranks in range(self.ranks, 0, -1) if alone(ranks)), 0)

    def require(self) -> None:
        """Raises NotIdentifiedError unless all ranks are connected with each other."""
        for parts, through in ((self.components, "was shown at both"), (self.informed, "was clicked at one and shown")):
            first = set(parts[0]) if parts and parts[0][0] == 1 else {1}
            missing = [rank for rank in range(1, self.ranks + 1) if rank not in first]
            if missing:
                tail = "" if through.endswith("both") else " at the other"
                raise NotIdentifiedError(
                    f"No propensities: nothing connects rank {spans(missing)} with rank 1, as no document of one query "
                    f"{through}{tail}.",
                    f"{REMEDY}.",
                )

    def lines(self) -> list[str]:
        """The report as text for a person."""
        lines = [f"{self.pages:,.0f} pages, {self.shown.sum():,.0f} documents shown, {self.clicks.sum():,.0f} clicks"]
        for part in self.components:
            inside = np.array(part) - 1
            pairs = int(np.triu(self.shared[np.ix_(inside, inside)], 1).sum())
            links = f"{pairs:,} shared pairs" if len(part) > 1 else "shares no pair with another rank"
            lines.append(f"rank {spans(part)}: {links}")
        if self.components != self.informed:
            lines.append(f"connected by pairs with clicks: {'; '.join(spans(part) for part in self.informed)}")
        return lines


def identify(log: Sessions | Iterable[Sessions] | Counts) -> Report:
    """What connects the ranks of a log. Errors: those of `count`."""
    counts = pooled(log if isinstance(log, Counts) else count(log))
    shown, clicks = counts.by_rank()
    shared, clicked = _shared(counts)
    there = shown > 0

    def parts(links: Flags) -> tuple[tuple[int, ...], ...]:
        label = components(links)
        found = [np.flatnonzero((label == name) & there) + 1 for name in np.unique(label)]
        return tuple(sorted((tuple(part.tolist()) for part in found if len(part)), key=lambda part: part[0]))

    return Report(shared, clicked, parts(shared > 0), parts(clicked > 0), float(counts.pages.sum()), shown, clicks)


def components(links: Flags) -> npt.NDArray[np.int32]:
    """The number of each node's connected component in an undirected graph: (n, n) to (n,)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    label: npt.NDArray[np.int32] = connected_components(csr_array(links), directed=False)[1]
    return label


def _shared(counts: Counts) -> tuple[Ints, Ints]:
    """(ranks, ranks): pairs shown at both ranks, and those of them that were clicked at one."""
    from scipy.sparse import csr_array

    shape = (int(counts.pair.max(initial=-1)) + 1, counts.ranks)
    where = (counts.pair, counts.rank)
    shown = csr_array((np.ones(len(counts.pair), dtype=np.int64), where), shape=shape)
    dull = csr_array(((counts.clicks <= 0).astype(np.int64), where), shape=shape)
    shared: Ints = (shown.T @ shown).toarray()
    return shared, shared - (dull.T @ dull).toarray()


def spans(ranks: Iterable[int]) -> str:
    """Ranks as people write them: 1-3, 5."""
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][1] + 1:
            runs[-1][1] = rank
        else:
            runs.append([rank, rank])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
