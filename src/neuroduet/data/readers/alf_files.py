"""The files of an IBL session folder: found by their ALF names, opened with clear errors.

A name is ``[collection/][#revision#/][_namespace_]object.attribute[.uuid].extension``
(ALF, https://int-brain-lab.github.io/ONE/alf_intro.html).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING

import numpy as np

from neuroduet.data.boundary import require_small_parquet
from neuroduet.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(
    r"^(?:_[A-Za-z0-9]+_)?(?P<object>[A-Za-z0-9]+)\.(?P<attribute>\w+)"
    r"(?:\.[\w.-]+)?\.(?P<extension>npy|pqt|csv|tsv)$"
)
_REVISION = re.compile(r"^#[\w.-]+#$")
_SESSION = re.compile(r"^\d{4}-\d{2}-\d{2}$")
# What numpy raises where the header of a .npy file is damaged.
_UNREADABLE = (ValueError, EOFError, OSError, TypeError, SyntaxError, TokenError, OverflowError)
LONGEST_S = 2 * 24 * 3600.0
"""No session lasts longer (s): larger times are in another unit."""


@dataclass(frozen=True, kw_only=True)
class AlfFile:
    """One file of a session.

    Attributes:
        path: The file.
        collection: Folder below the session, without revision: ``alf/probe00/iblsorter``.
        revision: ``2024-05-06``, or empty.
        object: E.g. ``spikes``.
        attribute: E.g. ``times``.
    """

    path: Path
    collection: str
    revision: str
    object: str
    attribute: str


def list_files(session: Path) -> tuple[AlfFile, ...]:
    """Every ALF file of a session, the newest revision of each.

    Args:
        session: Session folder.

    Returns:
        Files in the order of their names.

    Raises:
        UserError: Two files of one revision have the same ALF name.
    """
    newest: dict[tuple[str, str, str], AlfFile] = {}
    for path in sorted((session / "alf").rglob("*")):
        file = _parse(path, session)
        if file is None:
            continue
        key = (file.collection, file.object, file.attribute)
        other = newest.get(key)
        if other is not None and other.revision == file.revision:
            raise UserError(
                f"{path} and {other.path.name} are both {file.object}.{file.attribute} of one "
                "revision, expected one file; remove one of them"
            )
        if other is None or other.revision < file.revision:
            newest[key] = file
    return tuple(newest.values())


def _parse(path: Path, session: Path) -> AlfFile | None:
    match = _NAME.match(path.name)
    if match is None or not path.is_file():
        return None
    folders = path.relative_to(session).parent.parts
    revisions = [part[1:-1] for part in folders if _REVISION.match(part)]
    collection = "/".join(part for part in folders if not _REVISION.match(part))
    return AlfFile(
        path=path,
        collection=collection,
        revision=revisions[-1] if revisions else "",
        object=match["object"],
        attribute=match["attribute"],
    )


def find_file(
    files: Sequence[AlfFile], object_name: str, attribute: str, collection: str | None = None
) -> Path | None:
    """The path of ``object.attribute``, in a collection or in any; ``None`` if there is none."""
    for file in files:
        wanted = collection is None or file.collection == collection
        if wanted and (file.object, file.attribute) == (object_name, attribute):
            return file.path
    return None


def is_session(path: Path) -> bool:
    """Whether a folder is a session: it holds a folder ``alf``."""
    return (path / "alf").is_dir()


def session_names(path: Path) -> tuple[str, str]:
    """Names of the session and of the subject, from ``subject/date/number`` where it is so."""
    parts = path.resolve().parts
    if len(parts) > 3 and _SESSION.match(parts[-2]) and parts[-1].isdigit():
        subject, date, number = parts[-3:]
        return f"{subject}-{date}-{int(number):03d}", subject
    return path.resolve().name, "unknown"


def open_array(path: Path) -> np.ndarray:
    """A numpy file, read from disk when it is used.

    Raises:
        UserError: It is damaged, or holds Python objects.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or "empty file"
        if "pickle" in reason or "Python objects" in reason:
            reason = "not a plain numpy array"
        raise UserError(
            f"{path} cannot be read ({reason}), expected a .npy array; download or export it again"
        ) from None


def read_vector(path: Path) -> np.ndarray:
    """A column of numbers, in memory.

    Raises:
        UserError: It is damaged, not numeric, or has more than one column.
    """
    values = open_array(path)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iufb":
        raise UserError(
            f"{path} has shape {values.shape} of type {values.dtype}, expected one number per "
            "row; export it again"
        )
    return np.array(values)


def read_times(path: Path) -> np.ndarray:
    """Times in seconds, finite and sorted.

    Raises:
        UserError: They are not, or look like another unit.
    """
    values = read_vector(path)
    if values.dtype.kind != "f":
        raise UserError(
            f"{path} holds {values.dtype} numbers, expected seconds as floats (samples? "
            "milliseconds?); divide by the sampling rate"
        )
    times = values.astype(np.float64)
    check_times(times, str(path))
    return times


def check_times(times: np.ndarray, source: str) -> None:
    """Refuse times (s) that are not finite, not sorted or in another unit.

    Args:
        times: Times, floats.
        source: File and field, for the error.

    Raises:
        UserError: See above.
    """
    broken = np.flatnonzero(~np.isfinite(times))
    if len(broken):
        raise UserError(
            f"{source} holds {len(broken)} times that are not finite (the first in row "
            f"{broken[0]}), expected seconds; download or export it again"
        )
    steps = np.flatnonzero(np.diff(times) < 0)
    if len(steps):
        raise UserError(
            f"{source} is not sorted (row {steps[0] + 1} is earlier than the row before), "
            "expected ascending times; download or export it again"
        )
    if len(times) and np.abs(times[[0, -1]]).max() > LONGEST_S:
        raise UserError(
            f"{source} runs to {times[-1]:.0f}, expected seconds of one session (samples? "
            "milliseconds?); divide by the sampling rate"
        )


def read_table(path: Path) -> pd.DataFrame:
    """A parquet, csv or tsv table.

    Raises:
        UserError: It is damaged, or empty.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        if path.suffix == ".pqt":
            require_small_parquet(path)
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path} cannot be read ({reason}), expected a {path.suffix} table; download or "
            "export it again"
        ) from None
    if table.columns.duplicated().any():
        name = table.columns[table.columns.duplicated()][0]
        raise UserError(f"{path} has two columns {name}, expected one; export it again")
    return table


def count_rows(path: Path) -> int:
    """Rows of a file, without reading them."""
    if path.suffix == ".npy":
        values = open_array(path)
        return len(values) if values.ndim else 0
    if path.suffix == ".pqt":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return int(pq.read_metadata(path).num_rows)
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(
                f"{path} cannot be read ({reason}), expected a parquet table; download it again"
            ) from None
    return len(read_table(path))
