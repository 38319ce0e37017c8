"""A recording as rows of trials with sparse spikes, as the ``_aligned`` data sets hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer
from torch_brain.data import ArrayDict, Data

from neuroduet.atomic import replacing
from neuroduet.data.binning import bin_events, sample_series, select_bins
from neuroduet.data.columns import column, groups, scalar
from neuroduet.data.schema import check, describe_behaviours, recording_id, subject_id
from neuroduet.errors import UserError

Format = Literal["parquet", "arrow"]
NAMES = {"train": "train", "valid": "val", "test": "test"}
"""Our names of the splits, and those of the data sets."""


@dataclass(frozen=True, kw_only=True)
class _Trials:
    """When the trials start, how they are binned, and the split of each."""

    start_s: np.ndarray
    bins: int
    bin_size_s: float
    split: np.ndarray

    def edges(self) -> Float[np.ndarray, "W T"]:
        """Right edges of the bins, at which behaviour is sampled."""
        return self.start_s[:, None] + (np.arange(self.bins) + 1) * self.bin_size_s


def write_rows(
    recording: Data, folder: Path | str, *, bin_size_s: float = 0.02, format: Format = "parquet"
) -> Path:
    """Write trials of equal length, one row each.

    Behaviour per bin is sampled at the right edges of the bins, as published.

    Args:
        recording: A recording that passes :func:`neuroduet.data.recording.check`, with spikes or
            counts and with trials.
        folder: Folder to write into; made if it does not exist.
        bin_size_s: Width of a bin (s); a recording of counts keeps its own.
        format: ``parquet`` (``data/train-00000-of-00001.parquet``) or ``arrow``
            (``train/data-00000-of-00001.arrow``, a stream).

    Returns:
        The folder.

    Raises:
        UserError: There are no trials, they differ in length, or counts lack some of their bins.
    """
    folder = Path(folder)
    check(recording)
    present = groups(recording)
    if "trials" not in present or not {"spikes", "counts"} & present.keys():
        raise UserError(
            f"recording {recording_id(recording)!r} has no trials or no spikes, expected both to "
            "write rows; give another recording"
        )
    trials = _trials(recording, present["trials"], bin_size_s)
    columns = {**_spikes(present, trials), **_behaviours(recording, trials)}
    columns |= _about(recording, trials)
    for split in NAMES:
        rows = np.flatnonzero(trials.split == split)
        if len(rows):
            _write(
                folder, split, {k: [v[row] for row in rows] for k, v in columns.items()}, format
            )
    return folder


def _trials(recording: Data, table: ArrayDict, bin_size_s: float) -> _Trials:
    own = scalar(recording, "bin_size_s")
    width = float(own) if own is not None and "counts" in groups(recording) else bin_size_s
    start, end = (np.asarray(column(table, name), dtype=np.float64) for name in ("start", "end"))
    bins = np.round((end - start) / width).astype(int)
    if len(np.unique(bins)) != 1:
        raise UserError(
            f"trials of recording {recording_id(recording)!r} last {(end - start).min():.3g} to "
            f"{(end - start).max():.3g} s, expected equal lengths to write rows; cut them first"
        )
    split = (
        np.asarray(column(table, "split")) if "split" in table else np.full(len(start), "train")
    )
    return _Trials(start_s=start, bins=int(bins[0]), bin_size_s=width, split=split)


def _counts(present: dict[str, ArrayDict], trials: _Trials) -> Integer[np.ndarray, "W T N"]:
    if "counts" in present:
        times = np.asarray(column(present["counts"], "timestamps"), dtype=np.float64)
        row = select_bins(times, trials.start_s, trials.bins, trials.bin_size_s)
        if (row < 0).any():
            raise UserError(
                f"{int((row < 0).any(1).sum())} trials have bins in which no counts were "
                "recorded, expected whole trials to write rows; leave those trials out"
            )
        return np.asarray(column(present["counts"], "values"))[row]
    spikes, units = present["spikes"], present["units"]
    found = bin_events(
        np.asarray(column(spikes, "timestamps")),
        np.asarray(column(spikes, "unit_index")),
        trials.start_s,
        trials.bins,
        trials.bin_size_s,
        len(column(units, "id")),
    )
    return np.asarray(found).astype(np.int64)


def _spikes(present: dict[str, ArrayDict], trials: _Trials) -> dict[str, list[Any]]:
    from scipy.sparse import csr_array

    counts = _counts(present, trials)
    # As published; only wide bins hold more than 255 spikes.
    small = np.promote_types(np.uint8, np.min_scalar_type(int(counts.max(initial=0))))
    sparse = [csr_array(one) for one in counts]
    return {
        "spikes_sparse_data": [one.data.astype(small) for one in sparse],
        "spikes_sparse_indices": [one.indices.astype(np.int64) for one in sparse],
        "spikes_sparse_indptr": [one.indptr.astype(np.int64) for one in sparse],
        "spikes_sparse_shape": [np.array(one.shape) for one in sparse],
    }


def _behaviours(recording: Data, trials: _Trials) -> dict[str, list[Any]]:
    present = groups(recording)
    found: dict[str, list[Any]] = {}
    for one in describe_behaviours(recording):
        group, _, field = one.source.partition(".")
        values = np.asarray(column(present[group], field))
        if one.per == "trial":
            found[one.name] = values.tolist()
        elif one.kind == "continuous" and values.ndim == 1:
            times = np.asarray(column(present[group], "timestamps"), dtype=np.float64)
            sampled, observed = sample_series(times, values, trials.edges(), trials.bin_size_s)
            found[one.name] = list(np.where(observed, sampled, np.nan))
    return found


def _about(recording: Data, trials: _Trials) -> dict[str, list[Any]]:
    """What the data sets repeat in every row."""
    units = groups(recording)["units"]
    repeated: dict[str, Any] = {
        "binsize": trials.bin_size_s,
        "interval_len": trials.bins * trials.bin_size_s,
        "eid": recording_id(recording),
        "subject": subject_id(recording),
        "cluster_uuids": np.asarray(column(units, "id")).tolist(),
    }
    fields = {
        "cluster_regions": "region_allen" if "region_allen" in units else "region",
        "cluster_depths": "depth_um",
        "good_clusters": "label",
    }
    for name, field in fields.items():
        if field in units:
            repeated[name] = np.asarray(column(units, field)).tolist()
    return {name: [value] * len(trials.start_s) for name, value in repeated.items()}


def _write(folder: Path, split: str, columns: dict[str, list[Any]], format: Format) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = pa.table(columns)
    name = NAMES[split]
    path = folder / name / "data-00000-of-00001.arrow"
    if format == "parquet":
        path = folder / "data" / f"{name}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        if format == "parquet":
            parquet.write_table(table, temporary)
            return
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)
