"""Soft judgements from clicks, for tasks: from a click log by way of debiasing, or from a file that somebody made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from index.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from ranking.clicks import debias
    from ranking.clicks.log import ClickLog
    from ranking.clicks.models.registry import Fitted

Grades: TypeAlias = dict[str, dict[str, float]]

_LEAST = 0.05  # what the clicks of a log say of a document counts from this weight on


@dataclass(frozen=True, slots=True)
class SoftJudgements:
    """query -> document -> relevance in [0, 1], and how sure it is."""

    relevance: Grades = field(default_factory=dict)
    weight: Grades = field(default_factory=dict)

    def add(self, query: str, document: str, relevance: float, weight: float) -> None:
        self.relevance.setdefault(query, {})[document] = relevance
        self.weight.setdefault(query, {})[document] = weight


def read_soft_judgements(path: Path, model: Path | None = None) -> SoftJudgements:
    """From the folder of a click log, or a .jsonl or .parquet file with query, document, relevance and maybe weight.

    A log is debiased with the fitted click model in `model` or else the published curve (`soft_judgements`), also on
    pages that feedback had changed: those reach deeper. Raises NotFoundError and InputError for what is missing or not
    usable.
    """
    if path.is_dir():
        return _debiased(path, model)
    if not path.is_file():
        raise NotFoundError(f"There is no click log {path}.", "Make one with 'clickwise clicks convert'.")
    judgements = SoftJudgements()
    for number, row in enumerate(_rows(path), start=1):
        try:
            relevance, weight = float(row["relevance"]), float(1.0 if (sure := row.get("weight")) is None else sure)
            query, document = str(row["query"]), str(row["document"])
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{path}, row {number} is no soft judgement.", "Give query, document, relevance and maybe weight."
            ) from None
        if not (0.0 <= relevance <= 1.0 and 0.0 <= weight < math.inf):
            raise InputError(
                f"{path}, row {number} has relevance {relevance:g} and weight {weight:g}.",
                "A relevance is between 0 and 1, a weight is not negative.",
            )
        judgements.add(query, document, relevance, weight)
    return judgements


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            for batch in pq.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} is no Parquet file: {error}.", "Write it again.") from error
        return
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    yield dict(json.loads(line))
            except (ValueError, TypeError):
                raise InputError(f"{path}, line {number} is no JSON object.", "Write one object a line.") from None


def _debiased(path: Path, model: Path | None) -> SoftJudgements:
    from index.progress import track
    from ranking.clicks import debias
    from ranking.clicks.log import ClickLog
    from ranking.clicks.models.registry import Fitted

    log = ClickLog.open(path)
    fitted = None if model is None else Fitted.load(model)
    told, read = SoftJudgements(), _read_with_feedback(log)

    def pages() -> Iterator[tuple[str, debias.Page]]:
        rows = (page for some in log.pages() for page in some.rows())
        for page in track(rows, "Debiasing", log.count("impressions")):
            clicked = frozenset(event.document for event in page.events if event.kind == "click")
            dwell = {event.document: event.dwell_ms for event in page.events if event.dwell_ms is not None}
            known = frozenset(read.get(_search_of(page.query_id), ()))
            yield page.query, debias.Page(tuple(page.documents), clicked, dwell_ms=dwell, read=known)
            for event in page.events:
                if event.kind == "judgement" and event.relevance is not None and event.weight != 0:
                    told.add(page.query, event.document, event.relevance, 1.0 if event.weight is None else event.weight)

    believed = soft_judgements(pages(), fitted)
    for query, grades in told.relevance.items():  # what was said in so many words overrides what clicks say
        for doc, relevance in grades.items():
            believed.add(query, doc, relevance, told.weight[query][doc])
    return believed


def _read_with_feedback(log: ClickLog) -> dict[str, set[str]]:
    """Search -> the documents that were clicked on any of its pages, for searches that feedback ranked again.

    Their pages show the same documents again, and who has read one does not click on it a second time.
    """
    import pyarrow.compute as pc

    from ranking.clicks.propensity.estimate import AGAIN

    read: dict[str, set[str]] = {}
    for ids, arms in zip(log.column("query_id"), log.column("arm"), strict=True):
        moved = pc.fill_null(pc.starts_with(arms.column(0), AGAIN), False)
        read |= {_search_of(name): set() for name in ids.column(0).filter(moved).to_pylist()}
    if read:
        for rows in log.rows("events"):
            clicks = rows.filter(pc.equal(rows.column("kind"), "click"))
            for name, doc in zip(*(clicks.column(part).to_pylist() for part in ("query_id", "document")), strict=True):
                if (search := _search_of(name)) in read:
                    read[search].add(doc)
    return read


def _search_of(page: str) -> str:
    """A service names its pages QUERY_ID.IMPRESSION_ID."""
    return page.rpartition(".")[0] or page


def soft_judgements(pages: Iterable[tuple[str, debias.Page]], fitted: Fitted | None) -> SoftJudgements:
    """What the clicks on (query, page) say, debiased page by page with a click model or the published curve: every page
    is taken for another searcher's, whose evidence adds up."""
    from ranking.clicks import debias

    # What others clicked is in the log itself and must not count twice, nor must the ranker's scores with every page.
    options = debias.Debiasing(prior="flat", others=0.0, least=0.0)
    middle = math.log(options.relevant / (1.0 - options.relevant))
    believed: dict[tuple[str, str], tuple[float, float]] = {}
    for query, page in pages:
        found = debias.debiased(query, [page], fitted=fitted, options=options)
        for doc, relevance, weight in zip(found.ids, found.relevance.tolist(), found.weight.tolist(), strict=True):
            odds, untold = believed.get((query, doc), (middle, 1.0))
            believed[query, doc] = odds + _logit(relevance) - middle, untold * (1.0 - weight)
    judgements = SoftJudgements()
    for (query, doc), (odds, untold) in believed.items():
        if 1.0 - untold >= _LEAST:
            judgements.add(query, doc, 1.0 / (1.0 + math.exp(min(-odds, 700.0))), 1.0 - untold)
    return judgements


def likely(soft: SoftJudgements) -> dict[str, dict[str, int]]:
    """Query -> document -> 1 from even odds on, else 0."""
    return {query: {doc: int(grade >= 0.5) for doc, grade in found.items()} for query, found in soft.relevance.items()}


def _logit(share: float) -> float:
    within = min(max(share, 1e-9), 1.0 - 1e-9)
    return math.log(within / (1.0 - within))
