"""Paired comparisons of two models: over sessions, or over the folds of one session."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata
from scipy.stats import t as student

FEWEST = 3
"""With fewer differences than this there is no test."""

LEVEL = 0.95
"""Coverage of the intervals."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much one model scores higher than another, and how sure that is.

    Attributes:
        mean: Mean difference.
        low: Lower end of the 95 % interval; ``nan`` without a test.
        high: Upper end.
        p_value: Two-sided p-value of the t-test; ``nan`` without a test.
        wilcoxon: Two-sided p-value of the signed-rank test; ``nan`` where it does not apply.
        n: Number of differences.
        test: Name of the test, or why there is none.
    """

    mean: float
    low: float
    high: float
    p_value: float
    wilcoxon: float
    n: int
    test: str


def compare_sessions(differences: Float[np.ndarray, " S"]) -> Difference:
    """Paired t-test over independent sessions, with the signed-rank test beside it.

    Args:
        differences: Difference of the scores of each session.
    """
    found = _t_test(differences, 0.0, "paired t over sessions", "sessions")
    tested = np.isfinite(found.p_value)
    return replace(found, wilcoxon=signed_rank(differences)) if tested else found


def compare_folds(differences: Float[np.ndarray, " K"], test_to_train: float) -> Difference:
    """Corrected resampled t-test over the folds of one session.

    Folds share most of their training windows, so that their scores are not independent and a
    plain t-test finds differences where there are none. The variance of the mean is therefore
    ``s**2 * (1 / n + n_test / n_train)`` instead of ``s**2 / n`` (Nadeau & Bengio 2003, Inference
    for the generalization error). They derived it for test sets drawn anew each time; for folds,
    which share no test window, it is cautious. It says whether the difference would hold for other
    trials of this session, nothing about other sessions. The signed-rank test has no such
    correction and is left out.

    Args:
        differences: Difference of the scores of each fold.
        test_to_train: Test windows of a fold over its training windows.
    """
    test = "corrected resampled t over folds"
    return _t_test(differences, test_to_train, test, "folds")


def signed_rank(differences: Float[np.ndarray, " n"]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test, exact also with ties.

    Args:
        differences: Zeros among them are left out, as Wilcoxon did.

    Returns:
        The share of all patterns of signs that are at least as one-sided; 1 without differences.

    Example:
        >>> signed_rank(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))  # 2 of 32 patterns
        0.0625
    """
    differences = differences[differences != 0]
    # Tied ranks are halves: twice the ranks are whole numbers that can be counted.
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)
    chance = np.zeros(ranks.sum() + 1)
    chance[0] = 1.0
    for rank in ranks:
        chance[rank:] = (chance[rank:] + chance[: len(chance) - rank]) / 2
        chance[:rank] /= 2
    away = np.abs(np.arange(len(chance)) - ranks.sum() / 2)
    observed = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    return float(chance[away >= observed].sum())


def holm(p_values: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Adjust p-values for their number (Holm 1979, step-down).

    Args:
        p_values: The whole family; ``nan`` stands for no test and does not count.

    Returns:
        Adjusted p-values: below 0.05 with a chance of at most 5 % for any of the family that has
        no difference, however they depend on each other.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])
    """
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: int(np.isfinite(p_values).sum())]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _t_test(
    differences: Float[np.ndarray, " n"], extra: float, test: str, unit: str
) -> Difference:
    """Student's t with ``extra`` added to the ``1 / n`` of the variance of the mean."""
    n = len(differences)
    mean = float(differences.mean()) if n else float("nan")
    if n < FEWEST:
        return _untested(mean, n, f"none: {n} of the {FEWEST} {unit} needed")
    spread = float(differences.std(ddof=1))
    # Equal differences leave rounding errors behind, which no test should divide by.
    if spread <= 1e-12 * abs(mean):
        return _untested(mean, n, f"none: all {n} {unit} differ alike")
    error = spread * float(np.sqrt(1 / n + extra))
    reach = float(student.ppf((1 + LEVEL) / 2, n - 1)) * error
    return Difference(
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        p_value=float(2 * student.sf(abs(mean) / error, n - 1)),
        wilcoxon=float("nan"),
        n=n,
        test=test,
    )


def _untested(mean: float, n: int, why: str) -> Difference:
    nan = float("nan")
    return Difference(mean=mean, low=nan, high=nan, p_value=nan, wilcoxon=nan, n=n, test=why)
