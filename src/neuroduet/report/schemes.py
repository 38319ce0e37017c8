"""Which masking schemes a run was trained on, and how it answers the questions they train for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from neuroduet.masking import SCHEMES
from neuroduet.report.headlines import headlines
from neuroduet.report.sheet import Cell, Table
from neuroduet.report.style import IMPLIED_TARGETS, METRIC_LABELS, task_label
from neuroduet.report.tables import number, summary_table
from neuroduet.report.words import defined


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a scheme hides, and which task asks for the same.

    Attributes:
        hides: In words.
        ratio: The setting that says how much, if any.
        task: Task of the same question; empty if none asks exactly this.
    """

    hides: str
    ratio: Literal["ratio", "unit_ratio", ""]
    task: str


PURPOSES = {
    "encoding": Purpose(hides="all activity", ratio="", task="encoding"),
    "decoding": Purpose(hides="all behaviours", ratio="", task="decoding"),
    "self_spike": Purpose(hides="bins of the activity", ratio="ratio", task=""),
    "self_behaviour": Purpose(hides="bins of each behaviour", ratio="ratio", task=""),
    "random_token": Purpose(hides="bins of activity and behaviours", ratio="ratio", task=""),
    "encoding_from": Purpose(
        hides="all activity and all behaviours but one", ratio="", task="encoding_from"
    ),
    "temporal": Purpose(hides="bins of all units", ratio="ratio", task=""),
    "neuron": Purpose(hides="units", ratio="unit_ratio", task="co_smoothing"),
    "causal": Purpose(hides="60 % of the bins; only the past is seen", ratio="", task="forward"),
    "inter_region": Purpose(hides="all units of a region", ratio="", task="inter_region"),
    "intra_region": Purpose(
        hides="units of a region shown alone", ratio="unit_ratio", task="intra_region"
    ),
    "random": Purpose(hides="single entries (unit and bin)", ratio="ratio", task=""),
    "co_smooth": Purpose(hides="one unit", ratio="", task="co_smoothing"),
    "forward": Purpose(hides="the last bins, up to a fifth", ratio="", task="forward"),
    "patch_token": Purpose(hides="patches of neighbouring units", ratio="ratio", task=""),
}
"""By name of the scheme, for every one in :data:`neuroduet.masking.SCHEMES`."""

COLUMNS = (
    defined("scheme"),
    Cell(text="hides", title="What the scheme hides from the model.", kind="text"),
    Cell(text="share", title="How often it is drawn: its weight over the sum of weights."),
    Cell(text="hidden", title="Probability that a bin or unit is hidden."),
    Cell(text="asked by", title="The task of the evaluation that hides the same.", kind="text"),
    Cell(
        text="score (null)",
        title="Primary scores of that task, mean over sessions; in brackets what knowing nothing "
        "scores.",
        kind="text",
    ),
)


def scheme_table(
    config: Mapping[str, Any], scores: pd.DataFrame | None, main: str | None
) -> Table | None:
    """Every trained scheme beside the scores that question it.

    Args:
        config: ``config.yaml`` of the run.
        scores: Columns of ``scores.csv``, or ``None``.
        main: The run's model.

    Returns:
        The table, or ``None`` if the settings name no scheme.
    """
    masking = config.get("masking")
    weights = masking.get("schemes") if isinstance(masking, Mapping) else None
    if not isinstance(masking, Mapping) or not isinstance(weights, Mapping):
        return None
    drawn = {str(k): float(v) for k, v in weights.items() if k in SCHEMES and float(v) > 0}
    if not drawn:
        return None
    answered = _answers(scores, main)
    return Table(
        title="Masking schemes",
        text=_text(masking),
        columns=COLUMNS,
        rows=tuple(_row(name, drawn, masking, answered) for name in drawn),
    )


def _text(masking: Mapping[str, Any]) -> str:
    per = "batch" if masking.get("per") == "batch" else "sample"
    text = f"Training draws one scheme for every {per} and scores what it hides."
    extra = masking.get("hide_visible")
    if isinstance(extra, int | float) and extra > 0:
        text += f" Besides, {100 * extra:.0f} % of what is visible is hidden and not scored."
    return text


def _answers(scores: pd.DataFrame | None, main: str | None) -> dict[str, list[str]]:
    """By task: its primary scores with their names, each with its null."""
    found: dict[str, list[str]] = {}
    if scores is None or main is None:
        return found
    for one in headlines(summary_table(scores), main, detailed=True):
        metric = METRIC_LABELS.get(one.metric, one.metric)
        whole = one.target in IMPLIED_TARGETS
        what = f"{number(one.value)} {metric}" if whole else f"{one.target} {number(one.value)}"
        null = f" ({number(one.null)})" if np.isfinite(one.null) else ""
        found.setdefault(one.task, []).append(what + null)
    return found


def _row(
    name: str,
    weights: Mapping[str, float],
    masking: Mapping[str, Any],
    answered: Mapping[str, list[str]],
) -> tuple[Cell, ...]:
    purpose = PURPOSES[name]
    ratio = masking.get(purpose.ratio) if purpose.ratio else None
    found = answered.get(purpose.task, [])
    return (
        Cell(text=name.replace("_", " ")),
        Cell(text=purpose.hides, kind="text"),
        Cell(text=f"{100 * weights[name] / sum(weights.values()):.0f} %"),
        Cell(text=f"{float(ratio):g}" if isinstance(ratio, int | float) else "–"),
        Cell(text=task_label(purpose.task) or "–", kind="text"),
        Cell(text=", ".join(found) or "–", kind="text"),
    )
