from __future__ import annotations

import numpy as np
import pytest

from neuroduet.errors import UserError
from neuroduet.simulate.nascar import BIAS, RECURRENCE, Nascar, dynamics, nascar


@pytest.fixture(scope="module")
def drive() -> Nascar:
    return nascar()


def test_the_reference_drive_has_its_published_occupancy_and_bouts(drive: Nascar) -> None:
    states = drive.states[:10_000]
    occupancy = np.bincount(states, minlength=4) / len(states)
    np.testing.assert_allclose(occupancy, [0.1766, 0.3441, 0.3428, 0.1365], atol=1e-12)
    assert 1 + np.count_nonzero(np.diff(states)) == 309


def test_two_components_explain_what_is_published(drive: Nascar) -> None:
    train = drive.features[:10_000]
    standard = (train - train.mean(axis=0)) / train.std(axis=0)
    variance = np.sort(np.linalg.eigvalsh(np.cov(standard.T)))[::-1]
    assert round(100 * variance[:2].sum() / variance.sum(), 2) == 98.07


def test_every_frame_follows_the_dynamics_of_its_state(drive: Nascar) -> None:
    matrices, offsets = dynamics()
    state, before = drive.states[1:], drive.latents[:-1]
    expected = np.einsum("tij,tj->ti", matrices[state], before) + offsets[state]
    residual = (drive.latents[1:] - expected) / 0.01
    np.testing.assert_allclose(residual.std(axis=0), 1.0, atol=0.02)
    np.testing.assert_allclose(residual.mean(axis=0), 0.0, atol=0.03)


def test_bends_turn_clockwise_about_their_centres() -> None:
    matrices, offsets = dynamics()
    for state, centre, angle in ((0, (2.0, 0.0), np.pi / 24), (1, (-2.0, 0.0), np.pi / 48)):
        np.testing.assert_allclose(matrices[state] @ centre + offsets[state], centre, atol=1e-12)
        above = matrices[state] @ (np.array(centre) + [0.0, 1.0]) + offsets[state]
        np.testing.assert_allclose(above - centre, [np.sin(angle), np.cos(angle)], atol=1e-12)


def test_states_are_drawn_from_the_place_before(drive: Nascar) -> None:
    logits = drive.latents[:-1] @ RECURRENCE.T + BIAS
    log_chances = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    chances = np.exp(log_chances)
    drawn = np.eye(4)[drive.states[1:]]
    deviation = np.sqrt((chances * (1 - chances)).sum(axis=0))
    assert (np.abs((drawn - chances).sum(axis=0)) < 4 * deviation).all()
    surprise = -(drawn * log_chances).sum(axis=1)
    expected = -(chances * log_chances).sum(axis=1)
    spread = np.sqrt(((chances * log_chances**2).sum(axis=1) - expected**2).sum())
    assert abs((surprise - expected).sum()) < 4 * spread


def test_features_are_an_isometry_of_positions_plus_noise(drive: Nascar) -> None:
    loadings, *_ = np.linalg.lstsq(drive.latents, drive.features, rcond=None)
    np.testing.assert_allclose(loadings @ loadings.T, np.eye(2), atol=1e-2)
    noise = drive.features - drive.latents @ loadings
    assert noise.std() == pytest.approx(0.1, abs=0.001)


def test_a_longer_drive_passes_the_same_places_and_another_seed_does_not() -> None:
    short, long, other = nascar(50), nascar(80), nascar(50, seed=1)
    np.testing.assert_array_equal(long.latents[:50], short.latents)
    np.testing.assert_array_equal(nascar(50).features, short.features)
    assert not np.array_equal(other.latents, short.latents)


@pytest.mark.parametrize(("n_frames", "seed"), [(0, 0), (10, -1)])
def test_impossible_drives_are_refused(n_frames: int, seed: int) -> None:
    with pytest.raises(UserError, match="at least 1 frame"):
        nascar(n_frames, seed)
