"""Scoring one question again does not lose the answers to the others."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from test_run import data, run  # noqa: F401

from neuroduet.tasks.run import evaluate

ORDER = ["model", "session", "task", "target", "metric"]


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(ORDER).reset_index(drop=True)


def test_one_task_scored_again_leaves_the_others_and_their_nulls(
    run: Path,  # noqa: F811
    data: Path,  # noqa: F811
) -> None:
    evaluate(run, data, tasks=["encoding", "decoding", "regions"], nulls=3)
    before = pd.read_csv(run / "scores.csv")
    units, nulls = pd.read_parquet(run / "scores_units.parquet"), run / "scores_nulls.csv"
    regions = (run / "scores_regions.csv").read_text()
    chance = pd.read_csv(nulls)
    fresh = evaluate(run, data, sessions=["mouse2"], tasks=["decoding"])
    after = pd.read_csv(run / "scores.csv")
    assert set(fresh.task) == {"decoding"}
    pd.testing.assert_frame_equal(
        ordered(after)[[*ORDER, "value", "n"]], ordered(before)[[*ORDER, "value", "n"]]
    )
    again = (after.session == "mouse2") & (after.task == "decoding")
    assert after[again].p_value.isna().all()  # nulls were not asked for this time
    others = (before.session != "mouse2") | (before.task != "decoding")
    assert after[~again].p_value.notna().sum() == before[others].p_value.notna().sum() > 0
    left = pd.read_csv(nulls)
    assert len(left) == ((chance.session != "mouse2") | (chance.task != "decoding")).sum()
    assert (run / "scores_regions.csv").read_text() == regions
    pd.testing.assert_frame_equal(pd.read_parquet(run / "scores_units.parquet"), units)


@pytest.mark.parametrize("why", ["other weights", "another file", "damaged"])
def test_what_is_not_of_these_weights_is_not_kept(
    why: str,
    run: Path,  # noqa: F811
    data: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    out = tmp_path / "table.csv" if why == "another file" else None
    path = out or run / "scores.csv"
    evaluate(run, data, tasks=["encoding"], out=out)
    if why == "other weights":
        weights = run / "model" / "model.safetensors"
        later = path.stat().st_mtime_ns + 10**9
        os.utime(weights, ns=(later, later))
    if why == "damaged":
        path.write_bytes(b"\xff\xfe nothing")
    evaluate(run, data, tasks=["decoding"], out=out)
    assert set(pd.read_csv(path).task) == {"decoding"}
