"""From pages to a ranker: an objective by name, with the models that it needs first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.checkpoints import Epoch
from ranking.clicks.ltr.features import Single
from ranking.clicks.ltr.objectives.estimates import exposure
from ranking.clicks.ltr.objectives.protocol import Objective
from ranking.clicks.ltr.objectives.registry import NEED_BIAS, Setting, make_objective
from ranking.clicks.ltr.pages import inverse_rank_frequency, split_queries
from ranking.clicks.ltr.scorers import FeatureScorer, Kind, Scorer, new_scorer
from ranking.clicks.ltr.training import Options, Trained, score_rows, train
from ranking.clicks.sessions import Floats, Sessions

Made = TypeVar("Made", bound=Scorer)
Maker: TypeAlias = Callable[[int], Made]
"""A fresh scorer, its parameters drawn by a seed."""


@dataclass(frozen=True)
class Recipe:
    """What to train and how. `kind`, `hidden` and `layer_dropout` are of a network over features. `held_out` is the
    share of the queries whose clicks tell when to stop, 0 to train for a fixed number of epochs; `evened` weights
    impressions by their inverse rank frequency."""

    objective: str = "naive-listwise"
    kind: Kind = "mlp"
    hidden: tuple[int, ...] = (64, 32)
    layer_dropout: float = 0.5
    held_out: float = 0.15
    clip: float | None = 10.0
    self_normalised: bool = False
    dropout: float = 0.0
    frozen: bool = False
    evened: bool = False
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, eq=False)
class Fitted(Generic[Made]):
    """A trained scorer with the objective that trained it, and the scores of all rows."""

    recipe: Recipe
    scorer: Made
    objective: Objective
    trained: Trained
    scores: Floats

    @property
    def believed(self) -> Bias | None:
        """The bias that the objective was given, or has learned."""
        return self.objective.believed()


def fit(
    matrix: Single,
    sessions: Sessions,
    recipe: Recipe,
    bias: Bias | None = None,
    *,
    home: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fitted[FeatureScorer]:
    """Train a network over features on pages whose pairs are rows of the matrix; see `fit_scorer`."""
    return fit_scorer(
        features_scorer(matrix, recipe), len(matrix), sessions, recipe, bias, home=home, on_epoch=on_epoch
    )


def features_scorer(matrix: Single, recipe: Recipe) -> Maker[FeatureScorer]:
    """What makes the recipe's network over these features."""
    return lambda seed: new_scorer(matrix, recipe.kind, recipe.hidden, recipe.layer_dropout, seed)


def fit_scorer(
    make: Maker[Made],
    rows: int,
    sessions: Sessions,
    recipe: Recipe,
    bias: Bias | None = None,
    *,
    home: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fitted[Made]:
    """Train any scorer of `rows` rows, over whatever it reads, on pages whose pairs are these rows.

    Where the objective needs propensities and `bias` is None, they are first estimated on the same pages by regression
    EM (the two-tower objective). The doubly robust estimate first fits its regression, by the direct method. All models
    share the split into training and held-out queries. Raises what `train` and `make_objective` raise.
    """
    random = np.random.default_rng([recipe.options.seed, 0])
    pages, held_out = split_queries(sessions, recipe.held_out, random)
    weight = inverse_rank_frequency(pages) if recipe.evened else None

    def trained(name: str, setting: Setting, seed: int, folder: Path | None) -> Fitted[Made]:
        objective = make_objective(name, setting)
        scorer = make(seed)
        options = replace(recipe.options, seed=seed)
        done = train(scorer, objective, pages, held_out, options, weight=weight, home=folder, on_epoch=on_epoch)
        return Fitted(recipe, scorer, objective, done, score_rows(scorer, rows))

    def inside(name: str) -> Path | None:
        return None if home is None else home / name

    seed = recipe.options.seed
    setting = Setting(
        sessions.ranks,
        int(sessions.surface.max(initial=0)) + 1,
        bias,
        recipe.clip,
        recipe.self_normalised,
        recipe.dropout,
        recipe.frozen,
    )
    if bias is None and (recipe.objective in NEED_BIAS or recipe.frozen):
        estimated = trained("two-tower", replace(setting, frozen=False), seed, inside("propensities"))
        setting = replace(setting, bias=estimated.believed)
    if recipe.objective == "doubly-robust":
        direct = trained("direct", setting, seed, inside("regression"))
        regression = 1.0 / (1.0 + np.exp(-direct.scores))
        setting = replace(setting, regression=regression, exposure=exposure(sessions, setting.known, rows))
    return trained(recipe.objective, setting, seed, home)
