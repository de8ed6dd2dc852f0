"""Tasks to learn from that need no index."""

from __future__ import annotations

import numpy as np

from ranking.learning.tasks import Task

_TOPICS = (
    ["boat", "mast", "keel", "rudder", "wind", "tack", "jib", "halyard", "harbour", "tide"],
    ["espresso", "beans", "roast", "grinder", "brew", "filter", "crema", "barista", "arabica", "robusta"],
)


def sample_task(seed: int = 0, relevant: int = 5, others: int = 9, kind: str = "feedback") -> Task:
    """Relevant documents are of one topic, the others of another; the prior is noise."""
    random = np.random.default_rng(seed)
    wanted, unwanted = (_TOPICS[(seed + turn) % 2] for turn in (0, 1))
    texts = [" ".join(random.choice(wanted, random.integers(3, 9))) for _ in range(relevant)]
    texts += [" ".join(random.choice(unwanted, random.integers(3, 9))) for _ in range(others)]
    relevance = np.array([1.0] * relevant + [0.0] * others)
    prior = random.uniform(0.0, 0.1, relevant + others)
    return Task(str(random.choice(wanted)), tuple(texts), relevance, prior, kind, "sample")  # type: ignore[arg-type]


def sample_tasks(count: int = 6) -> list[Task]:
    return [sample_task(seed) for seed in range(count)]
