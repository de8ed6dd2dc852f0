"""Every objective by its name, made from what is known about the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from index.errors import InputError
from ranking.clicks.ltr.bias import Bias
from ranking.clicks.ltr.objectives.dual import DualLearning
from ranking.clicks.ltr.objectives.estimates import Affine, DoublyRobust, InversePropensity, Naive
from ranking.clicks.ltr.objectives.pairwise import PairDebias, PropensityRatio
from ranking.clicks.ltr.objectives.protocol import Objective
from ranking.clicks.ltr.objectives.towers import Additive, ClickLikelihood, Multiplicative
from ranking.clicks.sessions import Floats


@dataclass(frozen=True, eq=False)
class Setting:
    """What objectives are made from.

    `ranks` and `surfaces` of the pages; `bias` where it is known, which some objectives need; `clip` of inverse
    propensities and ratios; `dropout` of a tower of ranks; `frozen`, whether such a tower keeps to the known bias;
    `regression` and `exposure` by row, which the doubly robust estimate needs.
    """

    ranks: int
    surfaces: int = 1
    bias: Bias | None = None
    clip: float | None = 10.0
    self_normalised: bool = False
    dropout: float = 0.0
    frozen: bool = False
    regression: Floats | None = None
    exposure: Floats | None = None

    @property
    def known(self) -> Bias:
        """The bias. Raises InputError where it is not known, or for shorter pages or other surfaces."""
        if self.bias is None:
            raise InputError(
                "This objective needs propensities.", "Give them, or choose an objective that learns its own, as dla."
            )
        self.bias.check(self.surfaces, self.ranks)
        return self.bias

    @property
    def frozen_bias(self) -> Bias | None:
        return self.known if self.frozen else None


def _doubly_robust(setting: Setting) -> Objective:
    if setting.regression is None or setting.exposure is None:
        raise InputError(
            "The doubly robust estimate needs a regression.", "Fit one first, as ranking.clicks.ltr.fit does."
        )
    return DoublyRobust("listwise", setting.known, setting.regression, setting.exposure, setting.clip)


OBJECTIVES: dict[str, Callable[[Setting], Objective]] = {
    "naive-pointwise": lambda s: Naive("pointwise"),
    "naive-listwise": lambda s: Naive("listwise"),
    "ipw-pointwise": lambda s: InversePropensity("pointwise", s.known, s.clip, s.self_normalised),
    "ipw-listwise": lambda s: InversePropensity("listwise", s.known, s.clip, s.self_normalised),
    "dla": lambda s: DualLearning(s.ranks, s.surfaces, s.clip),
    "two-tower": lambda s: Multiplicative(s.ranks, s.surfaces, s.dropout, s.frozen_bias),
    "two-tower-additive": lambda s: Additive(s.ranks, s.surfaces, s.dropout, s.frozen_bias),
    "pair-debias": lambda s: PairDebias(s.ranks, clip=s.clip),
    "propensity-ratio": lambda s: PropensityRatio(s.known, s.clip),
    "affine-pointwise": lambda s: Affine("pointwise", s.known, s.clip),
    "affine-listwise": lambda s: Affine("listwise", s.known, s.clip),
    "direct": lambda s: ClickLikelihood(s.known),
    "doubly-robust": _doubly_robust,
}
NAIVE = "naive-listwise"
NEED_BIAS = frozenset(
    {
        "ipw-pointwise",
        "ipw-listwise",
        "propensity-ratio",
        "affine-pointwise",
        "affine-listwise",
        "direct",
        "doubly-robust",
    }
)
"""Those that cannot be without propensities."""


def make_objective(name: str, setting: Setting) -> Objective:
    """The objective of that name. Raises InputError for another name, or where the setting lacks what it needs."""
    check_name(name)
    return OBJECTIVES[name](setting)


def check_name(name: str) -> None:
    """Raises InputError where no objective has that name."""
    if name not in OBJECTIVES:
        raise InputError(f"There is no objective {name!r}.", f"Choose one of: {', '.join(OBJECTIVES)}.")
