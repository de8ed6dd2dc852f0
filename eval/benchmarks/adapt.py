"""Adaptation: from a click to the new ranking, in time and in quality beside the published recipe.

    python -m eval.benchmarks.adapt [--data DIR] [--work DIR] [--topics N] [--paper-topics N] [--sessions N]

NFCorpus test topics (DIR/collections/nfcorpus; CLICKWISE_DATA names DIR too), 100 candidates of expanded BM25, 4
relevant and 4 other documents of about 200 tokens as feedback. "cached" has ranked the candidates once before the
click, "cold" has not. The recipe of the paper (biases of all layers, AdamW, one document a step, 8 epochs) runs on the
same engine and the same cores, which makes it faster than it was. Prints one JSON object last.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from eval.benchmarks.retrieval import nfcorpus_in, nfcorpus_parser, opened, read_topics
from eval.benchmarks.service import server_process
from eval.benchmarks.timing import percentile, say
from index.encoder import load_encoder
from index.index import Index
from index.types import Query, Ranking
from ranking.config import load_specs
from ranking.context import Context
from ranking.contract import Request
from ranking.cross_encoder import CrossEncoderRanker
from ranking.expansion import Rocchio
from ranking.feedback import Feedback
from ranking.learning.cross_encoder import load_cross_encoder
from ranking.learning.engine import Engine
from ranking.learning.engines import use

CANDIDATES, GIVEN, TOKENS = 100, 4, 216  # query and marks beside about 200 tokens of text


def main() -> None:
    parser = nfcorpus_parser(__doc__)
    parser.add_argument("--topics", type=int, default=30, help="topics that are ranked and timed")
    parser.add_argument("--paper-topics", type=int, default=10, help="of these, topics for the published recipe")
    parser.add_argument("--sessions", type=int, default=100, help="live sessions of the server whose memory is read")
    arguments = parser.parse_args()
    folder = nfcorpus_in(arguments.data)

    topics, qrels = read_topics(folder)
    home = arguments.work / "home"
    index = opened(home / "indexes" / "nfcorpus", folder, encoder=load_encoder("default"))
    requests = [r for t, text in topics.items() if (r := asked(index, t, text, qrels[t])) is not None]
    requests = requests[: arguments.topics]
    ours, paper = served(), replace(served(), adapt="paper", rate=2e-4)
    cached, cold, rankings = timed(ours, requests, index)
    paper_cached, paper_cold, paper_rankings = timed(paper, requests[: arguments.paper_topics], index)
    few = requests[: arguments.paper_topics]
    quality = [ndcg20(r, a, qrels) for r, a in zip(few, rankings, strict=False)]
    paper_quality = [ndcg20(r, a, qrels) for r, a in zip(few, paper_rankings, strict=True)]
    say(f"nDCG@20: {np.mean(quality):.4f}, published recipe {np.mean(paper_quality):.4f}, on {len(few)} topics")
    figures: dict[str, Any] = {
        "click_to_ranking_p50_ms_cached": percentile(cached, 50),
        "click_to_ranking_p50_ms_cold": percentile(cold, 50),
        "paper_recipe_p50_ms_cold": percentile(paper_cold, 50),
        "speedup_vs_paper_recipe": round(statistics.median(paper_cold) / statistics.median(cold[: len(paper_cold)]), 1),
        "speedup_vs_paper_recipe_cached": round(
            statistics.median(paper_cached) / statistics.median(cached[: len(paper_cached)]), 1
        ),
        "ndcg20_minus_paper_recipe": round(float(np.mean(quality) - np.mean(paper_quality)), 4),
        "server_rss_mb": memory(home, requests, arguments.sessions) if arguments.sessions else None,
    }
    print(json.dumps(figures))


def served() -> CrossEncoderRanker:
    """The adapting stage of the pipeline `ce-maml`, at this benchmark's depth and length."""
    stages = [stage.does for stage in load_specs(None)["ce-maml"].stages]
    ranker = next(part for part in stages if isinstance(part, CrossEncoderRanker))
    return replace(ranker, depth=CANDIDATES, max_tokens=TOKENS, deadline_ms=None)


def asked(index: Index, topic: str, text: str, grades: Mapping[str, int]) -> Request | None:
    """A topic with its candidates and feedback from their top, None where there is not enough of either."""
    query = Query(topic, text)
    context = Context.of(index)
    first = Rocchio(depth=CANDIDATES + 2 * GIVEN).rank([Request(query)], context)[0]
    relevant = [doc for doc in first.ids if doc in grades][:GIVEN]
    others = [doc for doc in first.ids if doc not in grades][:GIVEN]
    rest = first.without([*relevant, *others]).head(CANDIDATES)
    if len(relevant) < GIVEN or len(rest) < CANDIDATES:
        return None
    return Request(query, Feedback.judged(relevant, others), rest)


def timed(
    ranker: CrossEncoderRanker, requests: Sequence[Request], index: Index
) -> tuple[list[float], list[float], list[Ranking]]:
    """Milliseconds from the click to the ranking, with and without a ranking before it; and the rankings."""
    model = load_cross_encoder(ranker.model, max_tokens=ranker.max_tokens)
    cached: list[float] = []
    cold: list[float] = []
    rankings: list[Ranking] = []
    warm = Context.of(index)
    use(ranker.model, Engine(model), ranker.max_tokens)
    ranker.rank(requests[:1], warm)
    for request in requests:
        for times, before in ((cold, False), (cached, True)):
            use(ranker.model, Engine(model), ranker.max_tokens)
            context = Context.of(index)
            context.query_vectors([request.query], "raw")
            if before:
                ranker.rank([replace(request, feedback=Feedback.of([], []))], context)
            start = time.perf_counter()
            (ranking,) = ranker.rank([request], context)
            times.append(1000 * (time.perf_counter() - start))
        rankings.append(ranking)
    say(f"{ranker.adapt}: cached {percentile(cached, 50):.0f} ms, cold {percentile(cold, 50):.0f} ms")
    return cached, cold, rankings


def ndcg20(request: Request, ranking: Ranking, qrels: Mapping[str, Mapping[str, int]]) -> float:
    """Of the residual collection: the feedback documents count neither as found nor as missed."""
    grades = {d: g for d, g in qrels[request.query.id].items() if d not in request.feedback.ids}
    discounts = 1.0 / np.log2(np.arange(2.0, 22.0))
    found = np.array([grades.get(doc, 0) for doc in ranking.ids[:20]], dtype=float)
    ideal = np.array(sorted(grades.values(), reverse=True)[:20], dtype=float)
    best = float(ideal @ discounts[: len(ideal)])
    return float(found @ discounts[: len(found)]) / best if best else 0.0


def memory(home: Path, requests: Sequence[Request], sessions: int) -> float:
    """MB that a server holds in memory once so many sessions have ranked, clicked and ranked again."""
    with server_process(home) as (url, process), httpx.Client(base_url=url, timeout=120) as http:
        for number in range(sessions):
            request = requests[number % len(requests)]
            body = {"query": f"{request.query.text} {number}", "index": "nfcorpus", "pipeline": "ce-maml"}
            answer = http.post("/v1/search", json={**body, "session_id": f"s{number}"}).raise_for_status().json()
            click = {"query_id": answer["query_id"], "document": answer["hits"][0]["id"], "kind": "relevant"}
            http.post("/v1/feedback", json=click).raise_for_status()
            http.post("/v1/search", json={"query_id": answer["query_id"]}).raise_for_status()
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return round(int(resident.split()[1]) / 1024, 1)


if __name__ == "__main__":
    main()
