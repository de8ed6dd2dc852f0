"""The use case of the house: a question is ranked, logged and shown; with feedback it is ranked again.

One path for every front door: a search becomes one `ranking.Request` for `Pipeline.trace`, and what came of it is in
the store before anybody sees it. While it is written there, the documents of the page are read.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Final

from index.errors import ClickwiseError, ConflictError, InputError, NotFoundError
from index.filters import Filter, parse_filter
from index.index import View
from index.types import Query, Ranking
from ranking.config import working
from ranking.context import Context
from ranking.contract import Request
from ranking.feedback import Feedback
from server.answers import Shown, answer, documents, find, page_of
from server.clicking import ClickReader
from server.events import Event, Mark, as_feedback, fold
from server.experiments import Experiments, eligible, whose
from server.patience import Patience
from server.releases import Releases
from server.schemas import SearchAnswer, SearchRequest
from server.settings import Settings
from server.store import Round, Store, StoredQuery, unknown_query

REHEARSALS: Final = 8
SILENT: Final = "The query holds no word that can be searched for: only stop words or punctuation."


class Searching:
    """Answers searches. Thread-safe."""

    def __init__(self, releases: Releases, store: Store, settings: Settings) -> None:
        self._releases, self._store, self._settings = releases, store, settings
        self._experiments = Experiments(settings, releases.catalog.specs)
        self._recorders = ThreadPoolExecutor(settings.threads, thread_name_prefix="clickwise-recorder")

    def close(self) -> None:
        """Finish what is being recorded."""
        self._recorders.shutdown()

    def search(self, ask: SearchRequest, patience: Patience | None = None) -> SearchAnswer:
        """A first ranking, a new round with all feedback so far, or a page of the newest round.

        `timings_ms` holds every stage, `encode` (the query), `hits` (titles, passages), `store` (what recording takes
        beyond that) and `total`. Whose `patience` comes to its end gets what is ranked by then, without passages.
        Raises InputError for a request that contradicts itself or its query, NotFoundError for unknown names,
        UnavailableError where the store cannot record the answer: what is not recorded is not shown; LateError where
        the deadline is over at the beginning, and ClientDisconnect where nobody waits for the answer any more.
        """
        start = time.perf_counter()
        patience = patience or Patience.of(ask.deadline_ms, self._settings.max_deadline_ms)
        patience.begin()
        if ask.query_id is None:
            shown = self._ranked(ask, self._asked(ask), None, patience)
        else:
            query, newest = self._continued(ask)
            show = self._ranked if ask.offset == 0 else self._page
            shown = show(ask, query, newest, patience)
        ready = time.perf_counter()
        page = answer(shown)
        hits = page.timings_ms["hits"] + _since(ready)
        timings = {**page.timings_ms, "hits": hits, "total": _since(start)}
        return page.model_copy(update={"timings_ms": {name: round(ms, 3) for name, ms in timings.items()}})

    def rehearse(self, name: str) -> None:
        """Search an index for its own documents and take some as relevant, so that every path is warm. Logs nothing."""
        catalog = self._releases.serving("").catalog
        _, index = catalog.index(name)
        pipeline = catalog.pipeline(None, index)
        lexical = index.view().lexical
        some = lexical.live_ids(REHEARSALS)
        for document in lexical.documents(some):
            words = document.contents[:100] if document else ""
            ask, query = SearchRequest(query=words, explain=True), StoredQuery("rehearsal", name, words)
            context = Context.of(index)
            feedback = Feedback.judged(some[:2], some[2:4])
            trace = pipeline.trace([Request(Query(query.id, words), feedback, limit=self._settings.depth)], context)[0]
            made = Round(trace.ranking, pipeline.name, pipeline.version, "", "", stages=trace.stages)
            found = find(context.view, words, page_of(ask, made.ranking).documents, ask.highlight)
            answer(Shown(ask, query, context.view, made, trace.ranking, {}, found, {}, ()))

    def _asked(self, ask: SearchRequest) -> StoredQuery:
        """The query of a new question."""
        text = (ask.query or "").replace("\0", " ").strip()
        most = self._settings.max_query_chars
        with about("query"):
            if not text:
                raise InputError("The query is empty.", "Say what to search for, or give the query_id of a query.")
            if len(text) > most:
                raise InputError(
                    f"The query has {len(text):,} characters, and at most {most:,} are allowed.",
                    "Shorten it, or raise the setting max_query_chars.",
                )
        index, _ = self._releases.catalog.index(ask.index)
        return StoredQuery(uuid.uuid4().hex, index, text, ask.filter or None)

    def _continued(self, ask: SearchRequest) -> tuple[StoredQuery, Round]:
        """The query of a question that goes on, with its newest round. What was asked cannot change."""
        with about("query_id"):
            query = self._store.query(ask.query_id or "")
            newest = self._store.round(query.id)
            if newest is None:  # pruned or erased while it was asked for: recorded it was with its first round
                raise unknown_query(query.id)
        for name, given, known in (
            ("query", ask.query, None),
            ("index", ask.index, query.index),
            ("filter", ask.filter, query.filter or ""),
        ):
            if given is not None and given != known:
                with about(name):
                    raise InputError(
                        f"The {name} belongs to the query that query_id names, and cannot be given anew.",
                        f"Leave out {name} to go on with that query, or leave out query_id to ask a new one.",
                    )
        if ask.offset > 0 and (ask.feedback or ask.pipeline not in (None, newest.pipeline)):
            with about("offset"):
                raise InputError(
                    "A further page shows a ranking as it was made: it takes no feedback and no other pipeline.",
                    "Use offset 0 to rank anew, or leave those out.",
                )
        return query, newest

    def _ranked(self, ask: SearchRequest, query: StoredQuery, newest: Round | None, patience: Patience) -> Shown:
        """Rank with everything that is known, and record the round. `newest` is None for a new question."""
        serving = self._releases.serving(whose(ask, query.id))
        catalog = serving.catalog
        _, index = catalog.index(query.index)
        works = working(catalog.specs, index)
        duel = self._experiments.duel(ask, query.id, works)
        given, arm = self._experiments.split(ask, query.id, works) or (None, serving.arm if eligible(ask) else None)
        with about("pipeline"):
            wanted = duel.first if duel else given or ask.pipeline or (newest.pipeline if newest else None)
            pipeline = catalog.pipeline(wanted, index)
        context = Context.of(index, patience.ranking_ends)
        condition = _condition(query, context.view)
        graded = _graded(query.id, ask, context.view)
        marks = (self._store.marks(query.id) if newest else {}) | fold(graded)
        learned = self._learned(serving.clicks, query, marks)
        known = [mark for mark in learned.values() if mark.document in context.lexical]
        request = Request(
            Query(query.id, query.text, condition),
            as_feedback(known),
            exclude_feedback=ask.exclude_feedback,
            limit=self._settings.depth,
        )
        begun = time.perf_counter()
        trace = pipeline.trace([request], context)[0]
        took = _since(begun)
        other = None
        if duel:  # an experiment must not cost the searcher the answer
            with suppress(ClickwiseError):
                other = catalog.pipeline(duel.second, index).rank([request], context)[0]
        if duel and other is not None and not context.degraded:  # who ran out of time did not fight
            trial = self._experiments.fought(duel, trace.ranking, other, ask.limit, query.id)
        else:
            duel = None
            trial = self._experiments.explored(ask, query.id, trace.ranking)
        made = Round(
            ranking=trial.ranking,
            pipeline=pipeline.name,
            version=pipeline.version,
            generation=context.view.generation,
            score_kind="interleaved" if duel else pipeline.spec.stages[-1].part,
            feedback=tuple(known),
            stages=trace.stages if ask.explain else None,
            took_ms=took,
        )
        patience.check()
        shown = page_of(ask, made.ranking)
        page = replace(shown, arm=trial.arm or arm, propensities=trial.propensities, credits=trial.credits)
        record = partial(self._store.add_round, query, made, page, graded, new=newest is None)
        recording = self._recorders.submit(copy_context().run, record)
        begun, late = time.perf_counter(), ask.highlight and patience.over
        found = find(context.view, query.text, page.documents, ask.highlight and not late)
        read = time.perf_counter()
        made = recording.result()
        before = self._before(query, made)
        timings = {**trace.timings_ms, "hits": 1000 * (read - begun), "store": _since(read)}
        warnings = [] if context.lexical.analyze(query.text) else [SILENT]
        warnings += context.view.warnings
        if context.truncated:
            warnings.append(f"Of {documents(context.truncated)} only the beginning was read by the cross-encoder.")
        if len(known) < len(learned):
            lost = documents(len(learned) - len(known))
            warnings.append(f"Feedback on {lost} was left out: no longer in the index.")
        degraded = trace.degraded or ("deadline" if late else None)
        return Shown(ask, query, context.view, made, before, marks, found, timings, warnings, degraded)

    def _learned(self, clicks: ClickReader, query: StoredQuery, marks: Mapping[str, Mark]) -> Mapping[str, Mark]:
        """The marks with clicks as the click model reads them."""
        if not clicks.wanted(marks):
            return marks
        clicked = {document for document, mark in marks.items() if mark.kind == "click"}
        return clicks.read(query.text, marks, self._store.seen(query.id, clicked))

    def _page(self, ask: SearchRequest, query: StoredQuery, made: Round, patience: Patience) -> Shown:
        """Another page of a ranking as it was made."""
        _, index = self._releases.serving(whose(ask, query.id)).catalog.index(query.index)
        view, page, start = index.view(), page_of(ask, made.ranking), time.perf_counter()
        self._store.add_page(query.id, made.number, page)
        before = self._before(query, made)
        marks = self._store.marks(query.id)
        recorded, late = time.perf_counter(), ask.highlight and patience.over
        found = find(view, query.text, page.documents, ask.highlight and not late)
        timings = {"store": 1000 * (recorded - start), "hits": _since(recorded)}
        return Shown(ask, query, view, made, before, marks, found, timings, (), "deadline" if late else None)

    def _before(self, query: StoredQuery, made: Round) -> Ranking | None:
        """The ranking of the round before."""
        before = self._store.round(query.id, made.number - 1) if made.number > 1 else None
        return before.ranking if before else None


@contextmanager
def about(field: str) -> Iterator[None]:
    """Note on an error which field of the request is to blame."""
    try:
        yield
    except (InputError, NotFoundError, ConflictError) as error:
        error.field = field
        raise


def _condition(query: StoredQuery, view: View) -> Filter | None:
    if query.filter is None:
        return None
    with about("filter"):
        condition = parse_filter(query.filter)
        view.lexical.check(condition)
    return condition


def _graded(query_id: str, ask: SearchRequest, view: View) -> list[Event]:
    """The inline feedback as events. Raises NotFoundError for a document that the index does not hold, InputError where
    it says two things about one: only of what came before is the last word known."""
    for number, given in enumerate(ask.feedback):
        if given.document not in view.lexical:
            with about(f"feedback[{number}].document"):
                raise NotFoundError(
                    f"There is no document {given.document!r} in the index.", "Give feedback on documents that are."
                )
    with about("feedback"):
        told = ask.feedback
        Feedback.of((one.document for one in told), [one.relevance for one in told], [one.weight for one in told])
    return [
        Event(query_id, given.document, "graded", relevance=given.relevance, weight=given.weight)
        for given in ask.feedback
    ]


def _since(start: float) -> float:
    return 1000 * (time.perf_counter() - start)
