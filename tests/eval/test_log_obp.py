"""Our estimators against the Open Bandit Pipeline (obp 0.4.1) on the same input, to 1e-9.

The file beside this one has figures that obp computed, so that the comparison needs no obp. They were made by

    pip install --no-deps obp==0.4.1 seaborn    # obp imports scikit-learn, pandas, torch, PyYAML, tqdm, matplotlib too
    CLICKWISE_DATA=... python -m tests.eval.test_log_obp

with Python 3.11, NumPy 2.4.6, pandas 3.1.1, scikit-learn 1.9.1 and torch 2.13.0. Where obp is installed, the tests also
ask it anew. It has no clipping; that is asked for by propensities raised until no weight exceeds the clip.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from eval.log import Log, Policy, frequencies, read_open_bandit, thompson
from eval.log.estimators import MODELLING, WEIGHTING, Rows
from eval.log.labels import FloatArray, IntArray
from eval.log.target import lay

GOLDEN = Path(__file__).with_suffix(".json")
CAMPAIGNS = ("men", "women")
EXACT = 1e-9


@dataclass(frozen=True)
class Case:
    """One input for both: n rows, and by position and action the target's probabilities and the modelled rewards."""

    action: IntArray
    position: IntArray
    reward: FloatArray
    propensity: FloatArray
    target: FloatArray  # (positions, actions)
    model: FloatArray  # (positions, actions)
    clip: float


def small_case(seed: int) -> Case:
    """A case that every version of NumPy makes alike."""
    random = np.random.RandomState(seed)
    n, positions, actions = 40, 2, 5
    target = random.random_sample((positions, actions))
    return Case(
        action=random.randint(actions, size=n).astype(np.int64),
        position=random.randint(positions, size=n).astype(np.int64),
        reward=random.random_sample(n).round(3),
        propensity=random.uniform(0.02, 1, size=n).round(4),
        target=target / target.sum(axis=1, keepdims=True),
        model=random.random_sample((positions, actions)),
        clip=1.5,
    )


def open_bandit_case(data: Path, campaign: str) -> Case:
    """The policy `bts` on the uniformly random log; the model is a smoothed click rate per item and slot."""
    folder = data / "clicks" / "open-bandit"
    log, policy = (
        read_open_bandit(folder / "random" / campaign),
        frequencies(read_open_bandit(folder / "bts" / campaign)),
    )
    assert log.propensity is not None
    return Case(
        action=log.action.codes,
        position=log.position.codes,
        reward=log.reward,
        propensity=log.propensity,
        target=as_matrix(policy, log),
        model=click_rates(log),
        clip=3.0,
    )


def as_matrix(policy: Policy, log: Log) -> FloatArray:
    """The probabilities of a policy without context: shape (positions, actions), by the codes of the log."""
    assert policy.position is not None
    matrix = np.zeros((len(log.position.values), len(log.action.values)))
    position, action = policy.position.over(log.position.values), policy.action.over(log.action.values)
    matrix[position.codes, action.codes] = policy.probability
    return matrix


def click_rates(log: Log) -> FloatArray:
    shape = (len(log.position.values), len(log.action.values))
    shown, clicked = np.zeros(shape), np.zeros(shape)
    np.add.at(shown, (log.position.codes, log.action.codes), 1)
    np.add.at(clicked, (log.position.codes, log.action.codes), log.reward)
    return (clicked + 0.5) / (shown + 100)


def ours(case: Case) -> dict[str, float]:
    places, actions = case.target.shape
    policy = Policy.of(
        np.tile(np.arange(actions), places), case.target.ravel(), position=np.repeat(np.arange(places), actions)
    )
    log = Log.of(case.action, case.reward, case.propensity, position=case.position)
    weight = lay(policy, log).logged / case.propensity
    expected = (case.target * case.model).sum(axis=1)[case.position]
    factual = case.model[case.position, case.action]
    rows = Rows(weight, np.minimum(weight, case.clip), case.reward, expected, factual)
    return {name: estimator(rows).value() for name, estimator in (WEIGHTING | MODELLING).items()}


