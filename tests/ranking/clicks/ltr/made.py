"""Small problems whose truth is known."""

from __future__ import annotations

import numpy as np

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.features import Features, Judged
from ranking.clicks.ltr.simulation import AffinePeople, attraction, simulate
from ranking.clicks.sessions import Floats, Sessions


def judged(queries: int = 40, documents: int = 8, width: int = 6, seed: int = 0) -> Judged:
    """Grades 0 to 4 that are a noisy linear function of the features."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(queries * documents, width)).astype(np.float32)
    utility = matrix @ np.linspace(1.0, 0.2, width) + random.normal(0, 0.3, len(matrix))
    grades = np.digitize(utility, [0.0, 0.8, 1.6, 2.4]).astype(np.float32)
    query = np.repeat(np.arange(queries), documents).astype(np.int32)
    names = tuple(f"d{row % documents}" for row in range(len(matrix)))
    return Judged(Features(matrix, query, tuple(f"q{code}" for code in range(queries)), names), grades)


def clicked(
    data: Judged, bias: Bias, pages: int = 4000, seed: int = 0, *, scores: Floats | None = None, shuffled: bool = False
) -> Sessions:
    """Clicks on pages that a ranker made: by default a poor one, with noise that differs from query to query."""
    random = np.random.default_rng(seed)
    if scores is None:
        scores = data.grades + random.normal(0, 1.5, len(data.grades))
    return simulate(
        data.features, scores, attraction(data), AffinePeople(bias), pages, random, ranks=bias.ranks, shuffled=shuffled
    )
