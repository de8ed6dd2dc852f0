"""What a document costs, and what follows for a deployment: bytes on disk and in memory, milliseconds, machines.

    python -m eval.benchmarks.sizing [--documents N N] [--shards N ...] [--work DIR]

Corpora are generated: documents of 120 words drawn with Zipf's frequencies, and random vectors of 384 dimensions, so
that nothing but the index is measured; the rate of the sentence encoder is measured apart. Costs per document are
differences between the two sizes. Of each query's times the shortest counts, for what else the machine does is not the
index's; times are medians over queries. The plans at the end are arithmetic on these figures (`plan`). Progress goes to
standard error, the figures as one JSON object to standard output.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from eval.benchmarks.timing import percentile, say, take_turns
from index.build import BuildOptions, build_index
from index.dense import FLAT_LIMIT
from index.encoder import load_encoder
from index.index import Index
from index.java import HEAP_VARIABLE
from index.lexical import LexicalQuery
from index.types import Document

WORDS, VOCABULARY, DIMENSION, DEPTH = 120, 50_000, 384, 1_000
SCALES: Final = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
_GRAPH_BYTES: Final = 2 * 32 * 4 + 16  # FAISS's HNSW with 32 links: twice as many on the ground level, and its offsets
HEAP_MB: Final = 1_024  # what the JVM may take where CLICKWISE_JAVA_HEAP says nothing else
_CHUNK, _ROUNDS, _CHILD_HEAP_MB = 1_000, 5, 96


@dataclass
class Noise:
    """Random unit vectors, the same for the same text: an encoder that costs nothing."""

    name: str = "noise"
    checksum: str = "0" * 64
    dimension: int = DIMENSION
    max_tokens: int = 256

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts]
        rows = np.stack([np.random.default_rng(seed).standard_normal(DIMENSION, np.float32) for seed in seeds])
        unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def corpus(count: int) -> Iterator[Document]:
    """Documents of 120 words each."""
    chances = 1.0 / np.arange(1, VOCABULARY + 1)
    chances /= chances.sum()
    for start in range(0, count, _CHUNK):
        drawn = np.random.default_rng(start).choice(VOCABULARY, (min(_CHUNK, count - start), WORDS), p=chances)
        for number, row in enumerate(drawn.tolist(), start=start):
            yield Document(f"document-{number:010d}", f"About {number}", " ".join(f"w{word}x" for word in row))


def questions(count: int) -> list[str]:
    """Four words each, none of them among the hundred most frequent."""
    drawn = np.random.default_rng(1).integers(100, 5_000, (count, 4))
    return [" ".join(f"w{word}x" for word in row) for row in drawn.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs=2, default=[10_000, 40_000], help="the two sizes")
    parser.add_argument("--shards", type=int, nargs="*", default=[2, 4], help="numbers of shards to compare")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--encode", type=int, default=200, help="texts for the rate of the encoder; 0: leave it out")
    parser.add_argument("--work", type=Path, default=Path(".clickwise/benchmarks"), help="where indexes are kept")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)  # the child of `resident`
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(json.dumps(_memory(arguments.memory_of)))
        return
    small, large = sorted(arguments.documents)
    figures = costs(arguments.work, small, large, arguments.queries)
    figures |= shards(arguments.work, large, arguments.shards, arguments.queries)
    figures["encoded_per_second"] = encoding(arguments.encode) if arguments.encode else None
    figures["plans"] = [asdict(plan(figures, documents)) for documents in SCALES]
    print(json.dumps(figures))


def costs(work: Path, small: int, large: int, queries: int) -> dict[str, Any]:
    """What a document adds, by the difference of two sizes."""
    built = {count: _built(work / f"sizing-{count}", count) for count in (small, large)}
    disk = {count: _disk(work / f"sizing-{count}") for count in built}
    memory = {count: _resident(work / f"sizing-{count}") for count in built}
    times = {count: _times(Index.open(work / f"sizing-{count}", encoder=Noise()), queries) for count in built}
    more = large - small
    per = {name: (disk[large][name] - disk[small][name]) / more for name in disk[large]}
    resident = {name: (memory[large][name] - memory[small][name]) / more for name in memory[large]}
    return {
        "documents": large,
        "disk_bytes_per_document": {name: round(value, 1) for name, value in per.items()},
        "memory_bytes_per_document": {name: round(value, 1) for name, value in resident.items()},
        "memory_mb_of_a_process": round(
            (memory[small]["private"] - small * resident["private"]) / 2**20 - _CHILD_HEAP_MB + HEAP_MB
        ),
        "built_per_second": round(large / seconds, 1) if (seconds := built[large]) else None,
        "search_ms": {str(count): found for count, found in times.items()},
    }


def shards(work: Path, documents: int, numbers: Sequence[int], queries: int) -> dict[str, Any]:
    """One index and the same in shards, searched in turn; shards in processes of this machine."""
    opened = {"1": Index.open(work / f"sizing-{documents}", encoder=Noise())}
    seconds: dict[str, float | None] = {}
    for number in numbers:
        path = work / f"sizing-{documents}-in-{number}"
        seconds[str(number)] = _built(path, documents, number)
        opened[str(number)] = Index.open(path, encoder=Noise(), engine="processes", patience=120.0)
    for index in opened.values():
        index.warm_up(questions(2))
    say("searching in shards")

    def search(index: Index) -> Callable[[str], object]:
        return lambda text: index.view().lexical.search(LexicalQuery(text=text), DEPTH)

    taken = take_turns({name: search(index) for name, index in opened.items()}, questions(queries), _ROUNDS)
    same = all(search(index)(text) == search(opened["1"])(text) for index in opened.values() for text in questions(5))
    for index in opened.values():
        index.close()
    return {
        "shards_search_ms": {name: _shortest(values, queries) for name, values in taken.items()},
        "shards_build_seconds": seconds,
        "shards_rank_the_same": same,
    }


def encoding(texts: int) -> float:
    """Documents of 120 words that the packaged encoder embeds in a second on all cores."""
    say("encoding")
    encoder = load_encoder("default")
    words = "the patient was given a dose of statin every morning and the trial went on for one more year "
    sample = [(f"{number} " + words * 6)[: WORDS * 6] for number in range(texts)]
    encoder.encode(sample[:32])
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        encoder.encode(sample)
        taken.append(time.perf_counter() - start)
    return round(texts / min(taken), 1)


@dataclass(frozen=True)
class Plan:
    """A deployment. Memory counts what has to stay resident for searches to keep their pace; disks hold two
    generations. `searches_per_second` is what one replica of all shards answers with one core for each shard."""

    documents: int
    shards: int
    documents_per_shard: int
    memory_gb_per_shard: float
    memory_gb: float
    disk_gb: float
    search_ms: float
    searches_per_second: float
    machines_of_64_gb: int
    encoding_core_hours: float | None


def plan(figures: dict[str, Any], documents: int, per_shard: int = 5_000_000) -> Plan:
    """The arithmetic of `docs/sizing.md`: shards of at most `per_shard` documents, one core each."""
    shards = max(1, math.ceil(documents / per_shard))
    each = math.ceil(documents / shards)
    memory = figures["memory_bytes_per_document"]
    per_document = memory["private"] + memory["mapped"] + figures["disk_bytes_per_document"]["lucene"]
    if each > FLAT_LIMIT:  # the sizes measured are scanned; larger ones have a graph beside the vectors
        per_document += _GRAPH_BYTES
    gigabytes = (figures["memory_mb_of_a_process"] * 2**20 + each * per_document) / 2**30
    disk = 2 * documents * figures["disk_bytes_per_document"]["total"] / 2**30
    # Time grows with the documents that hold a term, so linearly; the rest of a search does not grow.
    (small, quick), (large, slow) = ((int(n), t["bm25"]) for n, t in figures["search_ms"].items())
    slope = max(0.0, (slow - quick) / (large - small))
    fixed = max(0.0, slow - slope * large)
    milliseconds = fixed + slope * each
    rate = figures["encoded_per_second"]
    return Plan(
        documents,
        shards,
        each,
        round(gigabytes, 1),
        round(gigabytes * shards, 1),
        round(disk, 1),
        round(milliseconds, 1),
        round(1000 / milliseconds, 1),
        max(1, math.ceil(shards / max(1, math.floor(56 / gigabytes)))),
        round(documents / rate * 2 / 3600, 1) if rate else None,
    )


def _built(path: Path, documents: int, shards: int | None = None) -> float | None:
    """The seconds that building took, None where it was there already."""
    if (path / "current").exists():
        return None
    say(f"building {documents:,} documents{f' in {shards} shards' if shards else ''}")
    start = time.perf_counter()
    options = BuildOptions(shards=shards, source="generated")
    build_index(path, corpus(documents), options, encoder=Noise(), engine="processes")
    return round(time.perf_counter() - start, 1)


def _disk(path: Path) -> dict[str, int]:
    """Bytes of files: all of them, the vectors, and Lucene's: postings, stored texts and term vectors."""
    found = {"total": 0, "vectors": 0, "lucene": 0}
    for file in path.rglob("*"):
        if file.is_file():
            size = file.stat().st_size
            found["total"] += size
            if file.suffix in (".f16", ".faiss"):
                found["vectors"] += size
            elif file.parent.name == "lucene":
                found["lucene"] += size
    return found


