"""One topic of a run directory: what was asked, what the feedback was, and the lists of rankers side by side."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from eval.comparing import RunDirectory
from eval.exports import run_name
from eval.formats.trec import read_run, token
from index.errors import ClickwiseError, NotFoundError
from ranking.qrels import read_qrels

WIDTH = 58  # of one list, in characters


def look(path: Path, topic: str, collection: str, rankers: Sequence[str], k: int | None, depth: int) -> dict[str, Any]:
    """Everything about one topic that `clickwise eval topic` shows.

    Raises NotFoundError for an unknown topic, ranker or k.
    """
    run = RunDirectory(path)
    stored: dict[str, Any] = json.loads((path / "topics.json").read_text(encoding="utf-8"))
    name, episode = _find(stored, topic, collection)
    at = max(run.experiment.protocol.k) if k is None else k
    if at not in run.experiment.protocol.k:
        known = ", ".join(map(str, run.experiment.protocol.k))
        raise NotFoundError(f"{path} has no rankings at k = {at}.", f"It has {known}.")
    chosen = list(rankers) or _default_rankers(run)
    for ranker in chosen:
        if ranker not in run.rankers:
            raise NotFoundError(f"{path} has no ranker {ranker!r}.", f"It has {', '.join(run.rankers)}.")
    judged = _judged(path / "qrels" / f"{name}.qrels", topic)
    lists = {ranker: _list(path, name, ranker, at, topic)[:depth] for ranker in chosen}
    feedback = dict(sorted(episode["feedback"].get(str(at), {}).items(), key=lambda item: -item[1]))
    titles = _titles(path, name, [*feedback, *(doc for docs in lists.values() for doc in docs)])
    return {
        "collection": name,
        "topic": topic,
        "query": episode["query"],
        "description": episode["description"],
        "narrative": episode["narrative"],
        "k": at,
        "feedback": [{"document": doc, "relevance": grade, "title": titles[doc]} for doc, grade in feedback.items()],
        "relevant_left": sum(grade > 0 for grade in judged.values()),
        "lists": {
            ranker: [{"document": doc, "grade": judged.get(doc), "title": titles[doc]} for doc in docs]
            for ranker, docs in lists.items()
        },
    }


def side_by_side(view: Mapping[str, Any]) -> str:
    """The topic as text: `+2` is the grade of a relevant document, `0` of one that is not, `?` is unjudged."""
    lines = [f"{view['collection']}, topic {view['topic']}: {view['query']}"]
    lines += [textwrap.fill(view[part], 2 * WIDTH) for part in ("description", "narrative") if view[part]]
    lines += ["", f"Feedback (k = {view['k']}):"]
    lines += [f"  {'+' if row['relevance'] > 0.5 else '-'} {_named(row)}" for row in view["feedback"]] or ["  none"]
    lines += ["", f"{view['relevant_left']} relevant documents are left to find.", ""]
    names, lists = list(view["lists"]), list(view["lists"].values())
    lines.append("     " + "  ".join(f"{name:<{WIDTH}}" for name in names).rstrip())
    for rank in range(max(map(len, lists), default=0)):
        cells = [f"{_graded(rows[rank]) if rank < len(rows) else '':<{WIDTH}}" for rows in lists]
        lines.append(f"{rank + 1:>3}  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _graded(row: Mapping[str, Any]) -> str:
    grade = row["grade"]
    mark = "?" if grade is None else f"+{grade}" if grade > 0 else "0"
    return f"{mark:<3}{_named(row)}"[:WIDTH]


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['document']} {row['title']}".strip()


def _find(stored: Mapping[str, Any], topic: str, collection: str) -> tuple[str, dict[str, Any]]:
    found = [
        (name, row)
        for name, part in stored.items()
        for row in part["kept"]
        if row["topic"] == topic and collection in ("", name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(name for name, _ in found)
        raise NotFoundError(f"Several collections have a topic {topic!r}.", f"Choose with --collection: {names}.")
    for name, part in stored.items():
        for reason, dropped in part["dropped"].items():
            if topic in dropped and collection in ("", name):
                raise NotFoundError(f"Topic {topic!r} of {name} was dropped: {reason}.", "Look at another one.")
    raise NotFoundError(f"There is no topic {topic!r}.", f"The collections are {', '.join(stored)}.")


def _default_rankers(run: RunDirectory) -> list[str]:
    best, baseline = run.summary.get("best_of_ours") or run.rankers[-1], run.experiment.head.baseline
    return [best, baseline] if best != baseline else [best]


def _list(path: Path, collection: str, ranker: str, k: int, topic: str) -> Sequence[str]:
    """A ranker's documents: of the first seed that has chosen, and after the last round."""
    folder, stem = path / "runs" / collection, run_name(ranker, k, None, None)
    files = sorted(folder.glob(f"{stem}.trec.gz")) or sorted(folder.glob(f"{stem}.seed*.trec.gz"))[:1]
    files = files or sorted(folder.glob(f"{stem}.*round*.trec.gz"))[-1:]
    ranking = read_run(files[0]).get(token(topic)) if files else None
    return _names(ranking.ids) if ranking else []


def _judged(path: Path, topic: str) -> dict[str, int]:
    judged = read_qrels(path, Counter()).get(token(topic), {})
    return dict(zip(_names(judged), judged.values(), strict=True))


def _names(tokens: Iterable[str]) -> list[str]:
    """Ids out of TREC files: those with white space were encoded (`eval.formats.trec.token`)."""
    return [name if token(name := unquote(written)) == written else written for written in tokens]


def _titles(path: Path, collection: str, docs: Sequence[str]) -> dict[str, str]:
    """The documents' titles, or how their texts begin; empty where the index is gone."""
    where = json.loads((path / "indexes.json").read_text(encoding="utf-8"))[collection]["path"]
    try:
        from index.index import Index

        with closing(Index.open(Path(where))) as opened:
            found = opened.view().lexical.documents(docs)
    except ClickwiseError:
        return dict.fromkeys(docs, "")
    return {
        doc: " ".join((stored.title or stored.text)[:80].split()) if stored else ""
        for doc, stored in zip(docs, found, strict=True)
    }
