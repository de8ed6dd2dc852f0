"""The store on PostgreSQL: shared by replicas, and each failure in words that help."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text

from index.errors import UnavailableError
from server.events import Event
from server.export import export_pages
from server.store import Page, Store, StoredQuery
from server.store.postgres import _gone
from server.store.weeks import WEEK_MS, monday
from tests.postgres import Server
from tests.server.store.conftest import QUERY, Clock, a_round, asked, count


@pytest.fixture
def store(postgres_address: str) -> Iterator[Store]:
    store = Store.open(postgres_address)
    yield store
    store.close()


@pytest.fixture
def other(postgres_address: str) -> Iterator[Store]:
    """Another replica."""
    store = Store.open(postgres_address)
    yield store
    store.close()


def test_replicas_see_each_others_feedback_at_once(store: Store, other: Store) -> None:
    asked(store)
    assert other.query("q1") == QUERY
    other.add_event(Event("q1", "a", "click"))
    assert store.marks("q1").keys() == {"a"}
    assert other.add_round(QUERY, a_round("c"), Page(0, ("c",)), new=False).number == 2
    newest = store.round("q1")
    assert newest is not None
    assert newest.ranking.ids == ("c",)


def test_replicas_number_rounds_and_keep_keys_together(store: Store, other: Store) -> None:
    asked(store)
    event = Event("q1", "a", "click", idempotency_key="same")

    def work(number: int) -> tuple[int, int, bool]:
        replica = (store, other)[number % 2]
        made = replica.add_round(QUERY, a_round("a"), Page(0, ("a",)), new=False)
        return (made.number, *replica.add_event(event))

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(16)))
    assert sorted(number for number, _, _ in done) == list(range(2, 18))
    assert len({event_id for _, event_id, _ in done}) == 1
    assert sorted(duplicate for _, _, duplicate in done) == [False] + [True] * 15


def test_replicas_that_start_together_make_one_schema(postgres: Server) -> None:
    address = postgres.database("together")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store.open(address), range(4)))
    for number, store in enumerate(stores):
        asked(store, StoredQuery(f"q{number}", "docs", "text"))
    assert count(stores[0], "queries") == 4
    for store in stores:
        store.close()


def test_an_export_waits_for_writers_with_lower_ids(store: Store, other: Store) -> None:
    asked(store)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with other.writing() as connection:
            insert = "INSERT INTO events (query_id, document, kind, received_ms) VALUES ('q1', 'slow', 'click', :now)"
            connection.execute(text(insert), {"now": time.time_ns() // 1_000_000})
            begun.set()
            assert go_on.wait(60)

    def let_go() -> None:  # as soon as the export waits for the lock
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock'")
        while True:
            with other.reading() as connection:
                if connection.execute(waits).scalar_one():
                    break
        go_on.set()

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(slow)
        assert begun.wait(60)
        store.add_event(Event("q1", "quick", "click"))  # a higher id, and there first
        letting = pool.submit(let_go)
        (page,) = export_pages(store)
        letting.result()
        writing.result()
    assert [event.document for event in page.events] == ["slow", "quick"]


def test_a_server_that_stops_and_comes_back(store: Store, postgres: Server) -> None:
    asked(store)
    acknowledged = [store.add_event(Event("q1", f"d{number}", "click"))[0] for number in range(20)]
    postgres.stop("immediate")  # as if it had been killed: what was acknowledged is in its log
    try:
        with pytest.raises(UnavailableError, match=r"cannot be reached.*tried anew"):
            store.add_event(Event("q1", "lost", "click"))
        with pytest.raises(UnavailableError, match="cannot be reached"):
            store.query("q1")
    finally:
        postgres.start()
    assert store.query("q1") == QUERY  # without a restart of ours
    assert store.add_event(Event("q1", "last", "click"))[0] > acknowledged[-1]
    assert store.marks("q1").keys() == {*(f"d{number}" for number in range(20)), "last"}


def test_a_server_that_stops_during_a_transaction(store: Store, postgres: Server) -> None:
    asked(store)

    def interrupted() -> None:
        with store.writing() as connection:
            connection.exec_driver_sql("DELETE FROM events")
            postgres.stop("fast")
            postgres.start()
            connection.exec_driver_sql("DELETE FROM impressions")

    with pytest.raises(UnavailableError, match="cannot be reached"):
        interrupted()
    assert count(store, "impressions") == 1


def test_no_server_at_all(tmp_path_factory: pytest.TempPathFactory) -> None:
    address = f"postgresql://me:secret@/nothing?host={tmp_path_factory.mktemp('no')}"
    with pytest.raises(UnavailableError, match="cannot be reached") as problem:
        Store.open(address)
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "socket failed: No such file or directory\n\tIs the server running?",
            ": No such file or directory.",
        ),
        ("failed: FATAL:  the system is starting up\nDETAIL:  Not yet consistent.", ": the system is starting up."),
        (
            "failed to resolve host 'x': [Errno -2] Name or service not known",
            ": failed to resolve host 'x': [Errno -2] ",
        ),
        ("", "cannot be reached."),
    ],
)
def test_why_a_server_cannot_be_reached(said: str, reason: str) -> None:
    assert reason in _gone("postgresql://db/x", said).message


def test_a_database_that_is_not_there(postgres: Server) -> None:
    with pytest.raises(UnavailableError, match=r"cannot be reached: .*\"missing\" does not exist"):
        Store.open(postgres.url("missing"))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("53100", "disk of the store .* is full: nothing was recorded"),
        ("53300", "takes no more connections"),
        ("53200", "has no room"),
        ("25006", "cannot be written"),
        ("42501", "may not do that"),
        ("58030", "disk of the store .* failed"),
        ("40P01", "busy with another writer"),
    ],
)
def test_what_the_server_says_is_told_in_plain_words(store: Store, state: str, told: str) -> None:
    asked(store)
    with store.writing() as connection:  # a disk cannot be filled here: the server's own word for it can be had
        connection.exec_driver_sql(
            f"CREATE FUNCTION fails() RETURNS trigger AS $$ BEGIN RAISE SQLSTATE '{state}'; END $$ LANGUAGE plpgsql"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER fails BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION fails()"
        )
    try:
        with pytest.raises(UnavailableError, match=told):
            store.add_event(Event("q1", "a", "click"))
    finally:
        with store.writing() as connection:
            connection.exec_driver_sql("DROP FUNCTION fails CASCADE")
    assert store.marks("q1") == {}


def test_a_lock_is_not_waited_for_for_ever(store: Store, other: Store) -> None:
    asked(store)

    def waiting() -> None:
        with store.writing() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '10ms'")
            connection.exec_driver_sql("DELETE FROM events")

    with other.writing() as connection:
        connection.exec_driver_sql("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(UnavailableError, match="busy with another writer"):
            waiting()


def test_commits_are_synced_and_reads_see_one_moment(store: Store, other: Store) -> None:
    with store.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    asked(store)
    with store.reading() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM events").scalar()
        other.add_event(Event("q1", "a", "click"))
        assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == before
        with pytest.raises(UnavailableError, match="cannot be written"), store.database.errors():
            connection.exec_driver_sql("DELETE FROM events")


def test_rows_lie_in_their_weeks(store: Store, clock: Clock) -> None:
    for days in (0, 7, -21):  # the last one: the clock was turned back
        clock.days = days
        asked(store, StoredQuery(f"q{days}", "docs", "text"))
        store.add_event(Event(f"q{days}", "a", "click", idempotency_key=f"k{days}"))
    starts = {monday(clock.ms() + week * WEEK_MS) for week in (0, 3, 4)}
    with store.reading() as connection:
        found = connection.execute(text("SELECT tableoid::regclass::text, received_ms FROM events")).all()
    assert {monday(ms) for _, ms in found} == starts
    assert all(name.endswith(time.strftime("%Y%m%d", time.gmtime(monday(ms) / 1000))) for name, ms in found)


def test_a_key_is_known_in_another_week(store: Store, clock: Clock) -> None:
    asked(store)
    event = Event("q1", "a", "click", idempotency_key="k")
    first, _ = store.add_event(event)
    clock.days = 15
    assert store.add_event(event) == (first, True)


def test_passwords_stay_out_of_messages(postgres_address: str) -> None:
    url = make_url(postgres_address).set(password="secret")
    store = Store.open(url.render_as_string(hide_password=False))
    assert "secret" not in store.database.where
    store.close()
