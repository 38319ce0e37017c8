from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_brain.data import Data

from neuroduet.data.readers import READERS
from neuroduet.data.readers.alf import AlfReader
from neuroduet.data.readers.alf_cameras import PAW_STATES, pupil_snr
from neuroduet.data.readers.alf_files import list_files
from neuroduet.data.readers.alf_movement import WHEEL_RATE_HZ, wheel_velocity
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.readers.trial_filters import kept_trials
from neuroduet.data.recording import load, save
from neuroduet.data.writers.alf import AlfLayout, write_alf
from neuroduet.errors import UserError
from neuroduet.simulate.session import draw_session, to_recording
from neuroduet.types import UNLABELLED

READER = AlfReader()
FRAMES = 400


@pytest.fixture(scope="module")
def simulated() -> Data:
    return to_recording(draw_session(seed=3, index=0, size="tiny", nonlinear=1.0))


@pytest.fixture
def session(simulated: Data, tmp_path: Path) -> Path:
    return write_alf(simulated, tmp_path / "tree")


@pytest.fixture
def seen(session: Path) -> Path:
    """A session with everything that cameras and the spout can see."""
    generator = np.random.default_rng(0)
    times = np.linspace(5.0, 45.0, FRAMES + 7)
    np.save(session / "alf/_ibl_leftCamera.times.npy", times)
    np.save(session / "alf/leftCamera.ROIMotionEnergy.npy", np.arange(FRAMES, dtype=float))
    np.save(session / "alf/licks.times.npy", np.array([10.0, 10.001, 10.03, 20.0]))
    pose = {
        f"{name}_{part}": generator.random(FRAMES) * (1 if part == "likelihood" else 500)
        for name in ("nose_tip", "paw_r")
        for part in ("x", "y", "likelihood")
    }
    pd.DataFrame(pose).to_parquet(session / "alf/_ibl_leftCamera.lightningPose.pqt")
    pd.DataFrame(pose).to_parquet(session / "alf/_ibl_leftCamera.dlc.pqt")
    smooth = np.sin(np.arange(FRAMES) / 20) * 5 + 30
    raw = smooth + generator.normal(size=FRAMES)
    pupil = pd.DataFrame({"pupilDiameter_raw": raw, "pupilDiameter_smooth": smooth})
    pupil.to_parquet(session / "alf/_ibl_leftCamera.features.pqt")
    paws = generator.dirichlet(np.ones(5) / 3, size=(2, FRAMES))
    table = {
        f"{paw}_{state}": paws[row, :, column]
        for row, paw in enumerate(("paw_r", "paw_l"))
        for column, state in enumerate(PAW_STATES)
    }
    (session / "alf/lightningaction").mkdir()
    path = session / "alf/lightningaction/_ibl_leftCamera.pawstates.pqt"
    pd.DataFrame(table).to_parquet(path)
    return session


def read(session: Path, **options: Any) -> Data:
    return READER.read(session, ReadOptions(**options))


def test_a_session_is_found_at_above_and_inside_its_folder(session: Path, tmp_path: Path) -> None:
    for path in (session, tmp_path / "tree", session / "alf"):
        assert READER.sessions(path) == [session]
        assert READER.recognises(path)
    assert not READER.recognises(tmp_path / "elsewhere")
    assert READERS["alf"].name == "alf"


def test_spikes_units_and_trials_come_back_exactly(simulated: Data, session: Path) -> None:
    recording = read(session, regions="allen")
    np.testing.assert_array_equal(recording.spikes.timestamps, simulated.spikes.timestamps)
    np.testing.assert_array_equal(recording.spikes.unit_index, simulated.spikes.unit_index)
    np.testing.assert_array_equal(recording.units.id, simulated.units.id)
    np.testing.assert_array_equal(recording.units.region, simulated.units.region)
    np.testing.assert_array_equal(recording.units.depth_um, simulated.units.depth_um)
    for name in ("start", "end", "stimOn_times", "choice", "block", "reward", "contrast"):
        np.testing.assert_array_equal(
            getattr(recording.trials, name), getattr(simulated.trials, name), err_msg=name
        )
    whisker = recording.whisker.whisker_motion_energy
    np.testing.assert_array_equal(whisker, simulated.whisker.whisker_motion_energy)
    assert set(recording.units.probe) == {"probe00", "probe01"}
    assert recording.session.id == "animal00-2024-01-01-001"
    assert recording.subject.id == "animal00"
    assert recording.behaviours.name.tolist() == ["wheel", "whisker", "choice", "block"]


