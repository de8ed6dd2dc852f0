"""How likely each rank of a result page is examined: from randomisation, from rankers that disagree, or from a model.

`estimate` makes `Propensities` of a log, `identify` says whether the log can tell them at all.
"""

from ranking.clicks.propensity.curve import Curve, Propensities, Weights
from ranking.clicks.propensity.estimate import METHODS, Method, Options, estimate
from ranking.clicks.propensity.identify import NotIdentifiedError, Report, identify

__all__ = [
    "METHODS",
    "Curve",
    "Method",
    "NotIdentifiedError",
    "Options",
    "Propensities",
    "Report",
    "Weights",
    "estimate",
    "identify",
]
