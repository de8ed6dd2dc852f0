"""Making tasks: from judgements, or from a corpus that has none.

All of them mine hard negatives: documents that the words or the vectors of the index rank high for the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.errors import InputError
from index.index import Index
from index.lucene_query import LexicalQuery
from index.types import Document
from ranking.learning.tasks import Floats, Kind, Task

Vectors = npt.NDArray[np.float32]

_BATCH = 64  # queries that are encoded and searched at a time


@dataclass(frozen=True, slots=True)
class Mining:
    """How to choose. `depth` results of each search are the pool; its first `skip` may be relevant though nobody said
    so, and are no negatives; `negatives` is how many a query without judged ones gets; `characters` cuts texts."""

    depth: int = 60
    skip: int = 2
    negatives: int = 15
    characters: int = 1_200
    seed: int = 0


def title_tasks(index: Index, count: int, mining: Mining = Mining()) -> Iterator[Task]:
    """`count` documents whose title is the query and whose text is the one relevant document.

    Texts come without their titles, and priors are cosines of the encoder to such texts. Raises InputError for an
    index whose documents have no titles.
    """
    random = np.random.default_rng([mining.seed, 1])
    given = 0
    for sampled in _sampled(index, random, lambda document: bool(document.title and document.text)):
        documents = sampled[: count - given]
        titles = [document.title for document in documents]
        pools = _pools(index, titles, mining)
        chosen = [
            [document.id, *_some([i for i in pool[mining.skip :] if i != document.id], mining.negatives, random)]
            for document, pool in zip(documents, pools, strict=True)
        ]
        texts = _texts(index, chosen, lambda document: document.text, mining)
        rows = {text: row for row, text in enumerate(dict.fromkeys(text for some in texts for text in some))}
        vectors, queries = index.encode(list(rows)), index.encode(titles)
        for title, query, some in zip(titles, queries, texts, strict=True):
            relevance = np.zeros(len(some))
            relevance[0] = 1.0
            prior = _cosines(vectors[[rows[t] for t in some]], query)
            yield Task(title, tuple(some), relevance, prior, "single", f"titles of {index.name}")
        given += len(documents)
        if given >= count:
            return


def keyword_tasks(index: Index, field: str, count: int, most: int = 40, mining: Mining = Mining()) -> Iterator[Task]:
    """At most `count` tasks in which the documents found for a title are relevant where they share its first keyword in
    `field`.

    What is wanted beyond the words of the query is then for the feedback to tell. At most `most` documents, a third to
    a half of them relevant. Raises InputError for an index without titles or such a field.
    """
    random = np.random.default_rng([mining.seed, 2])
    wanted = lambda document: bool(document.title and _keyword(document, field))  # noqa: E731
    given = 0
    for documents in _sampled(index, random, wanted):
        titles = [document.title for document in documents]
        pools = _pools(index, titles, mining)
        queries = index.encode(titles)
        for document, query, pool in zip(documents, queries, pools, strict=True):
            found = [d for d in index.view().lexical.documents(pool) if d is not None and d.id != document.id]
            same = [d.id for d in found if _keyword(d, field) == _keyword(document, field)]
            # Documents that carry the keyword in another place are neither: they are left out.
            others = [d.id for d in found if _keyword(document, field) not in _keywords(d, field)]
            relevant = _some(same, most // 3, random)
            if len(relevant) < 4:
                continue
            grades = dict.fromkeys(relevant, 1.0)
            negatives = _some(others, most - len(relevant), random)
            source = f"keywords of {index.name}"
            yield _judged_task(index, document.title, query, grades, negatives, mining, source)
            given += 1
            if given == count:
                return


def judged_tasks(
    index: Index,
    topics: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, float]],
    mining: Mining = Mining(),
    weights: Mapping[str, Mapping[str, float]] | None = None,
    source: str = "judgements",
) -> Iterator[Task]:
    """One task per judged topic: topic -> query, and topic -> document -> relevance in [0, 1], which may be soft.

    `weights` says in the same way how sure each relevance is; 1 where it does not. A topic with fewer than `negatives`
    documents that are not relevant gets what the searches bring in beside.
    """
    random = np.random.default_rng([mining.seed, 3])
    names = [name for name in topics if any(grade >= 0.5 for grade in qrels.get(name, {}).values())]
    for start in range(0, len(names), _BATCH):
        some = names[start : start + _BATCH]
        texts = [topics[name] for name in some]
        for name, text, query, pool in zip(some, texts, index.encode(texts), _pools(index, texts, mining), strict=True):
            judged = {doc: grade for doc, grade in qrels[name].items() if doc in index.view().lexical}
            if not any(grade >= 0.5 for grade in judged.values()):
                continue
            missing = mining.negatives - sum(grade < 0.5 for grade in judged.values())
            unjudged = [doc for doc in pool[mining.skip :] if doc not in judged]
            task = _judged_task(
                index,
                text,
                query,
                judged,
                _some(unjudged, max(missing, 0), random),
                mining,
                f"{source} of {index.name}",
            )
            sure = (weights or {}).get(name, {})
            task.weight[: len(judged)] = [sure.get(doc, 1.0) for doc in judged]
            yield task


def _judged_task(
    index: Index,
    text: str,
    query: Vectors,
    grades: Mapping[str, float],
    negatives: Sequence[str],
    mining: Mining,
    source: str,
) -> Task:
    documents = [*grades, *negatives]
    (texts,) = _texts(index, [documents], lambda document: document.contents, mining)
    vectors = index.view().vectors
    prior = np.zeros(len(documents)) if vectors is None else _cosines(vectors.take(documents, "raw"), query)
    relevance = np.array([*grades.values(), *[0.0] * len(negatives)])
    kind: Kind = "feedback" if (relevance >= 0.5).sum() > 1 else "single"
    return Task(text, tuple(texts), relevance, prior, kind, source)


def _sampled(index: Index, random: np.random.Generator, usable: Callable[[Document], bool]) -> Iterator[list[Document]]:
    """All usable documents in random order, in batches. Raises InputError where there is none."""
    view = index.view()
    ids = sorted(view.lexical.live_ids())  # in an order that does not depend on how the index was put together
    order = random.permutation(len(ids))
    found_any = False
    for start in range(0, len(ids), _BATCH):
        found = view.lexical.documents([ids[i] for i in order[start : start + _BATCH]])
        documents = [document for document in found if document is not None and usable(document)]
        if documents:
            found_any = True
            yield documents
    if not found_any:
        raise InputError("No document of the index can make a task.", "Tasks need titles, and the field that is named.")


def _pools(index: Index, queries: Sequence[str], mining: Mining) -> list[list[str]]:
    """What words and vectors find for each query, alternating, without repetition."""
    view = index.view()
    words = [view.lexical.search(LexicalQuery(text=query), mining.depth).ids for query in queries]
    if view.vectors is None:
        return [list(found) for found in words]
    near = view.vectors.nearest(view.vectors.condition(index.encode(queries)), mining.depth)
    return [
        list(dict.fromkeys(doc for pair in zip(a, b.ids, strict=False) for doc in pair))
        for a, b in zip(words, near, strict=True)
    ]


def _texts(
    index: Index, chosen: Sequence[Sequence[str]], read: Callable[[Document], str], mining: Mining
) -> list[list[str]]:
    distinct = list(dict.fromkeys(doc for some in chosen for doc in some))
    found = dict(zip(distinct, index.view().lexical.documents(distinct), strict=True))
    return [[read(d)[: mining.characters] if (d := found[doc]) else "" for doc in some] for some in chosen]


def _keywords(document: Document, field: str) -> list[str]:
    value = document.fields.get(field, "")
    words = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [str(value)]
    return [word.strip() for word in words]


def _keyword(document: Document, field: str) -> str:
    return next(iter(_keywords(document, field)), "")


def _some(documents: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    order = random.permutation(len(documents))[:count]
    return [documents[i] for i in sorted(order.tolist())]


def _cosines(vectors: Vectors, query: Vectors) -> Floats:
    return (vectors @ query).astype(np.float64)