def test_wheel_speed_comes_back_up_to_its_filter(simulated: Data, session: Path) -> None:
    wheel = read(session).wheel
    times = simulated.wheel.timestamps
    found = np.interp(times, wheel.timestamps, wheel.wheel_speed)
    assert np.corrcoef(found, simulated.wheel.wheel_speed)[0, 1] > 0.99


def test_a_recording_written_twice_over_alf_stays_the_same(
    simulated: Data, session: Path, tmp_path: Path
) -> None:
    once = read(session)
    twice = read(write_alf(once, tmp_path / "again"))
    np.testing.assert_array_equal(once.spikes.timestamps, twice.spikes.timestamps)
    np.testing.assert_array_equal(once.units.id, twice.units.id)
    np.testing.assert_array_equal(once.trials.start, twice.trials.start)
    save(twice, tmp_path / "twice.h5")
    with load(tmp_path / "twice.h5") as stored:
        np.testing.assert_array_equal(stored.units.region_cosmos, once.units.region_cosmos)


@pytest.mark.parametrize(
    "layout",
    [
        AlfLayout(revision="2024-05-06"),
        AlfLayout(uuid="03d9a098-07bf-4765-88b7-85f8d8f620cc"),
        AlfLayout(trial_table=False),
        AlfLayout(sorter="", probes=1),
        AlfLayout(sorter="pykilosort", probes=3, revision="2023-01-01", trial_table=False),
    ],
    ids=["revision", "uuid", "trial files", "probe folder", "all"],
)
def test_every_layout_of_the_folder_says_the_same(
    simulated: Data, tmp_path: Path, layout: AlfLayout
) -> None:
    recording = read(write_alf(simulated, tmp_path, layout))
    np.testing.assert_array_equal(recording.spikes.timestamps, simulated.spikes.timestamps)
    np.testing.assert_array_equal(recording.trials.choice, simulated.trials.choice)
    assert recording.wheel.wheel_speed.max() > 0


def test_the_newest_revision_is_read(simulated: Data, tmp_path: Path) -> None:
    for revision in ("", "2024-01-01", "2023-01-01"):
        session = write_alf(simulated, tmp_path, AlfLayout(revision=revision, probes=1))
    files = [one for one in list_files(session) if one.object == "spikes"]
    assert {one.revision for one in files} == {"2024-01-01"}
    assert len(files) == 2


def test_iblsorter_is_preferred_and_another_sorter_can_be_named(
    simulated: Data, tmp_path: Path
) -> None:
    for sorter in ("", "pykilosort", "iblsorter"):
        session = write_alf(simulated, tmp_path, AlfLayout(sorter=sorter))
    np.save(session / "alf/probe00/iblsorter/spikes.clusters.npy", np.zeros(0, dtype=int))
    with pytest.raises(UserError, match="iblsorter"):
        read(session)
    assert len(read(session, sorter="pykilosort").units.id) == len(simulated.units.id)
    with pytest.raises(UserError, match="unknown sorter of probe00 'kilosort9'"):
        read(session, sorter="kilosort9")
    dropped = " ".join(READER.inspect(session, ReadOptions()).dropped)
    assert "pykilosort of probe01 (another is preferred)" in dropped


def test_probes_and_units_can_be_chosen(simulated: Data, session: Path) -> None:
    second = read(session, probes=("probe01",))
    assert set(second.units.probe) == {"probe01"}
    wanted = tuple(simulated.units.id[[0, -1]].tolist())
    both = read(session, units=wanted)
    assert tuple(both.units.id) == wanted
    times = simulated.spikes.timestamps[simulated.spikes.unit_index == len(simulated.units.id) - 1]
    np.testing.assert_array_equal(both.spikes.timestamps[both.spikes.unit_index == 1], times)
    with pytest.raises(UserError, match="unknown unit"):
        read(session, units=("unit999",))
    with pytest.raises(UserError, match="unknown probe 'probe07'"):
        read(session, probes=("probe07",))


