"""A cross-encoder as what unbiased learning to rank trains: pages of a click log over the texts of an index.

`ranking.clicks.ltr` knows rows and their scores, and nothing of texts. Here a row is a (query, document) pair of the
log that the index has, and its score is the logit of a cross-encoder and, beside it, a multiple of the cosine of the
stored vectors: the residual form in which the ranker uses such a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from index.errors import InputError, UnavailableError
from index.index import Index
from index.progress import track
from ranking.clicks.durable import write_durably
from ranking.clicks.ltr.features import Features, Single
from ranking.clicks.ltr.fit import Fitted
from ranking.clicks.sessions import Vocabulary
from ranking.learning.batches import PairTokenizer
from ranking.learning.bert import Bert, Packed, Parameters, Part
from ranking.learning.card import card
from ranking.learning.cross_encoder import SHIPPED, shipped
from ranking.learning.delta import Delta, wide
from ranking.learning.pair import Pair
from ranking.learning.runs import DELTA, Ready, Run, keep

AT_ONCE: Final = 256  # pairs that are scored together without gradients
_ENCODED: Final = 256  # queries that are encoded and looked up at a time


@dataclass(frozen=True, eq=False)
class Texts:
    """The pairs of a log that an index has, those of a query together.

    `rows` names them, with one feature: the cosine of the index's vectors of query and document, 0 in an index without
    vectors. `texts` (n,) are the beginnings of the documents.
    """

    rows: Features
    texts: tuple[str, ...]

    @property
    def prior(self) -> Single:
        """The cosines, (n,)."""
        return self.rows.matrix[:, 0]

    def pairs(self, tokenizer: PairTokenizer) -> list[Pair]:
        """Every row as tokens."""
        made: list[Pair] = []
        names, starts = self.rows.queries, np.flatnonzero(np.diff(self.rows.query, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(self.texts)], strict=True):
            found = tokenizer.pairs(names[self.rows.query[start]], self.texts[start:stop])
            made += [Pair.of(tokens) for tokens in found]
        return made


def texts_of(index: Index, vocabulary: Vocabulary, characters: int = 1_200) -> Texts:
    """The pairs of a vocabulary with their texts; what the index lacks is left out.

    Raises InputError where the index has none of the documents.
    """
    wanted: dict[str, list[str]] = {}
    for query, document in vocabulary.pairs:
        if query.strip():
            wanted.setdefault(query, []).append(document)
    texts: list[str] = []
    documents: list[str] = []
    codes: list[int] = []
    priors: list[Single] = []
    queries = list(wanted)
    for start in track(range(0, len(queries), _ENCODED), "Texts", -(-len(queries) // _ENCODED)):
        some = queries[start : start + _ENCODED]
        vectors = index.view().vectors
        asked = None if vectors is None else index.encode(some)
        for number, query in enumerate(some):
            found = [d for d in index.view().lexical.documents(wanted[query]) if d is not None]
            ids = [document.id for document in found]
            texts += [document.contents[:characters] for document in found]
            documents += ids
            codes += [start + number] * len(ids)
            if vectors is None or asked is None or not ids:
                priors.append(np.zeros(len(ids), dtype=np.float32))
            else:
                priors.append((vectors.take(ids, "raw") @ asked[number]).astype(np.float32))
    if not texts:
        raise InputError(
            f"The index {index.name!r} has none of the log's documents.", "Name the index that the log's pages show."
        )
    rows = Features(np.concatenate(priors)[:, None], np.array(codes, dtype=np.int32), tuple(queries), tuple(documents))
    return Texts(rows, tuple(texts))


class TextScorer(nn.Module):
    """`ranking.clicks.ltr.scorers.Scorer` of (query, text) pairs: a frozen network with a delta, which is trained.

    `base` are the network's parameters, computed in their own type; `start` is the delta to begin from, with the scale
    of the prior in its `about`; `prior` (n,) are the cosines. The multiple of the prior is trained along.
    """

    prior: Tensor

    def __init__(self, bert: Bert, base: Parameters, pairs: Sequence[Pair], prior: Single, start: Delta) -> None:
        super().__init__()
        self.bert, self.base, self.pairs, self.about = bert, base, pairs, dict(start.about)
        # A module's parameters have no dots in their names.
        self.changes = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(wide(tensor).clone()) for name, tensor in start.tensors.items()}
        )
        self.log_scale = nn.Parameter(torch.tensor(float(self.about.get("scale", 1.0))).clamp(min=1e-3).log())
        self.register_buffer("prior", torch.from_numpy(np.ascontiguousarray(prior)), persistent=False)

    @property
    def delta(self) -> Delta:
        """What was learned, with the scale of its prior."""
        tensors = {name.replace("/", "."): tensor for name, tensor in self.changes.items()}
        return Delta(tensors, self.about | {"scale": float(self.log_scale.detach().exp())})

    def forward(self, rows: Tensor) -> Tensor:
        """Scores (p,) of rows (p,)."""
        # Long texts with long ones: attention is done for all of a length at once, and rows scored together need not
        # be in memory together unless there are gradients to keep.
        if not len(rows):
            return torch.zeros(0)
        order = torch.tensor(sorted(range(len(rows)), key=lambda place: -len(self.pairs[int(rows[place])])))
        size = len(rows) if torch.is_grad_enabled() else AT_ONCE
        delta = self.delta
        logits = (
            [self._logits(rows[part], delta) for part in torch.split(order, size)] if len(rows) else [torch.zeros(0)]
        )
        scores: Tensor = torch.cat(logits)[order.argsort()] + self.log_scale.exp() * self.prior[rows]
        return scores

    def _logits(self, rows: Tensor, delta: Delta) -> Tensor:
        pairs = [self.pairs[row] for row in rows.tolist()]
        packed = Packed.of([(pair.ids, pair.types) for pair in pairs])
        part = Part(slice(0, len(pairs)), slice(0, len(packed.ids)), delta)
        x = self.bert.embed(self.base, packed)
        x = self.bert.states(self.base, x, packed.lengths, range(self.bert.frame.layers - 1), (part,))
        pooled = self.bert.pooled(self.base, x, packed.lengths, (part,))
        weight = wide(self.base["head.weight"]) + self.changes["head/weight"]
        bias = wide(self.base["head.bias"]) + self.changes["head/bias"]
        logits: Tensor = (pooled @ weight.T + bias)[:, 0]
        return logits


def beginning(model: str, ready: Ready) -> Delta:
    """The delta of a cross-encoder that is one of the packaged model: where training begins.

    Raises UnavailableError for a model that cannot be read or is one of other weights.
    """
    delta = Delta.load(SHIPPED / model / DELTA if model in shipped() else Path(model))
    if delta.about.get("base") != ready.checksum or "head.weight" not in delta.tensors:
        raise UnavailableError(
            f"The model {model!r} is no delta of the packaged encoder.",
            f"Begin from one of {', '.join(shipped())}, or from a delta.safetensors that 'clickwise train' wrote.",
        )
    return delta


def save(fitted: Fitted[TextScorer], report: Mapping[str, Any], how: Run, ready: Ready, model: str, log: Path) -> Path:
    """Write delta.safetensors, card.md and report.json into the training's folder; gives the path of the delta."""
    options = fitted.recipe.options
    learned = fitted.scorer.delta
    about = {
        "method": f"unbiased learning to rank from clicks ({fitted.recipe.objective})",
        "recipe": {"model": model, "objective": fitted.recipe.objective, **asdict(options)},
        "base": ready.checksum,
        "data": {},
        "tokens": how.tokens,
        "computed_in": ready.computed_in,
        "steps": fitted.trained.epochs * max(1, -(-int(report["log"]["pages"]) // options.batch)),
        "seed": how.seed,
        "command": how.command,
        "scale": learned.about["scale"],
        "precision": float(fitted.scorer.about.get("precision", 10.0)),
    }
    path = how.out / DELTA
    keep(Delta(learned.tensors, about), path)
    write_durably(how.out / "report.json", (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    notes = [f"{report['log']['pages']:,} pages of the click log {log.name}", *how.notes]
    text = card(about, {}, checksum, path.stat().st_size, notes)
    write_durably(how.out / "card.md", text.encode())
    return path
