"""What a report on action segmentation is about: a model or an experiment, and its predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open

from neuroduet.actions.experiment import fingerprint
from neuroduet.actions.metrics import COLUMNS as SCORE_COLUMNS
from neuroduet.actions.metrics import EVERY_CLASS, score_actions, score_states
from neuroduet.actions.model import silent
from neuroduet.actions.out_of_fold import recording_folds, widened
from neuroduet.actions.run import Inputs, ask_each, finds_states, load_segmenters
from neuroduet.data.action_files import ActionRecording, common_labels
from neuroduet.errors import UserError
from neuroduet.report.action_pages import common_duration, frame_duration
from neuroduet.types import UNLABELLED

SEEDS = 20
"""Seeds of folds that are tried, from 0 on."""

BLOCKS = 10
"""Pieces of a lone recording over which intervals are taken."""

Labels = Int[np.ndarray, " _"]


@dataclass(frozen=True, kw_only=True)
class ActionFolder:
    """What the commands of action segmentation wrote into a folder.

    Attributes:
        path: The folder.
        model: ``segmenter.json``, or ``None``.
        compare: ``compare.csv``, or ``None``.
        density: ``density.csv``, or ``None``.
        scores: The table of ``actions evaluate --out``, or ``None``.
    """

    path: Path
    model: dict[str, Any] | None
    compare: pd.DataFrame | None
    density: pd.DataFrame | None
    scores: pd.DataFrame | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fold:
    """One fit of `actions compare`, and what it said of the recordings it had not seen."""

    mark: str
    probabilities: list[np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a model says of recordings, and what humans said.

    Attributes:
        recordings: Names of the recordings.
        steps: Time between the frames of each (s), ``None`` if unknown.
        truth: Labels of each, in the coding of ``classes``; ``UNLABELLED`` where nobody spoke.
        predicted: The model's class (or state) of every frame.
        probabilities: Its probabilities.
        names: Names of the predicted classes.
        classes: Names of the classes of ``truth``; the same unless the model found states.
        by: Which model it is, in words.
        out_of_fold: Whether every recording was predicted by a model that had not seen it.
    """

    recordings: list[str]
    steps: list[float | None]
    truth: list[Labels]
    predicted: list[Labels]
    probabilities: list[Float[np.ndarray, "_ K"]]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    by: str
    out_of_fold: bool

    @property
    def states(self) -> bool:
        """Whether the model found states, which carry no names of classes."""
        return finds_states(self.names)

    @property
    def labelled(self) -> list[int]:
        """Recordings of which a human said something."""
        return [i for i, one in enumerate(self.truth) if (one != UNLABELLED).any()]

    @property
    def frame_s(self) -> float | None:
        """Time between frames (s) if it is known and the same everywhere."""
        return common_duration(self.steps)

    def within_labels(self) -> list[Labels]:
        """Predictions of the labelled recordings where labels are, unlabelled elsewhere."""
        return [
            np.where(self.truth[i] == UNLABELLED, UNLABELLED, self.predicted[i])
            for i in self.labelled
        ]


def read_action_folder(source: Path) -> ActionFolder:
    """Read what a folder holds.

    Args:
        source: Folder of ``actions train``, ``compare`` or ``density``, or the table that
            ``actions evaluate`` wrote (in a folder: ``scores.csv``).

    Raises:
        UserError: It holds none of their files, or a file is damaged.
    """
    scores = source if source.suffix == ".csv" else source / "scores.csv"
    files = {name: source / name for name in ("segmenter.json", "compare.csv", "density.csv")}
    if not any(path.is_file() for path in (*files.values(), scores)):
        raise UserError(
            f"{source} holds no {', '.join(files)} or scores.csv; give a folder that `neuroduet "
            "actions train`, `compare` or `density` wrote, or the table of `evaluate`"
        )
    model = None
    if files["segmenter.json"].is_file():
        load_segmenters([source])  # names what is damaged
        model = json.loads(files["segmenter.json"].read_text())
    return ActionFolder(
        path=source,
        model=model,
        compare=_table(files["compare.csv"], ("model", "features", "metric", "class", "value")),
        density=_table(files["density.csv"], ("model", "features", "goal", "metric", "value")),
        scores=_table(scores, SCORE_COLUMNS),
    )


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        # A class may be called NA; only an empty cell is a missing number.
        words = {"class": str, "setup": str}
        table = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is not a readable table ({error}); write it again") from None
    if missing := [name for name in columns if name not in table.columns]:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; write it again")
    return table


def predict(folder: ActionFolder, data: Path) -> Predictions:
    """Predictions for recordings: of the model, or out of fold those of the best one compared.

    Args:
        folder: What the report is about.
        data: A recording or a folder of recordings.

    Returns:
        The predictions.

    Raises:
        UserError: The recordings do not fit, or the folder keeps no predictions.
    """
    recordings = Inputs(data=data).read()
    if folder.model is not None:
        return _of_model(folder.path, recordings, folder.model["model"])
    if folder.compare is not None:
        return _of_comparison(folder.path, folder.compare, recordings)
    raise UserError(
        f"{folder.path} holds tables and no predictions to show of {data}; leave "
        "the recordings out, or give a folder of `neuroduet actions train` or `compare`"
    )


