"""``neuroduet inspect`` of recordings that training will not take as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neuroduet.cli import main
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save


def recording(path: Path, step_s: float, name: str | None = None) -> None:
    """50 trials of 1 s that begin every ``step_s``."""
    draw = np.random.default_rng(0)
    start = np.arange(50) * step_s
    made = from_arrays(
        session_id=name or path.stem,
        spike_times=np.sort(draw.uniform(0, 110, 3000)),
        spike_units=draw.integers(0, 4, 3000),
        trials={"start": start, "end": start + 1},
    )
    save(made, path)


def test_overlapping_trials_are_shown_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path / "bad.h5", 0.5)
    recording(tmp_path / "good.h5", 2.0)
    assert main(["inspect", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "bad" in said.out
    assert "35/5/10" in said.out
    (warned,) = [line for line in said.err.splitlines() if "overlap" in line]
    assert warned.startswith("train will refuse this: session bad: ")
    assert "set data.split.kind to blocked" in warned
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    bad, good = json.loads(said.out)
    assert bad["trials"] == 50
    assert bad["windows"] is None
    assert good["windows"] == {"train": 35, "valid": 5, "test": 10}
    assert "session bad" in said.err


def test_recordings_that_cannot_be_used_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path / "one.h5", 2.0, "same")
    recording(tmp_path / "two.h5", 2.0, "same")
    assert main(["inspect", str(tmp_path)]) == 2
    assert "are both session 'same'" in capsys.readouterr().err
