"""A click log as what `estimate` reads: pages as arrays, with the propensities that they were shown with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from index.errors import InputError, NotFoundError
from ranking.clicks.codes import RANKS, sessions
from ranking.clicks.log import BATCH, ClickLog
from ranking.clicks.pages import Pages
from ranking.clicks.sessions import Floats, Sessions, Vocabulary


def batches(
    log: ClickLog | Iterable[Pages], vocabulary: Vocabulary, *, batch: int = BATCH, ranks: int = RANKS
) -> Iterator[tuple[Sessions, Floats | None]]:
    """The pages of a log, and the logged probability of each document at its rank, shape (n, ranks).

    NaN where a page logs none, None where none of a batch does. The rest is as `ranking.clicks.codes.sessions` has it.
    """
    latest: list[Pages] = []

    def passing() -> Iterator[Pages]:
        for pages in log.pages(batch) if isinstance(log, ClickLog) else log:
            latest[:] = [pages]
            yield pages

    for coded in sessions(passing(), vocabulary, batch=batch, ranks=ranks):
        yield coded, _logged(latest[0].take(latest[0].sound), coded.ranks)


def _logged(pages: Pages, width: int) -> Floats | None:
    column = pages.impressions.column("propensities")
    given = np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)
    whole = given == pages.lengths  # a list of another length cannot be matched to documents
    if not whole.any():
        return None
    flat = np.asarray(pc.fill_null(column.filter(pa.array(whole)).flatten(), np.nan), dtype=np.float64)
    logged = np.full((len(pages), width), np.nan)
    known = whole[pages.page_of_slot]
    shallow = pages.ranks <= width
    values = np.full(len(known), np.nan)
    values[known] = flat
    logged[pages.page_of_slot[shallow], pages.ranks[shallow] - 1] = values[shallow]
    return logged


def read_features(path: Path, vocabulary: Vocabulary) -> Floats:
    """The features of every pair of the vocabulary, shape (pairs, d), from a Parquet table with the columns `query`,
    `document` and numbers.

    Raises NotFoundError where there is no file, and InputError for a table without numbers or one that lacks pairs.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", "Name a Parquet file with features.")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}.", "Write it again.") from None
    names = [
        field.name for field in table.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]
    names = [name for name in names if name not in ("query", "document")]
    if not names or not {"query", "document"} <= set(table.column_names):
        raise InputError(
            f"{path} needs the columns query and document, and numbers beside them.", "Write one row per pair."
        )
    columns = [np.asarray(table.column(name).to_numpy(), dtype=np.float64) for name in names]
    if not all(np.isfinite(column).all() for column in columns):
        raise InputError(f"{path} has features that are missing or not finite.", "Fill them in.")
    features = np.full((len(vocabulary.query_of_pair), len(names)), np.nan)
    rows = [
        vocabulary.find(str(query), str(document))
        for query, document in zip(table.column("query").to_pylist(), table.column("document").to_pylist(), strict=True)
    ]
    known = np.array(rows, dtype=np.int64) >= 0
    features[np.array(rows, dtype=np.int64)[known]] = np.stack(columns, axis=1)[known]
    missing = int(np.isnan(features).any(axis=1).sum())
    if missing:
        raise InputError(f"{path} lacks {missing:,} of the pairs that the log shows.", "Give every pair its features.")
    return features
