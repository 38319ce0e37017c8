"""Predictions of a run, and actions, in the formats that other programs read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from neuroduet.data.action_files import ANSWER, RECORDING
from neuroduet.data.binning import bin_grid
from neuroduet.data.boundary import read_npz, reading
from neuroduet.data.columns import column, groups
from neuroduet.data.pose import names_of
from neuroduet.data.readers.naming import field_name
from neuroduet.data.recording import load
from neuroduet.data.schema import recording_id, subject_id
from neuroduet.data.session import Session
from neuroduet.data.writers.prediction_files import PREDICTION_WRITERS
from neuroduet.data.writers.predictions import (
    Kind,
    PredictedSeries,
    PredictedSession,
    on_one_clock,
)
from neuroduet.errors import UserError, unknown
from neuroduet.plain import printable
from neuroduet.tasks.export import SPLITS, new_file_name, session_predictions
from neuroduet.tasks.known import as_predictor, open_known_sessions
from neuroduet.training.runs import load_run
from neuroduet.types import Behaviour

ENCODED = {"encoding/log_rates": "rates", "encoding/traces": "traces"}


def export(
    source: Path | str,
    data: Path | str | None,
    to: str,
    out: Path | str,
    report: Callable[[int, int, float], None] = lambda done, total, value: None,
) -> list[Path]:
    """Write predictions for another program.

    Args:
        source: Run folder; or what ``actions predict`` wrote: a folder of ``*.actions.npz``, one
            such file, or recordings that hold the group ``actions``.
        data: Recording, or folder of recordings, that the run predicts; not needed for actions.
        to: ``nwb``, ``alf`` or ``pynapple``.
        out: Folder to write; made if it does not exist.
        report: Told how many recordings of a run are written, of how many, and NaN.

    Returns:
        The files, session by session.

    Raises:
        UserError: The format is unknown, the source is neither, or its files cannot be used.
    """
    source, out = Path(source), Path(out)
    if to not in PREDICTION_WRITERS:
        raise unknown("format", to, PREDICTION_WRITERS)
    if out.is_file():
        raise UserError(f"{out} is a file, expected a folder to write into; name another")
    if is_run(source):
        if data is None:
            raise UserError(f"{source} is a run, expected the recordings to predict: --data DIR")
        found = run_predictions(source, Path(data), report)
    else:
        found = action_predictions(source)
    write = PREDICTION_WRITERS[to]
    names: list[str] = []
    written: list[Path] = []
    for one in found:
        names.append(new_file_name(one.session, [name.lower() for name in names]))
        written += write(one, out, names[-1])
    return written


def is_run(path: Path) -> bool:
    """Whether a folder was written by ``train`` or ``finetune``."""
    return (path / "model" / "config.json").is_file() or (path / "members").is_dir()


def run_predictions(
    run: Path,
    data: Path,
    report: Callable[[int, int, float], None] = lambda done, total, value: None,
) -> Iterator[PredictedSession]:
    """What a run predicts of every recording that it knows.

    Args:
        run: Run folder.
        data: A recording, or a folder of recordings.
        report: See :func:`export`.

    Yields:
        Predicted rates (from behaviour) and behaviours (from activity), on the recording's clock.

    Raises:
        UserError: The run or the data cannot be read, or no recording is of a session of the run.
    """
    model = load_run(run)
    sessions = open_known_sessions(model, data)
    for done, session in enumerate(sessions, start=1):
        arrays = session_predictions(as_predictor(model, [session]), session)
        yield _from_arrays(session, arrays)
        report(done, len(sessions), float("nan"))


def _from_arrays(session: Session, arrays: dict[str, np.ndarray]) -> PredictedSession:
    info, width = session.info, float(arrays["bin_size_s"])
    valid, start = arrays["valid"], arrays["start_s"]
    series = []
    for key, name in ENCODED.items():
        if key in arrays:
            values = np.exp(arrays[key]) / width if name == "rates" else arrays[key]
            times, rows = on_one_clock(bin_grid(start, valid.shape[1], width), values, valid)
            kind: Kind = "rates" if name == "rates" else "traces"
            series.append(
                PredictedSeries(
                    name=name,
                    kind=kind,
                    times_s=times,
                    values=rows,
                    columns=tuple(info.units),
                    unit="Hz" if name == "rates" else "of the recording",
                )
            )
    taken = [*ENCODED.values(), "windows", *(f"windows_{split}" for split in SPLITS)]
    for behaviour in info.behaviours:
        if f"decoding/{behaviour.name}" in arrays:
            name = field_name(behaviour.name, taken)
            taken.append(name)
            series.append(_behaviour(session, behaviour, arrays, name))
    return PredictedSession(
        session=info.id,
        subject=info.subject,
        series=tuple(series),
        windows={
            "start": start,
            "end": start + valid.sum(axis=1) * width,
            "split": arrays["split"],
        },
    )


def _behaviour(
    session: Session, behaviour: Behaviour, arrays: dict[str, np.ndarray], name: str
) -> PredictedSeries:
    """A behaviour on the grid on which it was learned; per trial, at the start of each window."""
    values, valid = arrays[f"decoding/{behaviour.name}"], arrays["valid"]
    start, width = arrays["start_s"], float(arrays["bin_size_s"])
    if behaviour.per == "trial":
        values, valid, grid = values[:, None], np.ones((len(start), 1), dtype=bool), start[:, None]
    else:
        at = session.config.windows.behaviour_grid
        grid = bin_grid(start, valid.shape[1], width, at)
    times, rows = on_one_clock(grid, values, valid)
    if behaviour.kind == "categorical":
        kind: Kind = "classes"
        columns = tuple(printable(str(one)) for one in behaviour.classes)
    else:
        kind = "continuous"
        columns = tuple(f"{behaviour.name}_{n}" for n in range(rows.shape[1]))
        columns = (behaviour.name,) if len(columns) == 1 else columns
    return PredictedSeries(
        name=name,
        kind=kind,
        times_s=times,
        values=rows,
        columns=columns,
        unit="probability" if kind == "classes" else "of the recording",
    )


def action_predictions(source: Path) -> Iterator[PredictedSession]:
    """Actions that ``actions predict`` wrote.

    Args:
        source: Folder of ``*.actions.npz`` or of recordings, or one such file.

    Yields:
        The probability of every action.

    Raises:
        UserError: There are none, or a file cannot be used.
    """
    if not source.exists():
        raise UserError(f"nothing at {source}, expected a run or actions; check the path")
    files = [source] if source.is_file() else sorted(source.iterdir())
    answers = [one for one in files if one.name.endswith(ANSWER)]
    recordings = [one for one in files if one.suffix == RECORDING and one.name[0] != "."]
    for path in answers:
        with reading(path):
            found_one = _answer(path)
        yield found_one
    if answers:
        return
    found = [one for one in map(_acting, recordings) if one is not None]
    if not found:
        raise UserError(
            f"{source} holds neither a run (model/config.json) nor actions ({ANSWER}, or "
            "recordings with the group actions), expected one of them; run `neuroduet actions "
            "predict` first"
        )
    yield from found


def _answer(path: Path) -> PredictedSession:
    wanted = ("probabilities", "names", "timestamps")
    arrays = read_npz(path, wanted)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise UserError(
            f"{path} cannot be read: it holds no {' and no '.join(missing)}; segment the "
            "recording again with `neuroduet actions predict`"
        )
    times, values = arrays["timestamps"], arrays["probabilities"]
    names = tuple(printable(str(name)) for name in arrays["names"])
    if values.ndim != 2 or times.shape != (len(values),) or values.shape[1] != len(names):
        raise UserError(
            f"{path} holds {len(times)} timestamps and {len(names)} names for probabilities of "
            f"shape {values.shape}, expected one per row and column; segment recordings with "
            "timestamps"
        )
    return _actions(path.name.removesuffix(ANSWER), "unknown", times, values, names)


def _acting(path: Path) -> PredictedSession | None:
    with load(path) as recording, reading(path):
        group = groups(recording).get("actions")
        names = tuple(map(printable, names_of(recording, "action_classes")))
        if group is None or not names:
            return None
        times = np.asarray(column(group, "timestamps"), dtype=np.float64)
        if "probabilities" in group:
            values = np.asarray(column(group, "probabilities"))
        else:
            values = np.asarray(column(group, "classes"))[:, None] == np.arange(len(names))
        return _actions(recording_id(recording), subject_id(recording), times, values, names)


def _actions(
    session: str, subject: str, times: np.ndarray, values: np.ndarray, names: tuple[str, ...]
) -> PredictedSession:
    series = PredictedSeries(
        name="actions",
        kind="classes",
        times_s=times.astype(np.float64),
        values=values.astype(np.float64),
        columns=names,
        unit="probability",
    )
    return PredictedSession(session=session, subject=subject, series=(series,))
