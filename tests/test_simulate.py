from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroduet.errors import UserError
from neuroduet.simulate import simulate, simulate_session
from neuroduet.simulate.behaviour import draw_blocks, draw_trials, onset
from neuroduet.simulate.features import FEATURES, features, lagged
from neuroduet.simulate.neurons import (
    LOG_MAX_RATE,
    autoregressive,
    behavioural_log_rates,
    draw_private,
    draw_spikes,
    private_variance,
)
from neuroduet.simulate.session import SIZES, Session, draw_session, draw_world

BIN_S = 0.02


@pytest.fixture(scope="module")
def session() -> Session:
    return draw_session(seed=0, index=0, size="small", nonlinear=1.0)


@pytest.fixture(scope="module")
def counts(session: Session) -> np.ndarray:
    return _count(session)


def _count(session: Session) -> np.ndarray:
    trials, bins, units = session.log_rates_hz.shape
    starts = session.trials.start_s
    trial = np.searchsorted(starts, session.spike_times_s, side="right") - 1
    bin_ = np.floor((session.spike_times_s - starts[trial]) / BIN_S).astype(int)
    counts = np.zeros((trials, bins, units))
    np.add.at(counts, (trial, bin_, session.spike_units), 1)
    return counts


def _bits_per_spike(log_rates_hz: np.ndarray, counts: np.ndarray) -> np.ndarray:
    expected = np.exp(log_rates_hz.astype(np.float64)) * BIN_S
    null = counts.mean(axis=(0, 1))
    gain = (counts * np.log(expected / null) - expected + null).sum(axis=(0, 1))
    return gain / counts.sum(axis=(0, 1)) / np.log(2)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    (first,) = simulate(tmp_path / "a", sessions=1, seed=3, size="tiny")
    (second,) = simulate(tmp_path / "b", sessions=1, seed=3, size="tiny")
    assert _leaves(first).keys() == _leaves(second).keys()
    for name, value in _leaves(first).items():
        np.testing.assert_array_equal(value, _leaves(second)[name], err_msg=name)


def test_a_session_does_not_depend_on_how_many_are_asked_for(tmp_path: Path) -> None:
    few = simulate(tmp_path / "few", sessions=2, seed=1, size="tiny")
    many = simulate(tmp_path / "many", sessions=3, seed=1, size="tiny")
    assert [path.name for path in many] == [f"animal0{k}-session0.h5" for k in range(3)]
    for name, value in _leaves(few[1]).items():
        np.testing.assert_array_equal(value, _leaves(many[1])[name], err_msg=name)


