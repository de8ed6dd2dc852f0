"""A log on disk: what goes in comes out, in a stream, whatever the order of the rows, and all of it or nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import ConflictError, InputError, NotFoundError, UnavailableError
from ranking.clicks.log import ClickLog, Joining, LogWriter
from ranking.clicks.pages import Event, Page, Pages
from ranking.clicks.schema import EVENTS
from ranking.clicks.spill import Stream, together
from tests.ranking.clicks.logs import a_page, after, logged, rows

ROOT = Path(__file__).resolve().parents[3]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
EVENT = st.builds(
    Event,
    document=st.sampled_from(["a", "b", "c", "é\x00"]),
    kind=st.sampled_from(["click", "dwell", "judgement", "last_click"]),
    rank=st.none() | st.integers(1, 9),
    relevance=st.none() | st.floats(0, 1),
    dwell_ms=st.none() | st.integers(-(2**40), 2**40),
    time=st.none() | st.integers(-100, 100).map(after),
)


@st.composite
def pages(draw: st.DrawFn) -> list[Page]:
    made = []
    for number in range(draw(st.integers(0, 12))):
        ranks = sorted(draw(st.sets(st.integers(1, 9), max_size=4)))
        floats = st.none() | st.lists(st.floats(0, 1), min_size=len(ranks), max_size=len(ranks))
        made.append(
            Page(
                f"q{number}",
                draw(NAMES),
                [draw(st.sampled_from(["a", "b", "c", "é\x00"])) for _ in ranks],
                ranks,
                draw(st.lists(EVENT, max_size=4)),
                propensities=draw(floats),
                client=draw(st.none() | NAMES),
                time=draw(st.none() | st.integers(-100, 100).map(after)),
            )
        )
    return made


def same(found: list[Page], expected: list[Page]) -> bool:
    return list(Pages.of(found).rows()) == list(Pages.of(expected).rows())


@given(made=pages(), batch=st.integers(1, 5), group=st.integers(1, 4), part=st.integers(1, 6))
@settings(max_examples=40)
def test_what_is_written_is_read_whatever_the_sizes_of_batches(
    made: list[Page], batch: int, group: int, part: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with LogWriter(Path(folder, "log"), group=group, part=part) as writer:
            for page in made:
                writer.add(page)
        log = ClickLog.open(Path(folder, "log"))
        assert log.aligned
        assert log.count("impressions") == writer.written == len(made)
        assert log.count("events") == sum(len(page.events) for page in made)
        assert same(rows(log.pages(batch)), made)
        found = {page.query_id: page for page in rows(log.pages(batch, partition=True))}
        assert same([found[page.query_id] for page in made], made)


@given(made=pages(), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_rows_in_any_order_meet(made: list[Page], seed: int) -> None:
    whole, rng = Pages.of(made), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        for table, part in (("impressions", whole.impressions), ("events", whole.events)):
            Path(folder, table).mkdir()
            order = pa.array(rng.permutation(part.num_rows))
            pq.write_table(pa.table(part.take(order)), Path(folder, table, "some name.parquet"))
        log = ClickLog.open(folder)
        assert not log.aligned
        found = {page.query_id: page for page in rows(log.pages(3))}
    assert len(found) == len(made)
    for page in made:
        own = found[page.query_id]
        assert list(own.documents) == list(page.documents)
        assert Counter(own.events) == Counter(next(iter(Pages.of([page]).rows())).events)


def test_events_without_a_page_and_a_second_page_of_an_id_are_left_out_and_counted(tmp_path: Path) -> None:
    whole = Pages.of([a_page(1, clicks=[1]), a_page(2, clicks=[2]), a_page(1, 2)])
    lost = pa.table(whole.events).set_column(1, EVENTS.field(1), pa.array(["q1", "nowhere"]))
    for table, part in (("impressions", pa.table(whole.impressions)), ("events", lost)):
        (tmp_path / table).mkdir()
        pq.write_table(part, tmp_path / table / "0.parquet")
    joining = Joining()
    found = rows(ClickLog.open(tmp_path).pages(joining=joining))
    assert (joining.orphans, joining.repeated) == (1, 1)
    assert [(page.query_id, len(page.documents), len(page.events)) for page in found] == [("q1", 4, 1), ("q2", 4, 0)]


def test_appending_goes_on_after_what_is_there(tmp_path: Path) -> None:
    logged(tmp_path, [a_page(number, clicks=[1]) for number in range(3)])
    with pytest.raises(ConflictError, match="--append"):
        ClickLog.write(tmp_path, [])
    log = ClickLog.write(tmp_path, [a_page(7, clicks=[2])], append=True)
    assert [page.query_id for page in rows(log.pages())] == ["q0", "q1", "q2", "q7"]


def test_a_writer_that_fails_leaves_nothing_visible(tmp_path: Path) -> None:
    def failing() -> Iterator[Page]:
        for number in range(10_000):
            yield a_page(number)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        ClickLog.write(tmp_path, failing())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    with pytest.raises(NotFoundError, match="no click log"):
        ClickLog.open(tmp_path)
    logged(tmp_path, [a_page(1)])  # and its place is free


def test_events_of_a_part_whose_pages_never_came_are_not_seen(tmp_path: Path) -> None:
    log = logged(tmp_path, [a_page(1, clicks=[1])])
    (file,) = log.files("events")
    file.with_name("part-00000001-dead.parquet").write_bytes(file.read_bytes())
    (file.with_name(".part-00000002-dead.parquet.writing")).write_bytes(b"half a file")
    assert len(rows(log.pages())) == 1
    assert rows(log.pages())[0].events


def test_a_log_without_pages_is_a_log(tmp_path: Path) -> None:
    log = logged(tmp_path, [])
    assert rows(log.pages()) == []
    assert log.count("impressions") == 0


def test_columns_that_a_log_lacks_are_empty_and_others_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "impressions").mkdir()
    table = pa.table({"query_id": ["a"], "query": ["x"], "documents": [["d"]], "ranks": [[1]], "extra": [5]})
    pq.write_table(table, tmp_path / "impressions" / "0.parquet")
    (page,) = rows(ClickLog.open(tmp_path).pages())
    assert page == next(iter(Pages.of([Page("a", "x", ["d"])]).rows()))


def test_files_that_are_no_log_are_named_with_their_mend(tmp_path: Path) -> None:
    (tmp_path / "impressions").mkdir()
    file = tmp_path / "impressions" / "0.parquet"
    pq.write_table(pa.table({"query_id": ["a"]}), file)
    with pytest.raises(InputError, match=r"0\.parquet has no column query, documents, ranks"):
        ClickLog.open(tmp_path)
    file.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read as a click log"):
        ClickLog.open(tmp_path)


def test_events_out_of_order_in_a_log_that_claims_order_are_an_error(tmp_path: Path) -> None:
    log = logged(tmp_path, [a_page(number, clicks=[1]) for number in range(6)])
    (file,) = log.files("events")
    table = pq.read_table(file)
    pq.write_table(table.take(pa.array([5, 4, 3, 2, 1, 0])), file)
    with pytest.raises(ConflictError, match="not in the order"):
        rows(log.pages(2))


@given(
    keys=st.lists(st.sampled_from([f"k{number}" for number in range(40)]) | st.none(), max_size=200),
    limit=st.integers(1, 2000),
)
@settings(max_examples=25)
def test_a_partition_brings_equal_keys_together_and_loses_none(keys: list[str | None], limit: int) -> None:
    schema = pa.schema([("key", pa.string()), ("row", pa.int64())])
    batches = [
        pa.record_batch([pa.array(keys[at : at + 7], pa.string()), pa.array(range(at, at + len(keys[at : at + 7])))],
                        schema=schema)
        for at in range(0, len(keys), 7)
    ]  # fmt: skip
    seen: set[str | None] = set()
    found: list[int] = []
    for left, right in together([Stream(schema, batches), Stream(schema, batches[:1])], "key", limit):
        here = set(left.column("key").to_pylist())
        assert not here & seen
        assert set(right.column("key").to_pylist()) <= here
        seen |= here
        row_of: dict[str | None, int] = {}
        for key, row in zip(left.column("key").to_pylist(), left.column("row").to_pylist(), strict=True):
            assert row_of.get(key, -1) < row  # in their order
            row_of[key] = row
        found += left.column("row").to_pylist()
    assert sorted(found) == list(range(len(keys)))


PROGRAM = """
import sys
from pathlib import Path
import pyarrow as pa
from ranking.clicks.log import ClickLog, LogWriter
from ranking.clicks.pages import Pages
from ranking.clicks.schema import EVENTS, IMPRESSIONS
from ranking.clicks.spill import Stream, together
from tests.ranking.clicks.logs import a_page

