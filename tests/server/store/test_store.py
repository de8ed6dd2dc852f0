"""The store on both databases: what goes in comes out, and failures are told apart from success."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from index.errors import ConflictError, InputError, NotFoundError
from index.types import Ranking
from server.events import Event, Mark
from server.store import Page, Round, Store, StoredQuery
from server.store.rows import packed, unpacked
from server.store.tables import impressions
from tests.server.store.conftest import QUERY, a_round, asked, count


def test_a_round_comes_back_as_it_was(store: Store) -> None:
    stages = {"bm25": Ranking.of(["b", "a"], [7.25, 1 / 3]), "probe": Ranking.empty()}
    made = a_round("a", "b", "ü☃", feedback=(Mark("b", "click", 1.0, 0.5),), stages=stages)
    first = store.add_round(QUERY, made, Page(0, ("a",)), new=True)
    assert first.number == 1
    back = store.round("q1")
    assert back is not None
    assert back.ranking.ids == ("a", "b", "ü☃")
    assert back.ranking.scores.tolist() == pytest.approx(made.ranking.scores.tolist(), rel=1e-6)
    assert (back.pipeline, back.version, back.generation, back.number) == ("fused", "v1", "g1", 1)
    assert back.feedback == made.feedback
    assert back.stages == stages
    assert store.query("q1") == QUERY


def test_rounds_are_numbered_and_the_newest_is_served(store: Store) -> None:
    asked(store)
    assert store.add_round(QUERY, a_round("c"), Page(0, ("c",)), new=False).number == 2
    newest, first = store.round("q1"), store.round("q1", 1)
    assert newest is not None
    assert first is not None
    assert (newest.number, newest.ranking.ids, newest.stages) == (2, ("c",), None)
    assert first.ranking.ids == ("a", "b", "c")
    assert store.round("q1", 3) is None
    assert store.round("other") is None


def test_an_empty_ranking_is_kept(store: Store) -> None:
    store.add_round(QUERY, a_round(), Page(0, ()), new=True)
    assert store.round("q1") == Round(Ranking.empty(), "fused", "v1", "g1", "combsum", number=1)


def test_impressions_record_what_was_shown(store: Store) -> None:
    asked(store)
    store.add_page("q1", 1, Page(2, ("c",), None, "u"))
    columns = [
        impressions.c[name] for name in ("round", "offset", "documents", "session_id", "user_id", "propensities")
    ]
    with store.reading() as connection:
        shown = connection.execute(select(*columns).order_by(impressions.c.impression_id)).all()
    assert [tuple(row) for row in shown] == [
        (1, 0, '["a", "b"]', "s", "u", None),
        (1, 2, '["c"]', None, "u", None),
    ]


def test_ranked_looks_into_every_round(store: Store) -> None:
    asked(store)
    store.add_round(QUERY, a_round("z"), Page(0, ("z",)), new=False)
    assert store.ranked("q1", "c")
    assert store.ranked("q1", "z")
    assert not store.ranked("q1", "y")
    assert not store.ranked("q2", "a")


def test_events_become_marks(store: Store) -> None:
    asked(store)
    assert store.marks("q1") == {}
    assert store.add_event(Event("q1", "a", "click", position=1, dwell_ms=1200)) == (1, False)
    assert store.add_event(Event("q1", "b", "relevant")) == (2, False)
    store.add_event(Event("q1", "b", "not_relevant"))
    assert {doc: mark.kind for doc, mark in store.marks("q1").items()} == {"a": "click", "b": "not_relevant"}


def test_graded_feedback_is_recorded_with_its_round(store: Store) -> None:
    graded = [Event("q1", "a", "graded", relevance=0.75, weight=2.0)]
    store.add_round(QUERY, a_round("a"), Page(0, ("a",)), graded, new=True)
    assert store.marks("q1") == {"a": Mark("a", "graded", 0.75, 2.0)}


def test_a_round_is_recorded_wholly_or_not_at_all(store: Store) -> None:
    asked(store)
    orphan = [Event("nobody", "a", "graded", relevance=1.0, weight=1.0)]  # breaks the foreign key
    with pytest.raises(NotFoundError):
        store.add_round(QUERY, a_round("z"), Page(0, ("z",)), orphan, new=False)
    assert count(store, "rankings") == 1
    assert count(store, "impressions") == 1


def test_an_unknown_query(store: Store) -> None:
    with pytest.raises(NotFoundError, match="'nobody'"):
        store.query("nobody")
    with pytest.raises(NotFoundError, match="'nobody'"):
        store.add_event(Event("nobody", "a", "click"))


def test_idempotency(store: Store) -> None:
    asked(store)
    click = Event("q1", "a", "click", position=1, idempotency_key="k")
    assert store.add_event(click) == (1, False)
    assert store.add_event(click) == (1, True)
    with pytest.raises(ConflictError, match="'k' belongs to another event"):
        store.add_event(Event("q1", "b", "click", position=1, idempotency_key="k"))
    assert count(store, "events") == 1


def test_it_opens_again(store: Store, address: str) -> None:
    asked(store)
    store.close()
    again = Store.open(address)
    assert again.query("q1") == QUERY
    again.close()


def test_many_threads_write_and_read_their_own(store: Store) -> None:
    def work(worker: int) -> None:
        query = StoredQuery(f"q{worker}", "docs", "text")
        asked(store, query)
        for i in range(10):
            store.add_event(Event(query.id, f"d{i}", "click"))
            assert len(store.marks(query.id)) == i + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert count(store, "events") == 80


def test_two_threads_with_one_key_make_one_event(store: Store) -> None:
    asked(store)
    event = Event("q1", "a", "click", idempotency_key="same")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: store.add_event(event), range(16)))
    assert {event_id for event_id, _ in results} == {1}
    assert sorted(duplicate for _, duplicate in results) == [False] + [True] * 15
    assert count(store, "events") == 1


def test_more_than_go_into_one_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.store.store.MOST_TOGETHER", 3)
    many = [(StoredQuery(f"q{n}", "docs", "text"), a_round("a"), Page(0, ("a",))) for n in range(8)]
    assert store.add_queries(many) == [True] * 8
    assert store.add_queries(many[2:] + many[:1]) == [False] * 7
    events = [Event(f"q{n}", "a", "click", idempotency_key=f"key-{n}") for n in range(9)]
    *recorded, unknown = store.add_events(events)
    assert isinstance(unknown, NotFoundError)
    assert all(isinstance(one, tuple) and one[1] is False for one in recorded)
    assert store.writes.done.count == 3 + 3 + 3
    assert (count(store, "queries"), count(store, "rankings"), count(store, "events")) == (8, 8, 8)


def test_concurrent_rounds_get_different_numbers(store: Store) -> None:
    asked(store)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.add_round(QUERY, a_round("a"), Page(0, ()), new=False), range(16)))
    assert sorted(one.number for one in made) == list(range(2, 18))


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "postgresql://host"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="sqlite:///path"):
        Store.open(url)


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_ids_pack_and_unpack(ids: list[str]) -> None:
    assert unpacked(packed(ids)) == ids
