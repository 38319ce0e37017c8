from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge
from worlds import BEHAVIOURS, make_batch, make_info

from neuroduet.data.statistics import Statistics
from neuroduet.models.alignment import behaviour_features, decoding_directions, reduce_columns


def statistics() -> Statistics:
    continuous = {b.name: b.size for b in BEHAVIOURS if b.kind == "continuous"}
    return Statistics(
        mean_activity=np.ones(7),
        scale_activity=np.ones(7),
        behaviour_mean={name: np.full(size, 0.5) for name, size in continuous.items()},
        behaviour_scale={name: np.full(size, 2.0) for name, size in continuous.items()},
        class_counts={"state": np.array([2, 1, 1]), "choice": np.array([1, 3])},
    )


def test_features_are_lagged_z_scores_and_bumps_of_trial_values() -> None:
    batch = make_batch(make_info())
    found = behaviour_features(batch, BEHAVIOURS, statistics())
    # wheel 3 lags, paw 2 x 3, state 3 x 3, choice (two classes: one column) x 3, latency x 3
    assert found.shape == (4, 12, 3 + 6 + 9 + 3 + 3)
    wheel = (batch.behaviours["wheel"].numpy()[..., 0] - 0.5) / 2.0
    np.testing.assert_allclose(found[..., 1], wheel, rtol=1e-6)
    np.testing.assert_allclose(found[:, 0, 2], wheel[:, 5], rtol=1e-6)
    np.testing.assert_allclose(found[:, -1, 2], wheel[:, -1], rtol=1e-6)
    choice = found[..., 18:21]
    first_class = batch.behaviours["choice"].numpy() == 0
    assert ((choice[:, 6, 1] > 0) == first_class).all()


def test_a_missing_behaviour_keeps_its_columns_as_zeros() -> None:
    info = make_info(behaviours=tuple(b for b in BEHAVIOURS if b.name != "paw"))
    batch = make_batch(info)
    found = behaviour_features(batch, BEHAVIOURS, statistics())
    assert found.shape[-1] == 24
    assert not found[..., 3:9].any()
    assert found[..., 9:].any()


def test_values_not_observed_count_as_average() -> None:
    batch = make_batch(make_info(), missing=1.0)
    assert not behaviour_features(batch, BEHAVIOURS, statistics()).any()


def test_directions_are_those_of_a_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 5)), rng.standard_normal((300, 2))
    gram, cross = x.T @ x / 300, x.T @ y / 300
    found = decoding_directions(gram, cross, shrinkage=0.2)
    penalty = 0.2 * np.trace(gram) / 5 * 300
    expected = Ridge(alpha=penalty, fit_intercept=False).fit(x, y).coef_.T
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=0), atol=1e-8)
    assert not decoding_directions(gram, np.zeros((5, 1)), 0.2).any()


def test_too_many_columns_are_mixed_by_the_same_rotation_in_every_session() -> None:
    columns = np.random.default_rng(1).standard_normal((6, 9))
    few = reduce_columns(columns, 4)
    assert few.shape == (6, 4)
    np.testing.assert_array_equal(few, reduce_columns(columns, 4))
    assert reduce_columns(columns, 9) is columns
    both = reduce_columns(np.concatenate([columns, columns]), 4)
    np.testing.assert_allclose(both, np.concatenate([few, few]))
