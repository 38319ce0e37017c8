"""Metrics: known answers, and the benchmark's own implementation as oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuroduet import metrics
from neuroduet.benchmark.aggregate import FileScore, aggregate
from neuroduet.benchmark.metrics import (
    activity_scores,
    class_scores,
    count_scores,
    poisson_d2,
    pooled_bits,
    region_scores,
    value_scores,
)
from neuroduet.benchmark.suites import (
    BEHAVIOUR_TASKS,
    FORMAT_VERSION,
    LONGEST_CONTEXT_S,
    SEEDS,
    SUITES,
    TARGET_BINS,
    TARGET_S,
    primary_metric,
    task_id,
)
from neuroduet.data.brainwide import REGIONS

WHY = "ibl-bwb-eval is not installed: pip install --no-deps ibl-bwb-eval==0.1.0"
seeds = st.integers(0, 2**32 - 1)


def official():
    """The benchmark's own package, version 0.1.0."""
    return pytest.importorskip("ibl_bwb_eval", reason=WHY)


def test_suites_hold_the_tasks_seeds_and_regions_of_the_benchmark():
    package = official()
    from ibl_bwb_eval.tasks import BEHAVIOR_SFREQ, TARGET_WINDOW

    assert package.SUITE_TASKS == SUITES
    assert tuple(package.EVAL_SEEDS) == SEEDS
    assert package.COSMOS_LABELS == REGIONS
    assert package.__version__ == FORMAT_VERSION
    assert (TARGET_WINDOW, BEHAVIOR_SFREQ * TARGET_WINDOW) == (TARGET_S, TARGET_BINS)
    assert LONGEST_CONTEXT_S == 20.0


@pytest.mark.parametrize("name", BEHAVIOUR_TASKS)
def test_a_behaviour_task_reads_what_the_benchmark_reads(name):
    spec = official().get_ts1_readout_spec(name)
    task = BEHAVIOUR_TASKS[name]
    table = f"task_aligned_intervals.{task.window}"
    assert spec.interval_key == table
    assert spec.value_key == (f"{table}.{task.source}" if task.classes else task.source)
    assert spec.dim == (task.classes or 1)
    assert spec.primary_metric == primary_metric(task_id("ts1", name))
    confident = f"{task.source.partition('.')[0]}.{task.confident}"
    assert spec.mask_key == (confident if task.confident else None)


@pytest.mark.filterwarnings("ignore:Average precision score", "ignore:No positive samples")
@given(seed=seeds, classes=st.sampled_from([2, 5]), n=st.integers(2, 30), squash=st.booleans())
def test_class_scores_are_those_of_the_benchmark(seed, classes, n, squash):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, classes)).astype(np.float32)
    if squash:  # values that look like probabilities are taken as such
        logits = np.abs(logits) / 10
    labels = generator.integers(classes, size=n)
    name = "choice" if classes == 2 else "stimulus_contrast"
    made = {k: make() for k, make in official().get_ts1_readout_spec(name).metrics.items()}
    for metric in made.values():
        metric.update(torch.from_numpy(logits), torch.from_numpy(labels))
    found = class_scores(logits, labels)
    for k, metric in made.items():
        assert found[k] == pytest.approx(float(metric.compute()), abs=1e-5), k


def test_a_class_that_is_only_predicted_lowers_balanced_accuracy():
    logits = np.eye(3)[[0, 1, 2]].astype(float) * 5 - 1
    assert class_scores(logits, np.array([0, 1, 1]))["bacc"] == pytest.approx(
        0.5
    )  # (1 + .5 + 0)/3


@given(seed=seeds, n=st.integers(3, 200), shift=st.floats(-3, 3))
def test_value_scores_are_those_of_the_benchmark(seed, n, shift):
    generator = np.random.default_rng(seed)
    y = (generator.normal(size=n) + shift).astype(np.float32)
    x = (0.5 * y + generator.normal(size=n)).astype(np.float32)
    made = {k: m() for k, m in official().get_ts1_readout_spec("wheel_speed").metrics.items()}
    for metric in made.values():
        metric.update(torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None])
    found = value_scores(x, y)
    for k, metric in made.items():
        assert found[k] == pytest.approx(float(metric.compute()), rel=2e-3, abs=2e-4), k


