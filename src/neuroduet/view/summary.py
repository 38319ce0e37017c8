"""What one session holds, as the page learns it first."""

from __future__ import annotations

from neuroduet.view.actions import Actions
from neuroduet.view.library import Session
from neuroduet.view.wire import Json, number


def describe_session(found: Session, actions: Actions | None) -> dict[str, Json]:
    """Contents of a session; see ``/api/session``.

    Args:
        found: The session.
        actions: Its labels and predicted actions, if it has frames.
    """
    opened = found.opened
    return {
        "id": opened.id,
        "start_s": opened.start_s,
        "end_s": opened.end_s,
        "activity": _activity(found),
        "behaviours": _behaviours(found),
        "pose": _pose(found),
        "actions": None if actions is None else _actions(actions),
        "trials": {"count": len(opened.trials.start_s)},
        "read_only": actions is None or bool(actions.edits.problem),
        "recorded": [[float(start), float(end)] for start, end in opened.recorded],
    }


def _activity(found: Session) -> Json:
    activity = found.opened.activity
    if activity is None:
        return None
    units: list[Json] = [
        {"index": int(unit), "id": activity.ids[unit], "region": activity.regions[unit]}
        for unit in activity.order
    ]
    return {
        "kind": activity.kind,
        "predicted": found.predictions is not None and found.predictions.rates is not None,
        "units": units,
    }


def _behaviours(found: Session) -> Json:
    predicted = {} if found.predictions is None else found.predictions.behaviours
    listed: list[Json] = []
    for name, one in found.opened.behaviours.items():
        channels: list[Json] = list(one.channels)
        classes: list[Json] = list(one.classes)
        listed.append(
            {
                "name": name,
                "kind": one.config.kind,
                "per": one.config.per,
                "channels": channels,
                "classes": classes,
                "low": number(one.low),
                "high": number(one.high),
                "predicted": name in predicted,
            }
        )
    return listed


def _pose(found: Session) -> Json:
    pose = found.opened.pose
    if pose is None:
        return None
    keypoints: list[Json] = list(pose.keypoints)
    edges: list[Json] = [[a, b] for a, b in pose.edges]
    return {
        "animals": int(pose.xy.shape[1]),
        "keypoints": keypoints,
        "edges": edges,
        "rate_hz": number(1 / max(pose.times.step_s, 1e-9)),
        "frames": len(pose.times),
        "low": [number(x) for x in pose.low],
        "high": [number(x) for x in pose.high],
    }


def _actions(actions: Actions) -> Json:
    classes: list[Json] = list(actions.edits.names)
    times = actions.times
    return {
        "classes": classes,
        "rate_hz": number(1 / max(times.step_s, 1e-9)),
        "frames": len(times),
        "first_s": float(times.start_s[0]) if len(times) else 0.0,
        "predicted": actions.predicted is not None,
        "edits": actions.edits.unsaved,
        "path": str(actions.edits.path),
        "problem": actions.edits.problem,
    }
