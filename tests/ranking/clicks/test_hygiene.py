"""Every filter drops what it is for, counts it, and leaves the rest alone."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking.clicks.hygiene import HygieneReport, Rules, clean, repair
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page, Pages
from ranking.clicks.summary import summarise
from tests.ranking.clicks.logs import BEGIN, a_page, after, logged, rows

OFF = Rules(None, None, None, None, None, None, 30, False, None, None)


def repaired(*pages: Page, rules: Rules | None = None) -> tuple[list[Page], HygieneReport]:
    report = HygieneReport()
    return list(repair(Pages.of(pages), rules or Rules(), report).rows()), report


def counted(report: HygieneReport) -> dict[str, int]:
    return {name: count for name, count in asdict(report).items() if count}


def cleaned(path: Path, pages: list[Page], **rules: Any) -> tuple[list[Page], HygieneReport]:
    report = HygieneReport()
    found = rows(clean(logged(path, pages), Rules(**rules), report, batch=7))
    assert report.pages_kept == len(found)
    assert report.clicks_kept == sum(event.kind == "click" for page in found for event in page.events)
    return found, report


def page(*events: Event, **values: Any) -> Page:
    return Page("q", "x", ["a", "b", "c"], events=events, time=BEGIN, **values)


def test_a_clean_page_stays_as_it_is() -> None:
    made = page(Event("a", rank=1, dwell_ms=2000, time=after(3)), Event("a", "judgement", relevance=1.0, rank=1))
    (found,), report = repaired(made)
    assert found == next(iter(Pages.of([made]).rows()))
    assert counted(report) == {}


def test_clicks_outside_the_page_go_and_judgements_stay() -> None:
    (found,), report = repaired(page(Event("z"), Event("z", "judgement", relevance=0.0), Event("a", rank=3)))
    assert [(event.document, event.kind, event.rank) for event in found.events] == [
        ("z", "judgement", None),
        ("a", "click", 1),
    ]
    assert counted(report) == {"outside": 1, "moved": 1}


def test_several_clicks_on_a_document_are_one_with_the_longest_dwell() -> None:
    events = [
        Event("a", dwell_ms=3000, time=after(1)),
        Event("b"),
        Event("a", dwell_ms=9000, time=after(2)),
        Event("a"),
        Event("a", "last_click"),
        Event("a", "last_click"),
        Event("a", "dwell", dwell_ms=5),
        Event("a", "dwell", dwell_ms=5),
    ]
    (found,), report = repaired(page(*events))
    assert [(event.document, event.kind, event.dwell_ms) for event in found.events] == [
        ("a", "click", 9000),
        ("b", "click", None),
        ("a", "last_click", None),
        ("a", "dwell", 5),
        ("a", "dwell", 5),
    ]
    assert found.events[0].time == after(1)
    assert report.duplicates == 2


def test_the_same_document_on_two_pages_is_clicked_twice() -> None:
    first, second = (Page(name, "x", ["a"], events=[Event("a")]) for name in "pq")
    found, report = repaired(first, second)
    assert [len(each.events) for each in found] == [1, 1]
    assert counted(report) == {}


def test_impossible_dwell_times() -> None:
    events = [Event("a", dwell_ms=-5), Event("b", dwell_ms=999), Event("c", dwell_ms=90_000_000)]
    (found,), report = repaired(page(*events))
    assert [(event.document, event.dwell_ms) for event in found.events] == [("a", None), ("c", None)]
    assert counted(report) == {"negative_dwell": 1, "short_dwell": 1, "long_dwell": 1}
    (found,), report = repaired(page(*events), rules=OFF)
    assert [event.dwell_ms for event in found.events] == [None, 999, 90_000_000]


def test_clock_skew_and_late_events() -> None:
    (found,), report = repaired(
        page(Event("a", time=after(-60)), Event("b", time=after(90_000)), Event("c", time=after(80_000)), Event("b"))
    )
    assert [(event.document, event.time) for event in found.events] == [
        ("a", BEGIN),
        ("c", after(80_000)),
        ("b", None),
    ]
    assert counted(report) == {"skewed": 1, "late": 1}


def test_ranks_with_holes_are_kept_and_damaged_ones_are_not() -> None:
    def shown(name: str, ranks: list[int], documents: str = "ab") -> Page:
        return Page(name, "x", list(documents), ranks)

    found, report = repaired(
        shown("hole", [1, 5]),
        shown("second page", [11, 12]),
        shown("zero", [0, 1]),
        shown("back", [2, 1]),
        shown("twice", [2, 2]),
        shown("short", [1]),
        Page("none", "x", []),
        Page("again", "x", ["a", "b", "a"], events=[Event("a", rank=3)], scores=[3.0, 2.0, 1.0]),
    )
    assert [each.query_id for each in found] == ["hole", "second page", "again"]
    assert (found[2].documents, found[2].ranks, found[2].scores) == (["a", "b"], [1, 2], [3.0, 2.0])
    assert found[2].events[0].rank == 1
    assert counted(report) == {
        "empty_pages": 1,
        "damaged_pages": 4,
        "pages_with_holes": 1,
        "repeated_documents": 1,
        "moved": 1,
    }


def test_a_page_with_a_flood_of_clicks_goes(tmp_path: Path) -> None:
    found, report = cleaned(tmp_path, [a_page(1, 4, [1] * 21), a_page(2, 4, [1] * 20)])
    assert [each.query_id for each in found] == ["q2"]
    assert (report.flooded_pages, report.duplicates) == (1, 19)


def people(rng: np.random.Generator, count: int, client: str) -> list[Page]:
    """Pages whose clicks fall on what is on top."""
    chance = 0.8 / np.arange(1, 11) ** 1.5
    return [
        a_page(number, 10, (1 + np.flatnonzero(rng.random(10) < chance)).tolist(), client=f"{client}{number % 40}")
        for number in range(count)
    ]


def test_a_client_with_a_flat_curve_is_a_bot_and_people_are_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    robot = [a_page(10_000 + number, 10, [1 + number % 10], client="quiet") for number in range(60)]
    found, report = cleaned(tmp_path, people(rng, 4000, "person") + robot)
    assert (report.flat_bots, report.bot_pages) == (1, 60)
    assert len(found) == 4000
    assert {each.client for each in found} == {f"person{number}" for number in range(40)}


def test_where_all_clicks_are_flat_nobody_is_a_bot(tmp_path: Path) -> None:
    pages = [a_page(number, 10, [1 + number % 10], client=f"c{number % 5}") for number in range(1000)]
    _, report = cleaned(tmp_path, pages)
    assert report.bot_pages == 0


def test_a_client_with_a_flood_within_an_hour_is_a_bot(tmp_path: Path) -> None:
    fast = [a_page(number, 4, [1], client="fast") for number in range(40)]
    slow = [
        Page(
            f"s{hour}", "x", ["a"], events=[Event("a", time=after(3600 * hour))], time=after(3600 * hour), client="slow"
        )
        for hour in range(40)
    ]
    found, report = cleaned(tmp_path, fast + slow, max_hour_clicks=39)
    assert {each.client for each in found} == {"slow"}
    assert (report.flood_bots, report.bot_pages) == (1, 40)


@pytest.mark.parametrize(
    ("client", "bot"),
    [
        ("quepid-nightly-bot", True),
        ("Googlebot", True),
        ("my crawler 2", True),
        ("robotics-fan", False),
        ("abbot7", False),
    ],
)
def test_clients_that_call_themselves_bots(tmp_path: Path, client: str, bot: bool) -> None:
    found, report = cleaned(tmp_path, [a_page(1, client=client), a_page(2)])
    assert (report.named_bots, len(found)) == (int(bot), 2 - bot)
    kept, _ = cleaned(tmp_path / "kept", [a_page(1, client=client)], named_bots=False)
    assert len(kept) == 1


def test_the_share_of_a_client_is_bounded_across_batches(tmp_path: Path) -> None:
    pages = [a_page(number, client="one" if number % 2 else f"c{number}") for number in range(40)] + [a_page(99)]
    found, report = cleaned(tmp_path, pages, max_client_pages=3)
    assert [each.query_id for each in found if each.client == "one"] == ["q1", "q3", "q5"]
    assert len(found) == 20 + 3 + 1
    assert report.capped_pages == 17


def test_the_newest_pages_are_held_back(tmp_path: Path) -> None:
    pages = [a_page(3600 * hour) for hour in range(10)] + [Page("timeless", "x", ["a"])]
    found, report = cleaned(tmp_path, pages, quarantine=timedelta(hours=2))
    assert report.quarantined_pages == 2
    assert [each.query_id for each in found][-2:] == [f"q{7 * 3600}", "timeless"]


def test_pages_that_were_written_twice_count_once(tmp_path: Path) -> None:
    day = [a_page(number, clicks=[1]) for number in range(5)]
    log = logged(tmp_path, day)
    ClickLog.write(tmp_path, day, append=True)
    report = HygieneReport()
    found = rows(clean(log, None, report))
    assert sorted(each.query_id for each in found) == [f"q{number}" for number in range(5)]
    assert [len(each.events) for each in found] == [1] * 5
    assert (report.repeated_pages, report.pages_read) == (5, 10)


@pytest.mark.parametrize(
    ("pages", "warning"),
    [
        ([a_page(0, clicks=[1, 2]), a_page(5)], "one query only"),
        ([a_page(0), a_page(1)], "Nothing was clicked"),
        ([a_page(0, clicks=[1]), a_page(1, clicks=[1])], "All clicks are on rank 1"),
        ([a_page(0, 3, [2]), a_page(1, 5)], "from 3 to 5 documents"),
        ([a_page(0, clicks=[2]), a_page(1)], "asked once"),
    ],
)
def test_logs_that_are_hard_to_learn_from_are_cleaned_and_warned_of(
    tmp_path: Path, pages: list[Page], warning: str
) -> None:
    log = logged(tmp_path, pages)
    assert len(rows(clean(log))) == len(pages)
    summary, _ = summarise(log)
    assert any(warning in line for line in summary.warnings())


def test_an_empty_log_is_clean(tmp_path: Path) -> None:
    assert rows(clean(logged(tmp_path, []))) == []


def test_the_lines_of_a_report_name_what_was_found() -> None:
    report = HygieneReport(pages_read=3, pages_kept=2, empty_pages=1)
    assert [text for text, _ in report.lines()] == [
        "pages read",
        "clicks read",
        "pages without documents, dropped",
        "pages kept",
        "clicks kept",
    ]


def test_the_real_yandex_sample(data: Path, tmp_path: Path) -> None:
    from ranking.clicks.reading import read_log

    report = HygieneReport()
    log = ClickLog.write(tmp_path / "log", read_log(data / "clicks" / "yandex" / "testSample"))
    for _ in clean(log, None, report):
        pass
    assert report.pages_read == 21_413
    assert report.outside > 0
    assert report.duplicates > 0
    assert report.clicks_kept + report.outside + report.duplicates <= report.clicks_read
