"""What is asked of Lucene: a `LexicalQuery` and a `Filter`, as Lucene queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from index import bulk
from index.errors import InputError
from index.fields import FieldType, Scalar, encode, type_of
from index.filters import And, Compare, Filter, In, Not, Or
from index.java import cast, java_class, text

_SEARCH = "org.apache.lucene.search"
_MAX_CLAUSES = 65_536  # Lucene's own limit of 1024 refuses queries that are whole documents
_limits_set: list[bool] = []


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A query to the inverted index; every part that is given adds to the score.

    text: analysed, a bag of words over all searched fields.
    terms: terms already analysed, with boosts above 0 (query expansion).
    like: documents for "more like this" (`index.likeness`), each one optional clause of its `like_terms` best terms.
    require_text: documents must match `text`; the other parts only add to the score.
    filter, within: conditions on fields, and the only documents that may answer.
    k1, b: BM25's parameters, where they differ from the index's own.
    """

    text: str = ""
    terms: Mapping[str, float] = field(default_factory=dict)
    like: tuple[str, ...] = ()
    like_terms: int = 16
    require_text: bool = False
    filter: Filter | None = None
    within: tuple[str, ...] | None = None
    k1: float | None = None
    b: float | None = None


class QueryBuilder:
    """Builds Lucene queries for one index: its analyzer, its searched fields with boosts, its filterable fields."""

    def __init__(self, analyzer: Any, boosts: Mapping[str, float], schema: Mapping[str, FieldType]) -> None:
        self._analyzer, self._boosts, self._schema = analyzer, dict(boosts), schema
        self._words = java_class("io.anserini.search.query.BagOfWordsQueryGenerator")()
        if not _limits_set:
            java_class(f"{_SEARCH}.IndexSearcher").setMaxClauseCount(_MAX_CLAUSES)
            _limits_set.append(True)

    def build(self, query: LexicalQuery, likeness: Sequence[Mapping[str, float]] = ()) -> Any | None:
        """The Lucene query, or None where nothing is asked for (no text, no terms, no documents to be like).

        `likeness` holds the weighted terms of the documents in `query.like`.
        """
        words = self._text(query.text)
        weighted = (self._terms(terms) for terms in (query.terms, *likeness))
        scored = [part for part in (words, *weighted) if part is not None]
        if not scored:
            return None
        occur = java_class(f"{_SEARCH}.BooleanClause$Occur")
        restrictions = self._restrictions(query)
        if len(scored) == 1 and not restrictions:
            return scored[0]
        builder = java_class(f"{_SEARCH}.BooleanQuery$Builder")()
        for position, part in enumerate(scored):
            required = query.require_text and position == 0 and words is not None
            role = occur.MUST if required else occur.SHOULD
            builder.add(part, role)
        if restrictions and not query.require_text:
            builder.setMinimumNumberShouldMatch(1)
        role = occur.FILTER
        for restriction in restrictions:
            builder.add(restriction, role)
        return builder.build()

    def filter(self, condition: Filter) -> Any:
        """A filter as a Lucene query. Raises InputError for an unknown field or a value that does not fit."""
        match condition:
            case Compare(name, op, value):
                return self._compare(name, op, value)
            case In(name, values):
                return _any([self._equals(name, value) for value in values])
            case And(parts):
                return _all([self.filter(part) for part in parts])
            case Or(parts):
                return _any([self.filter(part) for part in parts])
            case Not(part):
                return _not(self.filter(part))
        assert_never(condition)

    def _text(self, words: str) -> Any | None:
        if not words.strip():
            return None
        fields, java_words = self._fields(), text(words)
        return _unless_empty(self._words.buildQuery(fields, self._analyzer, java_words))

    def _terms(self, terms: Mapping[str, float]) -> Any | None:
        boosts = {term: boost for term, boost in terms.items() if boost > 0}
        if not boosts:
            return None
        weights, fields = bulk.float_map(boosts), self._fields()
        return self._words.buildQuery(fields, weights)

    def _fields(self) -> Any:
        fields = java_class("java.util.HashMap")()
        for name, boost in self._boosts.items():
            weight = java_class("java.lang.Float")(boost)
            fields.put(name, weight)
        return fields

    def _restrictions(self, query: LexicalQuery) -> list[Any]:
        restrictions = [] if query.filter is None else [self.filter(query.filter)]
        if query.within is not None:
            restrictions.append(_one_of("id", query.within))
        return restrictions

    def _compare(self, name: str, op: str, value: Scalar) -> Any:
        if op == "==":
            return self._equals(name, value)
        if op == "!=":
            return _not(self._equals(name, value))
        kind = type_of(self._schema, name)
        if kind == "keyword":
            raise InputError(f"Field {name!r} holds keywords, which have no order.", "Compare it with ==, != or in.")
        bound = encode(name, kind, value)
        point = java_class("org.apache.lucene.document." + ("DoublePoint" if kind == "number" else "LongPoint"))
        limits = java_class("java.lang." + ("Double" if kind == "number" else "Long"))
        low = limits.NEGATIVE_INFINITY if kind == "number" else limits.MIN_VALUE
        high = limits.POSITIVE_INFINITY if kind == "number" else limits.MAX_VALUE
        after = point.nextUp(bound) if kind == "number" else bound + 1  # type: ignore[operator]
        before = point.nextDown(bound) if kind == "number" else bound - 1  # type: ignore[operator]
        edges = {"<": (low, before), "<=": (low, bound), ">": (after, high), ">=": (bound, high)}[op]
        return point.newRangeQuery(stored_name(name), *edges)

    def _equals(self, name: str, value: Scalar) -> Any:
        kind = type_of(self._schema, name)
        stored = encode(name, kind, value)
        if kind == "keyword":
            return _term(stored_name(name), str(stored))
        point = java_class("org.apache.lucene.document." + ("DoublePoint" if kind == "number" else "LongPoint"))
        return point.newExactQuery(stored_name(name), stored)


