"""The units of one spike sorting of an IBL session: ids, regions, depths, quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import Float, Int

from neuroduet.data.readers.alf_files import (
    AlfFile,
    count_rows,
    find_file,
    read_table,
    read_vector,
)
from neuroduet.data.readers.reader import ReadOptions, RegionLevel
from neuroduet.data.readers.regions import UNKNOWN, region_names
from neuroduet.errors import UserError

_LOCATIONS = "brainLocationIds_ccf_2017"


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """One spike sorting of one probe.

    Attributes:
        probe: E.g. ``probe00``.
        sorter: E.g. ``iblsorter``; empty for the one in the probe's own folder.
        collection: Its folder below the session.
        times: ``spikes.times``.
        clusters: ``spikes.clusters``.
    """

    probe: str
    sorter: str
    collection: str
    times: Path
    clusters: Path


def count_units(files: Sequence[AlfFile], sorting: Sorting) -> int | None:
    """Clusters of a sorting, from the files that have a row for each; ``None`` without one."""
    lengths = {}
    for attribute in ("channels", "depths", "uuids"):
        path = find_file(files, "clusters", attribute, sorting.collection)
        if path is not None:
            lengths[path.name] = count_rows(path)
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {rows}" for name, rows in lengths.items())
        raise UserError(
            f"{sorting.times.parent} has clusters.* files of different length ({listed}), "
            "expected one row per cluster; download them again"
        )
    return next(iter(lengths.values()), None)


def unit_table(
    files: Sequence[AlfFile], sorting: Sorting, count: int, options: ReadOptions
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Columns of the unit table, and what could not be named.

    Raises:
        UserError: A file is damaged or does not fit the others.
    """
    ids, places = _ids(files, sorting, count), _places(files, sorting, count)
    levels: tuple[RegionLevel, ...] = get_args(RegionLevel)
    if places is None:
        regions = dict.fromkeys(levels, np.full(count, UNKNOWN))
    else:
        regions = {level: region_names(places, level)[0] for level in levels}
    strange = () if places is None else region_names(places, "allen")[1]
    depths = find_file(files, "clusters", "depths", sorting.collection)
    table = {
        "id": ids,
        "region": regions[options.regions],
        **{f"region_{level}": names for level, names in regions.items()},
        "probe": np.full(count, sorting.probe),
        "cluster": np.arange(count),
        "label": read_labels(files, sorting, count),
        "depth_um": read_vector(depths).astype(float) if depths else np.full(count, np.nan),
    }
    notes = [f"Allen ids that the table of regions lacks, kept by number: {', '.join(strange)}"]
    return table, tuple(notes if strange else ())


def _ids(files: Sequence[AlfFile], sorting: Sorting, count: int) -> np.ndarray:
    """The ids that IBL gave the clusters, or probe and number."""
    path = find_file(files, "clusters", "uuids", sorting.collection)
    if path is None:
        return np.array([f"{sorting.probe}-{number:04d}" for number in range(count)])
    table = read_table(path)
    if "uuids" not in table.columns:
        raise UserError(
            f"{path} has the columns {', '.join(map(str, table.columns))}, expected uuids; "
            "download it again"
        )
    return table["uuids"].to_numpy(dtype=np.str_)


def _places(
    files: Sequence[AlfFile], sorting: Sorting, count: int
) -> Int[np.ndarray, " N"] | None:
    """Allen id of every cluster, through the channel on which it is largest."""
    direct = find_file(files, "clusters", _LOCATIONS, sorting.collection)
    if direct is not None:
        return read_vector(direct).astype(np.int64)
    path = find_file(files, "clusters", "channels", sorting.collection)
    location = find_locations(files, sorting)
    if path is None or location is None:
        return None
    channels, ids = read_vector(path), read_vector(location)
    if channels.dtype.kind not in "iu" or channels.min() < 0 or channels.max() >= len(ids):
        raise UserError(
            f"{path} runs from {channels.min()} to {channels.max()}, but {location.name} has "
            f"{len(ids)} channels; download both again"
        )
    return ids[channels].astype(np.int64)


def find_locations(files: Sequence[AlfFile], sorting: Sorting) -> Path | None:
    """Where the channels of a probe lie: beside the sorting, or in the probe's folder."""
    for collection in (sorting.collection, f"alf/{sorting.probe}"):
        for name in ("channels", "electrodeSites"):
            path = find_file(files, name, _LOCATIONS, collection)
            if path is not None:
                return path
    return None


def read_labels(files: Sequence[AlfFile], sorting: Sorting, count: int) -> Float[np.ndarray, " N"]:
    """Quality label of every cluster (1 is good), NaN where nobody gave one."""
    labels = np.full(count, np.nan)
    path = find_file(files, "clusters", "metrics", sorting.collection)
    if path is None:
        return labels
    table = read_table(path)
    if "label" not in table.columns:
        return labels
    numbers = table["cluster_id"] if "cluster_id" in table.columns else np.arange(len(table))
    rows = np.asarray(numbers, dtype=np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= count or len(np.unique(rows)) < len(rows)):
        raise UserError(
            f"{path} (cluster_id) runs from {rows.min()} to {rows.max()} in {len(rows)} rows, "
            f"expected each of {count} clusters at most once; download it again"
        )
    labels[rows] = table["label"].to_numpy(dtype=np.float64)
    return labels
