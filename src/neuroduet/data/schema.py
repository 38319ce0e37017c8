"""What makes a ``torch_brain`` data object a recording that everything else can rely on.

:func:`check` is called at the boundary (saving, opening) and names every problem at once, so that
nothing behind it has to ask again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, get_args

import numpy as np
from torch_brain.data import ArrayDict, Data, Interval

from neuroduet.config import BehaviourConfig
from neuroduet.data.activity import NEURAL_KINDS, activity_problems, time_problems
from neuroduet.data.boundary import reading
from neuroduet.data.columns import SERIES, column, fields, groups, scalar
from neuroduet.data.pose import frame_groups, frame_problems, has_observations
from neuroduet.errors import UserError, unsuitable
from neuroduet.plain import LONGEST_NAME, plain_name
from neuroduet.types import BehaviourKind, NeuralKind, Per

SPLIT_NAMES = ("train", "valid", "test", "dropped", "")
"""What ``trials.split`` may hold; trials marked by one of the last two are used nowhere."""

ACTIONS_SOURCE = "actions.name"
"""Where a recording says in words which action an animal performs."""

KNOWN_SOURCES: dict[str, tuple[str, BehaviourKind, Per]] = {
    "wheel.wheel_speed": ("wheel", "continuous", "bin"),
    "whisker.whisker_motion_energy": ("whisker", "continuous", "bin"),
    "trials.choice": ("choice", "categorical", "trial"),
    "trials.block": ("block", "categorical", "trial"),
    "trials.probabilityLeft": ("block", "categorical", "trial"),
    ACTIONS_SOURCE: ("actions", "categorical", "bin"),
    "actions.classes": ("actions", "categorical", "bin"),
}
"""Behaviours recognised in recordings that have no group ``behaviours``."""

_NOT_BEHAVIOUR = {*NEURAL_KINDS, "truth", "pose", "features", "labels", "actions"}


def check(recording: Data) -> None:
    """Make sure that a recording can be used.

    Args:
        recording: A ``torch_brain`` data object, loaded or lazy (columns are read in pieces).

    Raises:
        UserError: Something does not fit; the message lists every problem with its remedy.
    """
    if not isinstance(recording, Data):
        raise unsuitable(
            "recording", recording, "a recording", "open its file with neuroduet.load"
        )
    with reading(f"recording {recording_id(recording)!r}"):
        problems = find_problems(recording)
    if problems:
        listed = "; ".join(problems)
        raise UserError(f"recording {recording_id(recording)!r} cannot be used: {listed}")


def find_problems(recording: Data) -> list[str]:
    """Every reason why a recording cannot be used, one sentence part each; empty if it can."""
    problems = [*_session_problems(recording), *_text_problems(recording)]
    present = [kind for kind in NEURAL_KINDS if kind in groups(recording)]
    if present or not has_observations(recording):
        problems += activity_problems(recording, present)
    for name, group in frame_groups(recording).items():
        problems += time_problems(name, group)
    problems += frame_problems(recording)
    problems += _trial_problems(recording)
    problems += _table_problems(recording)
    # Behaviours of one series share its problems.
    return list(dict.fromkeys(problems))


def recording_id(recording: Data) -> str:
    """The session id, or an empty string if the recording has none."""
    session = scalar(recording, "session")
    name = session.__dict__.get("id") if isinstance(session, Data) else None
    return str(name) if name else ""


def subject_id(recording: Data) -> str:
    """The subject id, or ``unknown``."""
    subject = scalar(recording, "subject")
    name = subject.__dict__.get("id") if isinstance(subject, Data) else None
    return str(name) if name else "unknown"


def has_activity(recording: Data) -> bool:
    """Whether a recording holds neural activity, and not pose or features alone."""
    return any(kind in groups(recording) for kind in NEURAL_KINDS)


def neural_kind(recording: Data) -> NeuralKind:
    """Which kind of neural activity a (checked) recording holds.

    Raises:
        UserError: None.
    """
    for kind in NEURAL_KINDS:
        if kind in groups(recording):
            return kind
    raise UserError(
        f"recording {recording_id(recording)!r} holds no neural activity "
        f"({', '.join(NEURAL_KINDS)}); leave it out, or segment its actions: `neuroduet actions`"
    )


def describe_behaviours(recording: Data) -> tuple[BehaviourConfig, ...]:
    """The behaviours a recording offers.

    Args:
        recording: Recording; its group ``behaviours`` is used where it exists. Otherwise known
            columns are recognised, and every other float column of a time series is taken as
            continuous.

    Returns:
        Name, source, kind and grain of each.
    """
    table = groups(recording).get("behaviours")
    if table is None:
        return _discover(recording)
    rows = zip(*(column(table, key) for key in ("name", "source", "kind", "per")), strict=True)
    return tuple(
        BehaviourConfig(
            name=str(name),
            source=str(source),
            kind=cast(BehaviourKind, str(kind)),
            per=cast(Per, str(per)),
        )
        for name, source, kind, per in rows
    )


def source_column(recording: Data, source: str) -> tuple[ArrayDict, str] | None:
    """The group and the column a behaviour's ``group.field`` points to, or ``None``."""
    name, _, field = source.partition(".")
    group = groups(recording).get(name)
    return (group, field) if group is not None and field in group else None


