"""The experiments of the paper on files of recordings: models by features, and label density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from neuroduet.actions.compare import compare, grid
from neuroduet.actions.density import label_density
from neuroduet.actions.experiment import Candidate
from neuroduet.actions.model import Report, silent
from neuroduet.actions.run import Inputs, labelled, write_table
from neuroduet.atomic import making_folders
from neuroduet.data.action_files import ActionRecording, common_labels
from neuroduet.errors import UserError, unknown


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Models and features that an experiment compares; every model with every kind of features.

    Attributes:
        models: Names of models.
        features: Kinds of features.
        pool: See :class:`~neuroduet.actions.segmenter.Segmenter`.
        smooth: The same.
        options: Options of models, by model.
    """

    models: Sequence[str]
    features: Sequence[str] = ("auto",)
    pool: int | Literal["auto"] = "auto"
    smooth: int | Literal["auto"] = "auto"
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def listed(self, classes: Sequence[str]) -> list[Candidate]:
        """One candidate for each model and kind of features.

        Raises:
            UserError: There is no such model, feature or option.
        """
        return grid(
            self.models,
            self.features,
            classes=classes,
            pool=self.pool,
            smooth=self.smooth,
            options=self.options,
        )


def compare_models(
    *, inputs: Inputs, candidates: Grid, folds: int, seed: int, out: Path, report: Report = silent
) -> pd.DataFrame:
    """Cross-validate models and features by recording.

    Args:
        inputs: Recordings; those without labels only help to train.
        candidates: What to compare.
        folds: Number of folds.
        seed: Seed of folds, models and intervals.
        out: Folder for ``compare.csv`` and what every fold predicted (``fits``), from which the
            same call goes on after a stop.
        report: Told how many fits are done.

    Returns:
        See :func:`~neuroduet.actions.compare.compare`.

    Raises:
        UserError: The recordings do not fit together, or ``out`` holds another comparison.
    """
    recordings = inputs.read()
    labelled(recordings)
    labels, classes = common_labels(recordings)
    listed = candidates.listed(classes)
    table = compare(
        listed,
        [one.frames for one in recordings],
        labels,
        folds=folds,
        seed=seed,
        names=classes,
        folder=out / "fits",
        report=report,
    )
    write_table(table, out / "compare.csv")
    return table


def density_curve(
    *,
    inputs: Inputs,
    candidates: Grid,
    goals: Sequence[int],
    seeds: int,
    test: Sequence[str] | None,
    out: Path,
    report: Report = silent,
) -> pd.DataFrame:
    """Score models that saw ever more labels.

    Args:
        inputs: Recordings; those without labels only help to train.
        candidates: Models and features.
        goals: Labelled frames per class.
        seeds: How many times labels are drawn and models fitted: seeds 1, 1001, 2001, ...
        test: Recordings to score on; every other labelled one if not given.
        out: Folder for ``density.csv``, from which the same call goes on after a stop.
        report: Told how many fits are done.

    Returns:
        See :func:`~neuroduet.actions.density.label_density`.

    Raises:
        UserError: The recordings do not fit together, or ``out`` holds another experiment.
    """
    recordings = inputs.read()
    held_out = _set_aside(labelled(recordings), test)
    labels, classes = common_labels(recordings)
    listed = candidates.listed(classes)
    pairs = list(zip(recordings, labels, strict=True))
    training = [(one.frames, y) for one, y in pairs if one.name not in held_out]
    testing = [(one.frames, y) for one, y in pairs if one.name in held_out]
    with making_folders(out):
        return label_density(
            listed,
            [x for x, _ in training],
            [y for _, y in training],
            [x for x, _ in testing],
            [y for _, y in testing],
            goals=goals,
            seeds=tuple(1 + 1000 * i for i in range(seeds)),
            names=classes,
            file=out / "density.csv",
            report=report,
        )


def _set_aside(known: Sequence[ActionRecording], test: Sequence[str] | None) -> set[str]:
    """Names of the recordings to score on."""
    names = [one.name for one in known]
    chosen = names[1::2] if test is None else list(test)
    for name in chosen:
        if name not in names:
            raise unknown("labelled recording", name, names)
    if not chosen or len(set(chosen)) == len(names):
        raise UserError(
            f"{len(set(chosen))} of {len(names)} labelled recordings are to be scored on; give "
            "some to learn from and some to score on"
        )
    return set(chosen)
