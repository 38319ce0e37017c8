"""From files of recordings to saved segmenters, and from these to answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from neuroduet.actions.ensemble import average
from neuroduet.actions.inputs import finds_states
from neuroduet.actions.model import Report, silent
from neuroduet.actions.segmenter import Segmenter
from neuroduet.atomic import making_folders, replacing, require_empty
from neuroduet.data.action_files import (
    ActionRecording,
    Answer,
    common_labels,
    open_action_recordings,
    write_answer,
)
from neuroduet.errors import UserError, unknown
from neuroduet.types import UNLABELLED


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Which recordings a command reads.

    Attributes:
        data: A recording (.h5, .npz), or a folder of them.
        source: See :func:`~neuroduet.data.action_files.open_action_recordings`.
        names: Names of those to use; all if not given.
    """

    data: Path
    source: str | None = None
    names: Sequence[str] | None = None

    def read(self) -> list[ActionRecording]:
        """The recordings, in the order of their files' names.

        Raises:
            UserError: There is none of such a name, or one cannot be used.
        """
        found = open_action_recordings(self.data, self.source)
        known = [one.name for one in found]
        for name in self.names or ():
            if name not in known:
                raise unknown("recording", name, known)
        return [one for one in found if self.names is None or one.name in self.names]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a segmenter is made of; see :class:`~neuroduet.actions.segmenter.Segmenter`."""

    model: str = "tcn"
    features: str | Mapping[str, Any] = "auto"
    pool: int | Literal["auto"] = "auto"
    smooth: int | Literal["auto"] = "auto"
    n_states: int | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def segmenter(self, classes: Sequence[str] | None) -> Segmenter:
        """A segmenter that is not fitted yet.

        Raises:
            UserError: There is no such model, feature or option.
        """
        return Segmenter(
            self.model,
            features=self.features,
            classes=classes or None,
            n_states=self.n_states,
            pool=self.pool,
            smooth=self.smooth,
            seed=self.seed,
            **self.options,
        )


def train_segmenter(
    *, inputs: Inputs, recipe: Recipe, out: Path, unlabelled: bool, report: Report = silent
) -> dict[str, Any]:
    """Fit a segmenter to recordings and save it.

    Args:
        inputs: Recordings; those without labels are used where the model learns from them.
        recipe: What the segmenter is made of.
        out: Folder to write; made if needed, and else empty.
        unlabelled: Leave the labels aside and find states.
        report: Told how far fitting is.

    Returns:
        ``model``, ``classes``, ``recordings``, ``frames``, ``labelled`` (frames of each class) and
        ``out``.

    Raises:
        UserError: The recordings do not fit together, the model cannot learn from them, or the
            folder holds files already.
    """
    require_empty(out)
    recordings = inputs.read()
    labels, classes = common_labels(recordings)
    if unlabelled:
        labels, classes = [np.full_like(y, UNLABELLED) for y in labels], ()
    segmenter = recipe.segmenter(classes)
    segmenter.fit(
        [one.frames for one in recordings],
        labels,
        report=report,
        names=[one.name for one in recordings],
    )
    segmenter.save_pretrained(out)
    names = segmenter.class_names
    told = [] if finds_states(names) else labels
    counts = sum(
        (np.bincount(y[y != UNLABELLED], minlength=len(names)) for y in told),
        start=np.zeros(len(names), int),
    )
    return {
        "model": recipe.model,
        "classes": list(names),
        "recordings": [one.name for one in recordings],
        "frames": sum(len(one.frames) for one in recordings),
        "labelled": {name: int(n) for name, n in zip(names, counts, strict=True)},
        "out": str(out),
    }


def predict_actions(
    *, models: Sequence[Path], inputs: Inputs, out: Path | None, report: Report = silent
) -> list[dict[str, Any]]:
    """Segment recordings and write what the model says.

    Args:
        models: Folders of saved segmenters; the probabilities of several are averaged.
        inputs: Recordings.
        out: Folder to write; if not given, the answers go into the recordings themselves, or
            beside files of arrays.
        report: Told how many recordings are done.

    Returns:
        Of each recording: ``recording``, ``frames``, ``files`` and ``fractions`` of the classes.

    Raises:
        UserError: The model or a recording cannot be used, or a file cannot be written.
    """
    segmenters = load_segmenters(models)
    recordings = inputs.read()
    with nullcontext() if out is None else making_folders(out):
        return [
            _written(one, answer, out) for one, answer in ask_each(segmenters, recordings, report)
        ]


def _written(one: ActionRecording, answer: Answer, out: Path | None) -> dict[str, Any]:
    shares = np.bincount(answer.classes, minlength=len(answer.names)) / len(answer.classes)
    return {
        "recording": one.name,
        "frames": len(answer.classes),
        "files": [str(path) for path in write_answer(one, answer, out)],
        "fractions": {n: float(s) for n, s in zip(answer.names, shares, strict=True)},
    }


def load_segmenters(models: Sequence[Path]) -> list[Segmenter]:
    """Saved segmenters that speak of the same classes.

    Raises:
        UserError: One cannot be read, or their classes differ.
    """
    segmenters = [Segmenter.from_pretrained(model) for model in models]
    first = segmenters[0].class_names
    for model, one in zip(models, segmenters, strict=True):
        if one.class_names != first:
            raise UserError(
                f"{model} knows the classes {', '.join(one.class_names)}, but {models[0]} knows "
                f"{', '.join(first)}; use models that were trained on the same classes"
            )
    if len(segmenters) > 1 and finds_states(first):
        raise UserError(
            "the states of several models that found them without labels do not mean the same; "
            "use one model"
        )
    return segmenters


def seen_in_training(models: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Which recordings a saved segmenter learnt from, as far as its folder says.

    Args:
        models: Folders of saved segmenters that can be read.
        names: Names of recordings.

    Returns:
        Those of the names that any of the models was trained on, in their order.
    """
    said = [json.loads((Path(one) / "segmenter.json").read_text("utf-8")) for one in models]
    learnt = {name for one in said for name in one.get("recordings", ())}
    return [name for name in names if name in learnt]


def ask(segmenters: Sequence[Segmenter], recording: ActionRecording) -> Answer:
    """What segmenters say of a recording: the mean of their probabilities."""
    members = [segmenter.predict_proba([recording.frames]) for segmenter in segmenters]
    (probabilities,) = average(members)
    return Answer(
        classes=probabilities.argmax(1),
        probabilities=probabilities,
        names=segmenters[0].class_names,
    )


def labelled(recordings: Sequence[ActionRecording]) -> list[ActionRecording]:
    """The recordings of which a human said something.

    Raises:
        UserError: There is none.
    """
    known = [one for one in recordings if one.labels is not None and (one.labels >= 0).any()]
    if not known:
        raise UserError(
            "no recording has labels, expected the group labels (timestamps, classes), or the "
            "array labels, in at least one"
        )
    return known


def require_folder(path: Path) -> None:
    """Make sure that a file can be written, before hours of work go into it.

    Raises:
        UserError: Its folder does not exist.
    """
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} to write {path.name} into; create it first")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def ask_each(
    segmenters: Sequence[Segmenter], recordings: Sequence[ActionRecording], report: Report
) -> Iterator[tuple[ActionRecording, Answer]]:
    """Every recording with what the segmenters say of it.

    Args:
        segmenters: See :func:`ask`.
        recordings: Recordings.
        report: Told how many recordings are done.

    Yields:
        The recordings in their order, each with its answer.
    """
    for done, one in enumerate(recordings):
        report(done, len(recordings), float("nan"))
        yield one, ask(segmenters, one)
    report(len(recordings), len(recordings), float("nan"))
