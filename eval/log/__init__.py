"""Counterfactual evaluation: what a ranking policy would earn, from the click log of another one.

`read_log` or `read_open_bandit` gives a `Log`. A target `Policy` comes from a table, from `uniform`, from the `fixed`
rankings of a ranker, from the `frequencies` of another log, or from `thompson`. `evaluate` answers with a `Report`, or
refuses with a `SupportError`.
"""

from eval.log.bootstrap import Interval
from eval.log.evaluate import Options, Report, Truth, Weights, evaluate
from eval.log.open_bandit import read_open_bandit
from eval.log.policies import fixed, frequencies, thompson, uniform
from eval.log.policy import Policy
from eval.log.reading import read_beta, read_log, read_policy
from eval.log.support import Support, SupportError
from eval.log.table import Log

__all__ = [
    "Interval",
    "Log",
    "Options",
    "Policy",
    "Report",
    "Support",
    "SupportError",
    "Truth",
    "Weights",
    "evaluate",
    "fixed",
    "frequencies",
    "read_beta",
    "read_log",
    "read_open_bandit",
    "read_policy",
    "thompson",
    "uniform",
]
