"""Cross-encoder scoring: speed and agreement beside sentence-transformers on the same texts.

    python -m eval.benchmarks.rerank [--data DIR] [--work DIR] [--topics N] [--depth N] [--rounds N]

Takes the BM25 candidates of NFCorpus test topics (DIR/collections/nfcorpus; CLICKWISE_DATA names DIR too). Contenders
score the same pairs in turn, in one process, on the same cores: our engine, `CrossEncoder.predict` with its defaults
(fp32, batches of 32), and its ONNX int8 and OpenVINO back ends where they are installed. All read the same weights,
ours from the shipped delta, theirs from a directory written for them. Prints one JSON object last.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.benchmarks.retrieval import nfcorpus_in, nfcorpus_parser, opened, read_topics
from eval.benchmarks.timing import say
from index.encoder import load_encoder
from index.lexical import LexicalQuery
from ranking.learning.cross_encoder import DEFAULT, load_cross_encoder
from ranking.learning.engine import Engine
from ranking.learning.export import export

Floats = npt.NDArray[np.float64]
Pairs = list[tuple[str, str]]
Contender = Callable[[Pairs], Floats]

MAX_TOKENS = 256


def main() -> None:
    parser = nfcorpus_parser(__doc__)
    parser.add_argument("--topics", type=int, default=40, help="topics whose candidates are scored")
    parser.add_argument("--depth", type=int, default=50, help="candidates of a topic")
    parser.add_argument("--rounds", type=int, default=1, help="how often each topic is timed")
    arguments = parser.parse_args()
    folder = nfcorpus_in(arguments.data)

    topics, qrels = read_topics(folder)
    index = opened(arguments.work / "home" / "indexes" / "nfcorpus", folder, encoder=load_encoder("default"))
    lexical = index.view().lexical
    chosen = dict(list(topics.items())[: arguments.topics])
    found = {topic: lexical.search(LexicalQuery(text=text), arguments.depth).ids for topic, text in chosen.items()}
    texts = {doc: d.contents for ids in found.values() for doc, d in zip(ids, lexical.documents(ids), strict=True) if d}
    pairs = {topic: [(chosen[topic], texts[doc]) for doc in ids] for topic, ids in found.items() if ids}

    contenders = all_contenders(arguments.work)
    seconds, scores = in_turn(contenders, list(pairs.values()), arguments.rounds)
    figures = compared(seconds, scores, list(pairs), {t: found[t] for t in pairs}, qrels)
    tokens = token_counts(list(pairs.values()))
    figures |= {"pairs": sum(map(len, pairs.values())), "tokens": tokens}
    figures["gemm_share"] = round(flops(tokens, figures["pairs"]) / seconds["clickwise"] / arguments.rounds / peak(), 3)
    print(json.dumps(figures))


def all_contenders(work: Path) -> dict[str, Contender]:
    from sentence_transformers import CrossEncoder

    directory = work / "clickwise-minilm"
    export(load_cross_encoder(DEFAULT, precision="fp32", max_tokens=MAX_TOKENS), directory)
    library = CrossEncoder(str(directory), max_length=MAX_TOKENS, device="cpu", local_files_only=True)
    contenders: dict[str, Contender] = {"clickwise": ours(), "sentence-transformers": predicting(library)}
    for name, needed, backend in (("onnx-int8", "onnxruntime", "onnx"), ("openvino", "openvino", "openvino")):
        if importlib.util.find_spec("optimum") is None or importlib.util.find_spec(needed) is None:
            say(f"{name} is not installed and does not take part")
            continue
        contenders[name] = predicting(converted(directory, name, backend))
    return contenders


def converted(directory: Path, name: str, backend: str) -> Any:
    """The exported model in another back end; int8 by dynamic quantisation where that back end offers it."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model

    model = CrossEncoder(str(directory), max_length=MAX_TOKENS, device="cpu", backend=backend, local_files_only=True)
    if backend != "onnx":
        return model
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(directory))
    file = {"file_name": "onnx/model_qint8_avx512_vnni.onnx"}
    return CrossEncoder(str(directory), max_length=MAX_TOKENS, device="cpu", backend="onnx", model_kwargs=file)


