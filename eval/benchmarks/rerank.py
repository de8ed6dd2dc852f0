"""Cross-encoder scoring: speed and agreement beside sentence-transformers on the same texts.

    python -m eval.benchmarks.rerank [--data DIR] [--work DIR] [--topics N] [--depth N] [--rounds N] [--backends PYTHON]

Takes the BM25 candidates of NFCorpus test topics (DIR/collections/nfcorpus; CLICKWISE_DATA names DIR too). Contenders
score the same pairs in turn, on the same cores: our engine, `CrossEncoder.predict` with its defaults (fp32, batches of
32), and with --backends its ONNX (fp32 and int8) and OpenVINO back ends. The library runs in a process of its own, as
a user would run it, and once more in ours, where it profits from memory that our engine has the C library keep. PYTHON
is the interpreter of an environment with the back ends (`pip install "sentence-transformers<6" "transformers<5"
optimum-onnx optimum-intel openvino`): they do not go together with the transformers that Clickwise is tested with. All
read the same weights, ours from the shipped delta, theirs from a directory written for them. A back end is as good as
fp32 where Kendall's tau to it is .98 or more and nDCG@10 within .002: only such are fair competitors, but all are told.
Prints one JSON object last.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
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
BACKENDS = ("onnx", "onnx-int8", "openvino")
REFERENCE, SHARING = "sentence-transformers", "sentence-transformers in our process"
LEAST_TAU, MOST_NDCG = 0.98, 0.002  # what counts as the same quality


def main() -> None:
    parser = nfcorpus_parser(__doc__)
    parser.add_argument("--topics", type=int, default=40, help="topics whose candidates are scored")
    parser.add_argument("--depth", type=int, default=50, help="candidates of a topic")
    parser.add_argument("--rounds", type=int, default=1, help="how often each topic is timed")
    parser.add_argument("--backends", type=Path, metavar="PYTHON", help="an environment with ONNX and OpenVINO")
    arguments = parser.parse_args()
    folder = nfcorpus_in(arguments.data)

    topics, qrels = read_topics(folder)
    index = opened(arguments.work / "home" / "indexes" / "nfcorpus", folder, encoder=load_encoder("default"))
    lexical = index.view().lexical
    chosen = dict(list(topics.items())[: arguments.topics])
    found = {topic: lexical.search(LexicalQuery(text=text), arguments.depth).ids for topic, text in chosen.items()}
    texts = {doc: d.contents for ids in found.values() for doc, d in zip(ids, lexical.documents(ids), strict=True) if d}
    pairs = {topic: [(chosen[topic], texts[doc]) for doc in ids] for topic, ids in found.items() if ids}

    with ExitStack() as stack:
        contenders = all_contenders(arguments.work, arguments.backends, stack)
        seconds, scores = in_turn(contenders, list(pairs.values()), arguments.rounds)
    figures = compared(seconds, scores, list(pairs), {t: found[t] for t in pairs}, qrels)
    tokens = token_counts(list(pairs.values()))
    figures |= {"pairs": sum(map(len, pairs.values())), "tokens": tokens}
    figures["gemm_share"] = round(flops(tokens, figures["pairs"]) / seconds["clickwise"] / arguments.rounds / peak(), 3)
    print(json.dumps(figures))


def all_contenders(work: Path, python: Path | None, stack: ExitStack) -> dict[str, Contender]:
    from sentence_transformers import CrossEncoder

    directory = work / "clickwise-minilm"
    export(load_cross_encoder(DEFAULT, precision="fp32", max_tokens=MAX_TOKENS), directory)
    library = CrossEncoder(str(directory), max_length=MAX_TOKENS, device="cpu", local_files_only=True)
    contenders: dict[str, Contender] = {"clickwise": ours(), SHARING: predicting(library)}
    contenders[REFERENCE] = elsewhere(Path(sys.executable), directory, "torch", stack)
    for name in BACKENDS if python else ():
        own = work / f"clickwise-minilm-{name}"
        export(load_cross_encoder(DEFAULT, precision="fp32", max_tokens=MAX_TOKENS), own)
        contenders[name] = elsewhere(python, own, name, stack)
    return contenders


def elsewhere(python: Path | None, directory: Path, name: str, stack: ExitStack) -> Contender:
    """A back end in a process of its own. What crosses the pipe takes a thousandth of the time."""
    command = [str(python), str(Path(__file__).with_name("backends.py")), str(directory), name, str(MAX_TOKENS)]
    process = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    )
    stack.callback(process.kill)
    assert process.stdin is not None
    assert process.stdout is not None
    sending, receiving = process.stdin, process.stdout
    for line in receiving:  # what the libraries print while they convert
        if line == "ready\n":
            break
    else:
        raise SystemExit(f"The back end {name} does not start: run {' '.join(command)} to see why.")

    def score(pairs: Pairs) -> Floats:
        sending.write(json.dumps(pairs) + "\n")
        sending.flush()
        return np.array(json.loads(receiving.readline()), dtype=np.float64)

    return score


def ours() -> Contender:
    engine = Engine(load_cross_encoder(DEFAULT, max_tokens=MAX_TOKENS), kept=0)
    engine.model.tokenizer.remembered.limit = 0  # every round reads the texts anew

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

    def tau(name: str) -> float:
        pairs = zip(scores[name], scores[REFERENCE], strict=True)
        return float(np.mean([kendalltau(a, b).statistic for a, b in pairs]))

    taus = {name: tau(name) for name in scores}
    quality = {name: ndcg10(topics, found, scores[name], qrels) for name in scores}
    away = {name: value - quality[REFERENCE] for name, value in quality.items()}
    others = {name: taken for name, taken in seconds.items() if name in BACKENDS}
    equal = [name for name in others if taus[name] >= LEAST_TAU and abs(away[name]) <= MOST_NDCG]
    ratios = {name: round(taken / seconds["clickwise"], 2) for name, taken in others.items()}
    return {
        "speedup_vs_sentence_transformers": round(seconds[REFERENCE] / seconds["clickwise"], 2),
        "speedup_vs_sentence_transformers_in_our_process": round(seconds[SHARING] / seconds["clickwise"], 2),
        "speedup_vs_best_backend": min((ratios[name] for name in equal), default=None),
        "speedup_vs_fastest_backend": min(ratios.values(), default=None),
        "speedup_by_backend": ratios,
        "backends_of_equal_quality": equal,
        "kendall_tau": round(taus["clickwise"], 4),
        "ndcg10_delta": round(away["clickwise"], 4),
        "kendall_tau_by_contender": {name: round(value, 4) for name, value in taus.items()},
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


def flops(tokens: int, pairs: int, layers: int = 6, width: int = 384, heads: int = 12) -> float:
    """The matrix products that the answer needs, attention's among them: 24 width^2 a token and layer, and 4 width a
    token, layer and token attended to. The last layer is counted as what the first token needs of it: its own maps, and
    with every token a product of the whole width in each head, twice."""
    length = tokens / pairs
    whole = (layers - 1) * tokens * (24 * width**2 + 4 * width * length)
    last = pairs * 24 * width**2 + tokens * 4 * width * heads
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
