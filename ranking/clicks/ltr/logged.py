"""A click log as unbiased learning to rank asks for it: pages to train on, shuffled ones to compare on, the bias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from index.errors import InputError
from ranking.clicks.codes import sessions
from ranking.clicks.log import ClickLog
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.features import Features, locate_rows
from ranking.clicks.propensity import Propensities
from ranking.clicks.propensity.estimate import AGAIN
from ranking.clicks.sessions import Sessions, Vocabulary, joined


@dataclass(frozen=True, eq=False)
class Divided:
    """Pages for training, pages of the shuffled arms (None where none were named), and how many of what there was."""

    pages: Sessions
    traffic: Sessions | None
    facts: dict[str, Any]


def read_pages(path: Path) -> tuple[Sessions, Vocabulary]:
    """All pages of a log, but for those that feedback has ranked anew: clicks had moved their documents.

    Raises InputError where no page is left.
    """
    vocabulary = Vocabulary()
    parts = list(sessions(ClickLog.open(path), vocabulary))
    if not parts:
        raise InputError(f"The click log {path} has no pages.", "Check the path.")
    pages = joined(parts)
    again = [code for code, arm in enumerate(pages.arms) if arm.startswith(AGAIN)]
    if again:
        pages = pages.take(~np.isin(pages.arm, again))
    if not len(pages):
        raise InputError(f"Feedback has ranked every page of {path} anew.", "Keep the first rounds in the log.")
    return pages, vocabulary


def divided(
    pages: Sessions,
    vocabulary: Vocabulary,
    features: Features,
    randomised: Sequence[str] = (),
    shuffled_ranks: int | None = None,
) -> Divided:
    """Pages whose documents are rows of the features; those of the `randomised` arms apart, cut to the ranks that were
    shuffled. Raises InputError for an arm that is not there, or where it leaves nothing to train on."""
    missing = set(randomised) - set(pages.arms)
    if missing:
        known = ", ".join(name or "(no name)" for name in pages.arms)
        raise InputError(f"The log has no arm {sorted(missing)[0]!r}.", f"Its arms: {known}.")
    found = locate_rows(pages, vocabulary, features)
    located = found.sessions
    facts: dict[str, Any] = {
        "pages": len(located),
        "unknown_pages": found.unknown_pages,
        "unknown_documents": found.unknown_documents,
    }
    if not randomised:
        return Divided(located, None, facts)
    shuffled = np.isin(located.arm, [located.arms.index(name) for name in randomised])
    if shuffled.all():
        raise InputError("All pages of the log are of the shuffled arms.", "Leave pages for training.")
    traffic = located.take(shuffled)
    if shuffled_ranks is not None:
        ranks = slice(0, shuffled_ranks)
        traffic = replace(traffic, pair=traffic.pair[:, ranks], clicks=traffic.clicks[:, ranks])
    return Divided(located.take(~shuffled), traffic, facts | {"shuffled_pages": len(traffic)})


def bias_of(path: Path, pages: Sessions) -> Bias:
    """The bias of a file of propensities, a row for each surface of the pages where it has several curves."""
    found = Propensities.load(path)
    surfaces = pages.surfaces if len(found.curves) > 1 else (found.curves[0].surface,)
    curves = [found.curve(name).propensity for name in surfaces]
    shortest = min(map(len, curves))
    table = np.array([curve[:shortest] for curve in curves])
    # A curve is known up to its scale; an examination more likely than at rank 1 takes the 1.
    return Bias.of(table / table.max(axis=1, keepdims=True))
