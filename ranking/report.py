"""One answer, described: as data for programs, as text for people."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from index.filters import Filter
from index.types import Document, Query, Ranking
from ranking.context import Context
from ranking.contract import Request
from ranking.feedback import Feedback
from ranking.pipeline import Pipeline

WIDTH = 100  # characters in a line, on terminals that are as wide
WORDS = 8  # of an explanation, in the text


def report(
    pipeline: Pipeline,
    text: str,
    feedback: Feedback,
    condition: Filter | None,
    *,
    limit: int,
    exclude_feedback: bool,
    explain: bool,
) -> dict[str, Any]:
    """Rank, and describe the answer and its first `limit` hits, all in values that JSON has.

    With feedback, each hit has the rank that it would have without. With `explain`, each has its rank and score in
    every stage, and Lucene's account of its words. Raises InputError for a filter that does not fit the index.
    """
    context = Context.of(pipeline.index)
    if condition is not None:
        context.lexical.check(condition)
    request = Request(Query("search", text, condition), feedback, exclude_feedback=exclude_feedback)
    (trace,) = pipeline.trace([request], context)
    before = pipeline.rank([Request(request.query)], context)[0] if len(feedback) else None
    unknown = [doc for doc in feedback.ids if doc not in context.lexical]
    hits = _hits(trace.ranking.head(limit), text, feedback, before, context)
    if explain:
        scores = {name: _places(ranking) for name, ranking in trace.stages.items()}
        for hit in hits:
            hit["stages"] = {name: places[hit["id"]] for name, places in scores.items() if hit["id"] in places}
            hit["explanation"] = pipeline.explain(request, hit["id"], context)
    return {
        "query": text,
        "index": pipeline.index.name,
        "generation": context.view.generation,
        "pipeline": pipeline.name,
        "pipeline_version": pipeline.version,
        "filter": None if condition is None else str(condition),
        "feedback": [
            {"document": doc, "relevance": grade}
            for doc, grade in zip(feedback.ids, feedback.relevance.tolist(), strict=True)
        ],
        "warnings": [
            *context.view.warnings,
            *(f"The index holds no document {doc!r}: what was said about it is ignored." for doc in unknown),
        ],
        "documents": context.view.documents,
        "total": len(trace.ranking),
        "timings_ms": {name: round(ms, 3) for name, ms in trace.timings_ms.items()},
        "hits": hits,
    }


def _hits(
    ranking: Ranking, text: str, feedback: Feedback, before: Ranking | None, context: Context
) -> list[dict[str, Any]]:
    documents = context.lexical.documents(ranking.ids)
    snippets = context.lexical.snippets(text, ranking.ids)
    previous = {} if before is None else {doc: rank for rank, doc in enumerate(before.ids, start=1)}
    judged = dict(zip(feedback.ids, feedback.relevance.tolist(), strict=True))
    hits: list[dict[str, Any]] = []
    for rank, ((doc, score), document, snippet) in enumerate(zip(ranking, documents, snippets, strict=True), start=1):
        stored = document or Document(doc)
        hit = {
            "rank": rank,
            "id": doc,
            "score": score,
            "title": stored.title,
            "fields": {name: list(v) if isinstance(v, tuple) else v for name, v in stored.fields.items()},
            "snippet": {"text": snippet.text, "highlights": [list(span) for span in snippet.highlights]},
            "feedback": None if doc not in judged else "relevant" if judged[doc] > 0.5 else "not_relevant",
        }
        if before is not None:
            hit["previous_rank"] = previous.get(doc)
        hits.append(hit)
    return hits


def _places(ranking: Ranking) -> dict[str, dict[str, float]]:
    return {doc: {"rank": rank, "score": score} for rank, (doc, score) in enumerate(ranking, start=1)}


def as_text(found: Mapping[str, Any]) -> str:
    """What `report` gives, for a terminal: with styles, which a pipe does not get to see."""
    width = min(WIDTH, shutil.get_terminal_size().columns)
    counts = f"{found['total']:,} of {found['documents']:,} documents"
    lines = [f"{found['index']}: {counts}, pipeline {found['pipeline']}, {found['timings_ms']['total']:.0f} ms"]
    lines += [typer.style(f"Note: {warning}", fg="yellow") for warning in found["warnings"]]
    for hit in found["hits"]:
        lines += ["", *_hit_lines(hit, width)]
    if not found["hits"]:
        lines += ["", "No documents found."]
    if found["hits"] and "stages" in found["hits"][0]:
        times = ", ".join(f"{name} {ms:.1f}" for name, ms in found["timings_ms"].items())
        lines += ["", f"Milliseconds: {times}"]
    return "\n".join(lines)


def _hit_lines(hit: Mapping[str, Any], width: int) -> Iterator[str]:
    mark = {
        "relevant": typer.style("  + relevant", fg="green"),
        "not_relevant": typer.style("  - not relevant", fg="red"),
    }
    name = typer.style(_printable(hit["id"]), bold=True)
    yield f"{hit['rank']:>3}  {name}  {hit['score']:.4g}{_movement(hit)}{mark.get(hit['feedback'], '')}"
    if hit["title"]:
        yield "     " + textwrap.shorten(_printable(hit["title"]), max(20, width - 5), placeholder=" …")
    yield from _snippet_lines(hit["snippet"]["text"], hit["snippet"]["highlights"], max(20, width - 5))
    for stage, place in hit.get("stages", {}).items():
        yield typer.style(f"     {stage:<12} rank {place['rank']:>4}   score {place['score']:.4g}", dim=True)
    words = _words(hit.get("explanation") or "")
    if words:
        listed = ", ".join(f"{_printable(word)} {weight:.3g}" for word, weight in words[:WORDS])
        more = f", and {len(words) - WORDS} more" if len(words) > WORDS else ""
        for line in textwrap.wrap(f"words: {listed}{more}", max(20, width - 5)):
            yield typer.style(f"     {line}", dim=True)


def _words(explanation: str) -> list[tuple[str, float]]:
    """What each word adds to the score by Lucene's account, the greatest first."""
    found = re.findall(r"(\S+) = weight\(\w+:(.+) in \d+\)", explanation)
    return sorted(((word, float(weight)) for weight, word in found), key=lambda item: (-item[1], item[0]))


