"""Spoilt files: pose, labels and tables of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cage import Cage
from fuzzing import require_calm
from report.run_folders import make_run, prediction_arrays

from neuroduet.report.page import write_report

NAMES = (
    "pose-csv",
    "pose-dlc-h5",
    "pose-pandas-table",
    "pose-sleap",
    "labels-one-hot",
    "labels-intervals",
    "labels-boris-old",
    "labels-boris-new",
    "labels-caltech",
    "labels-states",
    "hugadb",
    "run-folder",
    "predictions",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_file_is_read_or_refused_in_one_sentence(cage: Cage, name: str) -> None:
    require_calm(cage, name)


def word_for_a_step(run: Path) -> None:
    pd.DataFrame({"step": ["%", "inf"], "valid/x": [0.1, 0.2]}).to_csv(run / "metrics.csv")


def model_scored_elsewhere(run: Path) -> None:
    table = pd.read_csv(run / "scores.csv")
    table.loc[table["model"] == "duet", "split"] = "valid"
    table.to_csv(run / "scores.csv", index=False)


def lists_for_scores_of_units(run: Path) -> None:
    table = pd.read_parquet(run / "scores_units.parquet")
    table["value"] = [[1.5, None]] * len(table)
    table.to_parquet(run / "scores_units.parquet")


def dates_for_trials(run: Path) -> None:
    arrays = prediction_arrays()
    arrays["trial"] = arrays["trial"].astype("datetime64[s]")
    np.savez(run / "predictions" / "one.npz", **arrays)


def pairs_for_validity(run: Path) -> None:
    arrays = prediction_arrays()
    arrays["valid"] = np.zeros(arrays["valid"].shape, [("a", "<i4"), ("b", "<f8")])
    np.savez(run / "predictions" / "one.npz", **arrays)


SPOILT = (
    word_for_a_step, model_scored_elsewhere, lists_for_scores_of_units, dates_for_trials,
    pairs_for_validity,
)  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda one: one.__name__)
def test_a_report_shows_what_it_can_and_says_what_it_cannot(tmp_path: Path, spoil) -> None:
    """What the fuzz found in reports, one by one."""
    run = make_run(tmp_path / "run")
    spoil(run)
    text = write_report(run).read_text(encoding="utf-8")
    assert "<figure" in text
    if spoil is dates_for_trials or spoil is pairs_for_validity:
        assert "one.npz does not fit together" in text
    if spoil is lists_for_scores_of_units:
        assert "scores_units.parquet holds values that cannot be drawn" in text