def test_bad_and_slow_units_are_dropped_on_request(simulated: Data, session: Path) -> None:
    path = session / "alf/probe00/iblsorter/clusters.metrics.pqt"
    table = pd.read_parquet(path)
    pd.DataFrame({"cluster_id": table["cluster_id"][::-1], "label": 1 / 3}).to_parquet(path)
    assert set(read(session, min_unit_label=1.0).units.probe) == {"probe01"}
    said = AlfReader().inspect(session, ReadOptions(min_unit_label=1.0)).dropped
    assert any(f"{len(table)} units of probe00 (label below 1)" in reason for reason in said)
    kept = read(session, min_rate_hz=1.0)
    counts = np.bincount(kept.spikes.unit_index)
    span = np.ptp(simulated.spikes.timestamps)
    assert 0 < len(kept.units.id) < len(simulated.units.id)
    assert (counts / span > 0.95).all()
    with pytest.raises(UserError, match="no unit .* lower --min-label or --min-rate"):
        read(session, min_rate_hz=500.0)


def test_ids_are_probe_and_number_where_the_files_give_none(session: Path) -> None:
    for path in session.rglob("clusters.uuids.csv"):
        path.unlink()
    ids = read(session).units.id
    assert ids[0] == "probe00-0000"
    assert ids[-1].startswith("probe01-")
    assert len(set(ids)) == len(ids)


def test_units_without_channels_have_no_region(session: Path) -> None:
    for path in session.rglob("channels.brainLocationIds*"):
        path.unlink()
    assert set(read(session).units.region) == {"unknown"}
    assert "regions" in READER.inspect(session, ReadOptions()).missing


def test_channels_of_the_probe_folder_serve_every_sorting(simulated: Data, session: Path) -> None:
    for path in session.rglob("channels.brainLocationIds*"):
        path.rename(path.parents[1] / "electrodeSites.brainLocationIds_ccf_2017.npy")
    np.testing.assert_array_equal(
        read(session, regions="allen").units.region, simulated.units.region
    )


def test_an_unknown_region_keeps_its_number(session: Path) -> None:
    path = session / "alf/probe00/iblsorter/channels.brainLocationIds_ccf_2017.npy"
    np.save(path, np.full_like(np.load(path), 987654321))
    assert read(session, probes=("probe00",)).units.region[0] == "allen-987654321"


def test_a_wheel_turned_evenly_has_its_own_speed() -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 800))
    grid, velocity = wheel_velocity(times, -3.0 * times)
    assert np.diff(grid) == pytest.approx(1 / WHEEL_RATE_HZ)
    np.testing.assert_allclose(velocity[500:-500], -3.0, rtol=1e-4)


def test_the_wheel_filter_keeps_2_hz_and_removes_60_hz() -> None:
    times = np.arange(0, 10, 1 / WHEEL_RATE_HZ)
    for frequency_hz, share in ((2.0, 1.0), (60.0, 0.0)):
        omega = 2 * np.pi * frequency_hz
        _, velocity = wheel_velocity(times, np.sin(omega * times))
        found = np.abs(velocity[2000:-2000]).max() / omega
        assert found == pytest.approx(share, abs=5e-3)


def test_surplus_camera_times_are_cut_at_the_front(seen: Path) -> None:
    times = np.load(seen / "alf/_ibl_leftCamera.times.npy")
    np.testing.assert_array_equal(read(seen).whisker.timestamps, times[-FRAMES:])


def test_unlikely_keypoints_become_missing(seen: Path) -> None:
    recording = read(seen, pose_likelihood=0.6)
    table = pd.read_parquet(seen / "alf/_ibl_leftCamera.lightningPose.pqt")
    assert recording.keypoints.name.tolist() == ["nose_tip", "paw_r"]
    unlikely = table[["nose_tip_likelihood", "paw_r_likelihood"]].to_numpy() < 0.6
    np.testing.assert_array_equal(np.isnan(recording.pose.xy).all(-1), unlikely)
    known = ~unlikely[:, 1]
    expected = table["paw_r_y"].to_numpy(np.float32)[known]
    np.testing.assert_array_equal(recording.pose.xy[known, 1, 1], expected)


def test_licks_are_events_and_counts(seen: Path) -> None:
    recording = read(seen)
    assert len(recording.lick_events.timestamps) == 4
    assert recording.licks.licking_rate.sum() == 4
    assert recording.licks.licking_rate[0] == 2