def stored_name(field_name: str) -> str:
    """A filterable field's name in Lucene, out of the way of our own fields."""
    return f"field.{field_name}"


def _term(name: str, value: str) -> Any:
    term = java_class("org.apache.lucene.index.Term")(text(name), text(value))
    return java_class(f"{_SEARCH}.TermQuery")(term)


def _one_of(name: str, values: tuple[str, ...]) -> Any:
    terms = java_class("java.util.ArrayList")()
    for value in values:
        reference = java_class("org.apache.lucene.util.BytesRef")(value.encode("utf-8", "replace"))
        terms.add(reference)
    return java_class(f"{_SEARCH}.TermInSetQuery")(name, cast("java.util.Collection", terms))


def _boolean(clauses: list[Any], occur: str) -> Any:
    builder = java_class(f"{_SEARCH}.BooleanQuery$Builder")()
    kind = getattr(java_class(f"{_SEARCH}.BooleanClause$Occur"), occur)
    for clause in clauses:
        builder.add(clause, kind)
    return builder


def _any(clauses: list[Any]) -> Any:
    return _boolean(clauses, "SHOULD").build() if clauses else java_class(f"{_SEARCH}.MatchNoDocsQuery")()


def _all(clauses: list[Any]) -> Any:
    return _boolean(clauses, "FILTER").build() if clauses else java_class(f"{_SEARCH}.MatchAllDocsQuery")()


def _not(clause: Any) -> Any:
    builder = _boolean([java_class(f"{_SEARCH}.MatchAllDocsQuery")()], "FILTER")
    excluded = java_class(f"{_SEARCH}.BooleanClause$Occur").MUST_NOT
    builder.add(clause, excluded)
    return builder.build()


def _unless_empty(query: Any) -> Any | None:
    """None for a query without a term (text that held only stop words): Lucene prints each term as `field:term`."""
    return query if ":" in query.toString() else None
