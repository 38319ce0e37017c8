"""NWB files: units, trials, behaviour and pose, from disk or (only when asked) from a URL."""

from __future__ import annotations

import logging
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
from neuroduet.data.readers.leave_out import note_left_out
from neuroduet.data.readers.naming import ascii_text
from neuroduet.data.readers.nwb_behaviours import choose_behaviours, make_behaviours
from neuroduet.data.readers.nwb_found import choice_of, find_contents
from neuroduet.data.readers.nwb_series import read_all_series
from neuroduet.data.readers.nwb_tables import read_trials
from neuroduet.data.readers.nwb_units import has_spikes, read_units
from neuroduet.data.readers.pose_ndx import pose_containers, read_ndx_pose
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.errors import UserError

log = logging.getLogger(__name__)

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
        with _nwb(path) as file:
            return find_contents(
                file,
                session=_session(file, path, options),
                source=_said(path),
                remote=_is_url(path),
                options=options,
            )

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One file as a recording.

        Raises:
            UserError: Something is damaged or does not fit, or nothing can be modelled.
        """
        source = _said(path)
        choice = choice_of(options)
        with _nwb(path) as file:
            session, subject = _session(file, path, options), _subject(file)
            units = read_units(file, source, options) if has_spikes(file) else None
            trials = read_trials(file, source, options, choice.leave_out)
            series = read_all_series(file, source)
            poses = pose_containers(file)
        columns = {} if trials is None else trials.columns
        chosen = choose_behaviours(choice, list(series), columns, options.mapping)
        made = make_behaviours(chosen, series, columns, source)
        for aside in made.aside:
            log.info("%s: left out %s", source, aside)
        groups = dict(made.groups)
        if poses and not _is_url(path):
            groups |= _pose(path, tuple(poses), options.pose_likelihood)
        if units is None and "pose" not in groups:
            raise UserError(
                f"{source} holds neither units.spike_times nor a pose, expected one of them; give "
                "the file with the sorted spikes"
            )
        if units is not None:
            groups["units"] = ArrayDict(**units.table)
        if trials is not None:
            groups["trials"] = Interval(timekeys=list(trials.times), **made.columns)
        if units is not None:
            require_one_clock(source, units.events["timestamps"], groups)
        recording = assemble(
            source,
            session=session,
            subject=subject,
            events=None if units is None else units.events,
            groups=groups,
            offers=made.offers,
        )
        note_left_out(recording, () if trials is None else trials.notes)
        return recording


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