def theirs(case: Case) -> dict[str, float]:
    from obp import ope

    n = len(case.action)
    dense = np.repeat(case.target.T[None], n, axis=0)  # (rows, actions, positions)
    weight = case.target[case.position, case.action] / case.propensity
    raised = case.propensity * np.maximum(1, weight / case.clip)
    shared: dict[str, Any] = {
        "reward": case.reward,
        "action": case.action,
        "position": case.position,
        "action_dist": dense,
        "estimated_rewards_by_reg_model": np.repeat(case.model.T[None], n, axis=0),
    }
    asked: dict[str, tuple[Any, npt.NDArray[np.float64]]] = {
        "ips": (ope.InverseProbabilityWeighting(), case.propensity),
        "clipped_ips": (ope.InverseProbabilityWeighting(), raised),
        "snips": (ope.SelfNormalizedInverseProbabilityWeighting(), case.propensity),
        "dm": (ope.DirectMethod(), case.propensity),
        "dr": (ope.DoublyRobust(), case.propensity),
        "clipped_dr": (ope.DoublyRobust(), raised),
        "sndr": (ope.SelfNormalizedDoublyRobust(), case.propensity),
    }
    return {
        name: float(estimator.estimate_policy_value(pscore=pscore, **shared))
        for name, (estimator, pscore) in asked.items()
    }


def golden() -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads(GOLDEN.read_text())
    return found


def same(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert abs(found[name] - value) <= EXACT, name


@pytest.mark.parametrize("seed", range(3))
def test_our_figures_are_those_that_obp_computed(seed: int) -> None:
    same(ours(small_case(seed)), golden()[f"small {seed}"])


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_our_figures_on_the_open_bandit_data_are_those_that_obp_computed(data: Path, campaign: str) -> None:
    same(ours(open_bandit_case(data, campaign)), golden()[campaign])


def test_obp_says_the_same_when_asked_anew() -> None:
    pytest.importorskip("obp", reason="obp is not installed: pip install --no-deps obp==0.4.1 seaborn")
    for seed in range(50):
        same(ours(small_case(seed)), theirs(small_case(seed)))


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_obp_says_the_same_on_the_open_bandit_data(data: Path, campaign: str) -> None:
    pytest.importorskip("obp", reason="obp is not installed: pip install --no-deps obp==0.4.1 seaborn")
    case = open_bandit_case(data, campaign)
    same(ours(case), theirs(case))


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_our_thompson_sampling_is_that_of_obp(campaign: str) -> None:
    pytest.importorskip("obp", reason="obp is not installed: pip install --no-deps obp==0.4.1 seaborn")
    from obp.policy.contextfree import BernoulliTS, production_prior_for_bts

    beliefs, draws = production_prior_for_bts[campaign], 20_000
    count = len(beliefs["alpha"])
    peer = BernoulliTS(n_actions=count, len_list=3, is_zozotown_prior=True, campaign=campaign, random_state=1)
    wanted = peer.compute_batch_action_dist(n_rounds=1, n_sim=draws)[0].T
    names = [str(i) for i in range(count)]
    policy = thompson(names, beliefs["alpha"], beliefs["beta"], ["1", "2", "3"], draws=draws)
    blank = Log.of(names, np.zeros(count), position=["1", "2", *["3"] * (count - 2)], actions=names)
    chance = 5 * np.sqrt(2 * np.maximum(wanted * (1 - wanted), 1 / draws) / draws)
    assert (np.abs(as_matrix(policy, blank) - wanted) <= chance).all()


if __name__ == "__main__":
    data_folder = Path(os.environ.get("CLICKWISE_DATA", "../shared/data"))
    figures = {f"small {seed}": theirs(small_case(seed)) for seed in range(3)}
    figures |= {campaign: theirs(open_bandit_case(data_folder, campaign)) for campaign in CAMPAIGNS}
    GOLDEN.write_text(json.dumps(figures, indent=2) + "\n")