def _movement(hit: Mapping[str, Any]) -> str:
    """How far the hit moved by the feedback; nothing where there is none."""
    if "previous_rank" not in hit:
        return ""
    if hit["previous_rank"] is None:
        return typer.style("  new", fg="cyan")
    moved = hit["previous_rank"] - hit["rank"]
    if moved == 0:
        return "  ="
    return typer.style(f"  ▲ {moved}", fg="green") if moved > 0 else typer.style(f"  ▼ {-moved}", fg="red")


def _snippet_lines(text: str, highlights: Sequence[Sequence[int]], width: int) -> Iterator[str]:
    """The snippet in lines of `width`, with its highlights in bold."""
    printable, position = _printable(text), 0
    for line in textwrap.wrap(printable, width):
        position = printable.index(line, position)
        yield "     " + _bold(line, [(first - position, last - position) for first, last in highlights])
        position += len(line)


def _bold(line: str, spans: Sequence[tuple[int, int]]) -> str:
    """A line with the spans, which may begin before it or end after it, in bold."""
    pieces, done = [], 0
    for first, last in spans:
        start, end = max(first, done), min(last, len(line))
        if start < end:
            pieces += [line[done:start], typer.style(line[start:end], bold=True)]
            done = end
    return "".join([*pieces, line[done:]])


def _printable(text: str) -> str:
    """The text without what could move the cursor or colour the terminal; as long as before."""
    return "".join(char if char.isprintable() else " " for char in text)
