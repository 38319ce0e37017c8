"""From what is on disk to recordings: plan, check, and write many sessions side by side."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from neuroduet.atomic import making_folders
from neuroduet.data.readers import reader_of
from neuroduet.data.readers.choice import choose_reader
from neuroduet.data.readers.mapping import require_mapping
from neuroduet.data.readers.reader import Found, ReadOptions
from neuroduet.errors import UserError
from neuroduet.plain import plain_name

__all__ = ["Job", "Outcome", "Report", "Status", "choose_reader", "ingest", "plan"]

log = logging.getLogger(__name__)

NOTED = "ingested_with"
"""Root value of a recording: the options that it was made with, each as a hash."""

Status = Literal["found", "written", "there", "failed"]
Report = Callable[[int, int, float], None]
"""Called with what is done, how much there is, and NaN (see :func:`neuroduet.console.counted`)."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One session to ingest.

    Attributes:
        reader: Name of a reader (:func:`neuroduet.data.readers.reader_of`).
        source: What the reader is given.
        options: What was chosen.
        out: Folder for the recording.
        again: Replace a recording that is there.
        check: Look only, write nothing.
    """

    reader: str
    source: Path
    options: ReadOptions
    out: Path
    again: bool = False
    check: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one session.

    Attributes:
        source: What the reader was given.
        session: Its name; empty where the source could not be read.
        status: ``found`` (looked at only), ``written``, ``there`` (was there before), ``failed``.
        path: The recording.
        why: Why it failed.
        differs: Options (of :class:`ReadOptions`) with which the recording that was there before
            was made otherwise.
        found: What the source holds.
    """

    source: str
    session: str
    status: Status
    path: str
    why: str = ""
    differs: tuple[str, ...] = ()
    found: Found | None = None

    def as_dict(self) -> dict[str, Any]:
        """The outcome in plain types, for JSON."""
        return asdict(self)


def plan(
    sources: Mapping[Path, str | None],
    out: Path,
    options: ReadOptions,
    *,
    reader: str | None = None,
    again: bool = False,
    check: bool = False,
) -> list[Job]:
    """One job per session.

    Args:
        sources: Files or folders, each with the id its only session gets (``None``: its own).
        out: Folder for the recordings.
        options: What was chosen.
        reader: Name of a reader; recognised if not given.
        again: Replace recordings that are there.
        check: Look only.

    Returns:
        Jobs in the order of the sources.

    Raises:
        UserError: A source holds no session, one name would be given to several, or the mapping
            file is missing.
    """
    if options.mapping is not None:
        require_mapping(options.mapping)
    jobs = []
    for source, name in sources.items():
        chosen = choose_reader(source, reader)
        for session in chosen.sessions(source):
            own = options if name is None else options.model_copy(update={"session_id": name})
            jobs.append(
                Job(
                    reader=chosen.name,
                    source=session,
                    options=own,
                    out=out,
                    again=again,
                    check=check,
                )
            )
    if options.session_id is not None and len(jobs) > 1:
        raise UserError(
            f"{len(jobs)} sessions cannot all be named '{options.session_id}'; leave --session "
            "out, or give the source of one"
        )
    return jobs


def ingest(
    jobs: Sequence[Job], *, workers: int = 1, report: Report | None = None
) -> list[Outcome]:
    """Do the jobs; one that fails does not stop the others.

    Args:
        jobs: What :func:`plan` returned.
        workers: Processes that work side by side (Ray); 1 works in this one.
        report: Called after every session.

    Returns:
        What became of each, in the order of the jobs.

    Raises:
        UserError: Two sessions have the same name, so that one would replace the other; or the
            mapping file says what fits none of them.
    """
    found = [_look(job) for job in jobs]
    _refuse_doubles(found)
    _refuse_unmatched(found)
    waiting = [at for at, one in enumerate(found) if one.status == "found" and not jobs[at].check]
    done = dict(enumerate(found))
    todo = [jobs[at] for at in waiting]
    for count, (which, outcome) in enumerate(_work(todo, workers), start=1):
        at = waiting[which]
        look = found[at]
        name = outcome.session or look.session
        done[at] = replace(outcome, source=look.source, session=name, found=look.found)
        if report is not None:
            report(count, len(waiting), float("nan"))
    return [done[at] for at in range(len(jobs))]