path, count = Path(sys.argv[1]), int(sys.argv[2])
with LogWriter(path, group=2000) as writer:
    for start in range(0, count, 1000):
        writer.add(Pages.of(a_page(number, 10, [1 + number % 10]) for number in range(start, start + 1000)))
log = ClickLog.open(path)
assert sum(len(pages) for pages in log.pages(1000)) == count
tables = (("impressions", IMPRESSIONS), ("events", EVENTS))
streams = [Stream(schema, log.rows(table, 1000)) for table, schema in tables]
assert sum(shown.num_rows for shown, _ in together(streams, "query_id", limit=2**20)) == count
print(pa.default_memory_pool().max_memory())
"""


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """A log of many batches is written, merged and partitioned in the memory of a few."""

    def peak(count: int) -> int:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / str(count)), str(count)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(run.stdout)

    small, large = peak(8_000), peak(40_000)
    assert large < 1.5 * small


def test_slots_clicks_and_soundness() -> None:
    made = Pages.of(
        [
            Page("a", "x", ["d1", "d2", "d1"], events=[Event("d1"), Event("d9"), Event("d2", "dwell")]),
            Page("b", "x", ["d1"], [3], [Event("d1", "click")]),
            Page("c", "x", [], []),
            Page("d", "x", ["d1", "d2"], [2, 2]),
            Page("e", "x", ["d1", "d2"], [0, 1]),
            Page("f", "x", ["d1", "d2"], [1]),
        ]
    )
    assert made.slot.tolist() == [0, -1, 1, 3]
    assert made.clicked.tolist()[:4] == [True, False, False, True]
    assert made.first.tolist()[:4] == [True, True, False, True]
    assert made.sound.tolist() == [True, True, False, False, False, False]
    assert made.ranks.tolist() == [1, 2, 3, 3, 2, 2, 0, 1, 1, 0]
    kept = made.take(np.array([False, True, False, False, True, False]))
    assert [page.query_id for page in kept.rows()] == ["b", "e"]
    assert kept.page.tolist() == [0]
    assert pc.all(pc.equal(kept.events.column("query_id"), "b")).as_py()


def test_dropped_slots_take_their_lists_along() -> None:
    made = Pages.of([Page("a", "x", ["d1", "d2", "d3"], scores=[3.0, 2.0, 1.0]), Page("b", "x", ["d4"])])
    first, second = made.take_slots(np.array([True, False, True, True])).rows()
    assert (first.documents, first.ranks, first.scores) == (["d1", "d3"], [1, 3], [3.0, 1.0])
    assert first.propensities is None
    assert second.documents == ["d4"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "events").write_text("in the way")
    with pytest.raises(UnavailableError, match="cannot be written"):
        logged(tmp_path / "log", [a_page(1)])
    with pytest.raises(InputError, match="is a file"):
        logged(tmp_path / "log" / "events", [])
