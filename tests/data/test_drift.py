"""Behaviours that drift slowly are told from those that can be decoded."""

import numpy as np
import pytest

from neuroduet.cli import main
from neuroduet.data.arrays import from_arrays
from neuroduet.data.drift import drift_of
from neuroduet.data.recording import save

TIMES = np.arange(0, 300, 0.1)
DRAW = np.random.default_rng(0)


def test_the_share_of_a_ramp_is_that_of_its_pieces():
    # Uniform over L: the variance is L^2 / 12, so that of 30 pieces is a share of 1 / 900.
    assert drift_of(TIMES, TIMES * 7 + 3) == pytest.approx(1 / 900, rel=1e-2)
    gaps = np.where(TIMES % 10 < 5, TIMES, np.nan)
    assert drift_of(TIMES, gaps) == pytest.approx(1 / 3600, rel=1e-1)


@pytest.mark.parametrize(
    "values",
    [
        DRAW.normal(size=len(TIMES)),
        np.sin(TIMES),
        np.ones(len(TIMES)),
        np.full(len(TIMES), np.nan),
        DRAW.normal(size=30)[(TIMES / 10).astype(int)],
    ],
    ids=["noise", "fast", "constant", "missing", "set anew"],
)
def test_what_does_not_drift_is_left_in_peace(values):
    assert drift_of(TIMES, values) is None


def test_too_short_a_recording_is_not_judged():
    assert drift_of(TIMES[:300], TIMES[:300]) is None


def test_inspecting_and_checking_name_the_remedy(tmp_path, capsys):
    position, speed = np.cumsum(DRAW.normal(size=len(TIMES))), DRAW.normal(size=len(TIMES))
    spikes, units = np.sort(DRAW.uniform(0, 300, 400)), np.arange(400) % 4
    recording = from_arrays(
        session_id="a",
        spike_times=spikes,
        spike_units=units,
        behaviours={"place": (TIMES, position + TIMES), "running": (TIMES, speed)},
    )
    save(recording, tmp_path / "a.h5")
    assert main(["inspect", str(tmp_path / "a.h5")]) == 0
    said = capsys.readouterr().err
    assert "place drifts slowly" in said
    assert "'speed: true' under behaviours, place" in said
    assert "running" not in said
    np.savez(tmp_path / "b.npz", s=spikes, u=units, t=TIMES, x=position + TIMES)
    for line, warned in (("", True), (", speed: true", False)):
        (tmp_path / "map.yaml").write_text(
            "spikes: {times: s, units: u}\n"
            f"behaviours: {{place: {{array: x, times: t{line}}}}}\n"
        )
        words = ["--npz", "--mapping", str(tmp_path / "map.yaml"), "--check", "--json"]
        assert main(["ingest", str(tmp_path / "b.npz"), str(tmp_path / "out"), *words]) == 0
        assert ("place drifts slowly" in capsys.readouterr().out) is warned
