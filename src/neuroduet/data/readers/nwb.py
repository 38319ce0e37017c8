"""NWB files: units, trials, behaviour and pose, from disk or (only when asked) from a URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries

from neuroduet.data.boundary import require_own_data
from neuroduet.data.readers.assembly import assemble, require_one_clock
from neuroduet.data.readers.hdf5_files import opened, text_of
from neuroduet.data.readers.mapping import read_mapping
from neuroduet.data.readers.naming import ascii_text
from neuroduet.data.readers.nwb_behaviours import NwbChoice, add_speeds, drifting, offers_of
from neuroduet.data.readers.nwb_series import NwbSeries, find_series, read_series
from neuroduet.data.readers.nwb_tables import NwbTrials, read_trials
from neuroduet.data.readers.nwb_units import has_spikes, read_units, unit_table
from neuroduet.data.readers.pose_ndx import pose_containers, read_ndx_pose
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.errors import UserError

SUFFIXES = (".nwb", ".h5", ".hdf5")
_URL = re.compile(r"^(https?):/+")


class NwbReader:
    """Reads NWB files."""

    name = "nwb"

    def recognises(self, path: Path) -> bool:
        """Whether a file is NWB, or a folder holds some; a URL never is without being asked."""
        return bool(_files(path))

    def sessions(self, path: Path) -> Sequence[Path]:
        """Every NWB file at or below a path; a URL stands for itself.

        Raises:
            UserError: There are none.
        """
        if _URL.match(path.as_posix()) or path.is_file():
            return [path]
        if not path.exists():
            raise UserError(f"nothing at {path}, expected an NWB file or a folder of them")
        found = _files(path)
        if not found:
            raise UserError(f"{path} holds no NWB files (.nwb), expected at least one")
        return found

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What a file holds; of the units only the table is read, of a URL no series.

        Raises:
            UserError: The file is damaged, or is no NWB file.
        """
        source = _said(path)
        with _nwb(path) as file:
            items, dropped = _describe(file, path, source, options)
            expected = ("spikes", "regions", "trials", "behaviour", "pose")
            return Found(
                source=source,
                session=_session(file, path, options),
                items=items,
                missing=tuple(one for one in expected if one not in items),
                dropped=dropped,
                warnings=() if _is_url(path) else drifting(file, _choice(options), source),
            )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One file as a recording.

        Raises:
            UserError: Something is damaged or does not fit, or nothing can be modelled.
        """
        source = _said(path)
        choice = _choice(options)
        with _nwb(path) as file:
            session, subject = _session(file, path, options), _subject(file)
            units = read_units(file, source, options) if has_spikes(file) else None
            trials = read_trials(file, source, options)
            groups = _series(file, source)
            poses = pose_containers(file)
        if poses and not _is_url(path):
            groups |= _pose(path, tuple(poses), options.pose_likelihood)
        add_speeds(groups, choice, source)
        if units is None and "pose" not in groups:
            raise UserError(
                f"{source} holds neither units.spike_times nor a pose, expected one of them; give "
                "the file with the sorted spikes"
            )
        if units is not None:
            groups["units"] = ArrayDict(**units.table)
        if trials is not None:
            groups["trials"] = Interval(timekeys=list(trials.times), **trials.columns)
        if units is not None:
            require_one_clock(source, units.events["timestamps"], groups)
        return assemble(
            source,
            session=session,
            subject=subject,
            events=None if units is None else units.events,
            groups=groups,
            offers=offers_of(groups, choice, options.mapping),
        )


def _choice(options: ReadOptions) -> NwbChoice:
    return NwbChoice() if options.mapping is None else read_mapping(options.mapping, NwbChoice)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if _is_nwb(path) else []
    found = sorted(file for file in path.rglob("*.nwb") if not file.name.startswith("."))
    return [file for file in found if file.is_file()]


def _is_nwb(path: Path) -> bool:
    if path.suffix == ".nwb":
        return True
    if path.suffix not in SUFFIXES or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return "nwb_version" in file.attrs
    except OSError:
        return False


def _is_url(path: Path) -> bool:
    return bool(_URL.match(path.as_posix()))


def _said(path: Path) -> str:
    """The source as it was given: a path joins the slashes of a URL."""
    return _URL.sub(r"\1://", path.as_posix()) if _is_url(path) else str(path)


@contextmanager
def _nwb(path: Path) -> Iterator[h5py.File]:
    with _remote(_said(path)) if _is_url(path) else opened(path) as file:
        if "nwb_version" not in file.attrs:
            raise UserError(
                f"{_said(path)} has no attribute nwb_version, expected an NWB file; read it as "
                "what it is (--brainsets, --mat)"
            )
        yield file


@contextmanager
def _remote(url: str) -> Iterator[h5py.File]:
    try:
        import remfile
    except ImportError:
        raise UserError(
            f"reading {url} needs remfile; install it with: pip install 'neuroduet[nwb]'"
        ) from None
    try:
        with h5py.File(remfile.File(url), "r") as file:
            require_own_data(file, url)
            yield file
    except UserError:
        raise
    except Exception as error:
        # remfile reports what the network did as plain exceptions.
        reason = str(error).split("\n")[0]
        raise UserError(
            f"{url} cannot be read ({reason}); check the address and the network, or download it"
        ) from error


def _session(file: h5py.File, path: Path, options: ReadOptions) -> str:
    """The file's name, which is its own in its folder; its identifier where it has no name."""
    if options.session_id is not None:
        return options.session_id
    name = path.name
    if _is_url(path):
        name = text_of(file["identifier"][()]) if "identifier" in file else path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return ascii_text(name).replace("/", "_").replace("\\", "_")


