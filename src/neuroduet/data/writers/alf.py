"""A recording as an IBL session folder (ALF)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch_brain.data import ArrayDict, Data

from neuroduet.atomic import replacing
from neuroduet.data.columns import column, fields, groups
from neuroduet.data.readers.regions import region_table
from neuroduet.data.schema import check, subject_id
from neuroduet.errors import UserError
from neuroduet.plain import plain_name


@dataclass(frozen=True, kw_only=True)
class AlfLayout:
    """How the folder is laid out.

    Attributes:
        lab: Name of the laboratory.
        date: Day of the session.
        number: Number of the session on that day.
        probes: Probes over which units are spread where the unit table names none.
        sorter: Folder of the spike sorting below a probe's; empty for none.
        revision: Revision folder to write into, e.g. ``2024-05-06``; empty for none.
        uuid: Extra part of every file name, as in downloads that keep it; empty for none.
        trial_table: One table of trials; otherwise a file per column.
    """

    lab: str = "lab"
    date: str = "2024-01-01"
    number: int = 1
    probes: int = 2
    sorter: str = "iblsorter"
    revision: str = ""
    uuid: str = ""
    trial_table: bool = True


def write_alf(recording: Data, root: Path | str, layout: AlfLayout | None = None) -> Path:
    """Write spikes, units, trials, wheel, whisker and pose of a recording as ALF files.

    Only wheel speed is stored in a recording, so its integral is written as the position.

    Args:
        recording: A recording that passes :func:`neuroduet.data.recording.check`, with spikes.
        root: Folder to write into; made if it does not exist.
        layout: How.

    Returns:
        The session folder, ``root/lab/Subjects/subject/date/number``.

    Raises:
        UserError: The recording has no spikes, or its animal a name that no folder can have.
    """
    layout = layout or AlfLayout()
    check(recording)
    present = groups(recording)
    if "spikes" not in present:
        raise UserError("only recordings with spikes can be written as ALF; found none")
    subject = subject_id(recording)
    try:
        plain_name(subject)
    except ValueError as error:
        raise UserError(
            f"subject.id {subject[:60]!r} cannot name a folder: {error}; rename the animal"
        ) from None
    session = (
        Path(root) / layout.lab / "Subjects" / subject / layout.date
        / f"{layout.number:03d}"
    )  # fmt: skip
    writer = _Writer(alf=session / "alf", layout=layout)
    _write_spikes(writer, present["spikes"], present["units"])
    if "trials" in present:
        _write_trials(writer, present["trials"])
    if "wheel" in present:
        _write_wheel(writer, present["wheel"])
    _write_camera(writer, present)
    return session


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Puts each file into its folder, under its full name."""

    alf: Path
    layout: AlfLayout

    def array(self, folder: str, name: str, values: np.ndarray) -> None:
        with replacing(self._path(folder, name)) as path, path.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def table(self, folder: str, name: str, columns: dict[str, np.ndarray]) -> None:
        import pandas as pd

        frame = pd.DataFrame(columns)
        with replacing(self._path(folder, name)) as path:
            if name.endswith("csv"):
                frame.to_csv(path, index=False)
            else:
                frame.to_parquet(path, index=False)

    def _path(self, folder: str, name: str) -> Path:
        revision = f"#{self.layout.revision}#" if self.layout.revision else ""
        stem, _, extension = name.rpartition(".")
        extra = f".{self.layout.uuid}" if self.layout.uuid else ""
        path = self.alf / folder / revision / f"{stem}{extra}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _write_spikes(writer: _Writer, spikes: ArrayDict, units: ArrayDict) -> None:
    times = np.asarray(column(spikes, "timestamps"), dtype=np.float64)
    index = np.asarray(column(spikes, "unit_index"))
    ids = np.asarray(column(units, "id"))
    probe = _probes(units, len(ids), writer.layout.probes)
    for name in np.unique(probe):
        rows = np.flatnonzero(probe == name)
        cluster = np.full(len(ids), -1)
        cluster[rows] = np.arange(len(rows))
        mine = cluster[index] >= 0
        folder = f"{name}/{writer.layout.sorter}".rstrip("/")
        writer.array(folder, "spikes.times.npy", times[mine])
        writer.array(folder, "spikes.clusters.npy", cluster[index][mine].astype(np.int32))
        writer.array(folder, "clusters.channels.npy", np.arange(len(rows)))
        writer.table(folder, "clusters.uuids.csv", {"uuids": ids[rows]})
        if "depth_um" in units:
            depth_um = np.asarray(column(units, "depth_um"), dtype=np.float64)[rows]
            writer.array(folder, "clusters.depths.npy", depth_um)
        metrics = {"cluster_id": np.arange(len(rows)), "label": _labels(units, rows)}
        writer.table(folder, "clusters.metrics.pqt", metrics)
        places = _places(units, rows)
        if places is not None:
            writer.array(folder, "channels.brainLocationIds_ccf_2017.npy", places)


