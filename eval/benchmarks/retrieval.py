"""Retrieval: published quality reproduced, and speed beside Pyserini, bm25s and tantivy.

    python -m eval.benchmarks.retrieval [--data DIR] [--work DIR] [--rounds N]

Needs NFCorpus in BEIR layout under DIR/collections/nfcorpus (CLICKWISE_DATA names DIR too). Contenders answer the same
queries in turn, in one process, on the same texts, one thread each; bm25s and tantivy take part where they are
installed (the extra `bench`). Progress goes to standard error, the figures as one JSON object to standard output.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.benchmarks.service import running_server, time_requests
from eval.benchmarks.timing import command_seconds, percentile, say, take_turns
from index.build import BuildOptions, build_index
from index.encoder import Encoder, load_encoder
from index.index import Index
from index.lexical import LexicalQuery
from index.readers import read_documents
from index.types import Document, Query, Ranking
from ranking.config import build_pipeline, load_specs
from ranking.contract import Request
from ranking.feedback import Feedback

DEPTH = 1000
Contender = Callable[[str], object]


def main() -> None:
    parser = nfcorpus_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each query is timed")
    arguments = parser.parse_args()
    folder = nfcorpus_in(arguments.data)

    topics, qrels = read_topics(folder)
    home = arguments.work / "home"
    flat = opened(home / "indexes" / "nfcorpus", folder, encoder=load_encoder("default"))
    multifield = opened(arguments.work / "multifield", folder, layout="multifield")
    figures: dict[str, Any] = {}
    figures |= quality(flat, multifield, topics, qrels)
    figures |= lexical_speed(flat, folder, list(topics.values()), arguments.rounds)
    figures |= knn_speed(flat, topics, qrels, arguments.rounds)
    figures |= http_speed(home, topics, qrels)
    figures["import_seconds"] = command_seconds([sys.executable, "-c", "import index, ranking"])
    figures["help_seconds"] = command_seconds([str(Path(sys.executable).parent / "clickwise"), "--help"])
    print(json.dumps(figures))


def nfcorpus_parser(description: str | None) -> argparse.ArgumentParser:
    """What every benchmark on NFCorpus takes: where the data is, and where indexes are kept."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CLICKWISE_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path(".clickwise/benchmarks"), help="where indexes are kept")
    return parser


def nfcorpus_in(data: Path) -> Path:
    """The folder of NFCorpus, or the end of the program with what to do."""
    folder = data / "collections" / "nfcorpus"
    if not folder.is_dir():
        sys.exit(f"There is no NFCorpus at {folder}: name the measurement data with --data or CLICKWISE_DATA.")
    return folder