@given(seed=seeds, n=st.integers(2, 120), units=st.integers(1, 6), rate=st.floats(0.02, 3))
def test_activity_scores_are_those_of_the_benchmark(seed, n, units, rate):
    from ibl_bwb_eval.metrics import BPS, PoissonD2Score

    generator = np.random.default_rng(seed)
    counts = generator.poisson(rate, size=(n, units)).astype(np.float32)
    x = (np.log(rate) + generator.normal(size=(n, units))).astype(np.float32)
    made = {"poisson_d2": PoissonD2Score(), "bps": BPS()}
    for metric in made.values():
        metric.update(torch.from_numpy(x).double(), torch.from_numpy(counts).double())
    found = activity_scores(x, counts)
    constant = (counts == counts[:1]).all(axis=0) & (counts[0] > 0)
    for k, metric in made.items():
        if k == "poisson_d2" and constant.any():
            continue  # a deviance of 0, of which single precision makes anything
        expected = float(metric.compute())
        assert found[k] == pytest.approx(expected, rel=1e-3, abs=1e-3, nan_ok=True), k


@given(seed=seeds, n=st.integers(1, 60), units=st.integers(1, 5))
def test_pooled_bits_equal_the_pooled_bits_per_spike_of_the_package(seed, n, units):
    generator = np.random.default_rng(seed)
    counts = generator.poisson(0.4, size=(n, units)).astype(float)
    x = generator.normal(size=(n, units)) - 1
    expected = metrics.bits_per_spike(
        np.exp(x)[None], counts[None], np.ones((1, n), bool), average="pooled"
    )
    assert pooled_bits(x, counts) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(seed=seeds, n=st.integers(2, 60))
def test_deviance_explained_is_that_of_scikit_learn(seed, n):
    from sklearn.metrics import d2_tweedie_score

    generator = np.random.default_rng(seed)
    counts = generator.poisson(0.8, size=n).astype(float)
    x = generator.normal(size=n) - 0.5
    if np.ptp(counts) == 0:
        return
    expected = d2_tweedie_score(counts, np.exp(x), power=1)
    assert poisson_d2(x[:, None], counts[:, None]) == pytest.approx(expected, abs=1e-9)


def test_deviance_explained_is_one_for_the_truth_and_leaves_silent_units_out():
    counts = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    assert poisson_d2(np.log(np.maximum(counts, 1e-300)), counts) == pytest.approx(1.0)
    assert np.isnan(poisson_d2(np.zeros((3, 1)), np.zeros((3, 1))))
    assert np.isnan(pooled_bits(np.zeros((3, 1)), np.zeros((3, 1))))


def test_a_diverged_log_rate_scores_minus_infinity_or_nothing_but_never_well():
    counts = np.array([[1.0], [0.0]])
    for wrong in (np.inf, np.nan):
        scores = activity_scores(np.array([[wrong], [0.0]]), counts)
        assert not any(value > -1e6 for value in scores.values())


def test_counts_are_scored_by_log_rates_also_in_mae():
    log_rates, counts = np.array([0.0, -1.0]), np.array([1.0, 0.0])
    assert count_scores(log_rates, counts)["mae"] == 1.0


@given(seed=seeds, n=st.integers(1, 40))
def test_region_scores_are_those_of_the_benchmark(seed, n):
    generator = np.random.default_rng(seed)
    labels, guesses = generator.integers(10, size=(2, n))
    spec = official().get_ts3_readout_spec("unit_cosmos")
    names = np.array(REGIONS)
    expected = spec.score(names[labels], names[guesses])
    assert region_scores(labels, guesses) == pytest.approx(expected)


@given(seed=seeds)
def test_aggregation_is_that_of_the_benchmark(seed):
    official()
    from ibl_bwb_eval.scoring.aggregation import aggregate_over_seeds

    generator = np.random.default_rng(seed)
    scores = [
        FileScore(task=task, recording=recording, seed=number, metric=metric, value=value)
        for task in ("ts1-wheel_speed", "ts2-forecasting")
        for number in (43, 44, 45)
        for recording in ("a", "b")
        for metric, value in zip(("r2", "mae", "bps"), generator.normal(size=3), strict=True)
    ]
    raw = {}
    for s in scores:
        raw.setdefault(("x", s.task, s.recording, s.seed), {})[s.metric] = s.value
    expected = aggregate_over_seeds(raw)
    for one in aggregate(scores):
        mean, sem, n = expected["x", one.task][one.metric]
        assert (one.mean, one.sem, one.seeds) == pytest.approx((mean, sem, n))


def test_a_single_seed_has_no_standard_error_and_a_missing_score_stays_missing():
    base = {"task": "ts1-choice", "recording": "a", "seed": 43}
    one, broken = aggregate(
        [
            FileScore(**base, metric="bacc", value=0.5),
            FileScore(**base, metric="r2", value=float("nan")),
        ]
    )
    assert (one.mean, one.sem, one.seeds) == (0.5, None, 1)
    assert np.isnan(broken.mean)
