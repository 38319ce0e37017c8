"""What every address of the page answers; see :data:`ANSWERS` and :data:`CHANGES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from neuroduet.errors import UserError, unknown
from neuroduet.view.actions import Actions
from neuroduet.view.activity import Activity
from neuroduet.view.behaviours import Behaviour
from neuroduet.view.bins import BinnedCounts
from neuroduet.view.library import Library, Session
from neuroduet.view.poses import encode_pose
from neuroduet.view.predictions import PredictedBehaviour
from neuroduet.view.raster import MOST_EVENTS, EventCounts, encode_events, encode_image
from neuroduet.view.segments import Clock, visible_bouts
from neuroduet.view.summary import describe_session
from neuroduet.view.traces import envelope, trial_envelope
from neuroduet.view.units import describe_unit
from neuroduet.view.wire import Json, Query, number

MOST_TRIALS = 2000

NOW_S = 1e-3
"""A trial that starts this near to a time starts at it (s)."""

Answer = dict[str, Json] | bytes


def sessions(library: Library, query: Query) -> Answer:
    """All sessions, and the one to begin with."""
    listed: list[Json] = [
        {"id": one.id, "start_s": one.start_s, "end_s": one.end_s, "path": str(one.path)}
        for one in library.sources.recordings.values()
    ]
    return {"sessions": listed, "first": library.sources.first}


def session(library: Library, query: Query) -> Answer:
    """What one session holds."""
    name = query.text("id")
    found, actions = library.session(name), library.actions(name)
    with library.lock:
        described = describe_session(found, actions)
    sources = library.sources
    of_run = any(one.predictions for one in sources.recordings.values())
    return {**described, "hint": sources.hint, "of_run": of_run}


def raster(library: Library, query: Query) -> Answer:
    """Recorded activity: spikes one by one, or an image."""
    activity, edges_s = _activity(library, query), query.edges()
    counts = activity.counts
    if isinstance(counts, EventCounts):
        found = counts.between(edges_s[0], edges_s[-1])
        if found.stop - found.start <= MOST_EVENTS:
            times_s, rows = counts.events(found)
            return encode_events(times_s, rows, float(edges_s[0]), len(activity.ids))
        return encode_image(counts.image(edges_s))
    image = counts.image(edges_s)
    return encode_image(_scaled(activity, counts, image, edges_s))


def rates(library: Library, query: Query) -> Answer:
    """Predicted rates as an image, in expected spikes per column."""
    activity, edges_s = _activity(library, query), query.edges()
    predicted = library.session(query.text("id")).predictions
    if predicted is None or predicted.rates is None:
        raise UserError("no rates were predicted for this session; run `neuroduet predict`")
    image = predicted.rates.image(edges_s)
    if activity.kind == "traces":
        return encode_image(_scaled(activity, predicted.rates, image, edges_s))
    return encode_image(image * np.float32(edges_s[1] - edges_s[0]))


def trace(library: Library, query: Query) -> Answer:
    """One behaviour, and what was decoded of it."""
    found, edges_s = library.session(query.text("id")), query.edges()
    name = query.text("name")
    known = found.opened.behaviours
    if name not in known:
        raise unknown("behaviour", name, known)
    behaviour = known[name]
    predicted = None if found.predictions is None else found.predictions.behaviours.get(name)
    if behaviour.codes is not None:
        return {
            "segments": _segments(behaviour, behaviour.classes, edges_s),
            "predicted": None
            if predicted is None
            else _segments(predicted, predicted.classes, edges_s),
        }
    return {
        "columns": len(edges_s) - 1,
        "true": _envelopes(behaviour, edges_s),
        "predicted": None if predicted is None else _envelopes(predicted, edges_s),
    }


def pose(library: Library, query: Query) -> Answer:
    """Keypoints of a short stretch."""
    found = library.session(query.text("id")).opened.pose
    if found is None:
        raise UserError("this session has no pose; look at another one")
    return encode_pose(found, *query.window())


def actions(library: Library, query: Query) -> Answer:
    """Bouts of actions, of humans and of a model."""
    found, edges_s = _actions(library, query), query.edges()
    with library.lock:
        return found.window(edges_s)


def trials(library: Library, query: Query) -> Answer:
    """Trials of a window, with their splits."""
    found = library.session(query.text("id"))
    start_s, end_s = query.window()
    known = found.opened.trials
    seen = np.flatnonzero((known.end_s > start_s) & (known.start_s < end_s))
    shown = seen[:: max(1, -(-len(seen) // MOST_TRIALS))]
    listed: list[Json] = [_trial(found, int(row)) for row in shown]
    return {"trials": listed, "thinned": len(shown) < len(seen)}


def test_trial(library: Library, query: Query) -> Answer:
    """The first test trial that starts after a time, or the last one before it."""
    found, which = library.session(query.text("id")), query.text("which")
    if which not in ("next", "previous"):
        raise unknown("direction", which, ("next", "previous"))
    start_s, time_s = found.opened.trials.start_s, query.seconds("time")
    beyond = start_s > time_s + NOW_S if which == "next" else start_s < time_s - NOW_S
    rows = np.flatnonzero(beyond & (np.array(found.split, dtype=np.str_) == "test"))
    if not len(rows):
        return {"trial": None}
    nearest = rows[np.argmin(np.abs(start_s[rows] - time_s))]
    return {"trial": _trial(found, int(nearest))}


def unit(library: Library, query: Query) -> Answer:
    """Everything about one unit."""
    activity, found = _activity(library, query), library.session(query.text("id"))
    index = query.whole("index", 0, len(activity.ids) - 1)
    return describe_unit(found.opened, activity, found.aligned, found.scores, index)


def bout(library: Library, query: Query) -> Answer:
    """The bout in which a frame lies."""
    found, track = _actions(library, query), query.text("track", "true")
    if track not in ("true", "predicted"):
        raise unknown("track", track, ("true", "predicted"))
    frame = query.whole("frame", 0, len(found.times) - 1)
    with library.lock:
        return found.bout(frame, track)


def change_labels(library: Library, query: Query, body: Mapping[str, Any]) -> Answer:
    """Give frames a class, or none."""
    found = _actions(library, query)
    first, last = body.get("start_frame"), body.get("end_frame")
    name = body.get("class")
    whole = all(type(one) is int for one in (first, last))
    if not whole or not (name is None or isinstance(name, str)):
        raise UserError(
            "the edit is not understood; give start_frame and end_frame as whole numbers and "
            "class as text, or null"
        )
    assert isinstance(first, int)
    assert isinstance(last, int)
    with library.lock:
        found.edits.paint(first, last, name)
        return _edited(found, first, last)


def add_class(library: Library, query: Query, body: Mapping[str, Any]) -> Answer:
    """Offer one more class."""
    found, name = _actions(library, query), body.get("name")
    if not isinstance(name, str):
        raise UserError("the class has no name; give name as text")
    with library.lock:
        found.edits.add_class(name)
        classes: list[Json] = list(found.edits.names)
        return {"classes": classes, "edits": found.edits.unsaved}


def undo(library: Library, query: Query, body: Mapping[str, Any]) -> Answer:
    """Take the last edit back."""
    found = _actions(library, query)
    with library.lock:
        return _edited(found, *found.edits.undo())


def save(library: Library, query: Query, body: Mapping[str, Any]) -> Answer:
    """Write the label file."""
    found = _actions(library, query)
    with library.lock:
        n_bouts = found.edits.save()
        n_labelled = int((found.edits.classes >= 0).sum())
        return {"path": str(found.edits.path), "frames": n_labelled, "bouts": n_bouts}


ANSWERS: dict[str, Callable[[Library, Query], Answer]] = {
    "/api/sessions": sessions,
    "/api/session": session,
    "/api/raster": raster,
    "/api/rates": rates,
    "/api/trace": trace,
    "/api/pose": pose,
    "/api/actions": actions,
    "/api/trials": trials,
    "/api/test_trial": test_trial,
    "/api/unit": unit,
    "/api/bout": bout,
}
"""Addresses that only tell."""

CHANGES: dict[str, Callable[[Library, Query, Mapping[str, Any]], Answer]] = {
    "/api/labels": change_labels,
    "/api/classes": add_class,
    "/api/undo": undo,
    "/api/save": save,
}
"""Addresses that change labels."""


def _activity(library: Library, query: Query) -> Activity:
    found = library.session(query.text("id")).opened.activity
    if found is None:
        raise UserError("this session has no neural activity; look at its pose")
    return found


def _actions(library: Library, query: Query) -> Actions:
    found = library.actions(query.text("id"))
    if found is None:
        raise UserError("this session has no frames of a video; labels need pose or features")
    return found


def _edited(found: Actions, first: int, last: int) -> dict[str, Json]:
    return {"edits": found.edits.unsaved, "true": found.touching(first, last)}


def _trial(found: Session, row: int) -> dict[str, Json]:
    known = found.opened.trials
    return {
        "start": float(known.start_s[row]),
        "end": float(known.end_s[row]),
        "index": row,
        "split": found.split[row] or None,
        "label": known.labels[row],
    }


def _scaled(
    activity: Activity,
    counts: BinnedCounts,
    image: Float[np.ndarray, "C N"],
    edges_s: Float[np.ndarray, " E"],
) -> Float[np.ndarray, "C N"]:
    """Traces of every unit from 0 to 1 over their usual range; counts as they are."""
    if activity.kind != "traces":
        return image
    low, high = activity.span
    first, last = counts.rows(edges_s)
    share = np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1)
    return np.where((last > first)[:, None], share, 0).astype(np.float32)


def _envelopes(found: Behaviour | PredictedBehaviour, edges_s: Float[np.ndarray, " E"]) -> Json:
    """Lowest and highest value of every channel in every column."""
    if found.samples is not None:
        low, high = envelope(found.samples, edges_s)
    elif found.values is not None:
        low, high = trial_envelope(found.times.start_s, found.times.end_s, found.values, edges_s)
    else:
        return None
    return [
        {"low": [number(x) for x in a], "high": [number(x) for x in b]}
        for a, b in zip(low.T.tolist(), high.T.tolist(), strict=True)
    ]


def _segments(
    found: Behaviour | PredictedBehaviour,
    classes: tuple[str, ...],
    edges_s: Float[np.ndarray, " E"],
) -> Json:
    """Stretches of one class in a window."""
    if found.codes is None:
        return None
    times, codes = found.times, found.codes
    if times.step_s:
        rows, _ = visible_bouts(times, codes, edges_s)
    else:
        seen = (times.end_s > edges_s[0]) & (times.start_s < edges_s[-1]) & (codes >= 0)
        rows = [(int(row), int(row) + 1, int(codes[row])) for row in np.flatnonzero(seen)]
        rows = rows[:: max(1, -(-len(rows) // MOST_TRIALS))]
    return [_segment(times, classes, row) for row in rows]


def _segment(times: Clock, classes: tuple[str, ...], row: tuple[int, int, int]) -> dict[str, Json]:
    first, last, code = row
    return {
        "start": float(times.start_s[first]),
        "end": float(times.end_s[last - 1]),
        "class": classes[code],
    }
