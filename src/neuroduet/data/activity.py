"""What neural activity must look like in a recording: events, counts or traces; and its units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
from torch_brain.data import ArrayDict, Data

from neuroduet.data.columns import column, groups, pieces, scalar
from neuroduet.types import NeuralKind

NEURAL_KINDS: tuple[NeuralKind, ...] = get_args(NeuralKind)


def activity_problems(recording: Data, present: list[NeuralKind]) -> Iterator[str]:
    """Why the activity of a recording, or its unit table, cannot be used.

    Args:
        recording: Recording.
        present: Neural groups that it holds.
    """
    if len(present) != 1:
        found = " and ".join(present) or "none"
        yield (
            f"found {found} of the neural groups {', '.join(NEURAL_KINDS)}, expected exactly one; "
            "keep the one that is to be modelled"
        )
    units = groups(recording).get("units")
    n_units = len(column(units, "id")) if units is not None and "id" in units else None
    if n_units is None:
        yield "found no unit table with a column id; add units=ArrayDict(id=...)"
    elif len(np.unique(column(units, "id"))) < n_units:
        yield "found duplicate ids in units.id; give every unit its own id"
    for kind in present:
        yield from time_problems(kind, groups(recording)[kind])
        find = _event_problems if kind == "spikes" else _binned_problems
        yield from find(recording, kind, n_units)


def time_problems(name: str, group: ArrayDict) -> Iterator[str]:
    """Why the times of a series, which has this name, cannot be used."""
    times = column(group, "timestamps")
    if times.dtype.kind != "f":
        yield f"{name}.timestamps is of type {times.dtype}, expected float64 seconds"
        return
    finite = ordered = True
    for piece in pieces(times, overlap=1):
        finite &= bool(np.isfinite(piece).all())
        ordered &= bool((np.diff(piece) >= 0).all())
    if not finite:
        yield f"{name}.timestamps holds values that are not finite; leave those samples out"
    elif not ordered:
        yield f"{name}.timestamps is not sorted; sort the group by time"


def _event_problems(recording: Data, kind: str, n_units: int | None) -> Iterator[str]:
    group = groups(recording)[kind]
    if "unit_index" not in group:
        yield f"found no {kind}.unit_index; add the row in units of each spike"
        return
    index = column(group, "unit_index")
    if index.dtype.kind not in "iu" or index.ndim != 1:
        yield f"{kind}.unit_index is {index.ndim}-D of type {index.dtype}, expected 1-D integers"
    elif n_units is not None and len(index):
        ranges = [(int(piece.min()), int(piece.max())) for piece in pieces(index)]
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        if low < 0 or high >= n_units:
            yield (
                f"{kind}.unit_index runs from {low} to {high}, but there are {n_units} units "
                f"(0 to {n_units - 1}); index the rows of units"
            )


def _binned_problems(recording: Data, kind: str, n_units: int | None) -> Iterator[str]:
    group = groups(recording)[kind]
    bin_size_s = scalar(recording, "bin_size_s")
    if bin_size_s is None or not 0 < float(bin_size_s) < float("inf"):
        yield f"found bin_size_s {bin_size_s}, expected the width of a bin of {kind} in seconds"
    if "values" not in group:
        yield f"found no {kind}.values; add an array of shape (time, units)"
        return
    values = column(group, "values")
    if values.ndim != 2 or (n_units is not None and values.shape[1] != n_units):
        expected = "units" if n_units is None else f"{n_units} units"
        yield f"{kind}.values has shape {tuple(values.shape)}, expected (time, {expected})"
        return
    if values.dtype.kind not in "iuf":
        yield f"{kind}.values is of type {values.dtype}, expected numbers"
        return
    finite = whole = positive = True
    for piece in pieces(values):
        finite &= bool(np.isfinite(piece).all())
        positive &= bool((piece >= 0).all())
        whole &= piece.dtype.kind in "iu" or bool((piece == np.round(piece)).all())
    if not finite:
        yield f"{kind}.values holds values that are not finite; leave those bins out"
    elif kind == "counts" and not (whole and positive):
        yield "counts.values holds negative or fractional numbers; store them as traces instead"
