"""Tables of a segmenter's options and of experiments with several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from neuroduet.actions.families import FAMILIES
from neuroduet.actions.metrics import EVERY_CLASS
from neuroduet.report.action_report_tables import (
    interval_text,
    metric_name,
    metric_number,
)
from neuroduet.report.contents import plain
from neuroduet.report.sheet import Cell, Table, cells
from neuroduet.report.tables import number


def options_table(model: Mapping[str, Any]) -> Table:
    """The options of a model and of its features.

    Args:
        model: ``segmenter.json``.
    """
    usual = FAMILIES[model["model"]].options().model_dump(mode="json")
    rows = [(name, value, usual.get(name)) for name, value in model["options"].items()]
    found = [
        (Cell(text=name), *cells(plain(value), plain(default))) for name, value, default in rows
    ]
    found += [
        (Cell(text=f"features.{name}"), *cells(plain(value), ""))
        for name, value in model["features"].items()
    ]
    return Table(
        title="All options",
        columns=cells("option", "value", "default"),
        rows=tuple(found),
        folded=True,
    )


def grid_table(table: pd.DataFrame) -> Table:
    """Main metrics of every model and kind of features, the best first.

    Args:
        table: ``compare.csv``.
    """
    whole = table[table["class"] == EVERY_CLASS]
    keys = ["model", "features"]
    wide = whole.pivot_table(index=keys, columns="metric", values="value", sort=False)
    ends = whole[whole["metric"] == "macro_f1"].set_index(keys)
    metrics = [name for name in ("macro_f1", "accuracy", "edit", "f1@50") if name in wide]
    order = wide.sort_values("macro_f1", ascending=False, kind="stable").index
    meant = whole.drop_duplicates("metric").set_index("metric")["definition"]
    seconds = Cell(text="fit (s)", title="Seconds to fit one fold, mean over folds")
    heads = [Cell(text=metric_name(name), title=meant[name]) for name in metrics]
    return Table(
        title="Models and features",
        columns=(*cells("model", "features"), *heads, seconds),
        rows=tuple(
            (
                *cells(*key),
                Cell(
                    text=number(wide.at[key, metrics[0]]),
                    kind="best",
                    note=interval_text(ends.loc[key]),
                ),
                *cells(*(metric_number(name, wide.at[key, name]) for name in metrics[1:])),
                Cell(text=f"{ends.loc[key]['fit_s']:.1f}", kind="ref"),
            )
            for key in order
        ),
        keys=2,
        text="Every recording is scored once, by a model that was not trained on it; beneath "
        "the macro F1: its 95 % interval over recordings. The best "
        "of many is partly luck: its score is expected to be a little lower on new recordings.",
    )


def density_table(table: pd.DataFrame) -> Table:
    """Mean and standard deviation over seeds of the macro F1, by number of labels.

    Args:
        table: ``density.csv``.
    """
    main = table[(table["metric"] == "macro_f1") & (table["class"] == EVERY_CLASS)]
    groups = main.groupby(["model", "features", "goal"], sort=False)["value"]
    found = groups.agg(["mean", "std", "count"])
    goals = sorted(int(goal) for goal in main["goal"].unique())
    pairs = dict.fromkeys((model, features) for model, features, _ in found.index)
    return Table(
        title="Macro F1 by labelled frames per class",
        columns=cells("model", "features", *(f"{goal:g}" for goal in goals)),
        rows=tuple(
            (*cells(*pair), *(_seeds(found, (*pair, goal)) for goal in goals)) for pair in pairs
        ),
        keys=2,
        text="Mean ± standard deviation over seeds, which draw the labels and the weights.",
    )


def _seeds(found: pd.DataFrame, key: tuple[str, str, int]) -> Cell:
    if key not in found.index:
        return Cell(text="–")
    row = found.loc[key]
    spread = f" ± {number(row['std'])}" if np.isfinite(row["std"]) else ""
    return Cell(text=number(row["mean"]) + spread, title=f"{int(row['count'])} seeds")
