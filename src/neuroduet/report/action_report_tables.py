"""Tables of a report on action segmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuroduet.actions.metrics import (
    EVERY_CLASS,
    bout_statistics,
    edit_score,
    frame_counts,
    macro_f1,
)
from neuroduet.actions.metrics.segments import segments
from neuroduet.report.action_report_data import Predictions
from neuroduet.report.action_scores import ACTION_METRICS
from neuroduet.report.sheet import LONG, Cell, Table, cells
from neuroduet.report.tables import number
from neuroduet.types import UNLABELLED

INTERVAL = Cell(
    text="95 % interval",
    title="Percentile bootstrap over recordings (over ten pieces of a lone recording)",
)
SHUFFLED = Cell(
    text="shuffled",
    title="What the same predictions read with their bouts in another order: as many, as long",
)
CONSTANT = Cell(
    text="constant",
    title="What always predicting the most frequent class reads; of probabilities: the "
    "frequencies of the classes; of states: one state for all frames",
)
RATIO = "Bouts of the model for every bout of the human: above 1 the model cuts bouts into pieces"

NAMES = {
    **ACTION_METRICS,
    "f1": "F1",
    "iou": "IoU",
    "brier": "Brier score",
    "one_to_one": "one-to-one accuracy",
    "many_to_one": "many-to-one accuracy",
    "v_measure": "V measure",
    "adjusted_rand": "adjusted Rand index",
}
"""What a reader calls a metric whose name in the table is another."""


def metric_name(name: str) -> str:
    """What a reader calls a metric."""
    return NAMES.get(name, name.replace("_", " "))


def full_score(name: str) -> int:
    """What a metric reads for a perfect prediction: 100 of segments, else 1."""
    return 100 if name == "edit" or name.startswith("f1@") else 1


def metric_number(name: str, value: float) -> str:
    """A score as text: three decimals, one where 100 is perfect, a dash where it is undefined."""
    if full_score(name) == 1 or not np.isfinite(value):
        return number(value)
    return f"{value:.1f}"


def value_of(scores: pd.DataFrame, metric: str, name: str = EVERY_CLASS) -> pd.Series:
    """The row of a metric of one class, or of all."""
    return scores[(scores["metric"] == metric) & (scores["class"] == name)].iloc[0]


def interval_text(row: pd.Series) -> str:
    """Ends of an interval; empty where there is none."""
    low, high = (metric_number(row["metric"], row[end]) for end in ("low", "high"))
    return f"{low} to {high}" if np.isfinite(row["low"]) else ""


def overall_table(scores: pd.DataFrame) -> Table:
    """Metrics that have one number for all classes, with intervals and nulls.

    Args:
        scores: See :func:`~neuroduet.report.action_report_data.scores_of`.
    """
    whole = scores[scores["class"] == EVERY_CLASS]
    return Table(
        title="All classes together",
        columns=(
            *cells("metric", "score"),
            INTERVAL,
            SHUFFLED,
            CONSTANT,
            Cell(text="n", title="Frames, true segments (F1@) or recordings (edit) scored"),
        ),
        rows=tuple(
            (
                Cell(text=metric_name(row["metric"]), title=row["definition"]),
                Cell(text=metric_number(row["metric"], row["value"]), kind="best"),
                Cell(text=interval_text(row) or "–"),
                Cell(text=metric_number(row["metric"], row["null_shuffled"]), kind="ref"),
                Cell(text=metric_number(row["metric"], row["null_constant"]), kind="ref"),
                Cell(text=f"{int(row['n']):,}", kind="ref"),
            )
            for _, row in whole.iterrows()
        ),
        text="Edit and F1@ run from 0 to 100, shares of frames from 0 to 1. Log loss, Brier "
        "score and calibration error are better when lower, all others when higher.",
    )


def class_table(scores: pd.DataFrame, classes: Sequence[str]) -> Table:
    """Scores of each class, with intervals.

    Args:
        scores: See :func:`~neuroduet.report.action_report_data.scores_of`.
        classes: Names of the classes.
    """
    own = scores[scores["metric"].isin(["f1", "precision", "recall", "iou"])]
    metrics = list(dict.fromkeys(own["metric"]))
    heads = [
        Cell(text=metric_name(name), title=own[own["metric"] == name]["definition"].iloc[0])
        for name in metrics
    ]
    return Table(
        title="Classes",
        columns=(
            Cell(text="class"),
            *heads,
            Cell(text="labelled frames", title="True frames of the class"),
        ),
        rows=tuple(_class_row(own, metrics, name) for name in classes),
        text=f"Beneath each score: its 95 % interval. {INTERVAL.title}.",
    )


def _class_row(scores: pd.DataFrame, metrics: Sequence[str], name: str) -> tuple[Cell, ...]:
    rows = [value_of(scores, metric, name) for metric in metrics]
    counts = scores[(scores["class"] == name) & scores["metric"].isin(["recall", "f1"])]["n"]
    return (
        Cell(text=name),
        *(Cell(text=number(row["value"]), note=interval_text(row)) for row in rows),
        Cell(text=f"{int(counts.iloc[0]):,}", kind="ref"),
    )


def recording_scores(found: Predictions) -> pd.DataFrame:
    """Scores of every labelled recording by itself.

    Args:
        found: Predictions of named classes.

    Returns:
        Indexed by place among the recordings: ``recording``, ``labelled`` frames, ``accuracy``,
        ``macro_f1``, ``edit`` and ``ratio`` of bouts.
    """
    rows = {}
    for i, within in zip(found.labelled, found.within_labels(), strict=True):
        truth = found.truth[i]
        known = truth != UNLABELLED
        rows[i] = {
            "recording": found.recordings[i],
            "labelled": int(known.sum()),
            "accuracy": float((within[known] == truth[known]).mean()),
            "macro_f1": macro_f1([truth], [within], len(found.classes)),
            "edit": edit_score(truth, found.predicted[i]),
            "ratio": len(segments(within).start) / len(segments(truth).start),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def recording_table(rows: pd.DataFrame) -> Table:
    """Scores of every recording.

    Args:
        rows: See :func:`recording_scores`.
    """
    return Table(
        title="Every recording",
        columns=(
            *cells("recording", "labelled frames"),
            Cell(text="accuracy", title="Fraction of labelled frames predicted correctly"),
            Cell(text="macro F1", title="Mean F1 of the classes that occur in the recording"),
            Cell(text="edit score", title="0 to 100: the right bouts in the right order"),
            Cell(text="bouts, model / human", title=RATIO),
        ),
        rows=tuple(
            (
                Cell(text=row["recording"]),
                Cell(text=f"{row['labelled']:,}", kind="ref"),
                *cells(number(row["accuracy"]), number(row["macro_f1"])),
                *cells(f"{row['edit']:.1f}", f"{row['ratio']:.2f}"),
            )
            for _, row in rows.iterrows()
        ),
        folded=len(rows) > LONG,
    )


def state_table(found: Predictions) -> Table:
    """How the labelled frames of every state divide over the classes of the humans.

    Args:
        found: Predictions of states, of which some recordings are labelled.
    """
    counts = np.sum(
        [
            frame_counts(found.truth[i], found.predicted[i], len(found.classes), len(found.names))
            for i in found.labelled
        ],
        axis=0,
    ).T[: len(found.names)]
    return Table(
        title="What the states are called by humans",
        columns=(*cells("state", "labelled frames"), *cells(*found.classes)),
        rows=tuple(
            (
                Cell(text=name),
                Cell(text=f"{int(row.sum()):,}", kind="ref"),
                *(
                    Cell(text=number(share), kind="best" if share == shares.max() > 0 else "")
                    for share in shares
                ),
            )
            for name, row in zip(found.names, counts, strict=True)
            for shares in [row / max(row.sum(), 1)]
        ),
        text="Fraction of the labelled frames of a state (row) that humans gave each class.",
    )


def bout_table(found: Predictions) -> Table:
    """How often and how long each class occurs, true and predicted.

    Args:
        found: Predictions. Where a human spoke, only labelled frames count, for both.
    """
    rate_hz = None if found.frame_s is None else 1 / found.frame_s
    unit = "frames" if rate_hz is None else "s"
    compared = bool(found.labelled) and not found.states
    model = bout_statistics(
        found.within_labels() if compared else found.predicted, found.names, rate_hz
    )
    truth = [found.truth[i] for i in found.labelled]
    human = bout_statistics(truth, found.names, rate_hz) if compared else None
    who = ["human", "model"] if compared else ["model"]
    tables = [one for one in (human, model) if one is not None]
    wanted = ("bouts", f"mean_{unit}", f"median_{unit}", "fraction")
    heads = ("bouts", f"mean ({unit})", f"median ({unit})", "share of frames")
    ratio = [Cell(text="ratio", title=RATIO)] if compared else []
    rows = []
    for k, name in enumerate(found.names):
        values = [one.iloc[k] for one in tables]
        texts = [_amount(float(one[column]), column) for column in wanted for one in values]
        share = [_ratio(float(values[-1]["bouts"]), float(values[0]["bouts"]))] if compared else []
        rows.append((Cell(text=name), *cells(*texts, *share)))
    columns = [
        Cell(text=f"{head}, {one}", title=_BOUT_WORDS[head.split(" (")[0]])
        for head in heads
        for one in who
    ]
    return Table(
        title="Bouts",
        columns=(Cell(text="class"), *columns, *ratio),
        rows=tuple(rows),
        text="A bout is a run of frames of one class; one that the end of a recording or of "
        "its labels cuts off counts with the duration seen."
        + (" Model and human are compared on the labelled frames alone." if compared else ""),
    )


_BOUT_WORDS = {
    "bouts": "Number of runs of frames of the class",
    "mean": "Mean duration of a bout",
    "median": "Median duration of a bout",
    "share of frames": "Fraction of the frames that are of the class",
}


def _amount(value: float, column: str) -> str:
    if not np.isfinite(value):
        return "–"
    if column == "bouts":
        return f"{int(value):,}"
    if column == "fraction":
        return f"{value:.3f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "–"


def bout_ratio(found: Predictions) -> float:
    """Predicted over true bouts within labels: over-segmentation if above 1."""
    true = sum(len(segments(found.truth[i]).start) for i in found.labelled)
    given = sum(len(segments(one).start) for one in found.within_labels())
    return given / true if true else float("nan")