def test_a_noisy_pupil_is_dropped(seen: Path) -> None:
    assert "pupil" in read(seen).behaviours.name
    path = seen / "alf/_ibl_leftCamera.features.pqt"
    table = pd.read_parquet(path)
    table["pupilDiameter_raw"] = np.random.default_rng(1).normal(30, 40, FRAMES)
    table.to_parquet(path)
    assert "pupil" not in read(seen).behaviours.name


def test_the_signal_to_noise_ratio_of_a_pupil_is_known() -> None:
    smooth = np.array([0.0, 2.0, 0.0, 2.0, np.nan])
    assert pupil_snr(smooth + np.array([0.5, -0.5, -0.5, 0.5, 0.0]), smooth) == pytest.approx(4.0)


def test_published_paw_states_are_labels(seen: Path) -> None:
    recording = read(seen)
    table = pd.read_parquet(seen / "alf/lightningaction/_ibl_leftCamera.pawstates.pqt")
    right = table[[f"paw_r_{state}" for state in PAW_STATES]].to_numpy().argmax(1)
    np.testing.assert_array_equal(recording.labels.classes, right - 1)
    assert recording.label_classes.name.tolist() == ["still", "move", "wheel_turn", "groom"]
    assert (recording.labels.classes == UNLABELLED).any()
    assert not np.array_equal(recording.paw_states.paw_l, recording.paw_states.paw_r)


def test_a_session_of_pose_alone_is_a_recording(seen: Path) -> None:
    for path in [*seen.rglob("spikes.*"), *seen.rglob("clusters.*")]:
        path.unlink()
    recording = read(seen)
    assert "spikes" not in recording.__dict__
    assert len(recording.pose.timestamps) == FRAMES


def test_inspection_says_what_is_there_missing_and_dropped(seen: Path) -> None:
    (seen / "alf/licks.times.npy").unlink()
    found = READER.inspect(seen, ReadOptions(trial_filter="none", session_id="mine"))
    assert found.session == "mine"
    assert found.items["pose"] == f"left camera, {FRAMES} frames"
    assert found.missing == ("licks",)
    assert any("dlc.pqt" in one for one in found.dropped)


def trial_table(**changed: Any) -> dict[str, np.ndarray]:
    """Five trials, of which the papers keep the first."""
    columns: dict[str, Any] = {
        "stimOn_times": np.zeros(5),
        "firstMovement_times": np.array([0.5, 0.05, 3.0, 0.5, 0.5]),
        "goCue_times": np.zeros(5),
        "feedback_times": np.array([1.0, 1.0, 4.0, 11.0, 1.0]),
        "choice": np.array([1.0, -1.0, 1.0, -1.0, 0.0]),
        "probabilityLeft": np.full(5, 0.5),
        "feedbackType": np.ones(5),
    }
    return columns | changed


def test_each_paper_keeps_its_own_trials() -> None:
    assert kept_trials(trial_table(), "neds", "t")[0].tolist() == [True, True, True, False, False]
    keep, reasons = kept_trials(trial_table(), "mtm", "t")
    assert keep.tolist() == [True, False, False, False, False]
    assert sum(reasons.values()) == 4
    assert kept_trials(trial_table(), "none", "t")[0].all()
    missing = trial_table(probabilityLeft=np.array([np.nan, 0.5, 0.5, 0.5, 0.5]))
    assert not kept_trials(missing, "neds", "t")[0][0]


def test_a_trial_filter_says_which_column_it_lacks(session: Path) -> None:
    with pytest.raises(UserError, match=r"feedback_times.*--trials none"):
        read(session, trial_filter="neds")


