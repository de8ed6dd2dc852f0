"""The rankings of a job as a TREC run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from index.errors import InputError
from ranking.jobs.inputs import breaking_off
from ranking.jobs.job import Part
from ranking.jobs.output import Output
from ranking.jobs.reading import query_ids
from ranking.jobs.storage import Place, whole_stream


def check_ids(parts: Iterable[Part]) -> None:
    """Raise InputError where two rows have one query id, by which a run would have two rankings for it. All ids are
    held in memory."""
    rows: dict[str, int] = {}
    for part in parts:
        for row, name in enumerate(query_ids(part), part.first + 1):
            before = rows.setdefault(_token(name or ""), row)
            if name and before != row:
                raise _twice(f"Rows {before:,} and {row:,} have", name)


def write_run(output: Output, parts: Sequence[Part], uri: str, tag: str) -> None:
    """Write all parts as one run, whole or not at all, a part at a time.

    Scores are strictly decreasing in single precision, so that all tools agree on ranks; white space in ids, which
    separates columns, is percent-encoded. Raises InputError where two rankings have one query id.
    """
    ranked: set[str] = set()
    with whole_stream(Place.at(uri)) as stream:
        for part in parts:
            place = output.part(part.number)
            with breaking_off(place):
                table = pq.read_table(place.open())
            queries, ranks = table["query_id"].to_pylist(), table["rank"].to_numpy()
            for query in (queries[i] for i in np.flatnonzero(ranks == 1).tolist()):
                if _token(query) in ranked:
                    raise _twice("Two rankings have", query)
                ranked.add(_token(query))
            scores = _falling(table["score"].to_numpy().astype(np.float32), ranks)
            rows = zip(queries, table["document"].to_pylist(), ranks.tolist(), scores.tolist(), strict=True)
            lines = [f"{_token(query)} Q0 {_token(doc)} {rank} {score:.9g} {tag}\n" for query, doc, rank, score in rows]
            stream.write("".join(lines).encode())


def _twice(what: str, name: str) -> InputError:
    return InputError(
        f"{what} the query_id {name!r}, and a TREC run has one ranking for each.",
        "Give them ids of their own, or write no run (--run).",
    )


def _falling(scores: npt.NDArray[np.float32], ranks: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Each score lowered as little as makes it less than the one before it in its ranking."""
    lowest = np.float32(-np.inf)
    for i in np.flatnonzero((np.diff(scores) >= 0) & (ranks[1:] > 1)) + 1:
        at = int(i)
        while at < len(scores) and ranks[at] > 1 and scores[at] >= scores[at - 1]:
            scores[at] = np.nextafter(scores[at - 1], lowest)
            at += 1
    return scores


def _token(name: str) -> str:
    return quote(name, safe="") if len(name.split()) != 1 or name.strip() != name else name