def _resident(path: Path) -> dict[str, int]:
    """The memory of a process that has the index open and has searched it."""
    command = [sys.executable, "-m", "eval.benchmarks.sizing", "--memory-of", str(path)]
    heap = {**os.environ, HEAP_VARIABLE: f"{_CHILD_HEAP_MB}m"}  # full in any case: it must not hide in the difference
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=heap).stdout
    found: dict[str, int] = json.loads(out.splitlines()[-1])
    return found


def _memory(path: Path) -> dict[str, int]:
    index = Index.open(path, encoder=Noise())
    index.warm_up(questions(20))
    rows: dict[str, int] = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile"):
            rows[name] = int(value.split()[0]) * 1024
    vectors = 2 * DIMENSION * index.view().documents  # conditioned rows, which re-ranking reads through the map
    return {"private": rows["RssAnon"], "mapped": vectors}


def _times(index: Index, queries: int) -> dict[str, float]:
    say(f"searching {index.view().documents:,} documents")
    view = index.view()
    vectors = view.vectors
    assert vectors is not None
    directions = dict(zip(questions(queries), vectors.condition(Noise().encode(questions(queries))), strict=True))
    contenders: dict[str, Callable[[str], object]] = {
        "bm25": lambda text: view.lexical.search(LexicalQuery(text=text), DEPTH),
        "dense": lambda text: vectors.nearest(directions[text][None], DEPTH),
    }
    taken = take_turns(contenders, list(directions), _ROUNDS)
    return {name: _shortest(values, queries) for name, values in taken.items()}


def _shortest(milliseconds: Sequence[float], queries: int) -> float:
    """The median over queries of the shortest time that each took in any round."""
    return percentile(np.array(milliseconds).reshape(-1, queries).min(axis=0).tolist(), 50)


if __name__ == "__main__":
    main()
