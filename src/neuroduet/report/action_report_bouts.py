"""How often and how long each class occurs, true and predicted."""

from __future__ import annotations

import numpy as np

from neuroduet.actions.metrics import bout_statistics
from neuroduet.actions.metrics.segments import segments
from neuroduet.report.action_report_data import Predictions
from neuroduet.report.sheet import Cell, Table, cells

RATIO = "Bouts of the model for every bout of the human: above 1 the model cuts bouts into pieces"


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
        caption="A bout is a run of frames of one class; one that the end of a recording or of "
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
