from __future__ import annotations

import pandas as pd

from neuroduet.report.headlines import brief_table


def test_a_brief_table_keeps_primary_scores_and_draws_the_linear_baselines_together() -> None:
    rows = [
        ("ours", "encoding", "spikes", "bits_per_spike", 0.2),
        ("ours", "encoding", "spikes", "psth_r2", 0.4),
        ("poisson_glm", "encoding", "spikes", "bits_per_spike", 0.1),
        ("reduced_rank", "encoding", "spikes", "bits_per_spike", 0.15),
        ("ours", "decoding", "choice", "balanced_accuracy", 0.9),
        ("other", "decoding", "choice", "balanced_accuracy", 0.8),
        ("logistic", "decoding", "choice", "balanced_accuracy", 0.7),
    ]
    scores = pd.DataFrame(rows, columns=["model", "task", "target", "metric", "value"])
    scores = scores.assign(session="a", n=10, null=0.0, oracle=float("nan"), split="test")
    brief = brief_table(scores, ["ours", "other"])
    assert list(brief.columns) == ["ours", "other", "best linear", "null", "oracle", "sessions"]
    assert [index[2] for index in brief.index] == ["bits_per_spike", "balanced_accuracy"]
    assert brief["best linear"].tolist() == [0.15, 0.7]
