"""IBL session folders (ALF): ``subject/date/number/alf``, as ONE downloads them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.readers.alf_cameras import (
    read_motion_energy,
    read_paw_states,
    read_pose,
    read_pupil,
)
from neuroduet.data.readers.alf_files import AlfFile, is_session, list_files, session_names
from neuroduet.data.readers.alf_found import (
    describe_others,
    describe_spikes,
    describe_trials,
    other_cameras,
)
from neuroduet.data.readers.alf_movement import read_licks, read_wheel
from neuroduet.data.readers.alf_spikes import Activity, find_sortings, read_spikes
from neuroduet.data.readers.alf_trials import Trials, read_trials
from neuroduet.data.readers.leave_out import note_left_out
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.data.schema import check
from neuroduet.errors import UserError
from neuroduet.types import BehaviourKind, Per

log = logging.getLogger(__name__)

OFFERED: dict[str, tuple[str, BehaviourKind, Per]] = {
    "wheel": ("wheel.wheel_speed", "continuous", "bin"),
    "whisker": ("whisker.whisker_motion_energy", "continuous", "bin"),
    "pupil": ("pupil.pupil_diameter", "continuous", "bin"),
    "choice": ("trials.choice", "categorical", "trial"),
    "block": ("trials.block", "categorical", "trial"),
}
"""Behaviours that a recording offers; other columns can be named in the configuration."""

_SLACK_S = 600.0
"""Cameras and wheel may run this much longer than the probes."""


class AlfReader:
    """Reads IBL session folders."""

    name = "alf"

    def recognises(self, path: Path) -> bool:
        """Whether a folder is a session, or holds one somewhere below."""
        return path.is_dir() and bool(_sessions(path))

    def sessions(self, path: Path) -> list[Path]:
        """Every session folder at or below a path.

        Raises:
            UserError: There are none.
        """
        if not path.is_dir():
            raise UserError(f"no folder {path}, expected an IBL session or a folder of sessions")
        found = _sessions(path)
        if not found:
            raise UserError(
                f"{path} holds no folder alf, expected subject/date/number/alf; give the folder "
                "into which the sessions were downloaded"
            )
        return found

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What a session holds; spikes are read only to say which units will be left out.

        Raises:
            UserError: A file is damaged.
        """
        files = list_files(path)
        sortings, aside = find_sortings(files, options)
        trials = read_trials(files, options.trial_filter)
        items = {
            **describe_spikes(files, sortings),
            **describe_trials(trials),
            **describe_others(files, options),
        }
        expected = ("spikes", "regions", "trials", "wheel", "licks", "whisker", "pose", "pupil")
        choosy = bool(sortings) and _selects_units(options)
        left_out = read_spikes(files, sortings, options).notes if choosy else ()
        dropped = (
            *aside,
            *left_out,
            *(trials.notes if trials else ()),
            *other_cameras(files, options),
        )
        return Found(
            source=str(path),
            session=options.session_id or session_names(path)[0],
            items=items,
            missing=tuple(one for one in expected if one not in items),
            dropped=dropped,
        )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One session as a recording.

        Raises:
            UserError: Files are damaged or do not fit each other, or nothing can be modelled.
        """
        files = list_files(path)
        sortings, _ = find_sortings(files, options)
        activity = read_spikes(files, sortings, options) if sortings else None
        for note in activity.notes if activity else ():
            log.info("%s: left out %s", path, note)
        trials = read_trials(files, options.trial_filter)
        groups = _series(files, options)
        if activity is None and "pose" not in groups:
            raise UserError(
                f"{path / 'alf'} holds neither spikes.times nor pose, expected one of them; "
                "download the spike sorting or the pose of this session"
            )
        _check_clocks(path, activity, groups)
        recording = _assemble(path, options, activity, trials, groups)
        note_left_out(recording, () if trials is None else trials.notes)
        check(recording)
        return recording


def _selects_units(options: ReadOptions) -> bool:
    chosen = (options.min_unit_label, options.min_rate_hz, options.units)
    return any(choice is not None for choice in chosen)


def _sessions(path: Path) -> list[Path]:
    if path.name == "alf":
        return [path.parent]
    if is_session(path):
        return [path]
    return sorted(found.parent for found in path.rglob("alf") if found.is_dir())


def _series(files: Sequence[AlfFile], options: ReadOptions) -> dict[str, ArrayDict]:
    """Everything that goes on beside the spikes, by group."""
    groups: dict[str, ArrayDict] = {}
    wheel = read_wheel(files)
    if wheel is not None:
        groups["wheel"] = wheel
    whisker = read_motion_energy(files, options.camera)
    if whisker is not None:
        groups["whisker"] = whisker
    pupil, _ = read_pupil(files, options.camera)
    if pupil is not None:
        groups["pupil"] = pupil
    return {
        **groups,
        **read_licks(files),
        **read_pose(files, options.camera, options.pose_likelihood),
        **read_paw_states(files, options.camera),
    }


def _check_clocks(path: Path, activity: Activity | None, groups: Mapping[str, ArrayDict]) -> None:
    """Refuse series of which most lies where no spikes were recorded: another clock or unit."""
    if activity is None or not len(activity.times_s):
        return
    low, high = activity.times_s[0] - _SLACK_S, activity.times_s[-1] + _SLACK_S
    for name, group in groups.items():
        if isinstance(group, IrregularTimeSeries) and len(group.timestamps):
            times = group.timestamps
            if ((times >= low) & (times <= high)).mean() < 0.5:
                raise UserError(
                    f"{path / 'alf'}: times of {name} run from {times[0]:.0f} to {times[-1]:.0f} "
                    f"but spikes from {low + _SLACK_S:.0f} to {high - _SLACK_S:.0f}, expected "
                    "seconds on one clock; convert the times, or remove the file"
                )


def _assemble(
    path: Path,
    options: ReadOptions,
    activity: Activity | None,
    trials: Trials | None,
    groups: Mapping[str, ArrayDict],
) -> Data:
    session, subject = session_names(path)
    moments = [group.timestamps[[0, -1]] for group in groups.values()
               if isinstance(group, IrregularTimeSeries) and len(group.timestamps)]  # fmt: skip
    present: dict[str, ArrayDict] = dict(groups)
    if activity is not None:
        moments = [activity.times_s[[0, -1]]]
    if trials is not None:
        columns = trials.columns
        present["trials"] = Interval(timekeys=_time_keys(columns), **columns)
        moments.append(np.array([columns["start"][0], columns["end"].max()]))
    edges = np.concatenate(moments)
    domain = Interval(float(edges.min()), float(edges.max()))
    if activity is not None:
        present["spikes"] = IrregularTimeSeries(
            timestamps=activity.times_s, unit_index=activity.unit_index, domain=domain
        )
        present["units"] = ArrayDict(**activity.units)
    return Data(
        session=SessionDescription(id=options.session_id or session),
        subject=SubjectDescription(id=subject),
        domain=domain,
        behaviours=_offered(present),
        **present,
    )


def _time_keys(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Columns that hold times, which slicing a recording must shift."""
    return ["start", "end", *(name for name in columns if name.endswith("_times"))]


def _offered(present: Mapping[str, ArrayDict]) -> ArrayDict:
    rows = []
    for name, (source, kind, per) in OFFERED.items():
        group, field = source.split(".")
        if group in present and field in present[group]:
            rows.append((name, source, kind, per))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 4
    names = ("name", "source", "kind", "per")
    return ArrayDict(
        **{
            name: np.array(values, dtype=np.str_)
            for name, values in zip(names, columns, strict=True)
        }
    )