def rewrite(pattern: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(session: Path) -> None:
        path = next(iter(sorted(session.rglob(pattern))))
        values = np.load(path)
        path.unlink()
        np.save(path, change(values), allow_pickle=True)

    return damage


def retable(
    pattern: str, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> Callable[[Path], None]:
    def damage(session: Path) -> None:
        path = next(iter(session.rglob(pattern)))
        change(pd.read_parquet(path)).to_parquet(path)

    return damage


def truncate(pattern: str) -> Callable[[Path], None]:
    def damage(session: Path) -> None:
        path = next(iter(sorted(session.rglob(pattern))))
        path.write_bytes(path.read_bytes()[:-100])

    return damage


def empty(pattern: str) -> Callable[[Path], None]:
    return lambda session: next(iter(sorted(session.rglob(pattern)))).write_bytes(b"")


def copy_beside(session: Path) -> None:
    path = session / "alf/_ibl_wheel.position.npy"
    (path.parent / "_ibl_wheel.position.0a0a.npy").write_bytes(path.read_bytes())


def same_ids(session: Path) -> None:
    first, second = sorted(session.rglob("clusters.uuids.csv"))
    rows = min(len(pd.read_csv(first)), len(pd.read_csv(second)))
    both = pd.concat([pd.read_csv(first)[:rows], pd.read_csv(second)[rows:]])
    both.to_csv(second, index=False)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "spike times cut": (truncate("spikes.times.npy"), r"spikes\.times\.npy cannot be read"),
    "spike times empty file": (empty("spikes.times.npy"), r"spikes\.times\.npy cannot be read"),
    "no spikes": (rewrite("spikes.times.npy", lambda x: x[:0]), "is empty"),
    "spike time missing": (
        rewrite("spikes.times.npy", lambda x: np.where(np.arange(len(x)) == 7, np.nan, x)),
        r"spikes\.times\.npy holds 1 times that are not finite .*row 7",
    ),
    "spikes out of order": (rewrite("spikes.times.npy", lambda x: x[::-1]), "not sorted"),
    "spikes in samples": (
        rewrite("spikes.times.npy", lambda x: (x * 30000).astype(np.int64)),
        "expected seconds as floats",
    ),
    "spikes in float samples": (
        rewrite("spikes.times.npy", lambda x: x * 30000),
        "expected seconds of one session",
    ),
    "spike times in two columns": (
        rewrite("spikes.times.npy", lambda x: np.stack([x, x], axis=1)),
        "expected one number per row",
    ),
    "Python objects": (
        rewrite("spikes.times.npy", lambda x: x.astype(object)),
        "not a plain numpy array",
    ),
    "clusters too few": (
        rewrite("spikes.clusters.npy", lambda x: x[:-1]),
        r"spikes\.clusters\.npy has .* rows but",
    ),
    "no clusters": (lambda s: next(s.rglob("spikes.clusters.npy")).unlink(), "spikes.clusters"),
    "clusters as floats": (
        rewrite("spikes.clusters.npy", lambda x: x.astype(float)),
        "of type float64, expected whole numbers",
    ),
    "cluster unknown": (
        rewrite("spikes.clusters.npy", lambda x: np.where(x == 1, 5000, x)),
        "names clusters 0 to 5000",
    ),
    "cluster tables differ": (
        rewrite("clusters.channels.npy", lambda x: x[:-1]),
        r"different length .*channels\.npy",
    ),
    "channel unknown": (
        rewrite("channels.brainLocationIds*", lambda x: x[:2]),
        r"clusters\.channels\.npy runs from",
    ),
    "ids twice": (same_ids, "hold the same id twice"),
    "metrics twice": (
        retable("clusters.metrics.pqt", lambda t: pd.concat([t, t])),
        r"clusters\.metrics\.pqt \(cluster_id\)",
    ),
    "trials cut": (truncate("_ibl_trials.table.pqt"), r"_ibl_trials\.table\.pqt cannot be read"),
    "trials empty": (retable("_ibl_trials.table.pqt", lambda t: t[:0]), "is empty"),
    "trials without start": (
        retable("_ibl_trials.table.pqt", lambda t: t.drop(columns="intervals_0")),
        "lacks intervals_0",
    ),
    "trials in milliseconds": (
        retable("_ibl_trials.table.pqt", lambda t: t.assign(stimOn_times=t.stimOn_times * 1000)),
        r"\(stimOn_times\) lies outside its trial",
    ),
    "trials twice": (
        retable("_ibl_trials.table.pqt", lambda t: t.loc[np.repeat(t.index, 2)]),
        "same start in rows 0 and 1",
    ),
    "trials out of order": (retable("_ibl_trials.table.pqt", lambda t: t[::-1]), "not sorted"),
    "trials end before they start": (
        retable("_ibl_trials.table.pqt", lambda t: t.assign(intervals_1=t.intervals_0 - 1)),
        "ends trial 0 before it starts",
    ),
    "choice of text": (
        retable("_ibl_trials.table.pqt", lambda t: t.assign(choice="left")),
        "in choice, expected numbers",
    ),
    "choice unknown": (
        retable("_ibl_trials.table.pqt", lambda t: t.assign(choice=2)),
        r"\(choice\) holds 2",
    ),
    "prior in percent": (
        retable("_ibl_trials.table.pqt", lambda t: t.assign(probabilityLeft=80.0)),
        r"\(probabilityLeft\) holds 80",
    ),
    "wheel twice": (copy_beside, "are both wheel.position"),
    "wheel too short": (
        rewrite("_ibl_wheel.position.npy", lambda x: x[:-5]),
        r"_ibl_wheel\.position\.npy has",
    ),
    "wheel missing": (
        rewrite("_ibl_wheel.position.npy", lambda x: np.where(np.arange(len(x)) == 3, np.nan, x)),
        r"_ibl_wheel\.position\.npy is not finite in row 3",
    ),
    "wheel in ticks": (
        rewrite("_ibl_wheel.position.npy", lambda x: x * 1e6),
        "expected radians",
    ),
    "camera times too few": (
        rewrite("_ibl_leftCamera.times.npy", lambda x: x[:-900]),
        r"times\.npy has .* expected a time for every frame",
    ),
    "camera times on another clock": (
        rewrite("_ibl_leftCamera.times.npy", lambda x: x + 5000),
        "times of whisker run from .* expected seconds on one clock",
    ),
    "no camera times": (
        lambda s: next(s.rglob("_ibl_leftCamera.times.npy")).unlink(),
        "expected a time per frame",
    ),
    "negative energy": (
        rewrite("leftCamera.ROIMotionEnergy.npy", lambda x: x - 100),
        "negative in row 0",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_with_its_file_and_a_remedy(name: str, session: Path) -> None:
    damage, sentence = DAMAGE[name]
    damage(session)
    with pytest.raises(UserError, match=sentence) as caught:
        read(session)
    text = str(caught.value)
    assert ";" in text
    assert str(session) in text or "clusters.uuids" in text
    assert "\n" not in text


SEEN_DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "pose without likelihood": (
        retable("*lightningPose.pqt", lambda t: t.drop(columns="paw_r_likelihood")),
        "lacks paw_r_likelihood",
    ),
    "pose without keypoints": (
        retable("*lightningPose.pqt", lambda t: t.rename(columns=str.upper)),
        "lacks any column",
    ),
    "likelihood in percent": (
        retable("*lightningPose.pqt", lambda t: t.assign(paw_r_likelihood=99.0)),
        "likelihood of 99",
    ),
    "pose as text": (
        retable("*lightningPose.pqt", lambda t: t.assign(paw_r_x="left")),
        "in paw_r_x, expected numbers",
    ),
    "pose longer than its times": (
        retable("*lightningPose.pqt", lambda t: pd.concat([t, t])),
        "expected a time for every frame",
    ),
    "pose cut": (truncate("*lightningPose.pqt"), r"lightningPose\.pqt cannot be read"),
    "licks in milliseconds": (
        rewrite("licks.times.npy", lambda x: x * 1e5),
        r"licks\.times\.npy runs to",
    ),
    "licks out of order": (rewrite("licks.times.npy", lambda x: x[::-1]), "not sorted"),
    "no pupil": (
        retable("*features.pqt", lambda t: t.drop(columns="pupilDiameter_raw")),
        "lacks pupilDiameter_raw",
    ),
    "paw state missing": (
        retable("*pawstates.pqt", lambda t: t.drop(columns="paw_l_groom")),
        "lacks paw_l_groom",
    ),
    "paw states are no probabilities": (
        retable("*pawstates.pqt", lambda t: t * 3),
        "expected probabilities",
    ),
}


@pytest.mark.parametrize("name", SEEN_DAMAGE)
def test_damage_to_what_cameras_saw_is_named(name: str, seen: Path) -> None:
    damage, sentence = SEEN_DAMAGE[name]
    damage(seen)
    with pytest.raises(UserError, match=sentence) as caught:
        read(seen)
    assert str(seen) in str(caught.value)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bytes_are_read_or_refused_in_one_sentence(session: Path, data: Any) -> None:
    path = data.draw(st.sampled_from(sorted(p for p in session.rglob("*") if p.is_file())))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, min(len(whole) - 1, 400)))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(damaged))
    try:
        read(session)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        path.write_bytes(whole)


def test_a_folder_without_sessions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no folder alf"):
        READER.sessions(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        READER.sessions(tmp_path / "nowhere")
    (tmp_path / "alf").mkdir()
    with pytest.raises(UserError, match="neither spikes.times nor pose"):
        read(tmp_path)