def ours() -> Contender:
    engine = Engine(load_cross_encoder(DEFAULT, max_tokens=MAX_TOKENS), kept=0)

    def score(pairs: Pairs) -> Floats:
        _, pieces = engine.model.tokenizer.passages(pairs[0][0], [text for _, text in pairs], 1)
        return engine.logits(engine.states([piece[0] for piece in pieces]))

    return score


def predicting(model: Any) -> Contender:
    from torch.nn import Identity

    return lambda pairs: np.asarray(
        model.predict(pairs, activation_fn=Identity(), show_progress_bar=False), dtype=np.float64
    ).reshape(-1)


def in_turn(
    contenders: Mapping[str, Contender], inputs: Sequence[Pairs], rounds: int
) -> tuple[dict[str, float], dict[str, list[Floats]]]:
    """Seconds in all and the scores of every input, after a warm-up on the first one."""
    names = list(contenders)
    for name in names:
        contenders[name](inputs[0])
    seconds = dict.fromkeys(names, 0.0)
    scores: dict[str, list[Floats]] = {name: [] for name in names}
    for turn in range(rounds):
        for number, pairs in enumerate(inputs):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                start = time.perf_counter()
                result = contenders[name](pairs)
                seconds[name] += time.perf_counter() - start
                if turn == 0:
                    scores[name].append(result)
    for name in names:
        say(f"{name}: {rounds * sum(map(len, inputs)) / seconds[name]:.1f} pairs/s")
    return seconds, scores


def compared(
    seconds: Mapping[str, float],
    scores: Mapping[str, list[Floats]],
    topics: Sequence[str],
    found: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, int]],
) -> dict[str, Any]:
    """Speed-ups over the library and over the fastest of its back ends, and how alike the rankings are."""
    from scipy.stats import kendalltau

    reference = "sentence-transformers"
    taus = [kendalltau(a, b).statistic for a, b in zip(scores["clickwise"], scores[reference], strict=True)]
    others = {name: taken for name, taken in seconds.items() if name not in ("clickwise", reference)}
    quality = {name: ndcg10(topics, found, scores[name], qrels) for name in scores}
    say(f"nDCG@10: {quality}")
    return {
        "speedup_vs_sentence_transformers": round(seconds[reference] / seconds["clickwise"], 2),
        "speedup_vs_best_backend": round(min(others.values()) / seconds["clickwise"], 2) if others else None,
        "best_backend": min(others, key=others.__getitem__) if others else None,
        "kendall_tau": round(float(np.mean(taus)), 4),
        "ndcg10_delta": round(quality["clickwise"] - quality[reference], 4),
        "ndcg10_by_contender": {name: round(value, 4) for name, value in quality.items()},
    }


def ndcg10(topics: Sequence[str], found: Mapping[str, Sequence[str]], scores: Sequence[Floats], qrels: Any) -> float:
    import ir_measures
    from ir_measures import nDCG

    run = [
        ir_measures.ScoredDoc(topic, doc, float(score))
        for topic, values in zip(topics, scores, strict=True)
        for doc, score in zip(found[topic], values, strict=True)
    ]
    truth = [ir_measures.Qrel(t, d, g) for t in topics for d, g in qrels[t].items()]
    return float(ir_measures.calc_aggregate([nDCG @ 10], truth, run)[nDCG @ 10])


def token_counts(inputs: Sequence[Pairs]) -> int:
    tokenizer = load_cross_encoder(DEFAULT, max_tokens=MAX_TOKENS).tokenizer
    return sum(len(ids) for pairs in inputs for ids, _ in tokenizer.pairs(pairs[0][0], [text for _, text in pairs]))


def flops(tokens: int, pairs: int, layers: int = 6, width: int = 384) -> float:
    """The matrix products that the answer needs, attention's among them: 24 width^2 a token and layer, and 4 width a
    token, layer and token attended to. The last layer is counted as what the first token needs of it."""
    length = tokens / pairs
    whole = (layers - 1) * tokens * (24 * width**2 + 4 * width * length)
    last = tokens * 4 * width**2 + pairs * (20 * width**2 + 4 * width * length)
    return whole + last


def peak(size: int = 2048, seconds: float = 2.0) -> float:
    """The machine's own best at bf16 matrix products, in floating-point operations a second: all cores, large ones."""
    import torch

    a, b = (torch.randn(size, size).to(torch.bfloat16) for _ in range(2))
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    say(f"bf16 matrix products: {best / 1e9:.0f} GFLOP/s")
    return best


if __name__ == "__main__":
    main()
