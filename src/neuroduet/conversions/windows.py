"""The windows that a model sees, as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Shaped

from neuroduet.config import Config, DataConfig
from neuroduet.conversions.xarray_datasets import Variables, require_xarray
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.types import Behaviour

if TYPE_CHECKING:
    from xarray import Dataset


def windows(path: Path | str, config: Config | DataConfig | None = None) -> Dataset:
    """All windows of a recording, binned as a model sees them.

    Args:
        path: A recording.
        config: How recordings are cut, or a configuration that says it; the default if not given.

    Returns:
        ``counts`` (or ``traces``) ``(window, time, unit)`` and the behaviours, ``(window, time[,
        <name>_channel])`` or ``(window[, <name>_channel])``. ``time`` is the centre of each bin
        from the start of the window (s). Coordinates of windows are ``start``, ``split`` and
        ``trial`` (-1 outside trials); of units ``region``. Missing values and bins after the end
        of a window are nan; missing text is empty. Everything is in memory.

    Raises:
        UserError: xarray is not installed, or the recording cannot be used.
    """
    require_xarray()
    import xarray

    sessions = open_sessions(path, config)
    if len(sessions) != 1:
        raise UserError(f"{path} holds {len(sessions)} recordings, expected one; name its file")
    session = sessions[0]
    info, table = session.info, session.windows
    batch = session.batch(np.arange(len(table)))
    valid = batch.valid.numpy()
    activity = np.where(valid[:, :, None], batch.activity.numpy(), np.float32(np.nan))
    variables: Variables = {
        "counts" if info.is_poisson else "traces": (("window", "time", "unit"), activity)
    }
    for behaviour in info.behaviours:
        values = batch.behaviours[behaviour.name].numpy()
        seen = batch.observed[behaviour.name].numpy()
        variables[behaviour.name] = behaviour_entry(behaviour, values, seen)
    coordinates: Variables = {
        "unit": ("unit", np.asarray(info.units)),
        "time": ("time", (np.arange(valid.shape[1]) + 0.5) * info.bin_size_s, {"units": "s"}),
        "start": ("window", np.asarray(table.start_s), {"units": "s"}),
        "split": ("window", np.asarray(table.split).astype(str)),
        "trial": ("window", np.asarray(table.trial)),
    }
    if info.regions is not None:
        coordinates["region"] = ("unit", np.asarray(info.regions))
    attributes = {"session": info.id, "subject": info.subject, "bin_size_s": info.bin_size_s}
    return xarray.Dataset(variables, coordinates, attributes)


def behaviour_entry(behaviour: Behaviour, values: np.ndarray, seen: np.ndarray) -> tuple[Any, ...]:
    """Dimensions and values of a behaviour of windows; nan, or no text, where it is missing."""
    dims = ("window", "time") if behaviour.per == "bin" else ("window",)
    if behaviour.kind == "categorical":
        return (dims, labelled(values, np.asarray(behaviour.classes), seen))
    found = np.where(seen[..., None], values, np.nan)
    if behaviour.size == 1:
        return (dims, found[..., 0])
    return ((*dims, f"{behaviour.name}_channel"), found)


def labelled(
    indices: Shaped[np.ndarray, "*R"],
    classes: Shaped[np.ndarray, " K"],
    seen: Bool[np.ndarray, "*R"],
) -> Shaped[np.ndarray, "*R"]:
    """Classes instead of their numbers; nan, or no text, where there is none."""
    found = classes[indices.astype(np.int64)]
    if seen.all():
        return found
    return np.where(seen, found, "" if classes.dtype.kind == "U" else np.nan)