def _leaves(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def test_another_seed_or_index_gives_another_session(session: Session) -> None:
    for seed, index in ((1, 0), (0, 1)):
        other = draw_session(seed=seed, index=index, size="small", nonlinear=1.0)
        assert not np.array_equal(other.trials.wheel, session.trials.wheel)


def test_animals_share_region_patterns_but_worlds_do_not() -> None:
    world = draw_world(0, 1.0)
    np.testing.assert_array_equal(world.patterns, draw_world(0, 1.0).patterns)
    assert not np.array_equal(world.patterns, draw_world(1, 1.0).patterns)


def test_torch_brain_opens_and_slices_a_written_session(tmp_path: Path) -> None:
    from torch_brain.data import Data

    (path,) = simulate(tmp_path, sessions=1, seed=0, size="tiny")
    with h5py.File(path) as file:
        recording = Data.from_hdf5(file, lazy=True)
        assert recording.session.id == "animal00-session0"
        assert recording.subject.id == "animal00"
        start, end = recording.trials.start[3], recording.trials.end[3]
        trial = recording.slice(start, end)
        assert trial.truth.log_rates_hz.shape == (50, len(recording.units.id))
        assert trial.truth.log_rates_hz.dtype == np.float16
        assert trial.spikes.is_sorted()
        assert len(trial.trials.choice) == 1


def test_behaviours_name_the_fields_that_hold_them() -> None:
    recording = simulate_session(seed=0, index=0, size="tiny")
    assert list(recording.behaviours.name) == ["wheel", "whisker", "choice", "block"]
    for source in recording.behaviours.source:
        assert recording.get_nested_attribute(source) is not None
    assert set(recording.trials.choice) == {-1, 1}
    assert set(recording.trials.block) == {0.2, 0.5, 0.8}
    assert np.isfinite(recording.wheel.wheel_speed).all()
    assert (recording.wheel.wheel_speed >= 0).all()


def test_whisker_is_missing_in_whole_trials_and_in_every_fifth_session() -> None:
    with_whisker = simulate_session(seed=0, index=0, size="small")
    energy = with_whisker.whisker.whisker_motion_energy.reshape(150, 201)
    lost = np.isnan(energy).any(axis=1)
    assert np.isnan(energy[lost]).all()
    assert 0 < lost.sum() < 15
    without = simulate_session(seed=0, index=4, size="tiny")
    assert list(without.behaviours.name) == ["wheel", "choice", "block"]
    assert not hasattr(without, "whisker")


def test_movement_series_are_sampled_at_bin_edges_and_centres(session: Session) -> None:
    recording = simulate_session(seed=0, index=0, size="small")
    first = recording.wheel.timestamps.reshape(150, 201)[7]
    assert first[0] == pytest.approx(recording.trials.start[7])
    assert first[-1] == pytest.approx(recording.trials.end[7])
    np.testing.assert_allclose(first[1::2], recording.truth.timestamps.reshape(150, 100)[7])


def test_trials_follow_each_other_with_gaps(session: Session) -> None:
    gaps = np.diff(session.trials.start_s) - 2.0
    assert gaps.min() >= 1.0 - 1e-9
    recording = simulate_session(seed=0, index=0, size="small")
    np.testing.assert_allclose(recording.trials.stimOn_times - recording.trials.start, 0.5)


@given(count=st.integers(20, 500), seed=st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_blocks_start_unbiased_and_then_alternate(count: int, seed: int) -> None:
    block = draw_blocks(count, np.random.default_rng(seed))
    assert len(block) == count
    unbiased = min(90, count // 4)
    assert (block[:unbiased] == 0.5).all()
    assert set(block[unbiased:]) == {0.2, 0.8}
    switches = np.flatnonzero(np.diff(block[unbiased:])) + 1
    lengths = np.diff(np.concatenate([[0], switches]))
    assert lengths.max(initial=0) <= 60


def test_choice_follows_contrast_and_block() -> None:
    trials = draw_trials(4000, 10, np.random.default_rng(0))
    right = trials.choice == 1
    assert right[trials.contrast == 1].mean() > 0.9
    assert right[trials.contrast == -1].mean() < 0.1
    unsure = trials.contrast == 0
    bias_left = right[unsure & (trials.block == 0.8)].mean()
    bias_right = right[unsure & (trials.block == 0.2)].mean()
    assert bias_left < 0.4 < 0.6 < bias_right
    assert trials.reward[np.abs(trials.contrast) == 1].mean() > 0.9


def test_whisker_goes_partly_with_the_wheel(session: Session) -> None:
    wheel, whisker = session.trials.wheel.ravel(), session.trials.whisker.ravel()
    assert 0.2 < np.corrcoef(wheel, whisker)[0, 1] < 0.85


def test_onset_is_the_first_fast_bin_after_the_stimulus() -> None:
    times = np.array([-0.01, 0.01, 0.03, 0.05])
    wheel = np.array([[9.0, 0.1, 0.6, 9.0], [9.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(onset(wheel, times), [0.03, 0.05])


def test_lagging_repeats_the_edge_values() -> None:
    signal = np.array([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(lagged(signal, 0.04), [[1.0, 1.0, 1.0, 2.0]])
    np.testing.assert_array_equal(lagged(signal, -0.02), [[2.0, 3.0, 4.0, 4.0]])


@pytest.mark.parametrize("nonlinear", [0.0, 1.0])
def test_features_depend_on_given_behaviours_of_their_own_trial_only(nonlinear: float) -> None:
    trials = draw_trials(6, 100, np.random.default_rng(0))
    alone = dataclasses.replace(
        trials,
        start_s=trials.start_s[2:3],
        block=trials.block[2:3],
        contrast=np.zeros(1),
        choice=trials.choice[2:3],
        reward=np.zeros(1, dtype=np.int64),
        wheel=trials.wheel[2:3],
        whisker=trials.whisker[2:3],
        whisker_missing=trials.whisker_missing[2:3],
    )
    together = features(trials, nonlinear)
    assert together.shape == (6, 100, len(FEATURES))
    np.testing.assert_allclose(features(alone, nonlinear)[0], together[2], rtol=1e-5, atol=1e-6)


def test_linear_features_lie_in_the_span_of_a_lagged_regression() -> None:
    trials = draw_trials(80, 100, np.random.default_rng(1))
    wheel, whisker = trials.wheel[:, 1::2], trials.whisker[:, 1::2]
    shifts = np.clip(np.arange(100)[:, None] + np.arange(-8, 9), 0, 99)
    moving = np.concatenate([wheel[:, shifts], whisker[:, shifts]], axis=-1)
    time = np.broadcast_to(np.eye(100), (80, 100, 100))
    signed = [trials.choice, trials.block - 0.5, np.abs(trials.block - 0.5)]
    timed = [time, *(time * label[:, None, None] for label in signed)]
    design = np.concatenate([moving, *timed], axis=-1).reshape(8000, -1)
    unexplained = {}
    for nonlinear in (0.0, 1.0):
        target = features(trials, nonlinear).reshape(8000, -1).astype(np.float64)
        target = (target - target.mean(0)) / target.std(0)
        weights = np.linalg.lstsq(design, target, rcond=None)[0]
        unexplained[nonlinear] = ((target - design @ weights) ** 2).mean(axis=0)
    assert unexplained[0.0].max() < 0.02
    assert unexplained[1.0].mean() > 0.2


def test_private_log_rates_have_the_stated_moments(session: Session) -> None:
    starts = np.arange(4000) * 600.0
    private = draw_private(session.units, starts, 2, np.random.default_rng(0))
    variance = private_variance(session.units)
    active = ~session.units.silent
    np.testing.assert_allclose(private.mean(axis=(0, 1))[active], 0.0, atol=0.08)
    np.testing.assert_allclose(private.var(axis=(0, 1))[active], variance[active], rtol=0.2)
    assert (variance[~active] == 0).all()


def test_the_stored_expectation_is_the_average_over_private_latents(session: Session) -> None:
    world = draw_world(0, 1.0)
    standard = (features(session.trials, 1.0) - world.centre) / world.scale
    log_rates = behavioural_log_rates(session.units, standard)[5, 40]
    # Trials ten minutes apart: as good as independent draws of latents and slow processes.
    starts = np.arange(4000) * 600.0
    private = draw_private(session.units, starts, 10, np.random.default_rng(0))
    average = np.exp(log_rates + private.astype(np.float64)).mean(axis=(0, 1))
    ratio = average / np.exp(session.log_rates_hz_from_behaviour[5, 40])
    np.testing.assert_allclose(ratio, 1.0, atol=0.12)
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)


def test_an_autoregressive_process_is_stationary_and_remembers() -> None:
    noise = np.random.default_rng(0).standard_normal((30, 20000))
    process = autoregressive(noise, np.array(0.8))
    np.testing.assert_allclose(process.var(axis=1), 1.0, atol=0.05)
    assert np.corrcoef(process[10], process[12])[0, 1] == pytest.approx(0.64, abs=0.02)


def test_counts_are_poisson_with_the_true_rates(session: Session, counts: np.ndarray) -> None:
    expected = np.exp(session.log_rates_hz.astype(np.float64)) * BIN_S
    active = ~session.units.silent
    total = expected.sum(axis=(0, 1))[active]
    z = (counts.sum(axis=(0, 1))[active] - total) / np.sqrt(total)
    assert np.abs(z).max() < 4.5
    assert abs(z.mean()) < 4.5 / np.sqrt(len(z))
    # Poisson variance: the squared residual, relative to its mean, averages to 1 over all bins.
    dispersion = ((counts - expected) ** 2)[..., active].sum() / total.sum()
    assert dispersion == pytest.approx(1.0, abs=0.03)


def test_spikes_are_sorted_and_stay_in_their_bins() -> None:
    rates = np.full((3, 4, 2), -20.0, dtype=np.float32)
    rates[1, 2, 1] = np.log(500.0)
    times, units = draw_spikes(rates, np.array([1.0, 2.0, 3.0]), np.random.default_rng(0))
    assert len(times) > 0
    assert (units == 1).all()
    assert (np.diff(times) >= 0).all()
    assert ((times > 2.04) & (times < 2.06)).all()


def test_rates_are_log_normal_with_a_median_of_two_hertz() -> None:
    rates = []
    for index in range(3):
        session = draw_session(seed=5, index=index, size="small", nonlinear=1.0)
        mean = np.exp(session.log_rates_hz).mean(axis=(0, 1))
        rates.append(mean[~session.units.silent])
    pooled = np.concatenate(rates)
    assert 1.5 < np.median(pooled) < 2.7
    assert 0.7 < np.log(pooled).std() < 1.1
    assert pooled.max() < 60.0


def test_rates_expected_from_behaviour_stay_physiological(session: Session) -> None:
    ceiling = LOG_MAX_RATE + private_variance(session.units) / 2
    assert (session.log_rates_hz_from_behaviour <= ceiling + 1e-4).all()


def test_silent_units_never_fire(session: Session, counts: np.ndarray) -> None:
    silent = session.units.silent
    assert silent.sum() == max(1, round(0.03 * len(silent)))
    assert counts[..., silent].sum() == 0
    assert np.isfinite(session.log_rates_hz.astype(np.float16)).all()


def test_knowing_more_gives_more_bits(session: Session, counts: np.ndarray) -> None:
    active = counts.sum(axis=(0, 1)) > 0
    oracle = _bits_per_spike(session.log_rates_hz[..., active], counts[..., active]).mean()
    bound = _bits_per_spike(
        session.log_rates_hz_from_behaviour[..., active], counts[..., active]
    ).mean()
    assert 0.1 < bound < oracle - 0.1


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_a_size_keeps_its_extent(size: str) -> None:
    extent = SIZES[size]
    numbers = []
    for index in range(4):
        session = draw_session(seed=2, index=index, size=size, nonlinear=1.0)
        trials, bins, units = session.log_rates_hz.shape
        assert (trials, bins) == (extent.trials, extent.bins)
        assert extent.units[0] <= units <= extent.units[1]
        assert 1 < len(set(session.units.region)) <= extent.regions[1]
        numbers.append(units)
    assert len(set(numbers)) > 1


def test_arguments_out_of_range_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1"):
        simulate(tmp_path / "none", sessions=0, seed=0, size="tiny")
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match="did you mean 'small'"):
        draw_session(seed=0, index=0, size="smal", nonlinear=1.0)
    with pytest.raises(UserError, match="at least 0"):
        draw_session(seed=-1, index=0, size="tiny", nonlinear=1.0)
    with pytest.raises(UserError, match="between 0 and 1"):
        draw_session(seed=0, index=0, size="tiny", nonlinear=1.5)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match="is a file"):
        simulate(tmp_path / "file", sessions=1, seed=0, size="tiny")
    assert (tmp_path / "file").read_text() == "kept"
