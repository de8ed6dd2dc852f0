"""Feedback from a file: judgements by query id, or a click log by the words of the query. Held in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from index.errors import InputError, NotFoundError
from ranking.jobs.inputs import fingerprint, format_of, input_files, lines_of
from ranking.jobs.storage import Place
from ranking.qrels import parse_qrels

Grades: TypeAlias = Mapping[str, Mapping[str, tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Told:
    """Key -> document -> (relevance, weight): `by_id` for judgements, `by_text` for clicks."""

    by_id: Grades = field(default_factory=dict)
    by_text: Grades = field(default_factory=dict)

    def of(self, query_id: str | None, query: str | None) -> list[dict[str, Any]] | None:
        """What is known for a query, as a row holds it; None for nothing."""
        known = self.by_id.get(query_id or "") or self.by_text.get((query or "").strip())
        if not known:
            return None
        return [{"document": doc, "relevance": r, "weight": w} for doc, (r, w) in known.items()]


def read_feedback(uri: str, relevant: int = 1, click_model: str | None = None) -> Told:
    """Qrels (TREC's four columns or BEIR's three), a click log's folder, or rows of query, document, relevance, weight
    as Parquet or JSONL.

    A judgement is relevant from the grade `relevant` on. Clicks are debiased: by the model in `click_model`, or the
    published curve. Raises NotFoundError and InputError for what is missing or not usable.
    """
    place = Place.at(uri)
    if place.is_file() and format_of(place) not in ("jsonl", "parquet"):
        return Told(by_id=_qrels(place, relevant))
    path = place.local
    if path is None:
        raise InputError(f"{place} is not on this machine.", "Copy the click log here; qrels may lie anywhere.")
    if not path.exists():
        raise NotFoundError(f"There is no feedback at {path}.", "Name qrels, or the folder of a click log.")
    from ranking.learning.click_tasks import read_soft_judgements

    soft = read_soft_judgements(path, Path(click_model) if click_model else None)
    return Told(
        by_text={
            query.strip(): {doc: (r, soft.weight[query][doc]) for doc, r in grades.items()}
            for query, grades in soft.relevance.items()
        }
    )


def feedback_fact(uri: str) -> str:
    """By what the feedback is recognised again."""
    return fingerprint(input_files(uri))


def _qrels(file: Place, relevant: int) -> dict[str, dict[str, tuple[float, float]]]:
    lines = ((number, line.decode("utf-8", "replace")) for number, line in lines_of(file) if line.strip())
    return {
        topic: {doc: (float(grade >= relevant), 1.0) for doc, grade in judged.items()}
        for topic, judged in parse_qrels(lines, file).items()
    }
