from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.errors import InputError, NotFoundError
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page
from ranking.learning.click_tasks import read_soft_judgements

ROWS = [{"query": "tide", "document": "a", "relevance": 0.25, "weight": 0.0}, {"query": "tide", "document": "b"}]
ROWS[1] |= {"relevance": 1}


def page(number: int, clicks: tuple[str, ...] = (), arm: str | None = None, **judged: float) -> Page:
    events = [Event(doc) for doc in clicks] + [Event(doc, "judgement", relevance=r) for doc, r in judged.items()]
    return Page(f"page-{number}", "tide", ("a", "b", "c"), events=events, arm=arm)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_files_say_it_themselves(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"soft.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    judgements = read_soft_judgements(path)
    assert judgements.relevance == {"tide": {"a": 0.25, "b": 1.0}}
    assert judgements.weight == {"tide": {"a": 0.0, "b": 1.0}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no JSON object"),
        ('{"query": "a", "document": "b"}', "row 1 is no soft judgement"),
        ('{"query": "a", "document": "b", "relevance": 2}', "row 1 has relevance 2 and weight 1"),
        ('{"query": "a", "document": "b", "relevance": NaN}', "row 1 has relevance nan"),
    ],
)
def test_what_is_no_judgement_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "soft.jsonl").write_text(line)
    with pytest.raises(InputError, match=message):
        read_soft_judgements(tmp_path / "soft.jsonl")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no click log"):
        read_soft_judgements(tmp_path / "missing.jsonl")
    with pytest.raises(NotFoundError, match="no click log"):
        read_soft_judgements(tmp_path)


def test_the_clicks_of_many_searchers_add_up(tmp_path: Path) -> None:
    one = read_soft_judgements(ClickLog.write(tmp_path / "one", [page(0, ("b",))]).path)
    many = read_soft_judgements(ClickLog.write(tmp_path / "many", [page(n, ("b",)) for n in range(6)]).path)
    for found in (one, many):
        relevance = found.relevance["tide"]
        assert relevance["b"] > 0.5 > relevance["a"]
        assert all(0.0 <= weight <= 1.0 for weight in found.weight["tide"].values())
    assert many.relevance["tide"]["b"] > one.relevance["tide"]["b"]
    assert many.relevance["tide"]["a"] < one.relevance["tide"]["a"]
    assert many.weight["tide"]["c"] > one.weight["tide"]["c"]


def test_judgements_override_clicks(tmp_path: Path) -> None:
    found = read_soft_judgements(ClickLog.write(tmp_path / "log", [page(0, ("b",), b=0.0)]).path)
    assert (found.relevance["tide"]["b"], found.weight["tide"]["b"]) == (0.0, 1.0)


@pytest.mark.parametrize("order", [1, -1])
def test_on_a_page_after_feedback_what_was_read_is_not_left_alone(tmp_path: Path, order: int) -> None:
    """Whatever the order of the log. The second search never gave feedback: there a page is another look."""
    first, second = Page("s.1", "tide", ("a", "b", "c")), Page("s.2", "tide", ("b", "d", "c"), arm="round:2")
    other = Page("t.3", "wind", ("b", "d", "c"), arm="adjacent:10")
    pages = [
        replace(first, events=[Event("b")]),
        replace(second, events=[Event("d")]),
        replace(first, query_id="t.1", query="wind", events=[Event("b")]),
        replace(other, events=[Event("d")]),
    ]
    found = read_soft_judgements(ClickLog.write(tmp_path / "log", pages[::order]).path)
    once = read_soft_judgements(ClickLog.write(tmp_path / "once", pages[:1]).path).relevance["tide"]
    tide, wind = found.relevance["tide"], found.relevance["wind"]
    assert tide["b"] == once["b"] > wind["b"]
    assert tide["d"] == wind["d"] > 0.5
    assert tide["c"] == wind["c"] < once["c"]