def _subject(file: h5py.File) -> str | None:
    found = file.get("general/subject/subject_id")
    return None if found is None else text_of(found[()])


def _series(file: h5py.File, source: str) -> dict[str, ArrayDict]:
    groups: dict[str, ArrayDict] = {}
    for one in find_series(file):
        series = None if one.why_not else read_series(one, source)
        if series is not None:
            groups[one.name] = series
    return groups


def _pose(path: Path, containers: tuple[str, ...], likelihood: float) -> dict[str, ArrayDict]:
    """Groups ``pose`` and ``keypoints`` of the first (or only) camera."""
    tracks = read_ndx_pose(path, containers[:1])
    times = tracks.timestamps
    if times is None:
        return {}
    sure = tracks.likelihood
    xy = np.where((sure >= likelihood)[..., None], tracks.xy, np.nan)
    return {
        "pose": IrregularTimeSeries(
            timestamps=times, xy=xy.astype(np.float32), likelihood=sure.astype(np.float32)
        ),
        "keypoints": ArrayDict(name=np.array([ascii_text(name) for name in tracks.keypoints])),
    }


def _describe(
    file: h5py.File, path: Path, source: str, options: ReadOptions
) -> tuple[dict[str, str], tuple[str, ...]]:
    items: dict[str, str] = {}
    dropped: list[str] = []
    if has_spikes(file):
        table, aside = unit_table(file, source, options)
        dropped += aside
        items["spikes"] = f"{len(table['id']):,} units, {len(file['units/spike_times']):,} spikes"
        if "region" in table:
            items["regions"] = f"{len(np.unique(table['region']))} ({options.regions})"
    trials = read_trials(file, source, options)
    if trials is not None:
        items["trials"] = f"{len(trials.columns['start'])} kept{_columns_said(trials)}"
        dropped += trials.notes
    found = find_series(file)
    kept = [one.name for one in found if not one.why_not]
    if kept:
        items["behaviour"] = ", ".join(kept)
    dropped += [_left_out(one) for one in found if one.why_not]
    poses = tuple(pose_containers(file))
    if poses and _is_url(path):
        dropped.append(f"pose {', '.join(poses)} (only read from a file on disk)")
    elif poses:
        items["pose"] = poses[0]
        dropped += [f"pose {name} ({poses[0]} is read)" for name in poses[1:]]
    return items, tuple(dropped)


def _columns_said(trials: NwbTrials) -> str:
    names = [name for name in trials.columns if name not in ("start", "end")]
    return f", with {', '.join(names)}" if names else ""


def _left_out(one: NwbSeries) -> str:
    return f"series {one.group.name[1:]} ({one.why_not})"