def _discover(recording: Data) -> tuple[BehaviourConfig, ...]:
    found: dict[str, BehaviourConfig] = {}
    for source, (name, kind, per) in KNOWN_SOURCES.items():
        if name not in found and source_column(recording, source) is not None:
            found[name] = BehaviourConfig(name=name, source=source, kind=kind, per=per)
    for key, group in groups(recording).items():
        if key in _NOT_BEHAVIOUR or not isinstance(group, SERIES):
            continue
        for field in fields(group):
            source = f"{key}.{field}"
            values = column(group, field)
            usable = values.dtype.kind == "f" and values.ndim <= 2
            if field == "timestamps" or source in KNOWN_SOURCES or not usable:
                continue
            name = field if field not in found else f"{key}_{field}"
            found[name] = BehaviourConfig(name=name, source=source, kind="continuous", per="bin")
    return tuple(found.values())


def _session_problems(recording: Data) -> Iterator[str]:
    if not recording_id(recording):
        yield "found no session.id; add session=SessionDescription(id=...)"
    elif set(recording_id(recording)) & set("/\\\0"):
        yield "session.id holds a slash; it names a file, so use other characters"
    elif not _is_plain(recording_id(recording)):
        yield (
            f"session.id is {recording_id(recording)[:60]!r}; it names a file, so use at most "
            f"{LONGEST_NAME} printable letters and no dot in front"
        )
    if recording.domain is None:
        yield "found no domain; add domain=Interval(start, end) in seconds"


def _text_problems(recording: Data) -> Iterator[str]:
    for key, group in groups(recording).items():
        for field in fields(group):
            if not f"{key}{field}".isprintable():
                yield f"the name {key + '.' + field!r} is not printable; rename the column"
            values = column(group, field)
            if values.dtype.kind == "O":
                yield (
                    f"{key}.{field} holds Python objects; "
                    "convert it to an array of numbers or of text"
                )
            elif values.dtype.kind in "mM":
                yield (
                    f"{key}.{field} holds dates or times of {values.dtype}, which torch_brain "
                    "cannot save; convert it to seconds"
                )
            elif values.dtype.kind == "U" and not _is_ascii(np.asarray(values)):
                yield (
                    f"{key}.{field} holds letters outside ASCII, which torch_brain cannot save; "
                    "spell them in ASCII"
                )


def _is_plain(name: str) -> bool:
    try:
        return bool(plain_name(name))
    except ValueError:
        return False


def _is_ascii(values: np.ndarray) -> bool:
    return all(str(value).isascii() for value in np.unique(values))


def _trial_problems(recording: Data) -> Iterator[str]:
    trials = groups(recording).get("trials")
    if trials is None:
        return
    if not isinstance(trials, Interval):
        yield f"trials is an {type(trials).__name__}, expected Interval(start, end, ...)"
        return
    start, end = np.asarray(trials.start), np.asarray(trials.end)
    wrong = np.flatnonzero(~(start < end))
    if len(wrong):
        yield (
            f"{len(wrong)} trials do not end after they start (the first is trial {wrong[0]}); "
            "leave them out"
        )
    if "split" in trials:
        unknown = sorted(set(map(str, np.unique(trials.split))) - set(SPLIT_NAMES))
        if unknown:
            yield (
                f"trials.split holds {', '.join(map(repr, unknown))}, expected train, valid or "
                "test (or an empty string for trials to be left out)"
            )


def _table_problems(recording: Data) -> Iterator[str]:
    table = groups(recording).get("behaviours")
    if table is None:
        return
    missing = [key for key in ("name", "source", "kind", "per") if key not in table]
    if missing:
        yield f"behaviours lacks the columns {', '.join(missing)}; add them"
        return
    names = [str(name) for name in column(table, "name")]
    if len(set(names)) < len(names):
        yield "behaviours.name holds duplicates; give every behaviour its own name"
    strange = [name for name in names if not _is_plain(name)]
    if strange:
        yield (
            f"behaviours.name holds {strange[0][:60]!r}; it is a part of file names, so use at "
            f"most {LONGEST_NAME} printable letters without slashes, and no dot in front"
        )
    rows = zip(names, *(column(table, key) for key in ("source", "kind", "per")), strict=True)
    for name, source, kind, per in rows:
        for problem in behaviour_problems(recording, str(source), str(kind), str(per)):
            yield f"behaviour '{name}': {problem}"


def behaviour_problems(recording: Data, source: str, kind: str, per: str) -> Iterator[str]:
    """Why a column cannot serve as a behaviour of this kind and grain."""
    if kind not in get_args(BehaviourKind):
        yield f"kind is '{kind}', expected continuous or categorical"
    if per not in get_args(Per):
        yield f"per is '{per}', expected bin or trial"
    found = source_column(recording, source)
    if found is None:
        yield f"found no {source}; write group.field of a group of the recording"
        return
    group, field = found
    is_table = isinstance(group, Interval)
    if is_table != (per == "trial") and per in get_args(Per):
        yield (
            f"{source} has a value per {'trial' if is_table else 'sample'}, but per is '{per}'; "
            f"write per={'trial' if is_table else 'bin'}"
        )
    elif not is_table:
        yield from time_problems(source.partition(".")[0], group)
    values = column(group, field)
    allowed = "iuf" if kind == "continuous" else "iufbUS"
    if values.dtype.kind not in allowed or values.ndim > (2 if kind == "continuous" else 1):
        expected = "1-D or 2-D numbers" if kind == "continuous" else "1-D numbers or text"
        yield f"{source} is {values.ndim}-D of type {values.dtype}, expected {expected}"