def _of_model(source: Path, recordings: Sequence[ActionRecording], model: str) -> Predictions:
    segmenters = load_segmenters([source])
    names = segmenters[0].class_names
    truth, classes = common_labels(recordings, None if finds_states(names) else names)
    answers = [answer for _, answer in ask_each(segmenters, recordings, silent)]
    return Predictions(
        recordings=[one.name for one in recordings],
        steps=[frame_duration(one.timestamps) for one in recordings],
        truth=truth,
        predicted=[answer.classes for answer in answers],
        probabilities=[answer.probabilities for answer in answers],
        names=names,
        classes=classes,
        by=model,
        out_of_fold=False,
    )


def _of_comparison(
    source: Path, table: pd.DataFrame, recordings: Sequence[ActionRecording]
) -> Predictions:
    best = best_candidate(table)
    name = f"{best['model']}, {best['features']}"
    truth, classes = common_labels(recordings)
    kept = _kept_folds(source / "fits", name)
    fold_of = _fold_of(kept, recordings, truth)
    if fold_of is None:
        raise UserError(
            f"the predictions in {source / 'fits'} are of other recordings than those given; give "
            "exactly the recordings that `neuroduet actions compare` was given"
        )
    scored = [int(i) for i in np.flatnonzero(fold_of >= 0)]
    place = {i: int((fold_of[:i] == fold_of[i]).sum()) for i in scored}
    said = [widened(kept[fold_of[i]].probabilities[place[i]], len(classes)) for i in scored]
    return Predictions(
        recordings=[recordings[i].name for i in scored],
        steps=[frame_duration(recordings[i].timestamps) for i in scored],
        truth=[truth[i] for i in scored],
        predicted=[one.argmax(1) for one in said],
        probabilities=said,
        names=classes,
        classes=classes,
        by=name,
        out_of_fold=True,
    )


def _fold_of(
    kept: Sequence[_Fold], recordings: Sequence[ActionRecording], truth: Sequence[Labels]
) -> Int[np.ndarray, " R"] | None:
    """The fold in which each recording was scored; ``None`` if these are other recordings.

    Folds follow from a seed that is not written down, but the mark of a fold tells the right one.
    """
    lengths = [len(one.frames) for one in recordings]
    n_labelled = sum(bool((one != UNLABELLED).any()) for one in truth)
    if not 2 <= len(kept) <= n_labelled:
        return None
    for seed in range(SEEDS):
        fold_of = recording_folds(truth, len(kept), seed)
        wanted = [[lengths[i] for i in np.flatnonzero(fold_of == k)] for k in range(len(kept))]
        if wanted != [[len(one) for one in fold.probabilities] for fold in kept]:
            continue
        arrays = [*(one.frames for one in recordings), *truth, fold_of]
        if kept[0].mark.endswith(f" {fingerprint(arrays, seed)}"):
            return fold_of
    return None


def best_candidate(table: pd.DataFrame) -> pd.Series:
    """The row of the highest macro F1 of a table of models and features."""
    rows = table[(table["metric"] == "macro_f1") & (table["class"] == EVERY_CLASS)]
    if rows.empty:
        raise UserError("the table of models holds no macro F1; run `actions compare` again")
    return rows.loc[rows["value"].astype(float).idxmax()]


def _kept_folds(fits: Path, name: str) -> list[_Fold]:
    """What each fold of a candidate said of the recordings it was not fitted to, in order."""
    found: dict[int, _Fold] = {}
    for path in sorted(fits.glob("*.safetensors")):
        try:
            with safe_open(path, "numpy") as file:
                mark = (file.metadata() or {}).get("mark", "")
                if mark.startswith(f"{name} {{"):
                    said = [file.get_tensor(key) for key in sorted(file.keys(), key=int)]
                    found[int(path.stem.rpartition("-")[2])] = _Fold(mark=mark, probabilities=said)
        except (SafetensorError, ValueError, OSError) as error:
            raise UserError(f"{path} is damaged ({error}); remove it and compare again") from None
    return [found[number] for number in sorted(found)]


def scores_of(found: Predictions, seed: int = 0) -> pd.DataFrame:
    """Scores of the labelled recordings, with intervals.

    Args:
        found: Predictions, of which at least one recording is labelled.
        seed: Of the intervals and of the shuffled null.

    Returns:
        See :func:`~neuroduet.actions.metrics.score_actions`. Intervals are over recordings; of a
        lone one over :data:`BLOCKS` pieces, and then only of frames, since pieces cut segments.
    """
    truth = [found.truth[i] for i in found.labelled]
    predicted = [found.predicted[i] for i in found.labelled]
    said = [found.probabilities[i] for i in found.labelled]

    def score(y: Sequence[Labels], c: Sequence[Labels], p: Sequence[np.ndarray]) -> pd.DataFrame:
        if found.states:
            return score_states(y, c, found.classes, seed=seed)
        return score_actions(y, c, found.classes, p, seed=seed)

    table = score(truth, predicted, said)
    if len(truth) > 1:
        return table
    pieces = (np.array_split(one[0], BLOCKS) for one in (truth, predicted, said))
    by_block = score(*pieces)
    cut = table["metric"].isin(["edit", "f1@10", "f1@25", "f1@50"])
    ends = by_block[["low", "high"]].where(~cut)
    return table.assign(low=ends["low"], high=ends["high"])