def _look(job: Job) -> Outcome:
    """What a source holds, and whether its recording is there already."""
    try:
        found = reader_of(job.reader).inspect(job.source, job.options)
        path = job.out / f"{_file_name(found)}.h5"
        there = path.is_file() and not job.again and not job.check
        differs = _differences(path, job.options) if there else ()
    except Exception as error:  # noqa: BLE001
        return _failed(job, error)
    return Outcome(
        source=found.source,
        session=found.session,
        status="there" if there else "found",
        path=str(path),
        differs=differs,
        found=found,
    )


def _file_name(found: Found) -> str:
    try:
        return plain_name(found.session)
    except ValueError as error:
        raise UserError(
            f"{found.source} would become the recording {found.session[:60]!r}: {error}; name it "
            "with --session"
        ) from None


def _convert(job: Job) -> Outcome:
    """Read one session and write it, whole or not at all."""
    from neuroduet.data.recording import save
    from neuroduet.data.schema import recording_id

    try:
        recording = reader_of(job.reader).read(job.source, job.options)
        session = recording_id(recording)
        path = job.out / f"{session}.h5"
        setattr(recording, NOTED, json.dumps(_hashes(job.options)))
        save(recording, path)
    except Exception as error:  # noqa: BLE001
        return _failed(job, error)
    return Outcome(source=str(job.source), session=session, status="written", path=str(path))


def _hashes(options: ReadOptions) -> dict[str, str]:
    """A hash of every option that is not as it is by default; of the mapping, what it says."""
    given = options.model_dump(mode="json", exclude={"session_id"}, exclude_defaults=True)
    if options.mapping is not None:
        given["mapping"] = options.mapping.read_bytes().hex()
    return {
        name: hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()
        for name, value in given.items()
    }


def _differences(path: Path, options: ReadOptions) -> tuple[str, ...]:
    """Options with which a recording was made otherwise; none where it does not say."""
    from neuroduet.data.columns import scalar
    from neuroduet.data.recording import load

    try:
        with load(path) as recording:
            before = json.loads(scalar(recording, NOTED))
    except (UserError, ValueError, TypeError):
        return ()
    if not isinstance(before, dict):
        return ()
    now = _hashes(options)
    return tuple(name for name in ReadOptions.model_fields if before.get(name) != now.get(name))


def _failed(job: Job, error: Exception) -> Outcome:
    """One bad session must not end the work on a hundred good ones, whatever is wrong with it."""
    log.debug("%s failed", job.source, exc_info=error)
    expected = isinstance(error, (UserError, OSError))
    why = str(error) if expected else f"{job.source}: {type(error).__name__}: {error}"
    return Outcome(source=str(job.source), session="", status="failed", path="", why=why)


def _refuse_doubles(outcomes: Sequence[Outcome]) -> None:
    counts = Counter(one.session for one in outcomes if one.session)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        both = [one.source for one in outcomes if one.session == twice[0]]
        raise UserError(
            f"{both[0]} and {both[1]} would both become the recording '{twice[0]}'; ingest them "
            "into different folders, or name one with --session"
        )


def _refuse_unmatched(outcomes: Sequence[Outcome]) -> None:
    """One session may lack what the others have; what fits none is a slip of the mapping file."""
    looked = [one.found for one in outcomes if one.found is not None]
    for said, instead in looked[0].unmatched.items() if looked else ():
        if all(said in one.unmatched for one in looked):
            first, others = looked[0].session, len(looked) - 1
            many = f", nor does it fit any of {others} others" if others else ""
            raise UserError(
                f"{said}, but in {first} {instead}{many}; correct or remove it in the mapping file"
            )


def _work(jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, with the number of their job."""
    with making_folders(*{job.out for job in jobs}):
        if workers == 1 or len(jobs) < 2:
            yield from enumerate(map(_convert, jobs))
        else:
            yield from _side_by_side(jobs, min(workers, len(jobs)))


def _side_by_side(jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Outcome]]:
    import ray

    from neuroduet.ray_start import local_ray

    with nullcontext() if ray.is_initialized() else local_ray(workers):
        convert = ray.remote(num_cpus=1)(_convert)
        pending = {convert.remote(job): at for at, job in enumerate(jobs)}
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            at = pending.pop(ready[0])
            try:
                yield at, ray.get(ready[0])
            except ray.exceptions.RayError as error:
                yield at, _failed(jobs[at], error)