def _probes(units: ArrayDict, count: int, probes: int) -> np.ndarray:
    if "probe" in units:
        return np.asarray(column(units, "probe"))
    return np.array([f"probe{row * probes // max(count, 1):02d}" for row in range(count)])


def _labels(units: ArrayDict, rows: np.ndarray) -> np.ndarray:
    if "label" not in units:
        return np.ones(len(rows))
    return np.asarray(column(units, "label"), dtype=np.float64)[rows]


def _places(units: ArrayDict, rows: np.ndarray) -> np.ndarray | None:
    """Allen id of every unit; names that are no Allen acronym become the root."""
    if "region" not in units:
        return None
    ids = {region.allen: number for number, region in region_table().items()}
    finest = "region_allen" if "region_allen" in units else "region"
    names = np.asarray(column(units, finest))[rows]
    return np.array([ids.get(str(name), ids["root"]) for name in names])


def _write_trials(writer: _Writer, trials: ArrayDict) -> None:
    columns = {name: np.asarray(column(trials, name)) for name in fields(trials)}
    start, end = columns.pop("start"), columns.pop("end")
    block, reward = columns.pop("block", None), columns.pop("reward", None)
    contrast = columns.pop("contrast", None)
    columns.pop("split", None)
    if block is not None:
        columns["probabilityLeft"] = block
    if reward is not None:
        columns["feedbackType"] = np.where(reward > 0, 1, -1)
    if contrast is not None:
        columns["contrastLeft"] = np.where(contrast < 0, -contrast, np.nan)
        columns["contrastRight"] = np.where(contrast < 0, np.nan, contrast)
    if writer.layout.trial_table:
        table = {**columns, "intervals_0": start, "intervals_1": end}
        writer.table("", "_ibl_trials.table.pqt", table)
        return
    writer.array("", "_ibl_trials.intervals.npy", np.stack([start, end], axis=1))
    for name, values in columns.items():
        writer.array("", f"_ibl_trials.{name}.npy", values)


def _write_wheel(writer: _Writer, wheel: ArrayDict) -> None:
    times = np.asarray(column(wheel, "timestamps"), dtype=np.float64)
    field = "wheel_velocity" if "wheel_velocity" in wheel else "wheel_speed"
    velocity = np.asarray(column(wheel, field), dtype=np.float64)
    travelled = (velocity[1:] + velocity[:-1]) / 2 * np.diff(times)
    writer.array("", "_ibl_wheel.timestamps.npy", times)
    writer.array("", "_ibl_wheel.position.npy", np.concatenate([[0.0], np.cumsum(travelled)]))


def _write_camera(writer: _Writer, present: dict[str, ArrayDict]) -> None:
    """The whisker pad on the left camera, pose on the same one where there is no whisker."""
    if "whisker" in present:
        whisker = present["whisker"]
        times = np.asarray(column(whisker, "timestamps"), dtype=np.float64)
        energy = np.asarray(column(whisker, "whisker_motion_energy"))
        writer.array("", "_ibl_leftCamera.times.npy", times)
        writer.array("", "leftCamera.ROIMotionEnergy.npy", energy)
    pose = present.get("pose")
    if pose is None:
        return
    camera = "right" if "whisker" in present else "left"
    xy, sure = np.asarray(column(pose, "xy")), np.asarray(column(pose, "likelihood"))
    columns: dict[str, np.ndarray] = {}
    for row, name in enumerate(np.asarray(column(present["keypoints"], "name"))):
        columns |= {f"{name}_x": xy[:, row, 0], f"{name}_y": xy[:, row, 1]}
        columns[f"{name}_likelihood"] = sure[:, row]
    times = np.asarray(column(pose, "timestamps"), dtype=np.float64)
    writer.array("", f"_ibl_{camera}Camera.times.npy", times)
    writer.table("", f"_ibl_{camera}Camera.lightningPose.pqt", columns)
