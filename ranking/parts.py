"""The parts that pipelines are made of. To add one: write its file, and name it here."""

from __future__ import annotations

from collections.abc import Mapping

from ranking.bi_encoder import BiEncoderRanker
from ranking.bm25 import Bm25
from ranking.cascade import Cascade
from ranking.contract import Fuser, Ranker
from ranking.cross_encoder import CrossEncoderRanker
from ranking.dense import Dense
from ranking.expansion import MoreLikeThis, Rm3, Rocchio
from ranking.fusion import CombMnz, CombSum, ReciprocalRank
from ranking.knn import Knn
from ranking.probe import Probe
from ranking.smoothing import Smooth

RANKERS: Mapping[str, type[Ranker]] = {
    "bm25": Bm25,
    "rocchio": Rocchio,
    "rm3": Rm3,
    "more-like-this": MoreLikeThis,
    "dense": Dense,
    "knn": Knn,
    "probe": Probe,
    "cross-encoder": CrossEncoderRanker,
    "bi-encoder": BiEncoderRanker,
    "smooth": Smooth,
}
"""Parts that order documents for a query: retrievers, and re-rankers where they are given candidates."""

FUSERS: Mapping[str, type[Fuser]] = {
    "rrf": ReciprocalRank,
    "combsum": CombSum,
    "combmnz": CombMnz,
    "cascade": Cascade,
}
"""Parts that make one ranking of several."""