def read_topics(folder: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Judged test topics by id, and their relevance grades."""
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        topic, document, grade = line.split("\t")
        qrels.setdefault(topic, {})[document] = int(grade)
    rows = map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").strip().split("\n"))
    return {row["_id"]: row["text"] for row in rows if row["_id"] in qrels}, qrels


def opened(path: Path, folder: Path, encoder: Encoder | None = None, **options: Any) -> Index:
    """The index at `path`, built where it is not there yet."""
    if not (path / "current").exists():
        say(f"building {path} (once)")
        build_index(path, read_documents(folder), BuildOptions(**options), encoder=encoder)
    return Index.open(path, encoder=encoder)


def quality(
    flat: Index, multifield: Index, topics: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, float]:
    """nDCG@10 and recall@100 as Anserini publishes them: .3218 and .2457 flat, .3254 multifield."""
    import ir_measures
    from ir_measures import R, nDCG

    truth = [ir_measures.Qrel(t, d, g) for t, grades in qrels.items() for d, g in grades.items()]

    def measure(index: Index) -> Any:
        lexical = index.view().lexical
        run = [
            ir_measures.ScoredDoc(topic, document, -float(rank))
            for topic, text in topics.items()
            for rank, document in enumerate(lexical.search(LexicalQuery(text=text), 100).ids)
        ]
        return ir_measures.calc_aggregate([nDCG @ 10, R @ 100], truth, run)

    one, two = measure(flat), measure(multifield)
    figures = {
        "ndcg10_nfcorpus_flat": round(one[nDCG @ 10], 4),
        "recall100_nfcorpus_flat": round(one[R @ 100], 4),
        "ndcg10_nfcorpus_multifield": round(two[nDCG @ 10], 4),
    }
    say(f"NFCorpus test: {figures}")
    return figures


def lexical_speed(index: Index, folder: Path, queries: Sequence[str], rounds: int) -> dict[str, float]:
    """p50 of retrieving 1000 candidates, ids and scores read, beside the others on the same texts."""
    lexical = index.view().lexical
    contenders: dict[str, Contender] = {
        "clickwise": lambda text: lexical.search(LexicalQuery(text=text), DEPTH),
        "pyserini": pyserini(index),
    }
    documents = list(read_documents(folder))
    for name, make in (("bm25s", bm25s_contender), ("tantivy", tantivy_contender)):
        if importlib.util.find_spec(name) is not None:
            contenders[name] = make(documents)
    taken = take_turns(contenders, queries, rounds)
    figures = {}
    ours = percentile(taken["clickwise"], 50)
    for name, milliseconds in taken.items():
        p50 = percentile(milliseconds, 50)
        say(f"{DEPTH} candidates, {name}: p50 {p50:.2f} ms, p99 {percentile(milliseconds, 99):.2f} ms")
        figures[f"{name}_p50_ms"] = p50
        if name != "clickwise":
            figures[f"p50_ratio_to_{name}"] = round(ours / p50, 3)
    return figures


def pyserini(index: Index) -> Contender:
    """Pyserini's own searcher on the very same Lucene index."""
    os.environ.setdefault("OPENAI_API_KEY", "unused: importing Pyserini's searcher asks for one")
    from pyserini.search.lucene import LuceneSearcher

    searcher = LuceneSearcher(str(index.path / "generations" / index.manifest.generation / "lucene"))
    searcher.set_bm25(index.manifest.k1, index.manifest.b)
    return lambda text: [(hit.docid, hit.score) for hit in searcher.search(text, k=DEPTH)]


def bm25s_contender(documents: Sequence[Document]) -> Contender:
    import bm25s

    retriever = bm25s.BM25(k1=0.9, b=0.4)
    retriever.index(bm25s.tokenize([d.contents for d in documents], show_progress=False), show_progress=False)
    ids = np.array([d.id for d in documents])

    def search(text: str) -> object:
        tokens = bm25s.tokenize(text, show_progress=False)
        found, scores = retriever.retrieve(tokens, k=DEPTH, show_progress=False)
        return ids[found[0]].tolist(), scores[0]

    return search


def tantivy_contender(documents: Sequence[Document]) -> Contender:
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_text_field("id", stored=True, tokenizer_name="raw")
    schema.add_text_field("contents", tokenizer_name="en_stem")
    index = tantivy.Index(schema.build())
    writer = index.writer(num_threads=1)
    for document in documents:
        writer.add_document(tantivy.Document(id=document.id, contents=document.contents))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(text: str) -> object:
        words = "".join(char if char.isalnum() else " " for char in text)
        query, _ = index.parse_query_lenient(words, ["contents"])
        return [(searcher.doc(place)["id"][0], score) for score, place in searcher.search(query, DEPTH).hits]

    return search


def knn_speed(
    index: Index, topics: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]], rounds: int
) -> dict[str, float]:
    """p50 of the kNN re-ranker alone: 1000 candidates, 8 feedback documents, stored vectors, query vector at hand."""
    from ranking.context import Context
    from ranking.knn import Knn

    specs = load_specs(None)
    lexical = index.view().lexical
    retrieve = build_pipeline("bm25", specs, index)
    everything = lexical.live_ids()
    requests = []
    for topic, text in list(topics.items())[:100]:
        found = retrieve.rank([Request(Query(topic, text))])[0]
        # Every collection counts to 1000: queries that find less are filled up with the first other documents.
        ids = (list(found.ids) + [d for d in everything[: 2 * DEPTH] if d not in set(found.ids)])[:DEPTH]
        known = [d for d in qrels[topic] if d in lexical][:8]
        if len(known) == 8:
            candidates = Ranking.of(ids, np.arange(len(ids), 0, -1, dtype=float))
            requests.append(Request(Query(topic, text), Feedback.judged(known[:4], known[4:]), candidates))
    context = Context.of(index)
    context.query_vectors([request.query for request in requests], "conditioned")
    knn = Knn()
    taken = take_turns({"knn": lambda request: knn.rank([request], context)}, requests, rounds)["knn"]
    say(f"kNN of {DEPTH} candidates with 8 feedback documents: p50 {percentile(taken, 50):.2f} ms")
    return {"knn1000_p50_ms": percentile(taken, 50)}


def http_speed(home: Path, topics: Mapping[str, str], qrels: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """POST /v1/search with the pipeline `fused` and four feedback documents: one client, then eight."""
    bodies = [
        {
            "query": text,
            "pipeline": "fused",
            "index": "nfcorpus",
            "feedback": [{"document": d, "relevance": 1.0} for d in list(qrels[topic])[:4]],
        }
        for topic, text in topics.items()
        if len(qrels[topic]) >= 4
    ]
    with running_server(home) as url:
        time_requests(url, bodies[:50], 1)
        alone, rate_alone = time_requests(url, bodies, 1)
        crowd, rate = time_requests(url, bodies * 2, 8)
    figures = {
        "search_fused_p50_ms": percentile(alone, 50),
        "search_fused_p99_ms": percentile(alone, 99),
        "search_fused_1_client_per_s": round(rate_alone, 1),
        "search_fused_8_clients_per_s": round(rate, 1),
        "search_fused_8_clients_p99_ms": percentile(crowd, 99),
    }
    say(f"POST /v1/search, fused, 4 feedback documents: {figures}")
    return figures


if __name__ == "__main__":
    main()
