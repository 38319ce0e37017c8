"""What a run predicted, laid on the time axis of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from neuroduet.data.boundary import npz_names, read_npz, reading
from neuroduet.errors import UserError
from neuroduet.view.bins import BinnedCounts, count_bins
from neuroduet.view.packed import open_rows
from neuroduet.view.segments import Clock, clock
from neuroduet.view.traces import Signal, signal

PREFERRED = ("test", "valid", "train")
"""Where windows overlap, the answer for the first of these splits is shown."""

NEURAL = ("encoding/log_rates", "encoding/traces")


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictedBehaviour:
    """One decoded behaviour.

    Attributes:
        times: When its bins, or its windows, are.
        classes: Names of the classes; empty if it is continuous.
        samples: Continuous values per bin.
        values: Continuous values per window, ``(W, C)``.
        codes: Most likely class of every bin or window.
    """

    times: Clock
    classes: tuple[str, ...] = ()
    samples: Signal | None = None
    values: Float[np.ndarray, "W C"] | None = None
    codes: Int[np.ndarray, " W"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a run predicted of one recording.

    Attributes:
        rates: Rate (Hz) of every bin and unit, in display order, or traces.
        behaviours: By name.
        windows: Start and end of the windows (s), and their splits.
    """

    rates: BinnedCounts | None
    behaviours: dict[str, PredictedBehaviour]
    windows: tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"], tuple[str, ...]]


def open_predictions(
    path: Path, ids: tuple[str, ...], order: Int[np.ndarray, " N"]
) -> Predictions:
    """Read what ``neuroduet predict`` wrote, for windows or for the whole recording.

    Args:
        path: ``<session>.npz``.
        ids: Units of the recording.
        order: Unit of every row of the display.

    Raises:
        UserError: The file is damaged or holds something else.
    """
    large = ("true/", "observed/", *NEURAL)
    names = npz_names(path)
    wanted = tuple(name for name in names if not name.startswith(large))
    with reading(path):
        arrays = read_npz(path, wanted)
        missing = {"valid", "units", "bin_size_s", "split"} - arrays.keys()
        if missing or not {"time_s", "start_s"} & arrays.keys():
            raise UserError(
                f"{path} holds no predictions of a run, expected a file of `neuroduet predict`; "
                "make it again"
            )
        laid = _Laid.of(arrays)
        return Predictions(
            rates=_rates(path, names, laid, [str(unit) for unit in arrays["units"]], ids, order),
            behaviours={
                name.removeprefix("decoding/"): _behaviour(name, arrays, laid)
                for name in arrays
                if name.startswith("decoding/")
            },
            windows=_windows(arrays),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Laid:
    """Which bins of which windows are shown, in the order of time."""

    time_s: Float[np.ndarray, " R"]
    row: Int[np.ndarray, " R"]
    bin_size_s: float

    @staticmethod
    def of(arrays: Mapping[str, np.ndarray]) -> _Laid:
        width, valid = float(arrays["bin_size_s"]), arrays["valid"].astype(bool)
        if "time_s" in arrays:
            time_s = arrays["time_s"].astype(np.float64)
            rank = np.zeros(len(time_s), dtype=np.int64)
        else:
            offset_s = (np.arange(valid.shape[1]) + 0.5) * width
            time_s = (arrays["start_s"][:, None] + offset_s).ravel()
            place = {name: number for number, name in enumerate(PREFERRED)}
            ranks = [place.get(str(name), len(place)) for name in arrays["split"]]
            rank = np.repeat(np.array(ranks, dtype=np.int64), valid.shape[1])
        row = np.flatnonzero(valid.ravel())
        slot = np.floor((time_s[row] - time_s.min(initial=0.0)) / width + 1e-6)
        row = row[np.lexsort((rank[row], slot))]
        slot = np.floor((time_s[row] - time_s.min(initial=0.0)) / width + 1e-6)
        row = row[np.diff(slot, prepend=-1.0) > 0]
        row = row[np.argsort(time_s[row], kind="stable")]
        return _Laid(time_s=time_s[row], row=row, bin_size_s=width)

    def values(self, given: Shaped[np.ndarray, "*A"], n_axes: int) -> Shaped[np.ndarray, "R *C"]:
        """Rows of an array whose first ``n_axes`` axes run over windows and bins."""
        return given.reshape(-1, *given.shape[n_axes:])[self.row]


def _rates(
    path: Path,
    names: tuple[str, ...],
    laid: _Laid,
    predicted: list[str],
    ids: tuple[str, ...],
    order: Int[np.ndarray, " N"],
) -> BinnedCounts | None:
    name = next((name for name in NEURAL if name in names), None)
    if name is None:
        return None
    take = open_rows(path, name)

    def read(part: slice) -> Float[np.ndarray, "R N"]:
        with reading(path):
            values = take(laid.row[part]).astype(np.float32)
        if name == NEURAL[0]:
            # A diverged model predicts infinite rates, which no colour could show.
            np.exp(np.clip(values, -30, 20, out=values), out=values)
            values /= laid.bin_size_s
        return np.nan_to_num(values, copy=False, posinf=0, neginf=0)

    place = {unit: number for number, unit in enumerate(predicted)}
    if read(slice(0, 0)).shape[1] != len(predicted):
        raise ValueError(f"{name} is not of the {len(predicted)} units in 'units'")
    own = np.array([place.get(ids[unit], -1) for unit in order], dtype=np.int64)
    return count_bins(laid.time_s, read, own, laid.bin_size_s, averaged=True)


def _behaviour(name: str, arrays: Mapping[str, np.ndarray], laid: _Laid) -> PredictedBehaviour:
    given = arrays[name]
    names = arrays.get(f"classes/{name.removeprefix('decoding/')}")
    classes = () if names is None else tuple(str(value) for value in names.tolist())
    if given.ndim == 2 and "time_s" not in arrays:
        start_s, end_s, _ = _windows(arrays)
        times = Clock(start_s=start_s, end_s=end_s, step_s=0.0)
        values = given.astype(np.float64)
    else:
        times = clock(laid.time_s - laid.bin_size_s / 2, laid.bin_size_s)
        values = laid.values(given, given.ndim - 1)
        if not classes:
            return PredictedBehaviour(times=times, samples=signal(laid.time_s, values))
    if classes:
        codes = values.argmax(axis=1).astype(np.int64)
        return PredictedBehaviour(times=times, classes=classes, codes=codes)
    return PredictedBehaviour(times=times, values=values)


def _windows(
    arrays: Mapping[str, np.ndarray],
) -> tuple[Float[np.ndarray, " W"], Float[np.ndarray, " W"], tuple[str, ...]]:
    width, split = float(arrays["bin_size_s"]), arrays["split"].astype(np.str_)
    if "time_s" in arrays:
        change = np.ones(len(split), dtype=bool)
        change[1:] = split[1:] != split[:-1]
        begin = np.flatnonzero(change)
        stop = np.append(begin[1:], len(split))[: len(begin)] - 1
        time_s = arrays["time_s"].astype(np.float64)
        names = tuple(str(name) for name in split[begin])
        return time_s[begin] - width / 2, time_s[stop] + width / 2, names
    start_s = arrays["start_s"].astype(np.float64)
    bins = arrays["valid"].sum(axis=1)
    return start_s, start_s + bins * width, tuple(str(name) for name in split)
