"""What real logs are like: each kind of bad input is counted, cleaned, and does no harm to what is fitted after it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from index.errors import ClickwiseError
from ranking.clicks.codes import sessions
from ranking.clicks.hygiene import HygieneReport, clean
from ranking.clicks.log import ClickLog
from ranking.clicks.measures import foresight
from ranking.clicks.models.base import FitOptions
from ranking.clicks.models.pbm import PositionBased
from ranking.clicks.models.registry import new
from ranking.clicks.pages import Event, Page
from ranking.clicks.propensity import estimate
from ranking.clicks.propensity.reading import batches
from ranking.clicks.reading import ReadReport, read_log
from ranking.clicks.sessions import Vocabulary
from ranking.clicks.summary import summarise
from tests.ranking.clicks.logs import a_page, after, logged
from tests.ranking.clicks.test_formats_baidu import row

GOOD = [a_page(number, 5, [1 + number % 3, 4 + number % 2]) for number in range(70)]


@dataclass(frozen=True)
class Bad:
    """Pages, mostly among good ones; what the report counts, or the summary warns of; how many pages stay. Good ones
    tell how likely a rank is looked at, and those alone that are warned of, but for their lengths, do not."""

    pages: list[Page]
    counted: dict[str, int]
    kept: int
    warned: str = ""
    tells: bool = True


def dwelt(number: int, ms: int, seconds: float = 5) -> Page:
    shown = a_page(number, 5)
    event = Event(shown.documents[0], rank=1, dwell_ms=ms, time=after(number + seconds))
    return Page(shown.query_id, shown.query, shown.documents, events=[event], time=shown.time)


KINDS = {
    "clicks outside the page": Bad(
        [*GOOD, Page("out", "x", ["a", "b"], events=[Event("elsewhere")])], {"outside": 1}, 71
    ),
    "ranks with holes": Bad([*GOOD, Page("holes", "x", ["a", "b"], [2, 5])], {"pages_with_holes": 1}, 71),
    "mixed page lengths": Bad([*GOOD, a_page(90, 3, [2])], {}, 71, "from 3 to 5 documents"),
    "one query only": Bad(
        [Page(f"p{n}", "x", ["a", "b"], events=[Event("b")]) for n in range(9)], {}, 9, "one query", False
    ),
    "no clicks at all": Bad([a_page(number, 5) for number in range(20)], {}, 20, "Nothing was clicked", False),
    "all clicks on rank 1": Bad(
        [a_page(number, 5, [1]) for number in range(20)], {}, 20, "All clicks are on rank 1", False
    ),
    "negative dwell": Bad([*GOOD, dwelt(80, -4_000)], {"negative_dwell": 1}, 71),
    "impossible dwell": Bad([*GOOD, dwelt(80, 3 * 86_400_000), dwelt(81, 20)], {"long_dwell": 1, "short_dwell": 1}, 72),
    "clock skew": Bad([*GOOD, dwelt(80, 2_000, -60.0), dwelt(81, 2_000, 200_000.0)], {"skewed": 1, "late": 1}, 72),
    "duplicate clicks": Bad([*GOOD, a_page(80, 5, [2, 2, 2])], {"duplicates": 2}, 71),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_goes_the_whole_way(kind: str, tmp_path: Path) -> None:
    bad, report = KINDS[kind], HygieneReport()
    tidy = ClickLog.write(tmp_path / "clean", clean(logged(tmp_path / "log", bad.pages), report=report))
    found = {name: getattr(report, name) for name in bad.counted}
    assert (found, report.pages_kept) == (bad.counted, bad.kept)
    assert bad.warned in " ".join(summarise(tidy)[0].warnings())
    for name in ("pbm", "ubm", "dbn"):
        model, vocabulary = new(name), Vocabulary()
        parts = list(sessions(tidy, vocabulary))
        model.fit(lambda parts=parts: parts, FitOptions(iterations=5))  # type: ignore[misc]
        assert np.isfinite(foresight(model, parts).log_likelihood)
    if bad.tells:
        curve = estimate(batches(tidy, Vocabulary()), "harvest").curves[0].propensity
        assert curve[0] == 1.0
        assert all(0 < value < np.inf for value in curve)
    else:
        with pytest.raises(ClickwiseError) as refused:
            estimate(batches(tidy, Vocabulary()), "harvest")
        assert refused.value.advice


def test_a_truncated_gzip_with_two_column_queries_keeps_its_whole_pages(tmp_path: Path) -> None:
    query = b"%d\t%d\n"  # no reformulation: two columns
    parts = [(query % (n, n)) + b"".join(row(b"%d" % (n + t), c0=b"%d" % t) for t in range(6)) for n in range(1, 400)]
    whole = gzip.compress(b"".join(parts))
    path = tmp_path / "part-00000.gz"
    path.write_bytes(whole[: len(whole) // 2])
    report = ReadReport()
    log = ClickLog.write(tmp_path / "log", read_log(path, "baidu", report=report))
    assert report.counts["files that break off"] == 1
    assert report.counts["query lines of 2 columns"] >= log.count("impressions") > 0
    assert summarise(log)[0].pages == log.count("impressions")


def test_a_log_of_bots_and_people_tells_the_curve_of_people_once_it_is_clean(tmp_path: Path) -> None:
    """Ten robots click at every rank alike; one clicks all it sees, again and again."""
    rng = np.random.default_rng(5)
    curve = 1.0 / np.arange(1, 8)

    def page(number: int, clicks: np.ndarray, client: str) -> Page:
        return a_page(number, 7, (1 + np.flatnonzero(clicks)).tolist(), client=client)

    people = [page(n, rng.random(7) < 0.5 * curve, f"person{n % 100}") for n in range(4_000)]
    flat = [page(10_000 + n, rng.random(7) < 0.3, f"quiet{n % 10}") for n in range(2_000)]
    flood = [page(20_000, np.ones(7), "greedy"), page(20_001, np.ones(7), "greedy")]
    flood = [Page(p.query_id, p.query, p.documents, events=[*p.events] * 4, time=p.time) for p in flood]
    log = logged(tmp_path / "log", [*people, *flat, *flood])
    report = HygieneReport()
    tidy = ClickLog.write(tmp_path / "clean", clean(log, report=report))
    assert (report.flat_bots, report.flooded_pages, report.pages_kept) == (10, 2, 4_000)
    assert curve_of(tidy) == pytest.approx(curve, abs=0.05)
    assert curve_of(log)[6] > 2 * curve[6]


def curve_of(log: ClickLog) -> np.ndarray:
    model, vocabulary = new("pbm"), Vocabulary()
    model.fit(lambda: sessions(log, vocabulary))
    assert isinstance(model, PositionBased)
    return model.theta


def test_late_clicks_within_a_longer_delay_stay(tmp_path: Path) -> None:
    from ranking.clicks.hygiene import Rules

    report = HygieneReport()
    log = logged(tmp_path, [dwelt(0, 2_000, 200_000.0)])
    (pages,) = clean(log, Rules(max_delay=timedelta(days=7)), report)
    assert (report.late, len(pages.events)) == (0, 1)
