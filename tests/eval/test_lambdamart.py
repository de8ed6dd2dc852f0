"""The boosted trees that make the pages of the learning-to-rank benchmark."""

from __future__ import annotations

import numpy as np

from eval.benchmarks.lambdamart import lambdamart, scores
from ranking.clicks.ltr.features import Judged
from ranking.clicks.ltr.measures import ndcg
from tests.ranking.clicks.ltr.made import judged


def test_it_learns_to_rank_from_grades() -> None:
    data = judged()
    trees = lambdamart(data, 1.0, np.random.default_rng(0), trees=30, leaves=8, least=2)
    found = scores(trees, data.features.matrix)
    assert ndcg(data, found).mean() > 0.85
    again = lambdamart(data, 1.0, np.random.default_rng(0), trees=30, leaves=8, least=2)
    np.testing.assert_array_equal(found, scores(again, data.features.matrix))


def test_queries_without_relevant_documents_teach_nothing() -> None:
    data = judged()
    nothing = Judged(data.features, np.zeros_like(data.grades))
    trees = lambdamart(nothing, 1.0, np.random.default_rng(0), trees=2)
    assert not scores(trees, data.features.matrix).any()
