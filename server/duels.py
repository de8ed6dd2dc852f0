"""How the duels of the store stand."""

from __future__ import annotations

from collections.abc import Iterable

from ranking.clicks.standings import standings
from server.export import export_pages
from server.schemas import DuelInfo, InterleavingAnswer
from server.store import Store


def interleaving(store: Store, indexes: Iterable[str], confidence: float) -> InterleavingAnswer:
    """The standing of every duel on every index, from all pages and clicks that are recorded."""
    return InterleavingAnswer(
        confidence=confidence,
        duels=[
            DuelInfo(index=index, **standing.table(confidence))
            for index in indexes
            for standing in standings(export_pages(store, index=index, interleaved=True))
        ],
    )
