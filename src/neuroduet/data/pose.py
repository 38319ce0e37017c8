"""Groups of a recording that action segmentation reads and writes, and what they must look like.

``pose`` and ``features`` are what was observed of the animals, ``labels`` what humans said of it
and ``actions`` what a model says. All are time series; names that are not per frame stand in
tables of their own (``keypoints``, ``label_classes``, ``action_classes``, each with ``name``).
"""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np
from torch_brain.data import ArrayDict, Data

from neuroduet.data.columns import SERIES, column, groups, pieces
from neuroduet.types import UNLABELLED

OBSERVATIONS = {"pose": "xy", "features": "values"}
"""Groups that are enough to segment actions, and their column."""

STATEMENTS = {"labels": "label_classes", "actions": "action_classes"}
"""Groups that say which class every frame belongs to, and the table with the classes' names."""


def frame_groups(recording: Data) -> dict[str, ArrayDict]:
    """The groups of a recording that this module describes, by name.

    A group of the same name that holds something else is not ours to judge.
    """
    known = {**OBSERVATIONS, **dict.fromkeys(STATEMENTS, "classes")}
    present = groups(recording)
    return {
        name: present[name]
        for name, field in known.items()
        if name in present and isinstance(present[name], SERIES) and field in present[name]
    }


def has_observations(recording: Data) -> bool:
    """Whether actions can be segmented in a recording without being told where to look."""
    return bool(OBSERVATIONS.keys() & frame_groups(recording).keys())


def names_of(recording: Data, table: str) -> tuple[str, ...]:
    """Column ``name`` of a table such as ``action_classes``; empty if there is none."""
    found = groups(recording).get(table)
    if found is None or "name" not in found:
        return ()
    return tuple(str(name) for name in np.asarray(column(found, "name")))


def frame_problems(recording: Data) -> Iterator[str]:
    """Why pose, features, labels or actions cannot be used."""
    present = frame_groups(recording)
    for name in present:
        if name == "pose":
            yield from _pose_problems(recording, present[name])
        elif name == "features":
            yield from _feature_problems(present[name])
        else:
            yield from _class_problems(recording, name, present[name])


def _pose_problems(recording: Data, group: ArrayDict) -> Iterator[str]:
    xy = column(group, "xy")
    if xy.dtype.kind not in "iuf" or xy.ndim not in (3, 4) or xy.shape[-1] != 2:
        yield (
            f"pose.xy has shape {tuple(xy.shape)} of type {xy.dtype}, expected numbers of shape "
            "(frames, keypoints, 2) or (frames, animals, keypoints, 2)"
        )
        return
    if "likelihood" in group and column(group, "likelihood").shape != xy.shape[:-1]:
        yield (
            f"pose.likelihood has shape {tuple(column(group, 'likelihood').shape)}, expected "
            f"{tuple(xy.shape[:-1])}, one value per point of pose.xy"
        )
    names = names_of(recording, "keypoints")
    if names and len(names) != xy.shape[-2]:
        yield (
            f"keypoints.name holds {len(names)} names, but pose.xy has {xy.shape[-2]} keypoints; "
            "name each of them"
        )


def _feature_problems(group: ArrayDict) -> Iterator[str]:
    values = column(group, "values")
    if values.dtype.kind not in "iufb" or values.ndim not in (1, 2):
        yield (
            f"features.values has shape {tuple(values.shape)} of type {values.dtype}, expected "
            "numbers of shape (frames, features)"
        )


def _class_problems(recording: Data, name: str, group: ArrayDict) -> Iterator[str]:
    classes, names = column(group, "classes"), names_of(recording, STATEMENTS[name])
    if classes.dtype.kind not in "iu" or classes.ndim != 1:
        yield (
            f"{name}.classes is {classes.ndim}-D of type {classes.dtype}, expected 1-D integers, "
            f"{UNLABELLED} where unlabelled"
        )
        return
    low, high = _range(classes)
    if low < UNLABELLED:
        yield f"{name}.classes holds {low}; count classes from 0, and {UNLABELLED} is unlabelled"
    if names and high >= len(names):
        yield (
            f"{name}.classes goes up to {high}, but {STATEMENTS[name]}.name has {len(names)} "
            "names; name every class"
        )
    if len(set(names)) < len(names) or "" in names:
        yield f"{STATEMENTS[name]}.name holds empty or equal names; give every class its own"
    probabilities = column(group, "probabilities") if "probabilities" in group else None
    if names and probabilities is not None and probabilities.shape[1:] != (len(names),):
        yield (
            f"{name}.probabilities has shape {tuple(probabilities.shape)}, expected (frames, "
            f"{len(names)}), one column per class"
        )


def _range(values: np.ndarray | h5py.Dataset) -> tuple[int, int]:
    ranges = [(int(piece.min()), int(piece.max())) for piece in pieces(values)]
    low = min((one for one, _ in ranges), default=0)
    return low, max((one for _, one in ranges), default=UNLABELLED)
