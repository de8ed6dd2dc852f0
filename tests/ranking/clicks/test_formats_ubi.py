"""UBI: bulk files, dumps and answers; whether ordinals count from 0 or 1; pages out of queries and events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from index.errors import InputError
from ranking.clicks.pages import Page
from ranking.clicks.reading import ReadReport, read_log
from tests.ranking.clicks.logs import rows


def asked(query_id: str, text: str = "tea", hits: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "application": "shop",
        "query_id": query_id,
        "client_id": "c1",
        "user_query": text,
        "timestamp": "2026-01-05T08:00:00Z",
        **({} if hits is None else {"query_response_hit_ids": hits}),
        **more,
    }


def acted(query_id: str, action: str, document: str, ordinal: Any, **more: Any) -> dict[str, Any]:
    place = {"object": {"object_id": document}, "position": {"ordinal": ordinal}}
    return {
        "application": "shop",
        "action_name": action,
        "query_id": query_id,
        "session_id": "s1",
        "timestamp": "2026-01-05T08:00:09+0000",
        "event_attributes": {**place, **more.pop("attributes", {})},
        **more,
    }


def read(path: Path, records: list[Any], form: str = "lines", **options: Any) -> tuple[dict[str, Page], ReadReport]:
    if form == "lines":
        text = "\n".join(json.dumps(record) for record in records)
    elif form == "bulk":
        text = "".join(
            json.dumps({"index": {"_index": "ubi_events" if "action_name" in record else "ubi_queries"}})
            + "\n" + json.dumps(record) + "\n"
            for record in records
        )  # fmt: skip
    elif form == "array":
        text = json.dumps(records, indent=2)
    elif form == "one line":
        text = json.dumps(records)
    elif form == "named":
        queries = [record for record in records if "action_name" not in record]
        events = [record for record in records if "action_name" in record]
        text = json.dumps({"queries": queries, "events": events})
    else:
        hits = [{"_index": "ubi", "_id": str(n), "_source": record} for n, record in enumerate(records)]
        text = json.dumps({"took": 3, "hits": {"total": {"value": 9}, "hits": hits}}, indent=1)
    file = path / "ubi.json"
    file.write_text(text)
    report = ReadReport()
    return {page.query_id: page for page in rows(read_log(file, report=report, **options))}, report


RECORDS = [
    acted("1", "click", "b", 1),  # events may come before their query
    asked("1"),
    *(acted("1", "impression", document, ordinal) for ordinal, document in enumerate("abc")),
    asked("2", "coffee", ["x", "y"], query_attributes={"arm": "swap", "model": 7, "propensities": [0.5, 0.5]}),
    acted("2", "click_through", "y", None, attributes={"dwell_time": 12.5}),
    acted("2", "brand_filter", "z", 3),
]  # fmt: skip


@pytest.mark.parametrize("form", ["lines", "bulk", "array", "one line", "named", "answer"])
def test_every_form_of_file_gives_the_same_pages(tmp_path: Path, form: str) -> None:
    pages, report = read(tmp_path, RECORDS, form)
    assert (list(pages["1"].documents), list(pages["1"].ranks)) == (["a", "b", "c"], [1, 2, 3])
    assert [(event.document, event.rank) for event in pages["1"].events] == [("b", 2)]
    assert (pages["1"].client, pages["1"].session) == ("c1", "s1")
    assert list(pages["2"].documents) == ["x", "y"]
    assert (pages["2"].arm, pages["2"].model, pages["2"].propensities) == ("swap", "7", [0.5, 0.5])
    assert [(event.document, event.rank, event.dwell_ms) for event in pages["2"].events] == [("y", 2, 12_500)]
    assert pages["1"].time is not None
    assert pages["1"].time.isoformat() == "2026-01-05T08:00:00+00:00"
    assert report.counts["events of other actions"] == 1
    assert report.skipped == 0


@pytest.mark.parametrize(("first", "base"), [(0, 0), (1, 1)])
def test_the_base_of_ordinals_is_found_out_and_said(tmp_path: Path, first: int, base: int) -> None:
    records = [asked("1"), *(acted("1", "impression", name, first + at) for at, name in enumerate("abc"))]
    pages, report = read(tmp_path, records)
    assert list(pages["1"].ranks) == [1, 2, 3]
    assert report.notes == [f"shop: ordinals count from {base} ({1 - first} events have ordinal 0 and 1 have 1)."]


def test_every_application_has_a_base_of_its_own(tmp_path: Path) -> None:
    records = [asked("1"), asked("2", application="app")]
    records += [acted("1", "impression", name, at) for at, name in enumerate("abc")]
    records += [acted("2", "impression", name, 1 + at, application="app") for at, name in enumerate("abc")]
    pages, report = read(tmp_path, records)
    assert list(pages["1"].ranks) == list(pages["2"].ranks) == [1, 2, 3]
    assert len(report.notes) == 2


def test_a_stray_zero_makes_no_base_and_a_given_base_is_taken(tmp_path: Path) -> None:
    records = [asked("1")] + [asked(f"{n}") for n in range(2, 22)]
    records += [acted(f"{n}", "impression", "a", 1) for n in range(1, 22)]
    records += [acted("1", "impression", "stray", 0)]
    pages, report = read(tmp_path, records)
    assert list(pages["2"].ranks) == [1]
    assert report.counts["documents before the first rank"] == 1
    pages, report = read(tmp_path, records, ordinal_base=0)
    assert list(pages["2"].ranks) == [2]
    assert "as was said" in report.notes[0]
    with pytest.raises(InputError, match="cannot count from 2"):
        read(tmp_path, records, ordinal_base=2)


def test_the_place_in_the_hit_list_is_the_rank(tmp_path: Path) -> None:
    records = [asked("1", hits=["a", "b", "c"]), acted("1", "impression", "c", 7), acted("1", "impression", "a", 7)]
    pages, _ = read(tmp_path, records)
    assert (list(pages["1"].documents), list(pages["1"].ranks)) == (["a", "c"], [1, 3])  # a hole at rank 2


def test_one_query_id_with_two_queries_is_two_pages(tmp_path: Path) -> None:
    """An identifier that is made before the query changes has clicks on the wrong one, were it taken as one page."""
    records = [
        asked("1", "te", ["a", "b"]),
        asked("1", "tea", ["c", "d"]),
        acted("1", "click", "d", 2, user_query="tea"),
        acted("1", "click", "b", 2),  # names no query: the page that shows it
        acted("1", "click", "nowhere", 2),
    ]
    pages, report = read(tmp_path, records)
    assert [(page.query, [event.document for event in page.events]) for page in pages.values()] == [
        ("te", ["b"]),
        ("tea", ["d"]),
    ]
    assert list(pages) == ["1", "1#2"]
    assert report.counts["query ids with several queries"] == 1
    assert report.counts["events that name no query and no document of it"] == 1


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    records = [
        asked("1", hits=["a"]),
        acted("lost", "click", "a", 1),
        {**acted("1", "click", "a", 1), "query_id": None},
        {**acted("1", "click", "a", 1), "event_attributes": None},
        {**acted("1", "click", "a", 1), "timestamp": "yesterday"},
        {"neither": "one"},
        17,
    ]
    pages, report = read(tmp_path, records, clicks=["click"])
    assert len(pages["1"].events) == 1
    assert report.counts["events whose query_id has no query"] == 1
    assert report.counts["records without a query_id"] == 1
    assert report.counts["events without an object_id"] == 1
    assert report.counts["times that cannot be read"] == 1
    assert report.skipped == 2
    assert ":6:" in report.errors[0].message


def test_lines_that_are_no_json_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ubi.ndjson"
    path.write_text(json.dumps(asked("1", hits=["a"])) + '\n{"broken\n\n' + json.dumps(asked("2", hits=["b"])))
    report = ReadReport()
    assert len(rows(read_log(path, report=report))) == 2
    assert report.skipped == 1
    path = tmp_path / "cut.json"
    path.write_text(json.dumps([asked("1", hits=["a"]), asked("2", hits=["b"])])[:-20])
    report = ReadReport()
    assert len(rows(read_log(path, report=report))) == 1
    assert "breaks off" in report.errors[0].message


def test_other_actions_can_be_clicks(tmp_path: Path) -> None:
    records = [asked("1", hits=["a"]), acted("1", "item_click", "a", 1), acted("1", "click", "a", 1)]
    pages, _ = read(tmp_path, records, clicks=["item_click"])
    assert len(pages["1"].events) == 1


def test_the_real_sample_has_two_bases(data: Path) -> None:
    report = ReadReport()
    path = data / "clicks" / "ubi-sample" / "ubi_queries_events.ndjson"
    pages = rows(read_log(path, report=report))
    assert len(pages) == 281
    assert {note.split(" (")[0] for note in report.notes} == {
        "Chorus: ordinals count from 1",
        "esci_ubi_sample: ordinals count from 0",
    }
    assert all(page.ranks[0] >= 1 and list(page.ranks) == sorted(set(page.ranks)) for page in pages)
    assert sum(len(page.documents) == 5 and page.ranks[0] == 1 for page in pages) >= 200
