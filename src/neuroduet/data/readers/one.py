"""IBL sessions by their id, through ONE: from its folder on disk, or downloaded when asked for."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from neuroduet.errors import UserError, unknown

log = logging.getLogger(__name__)

SERVER = "https://openalyx.internationalbrainlab.org"
PASSWORD = "international"
"""IBL's open server; the password is public, printed in the documentation of ONE."""

_WANTED = re.compile(
    r"(spikes\.(times|clusters)|clusters\.(channels|depths|uuids|metrics)"
    r"|(channels|electrodeSites)\.brainLocationIds_ccf_2017|_ibl_trials\.\w+|licks\.times"
    r"|_ibl_wheel\.(position|timestamps)|(_ibl_)?(left|right|body)Camera\."
    r"(times|dlc|lightningPose|features|pawstates|ROIMotionEnergy))\.(.*\.)?(npy|pqt|csv)$"
)
"""Names of the data sets that a recording is made of."""

_REVISION = re.compile(r"#[\w.-]+#/")


def session_ids(name: str) -> tuple[str, ...]:
    """The sessions of a named set, or of a text file with an id per line.

    Args:
        name: ``neds`` (84), ``neds-train`` (74), ``neds-test`` (10), ``mtm`` (40), ``mtm-train``
            (35), ``mtm-test`` (5), or a file; lines that start with ``#`` are left out.

    Returns:
        Ids (UUIDs, in lower case), each once.

    Raises:
        UserError: There is no such set or file, or a line is no id.
    """
    sets = _session_sets()
    if name in sets:
        return sets[name]
    path = Path(name)
    if not path.is_file():
        raise unknown("set of sessions", name, (*sets, "or the path of a text file"))
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    ids = [session_id(line) for line in lines if line and not line.startswith("#")]
    if not ids:
        raise UserError(f"{path} holds no session ids, expected one per line; add some")
    return tuple(dict.fromkeys(ids))


def session_id(text: str) -> str:
    """An id as ONE writes it.

    Raises:
        UserError: It is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise UserError(
            f"'{text}' is no session id, expected a UUID such as "
            "03d9a098-07bf-4765-88b7-85f8d8f620cc; read a session folder with --alf"
        ) from None


@cache
def _session_sets() -> dict[str, tuple[str, ...]]:
    """The named sets (source: first lines of ``session_sets.yaml``), and their unions."""
    text = (files("neuroduet.data.readers") / "session_sets.yaml").read_text(encoding="ascii")
    sets = {str(name): tuple(ids) for name, ids in yaml.safe_load(text).items()}
    for paper in ("neds", "mtm"):
        sets[paper] = sets[f"{paper}-train"] + sets[f"{paper}-test"]
    return sets


def open_one(folder: Path, remote: bool = False) -> Any:
    """A ONE client.

    Args:
        folder: ONE's cache folder.
        remote: Ask IBL's open server, and download what is missing.

    Returns:
        ``one.api.One``, or its remote cousin.

    Raises:
        UserError: ONE is not installed, the folder has no index (local), or the server does not
            answer (remote).
    """
    try:
        from one.api import ONE
    except ImportError:
        raise UserError(
            "sessions are found by id through ONE, which is not installed; pip install ONE-api"
        ) from None
    with _quiet():
        if remote:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                return ONE(base_url=SERVER, password=PASSWORD, silent=True, cache_dir=folder)
            except (OSError, ConnectionError) as error:
                raise UserError(
                    f"{SERVER} does not answer ({error}); leave --remote out, or try again"
                ) from error
        if not (folder / "sessions.pqt").is_file():
            raise UserError(
                f"{folder} has no sessions.pqt, the index that ONE keeps in its cache folder; "
                "give that folder, or read session folders with --alf"
            )
        return ONE(mode="local", cache_dir=folder)


def index_sessions(folder: Path) -> tuple[str, ...]:
    """Make ONE's index of a tree of session folders, so that they have ids.

    Args:
        folder: Folder of ``lab/Subjects/subject/date/number``; the index is written into it.

    Returns:
        The ids, which are new ones: those of IBL are not in the files.
    """
    from one.alf.cache import make_parquet_db

    with _quiet():
        make_parquet_db(folder)
        return tuple(sorted(map(str, open_one(folder).search())))


def locate_session(one: Any, eid: str) -> Path:
    """The folder of a session, with everything in it that a recording is made of.

    Args:
        one: What :func:`open_one` returned.
        eid: Session id.

    Returns:
        The session folder; in remote mode its files have been downloaded.

    Raises:
        UserError: The session is unknown, or its files are missing.
    """
    with _quiet():
        folder = one.eid2path(eid)
        if folder is None:
            raise UserError(
                f"session {eid} is not among those that ONE knows in {one.cache_dir}; check the "
                "id, or download it: --remote"
            )
        sets = one.list_datasets(eid, details=True)
        names = newest_revisions(sets["rel_path"]) if len(sets) else []
        if not names:
            raise UserError(
                f"session {eid} has none of the files of a recording (such as spikes.times.npy); "
                "choose another one"
            )
        # Hashes tell what must be downloaded again; on disk they only cost time.
        found, _ = one.load_datasets(
            eid, names, download_only=True, assert_present=False, check_hash=not one.offline
        )
    missing = [name for name, path in zip(names, found, strict=True) if path is None]
    if missing:
        log.warning("session %s: ONE knows %s but it is not there", eid, ", ".join(missing[:5]))
    return Path(folder)


def newest_revisions(names: Iterable[str]) -> list[str]:
    """The data sets that a recording is made of, the newest revision of each.

    Args:
        names: Paths below the session, in any order.

    Example:
        >>> newest_revisions(["alf/#2023-01-01#/licks.times.npy", "alf/licks.times.npy", "a.mp4"])
        ['alf/#2023-01-01#/licks.times.npy']
    """
    newest: dict[str, tuple[str, str]] = {}
    for name in filter(_WANTED.search, names):
        revision = "".join(_REVISION.findall(name))
        bare = _REVISION.sub("", name)
        newest[bare] = max(newest.get(bare, ("", "")), (revision, name))
    return sorted(name for _, name in newest.values())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without ONE's warnings about revisions, hashes and indices, which ask for nothing."""
    logger = logging.getLogger("one")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
