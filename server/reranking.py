"""Re-ranking of texts that a request brings along, free of HTTP: one way of working for all dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from index.errors import InputError
from index.once import Once
from ranking.contract import Ranker
from ranking.cross_encoder import CrossEncoderRanker
from ranking.cross_encoder_head import PROBE
from ranking.feedback import Feedback, FloatArray
from ranking.given import rank_texts, vector_cache
from ranking.knn import Knn
from ranking.pipeline import with_model
from ranking.probe import Probe
from server.catalog import Catalog
from server.patience import Patience
from server.releases import Releases
from server.schemas_rerank import TextFeedback
from server.search import about

if TYPE_CHECKING:
    from index.encoder import Encoder

DEFAULT: Final = "probe"
UNNAMED: Final = frozenset({"", "default", "default/not-specified"})
"""What clients call the model when they name none."""


@dataclass(frozen=True, slots=True)
class Model:
    """A ranker of texts, and what its scores say as a number in [0, 1] (`adapted` tells whether there was feedback).

    `before` are cheaper rankers with scores of the same kind, whose answer stands where time is short.
    """

    ranker: Ranker
    relevance: Callable[[FloatArray, bool], FloatArray]
    before: tuple[Ranker, ...] = ()


def _odds(scores: FloatArray, adapted: bool) -> FloatArray:
    """Log-odds as probabilities. Without feedback there is no level to compare with: a cosine of one half is even."""
    level = 0.0 if adapted else PROBE.prior_scale / 2
    return 0.5 * (1.0 + np.tanh(0.5 * (scores - level)))


def _cosine(scores: FloatArray, adapted: bool) -> FloatArray:
    return np.clip(0.5 * (1.0 + scores), 0.0, 1.0)


MODELS: Final[Mapping[str, Model]] = {
    "probe": Model(Probe(), _odds),
    "knn": Model(Knn(aggregation="mean"), _cosine),
    "cross-encoder": Model(CrossEncoderRanker(depth=1000), _odds, before=(Probe(),)),
}
"""By name. The probe is the default: it adapts best for its price, which is that of embedding the texts."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """The texts' places in the request, best first, with their scores; `unread` texts were not read to their end.
    `degraded` says why the ranking is less than the model promises, None where it is not."""

    model: str
    order: Sequence[int]
    scores: Sequence[float]
    score_kind: str
    unread: int
    degraded: str | None = None


class Reranking:
    """Thread-safe. Texts that were sent before are not embedded again.

    It works with the models that serve now. There are no sessions here: of a canary, each query has one side.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases
        self._vectors = vector_cache()
        self._packaged: Once[str, Encoder] = Once()

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        told: Sequence[TextFeedback] = (),
        *,
        model: str | None = None,
        raw_scores: bool = False,
        patience: Patience | None = None,
    ) -> Reranked:
        """Raises InputError for a model that is not there and for feedback on a text that was not sent; LateError where
        the deadline is over at the beginning, and ClientDisconnect where nobody waits any more."""
        if patience is not None:
            patience.begin()
        name = DEFAULT if model is None or model in UNNAMED else model
        if name not in MODELS:
            with about("model"):
                raise InputError(f"There is no reranker {name!r}.", f"Valid: {', '.join(MODELS)}; or name none.")
        # Zero-padded, so that texts of equal scores keep the order in which they were sent.
        sent = {f"{number:06}": text for number, text in enumerate(texts)}
        feedback, others = _feedback(told, len(sent))
        serving = self._releases.serving(query)
        ranking, context = rank_texts(
            with_model(MODELS[name].ranker, serving.models),
            query,
            {**sent, **others},
            list(sent),
            self._encoder(serving.catalog),
            feedback=feedback,
            vectors=self._vectors,
            before=MODELS[name].before,
            deadline=patience.ranking_ends if patience else None,
        )
        scores = ranking.scores if raw_scores else MODELS[name].relevance(ranking.scores, bool(len(feedback)))
        kind = "raw" if raw_scores else "probability"
        return Reranked(
            name, [int(doc) for doc in ranking.ids], scores.tolist(), kind, context.truncated, context.degraded
        )

    def encoder(self) -> Encoder:
        """The encoder of the first index that has one, at the generation that serves everybody, so that it is in memory
        once; else the packaged one."""
        return self._encoder(self._releases.catalog)

    def _encoder(self, catalog: Catalog) -> Encoder:
        for index in catalog.indexes.values():
            manifest = index.manifest
            if manifest.encoder is not None:
                return index.encoder(manifest)
        from index.encoder import load_encoder

        return self._packaged.get("", load_encoder)


def _feedback(told: Sequence[TextFeedback], sent: int) -> tuple[Feedback, dict[str, str]]:
    """As a ranker reads it, and the texts of those documents that are not among the `sent` ones."""
    ids, others = [], {}
    for number, one in enumerate(told):
        if one.text is not None:
            ids.append(f"told {number}")
            others[ids[-1]] = one.text
            continue
        assert one.index is not None
        if one.index >= sent:
            with about(f"feedback[{number}].index"):
                raise InputError(f"There is no document {one.index}: {sent} were sent.", "Count from 0.")
        ids.append(f"{one.index:06}")
    with about("feedback"):
        return Feedback.of(ids, [one.relevance for one in told], [one.weight for one in told]), others
