"""One self-contained page about an action segmenter, or about experiments with several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuroduet.actions.metrics import EVERY_CLASS
from neuroduet.report.action_pages import SCORES, with_features
from neuroduet.report.action_report_data import (
    BLOCKS,
    ActionFolder,
    Predictions,
    predict,
    read_action_folder,
    scores_of,
)
from neuroduet.report.action_report_experiments import density_table, grid_table, options_table
from neuroduet.report.action_report_figures import (
    bout_durations,
    busiest_stretch,
    calibration_curve,
    time_budget,
)
from neuroduet.report.action_report_tables import (
    bout_table,
    class_table,
    overall_table,
    recording_scores,
    recording_table,
    state_table,
)
from neuroduet.report.action_report_words import about_experiments, about_model, said, tiles
from neuroduet.report.action_scores import density_curves, model_grid
from neuroduet.report.actions import bouts_and_transitions, confusion_matrix, ethogram
from neuroduet.report.sheet import Section, Sheet, plates, write_sheet
from neuroduet.report.style import Plate

MAX_SHOWN = 3
"""Recordings whose ethograms are drawn."""

STRETCH_S, STRETCH_FRAMES = 60.0, 1500
"""Length of the stretch that is drawn closely, in seconds and where times are unknown."""

UNKNOWN = (
    "Whether the segmenter was trained on these recordings is not written in its folder. If it "
    "was, every score and ethogram below is better than on new recordings. Scores of recordings "
    "that a model has not seen come from 'neuroduet actions compare', and a report of its folder "
    "with the same recordings shows them."
)

SEEN = (
    "The segmenter was trained on {}: scores and ethograms below are better than they would be on "
    "new recordings. Scores of recordings that a model has not seen come from 'neuroduet actions "
    "compare', and a report of its folder with the same recordings shows them."
)


def write_action_report(
    source: Path, data: Path | None = None, out: Path | None = None, title: str | None = None
) -> Path:
    """Write one page about what a segmenter does, or how several compare.

    Args:
        source: Folder of ``neuroduet actions train``, ``compare`` or ``density``, or the score
            table (.csv) of ``evaluate``.
        data: Recordings to segment, with labels or without: adds ethograms, bouts, transitions
            and scores. For a folder of ``compare`` the recordings that were compared; what is
            shown of them was predicted by models that had not seen them.
        out: The page (.html); ``report.html`` in ``source`` (beside a table) if not given.
        title: Title of the page; the name of ``source`` if not given.

    Returns:
        Path of the page.

    Raises:
        UserError: ``source`` holds nothing to report, or the recordings do not fit it.
    """
    source = Path(source)
    folder = read_action_folder(source)
    found = None if data is None else predict(folder, Path(data))
    scores = scores_of(found) if found is not None and found.labelled else None
    sheet = Sheet(
        title=title or f"Actions: {source.resolve().name}",
        alarms=() if scores is None or found is None else _alarms(found, folder.model),
        summary=(
            *([about_model(folder.model)] if folder.model else []),
            *about_experiments(folder),
            *([] if found is None else said(found, scores)),
        ),
        about="neuroduet report · actions",
        tiles=() if scores is None else (("", tiles(scores)),),
        sections=(
            *([] if found is None or scores is None else _scored(found, scores)),
            _evaluated(folder),
            *([] if found is None else [_ethograms(found), _bouts(found)]),
            _grid(folder),
            _density(folder),
            *([_model(folder.model)] if folder.model else []),
        ),
    )
    beside = source.with_suffix(".html") if source.suffix == ".csv" else source / "report.html"
    return write_sheet(sheet, beside if out is None else Path(out))


def _alarms(found: Predictions, model: dict[str, Any] | None) -> tuple[str, ...]:
    """Scored recordings that training saw, as far as the model's folder says."""
    if found.out_of_fold:
        return ()
    learnt = (model or {}).get("recordings") or []
    if not learnt:
        return (UNKNOWN,)
    scored = [found.recordings[i] for i in found.labelled]
    seen = [name for name in scored if name in learnt]
    listed = ", ".join(seen[:8]) + (f" and {len(seen) - 8} more" if len(seen) > 8 else "")
    return (SEEN.format(listed),) if seen else ()


def _scored(found: Predictions, scores: Any) -> list[Section]:
    """Scores of the labelled recordings; of states, what they match."""
    truth = [found.truth[i] for i in found.labelled]
    n = len(truth)
    over = (
        f"Labelled frames of {n} recordings; intervals are over recordings, of which a few say "
        "little about others."
        if n > 1
        else f"Labelled frames of one recording; intervals are over {BLOCKS} pieces of it, and "
        "say nothing about other recordings."
    )
    if found.states:
        note = (
            "The model found states without labels. They were matched to the classes on these "
            "very frames, as the nulls were."
        )
        parts = (overall_table(scores), state_table(found))
        return [Section(id="scores", title="Scores", text=over, notes=(note,), parts=parts)]
    predicted = [found.predicted[i] for i in found.labelled]
    curve = calibration_curve(truth, [found.probabilities[i] for i in found.labelled])
    return [
        Section(
            id="scores",
            title="Scores",
            text=over,
            parts=(
                overall_table(scores),
                class_table(scores, found.classes),
                confusion_matrix(truth, predicted, found.classes),
                recording_table(recording_scores(found)),
            ),
        ),
        Section(id="calibration", title="Calibration", parts=plates(curve)),
    ]


def _evaluated(folder: ActionFolder) -> Section:
    """The table that `actions evaluate` wrote."""
    table = folder.scores
    tables = []
    if table is not None:
        classes = [str(name) for name in dict.fromkeys(table["class"]) if name != EVERY_CLASS]
        tables = [overall_table(table), *([class_table(table, classes)] if classes else [])]
    return Section(
        id="evaluated",
        title="Scores of an evaluation",
        text="As 'neuroduet actions evaluate' wrote them; the table does not say which model and "
        "which recordings they are of.",
        parts=tuple(tables),
    )


def _ethograms(found: Predictions) -> Section:
    shown = shown_recordings(found)
    total = len(found.recordings)
    by = "by macro F1" if found.labelled and not found.states else "in the order of their names"
    which = (
        f"Shown are {len(shown)} of {total} recordings: the first, a middling and the last {by}."
        if len(shown) < total
        else ""
    )
    drawn = [plate for i in shown for plate in _recording(found, i)]
    return Section(id="ethograms", title="Ethograms", text=which, parts=tuple(drawn))


def shown_recordings(found: Predictions) -> list[int]:
    """Choose the recordings whose ethograms are drawn.

    Args:
        found: Predictions.

    Returns:
        Places of up to :data:`MAX_SHOWN` recordings: evenly spaced from the highest to the lowest
        macro F1 of those with labels, or in their order where there are no classes to score.
    """
    order = list(range(len(found.recordings)))
    if found.labelled and not found.states:
        rows = recording_scores(found).sort_values("macro_f1", ascending=False, kind="stable")
        order = [int(i) for i in rows.index]
    if len(order) <= MAX_SHOWN:
        return order
    return [order[i] for i in np.linspace(0, len(order) - 1, MAX_SHOWN).round().astype(int)]


def _recording(found: Predictions, i: int) -> list[Plate]:
    """The whole recording, and its busiest stretch if it is much longer than that."""
    human = found.truth[i] if i in found.labelled and not found.states else None
    predicted, step = found.predicted[i], found.steps[i]
    frames = STRETCH_FRAMES if step is None else max(round(STRETCH_S / step), 1)

    def draw(first: int, last: int, title: str, name: str) -> Plate:
        part = slice(first, last)
        return ethogram(
            None if human is None else human[part],
            predicted[part],
            found.probabilities[i][part],
            found.names,
            title=title,
            frame_s=step,
            first=first,
            name=name,
        )

    name = found.recordings[i]
    whole = draw(0, len(predicted), name, f"ethogram-{i}")
    if len(predicted) < 2 * frames:
        return [whole]
    first = busiest_stretch(predicted if human is None else human, frames)
    length = f"{frames:,} frames" if step is None else f"{STRETCH_S:g} s"
    title = f"{name}: the {length} in which most bouts begin"
    return [whole, draw(first, first + frames, title, f"stretch-{i}")]


def _bouts(found: Predictions) -> Section:
    compared = bool(found.labelled) and not found.states
    truth = [found.truth[i] for i in found.labelled] if compared else None
    predicted = found.within_labels() if compared else found.predicted
    names = [found.recordings[i] for i in found.labelled] if compared else found.recordings
    return Section(
        id="bouts",
        title="Bouts, transitions and time",
        label="Bouts",
        parts=(
            bout_table(found),
            *plates(bout_durations(truth, predicted, found.names, frame_s=found.frame_s)),
            bouts_and_transitions(truth, predicted, found.names, frame_s=found.frame_s),
            time_budget(truth, predicted, names, found.names),
        ),
    )


def _grid(folder: ActionFolder) -> Section:
    table = folder.compare
    if table is None:
        return Section(id="models", title="Models and features")
    drawn = model_grid(table[table["class"] == EVERY_CLASS], SCORES)
    return Section(
        id="models",
        title="Models and features",
        parts=(grid_table(table), *plates(drawn)),
    )


def _density(folder: ActionFolder) -> Section:
    table = folder.density
    if table is None:
        return Section(id="density", title="Label density")
    drawn = density_curves(with_features(table), SCORES)
    return Section(
        id="density",
        title="Label density",
        parts=(density_table(table), *plates(drawn)),
    )


def _model(model: Mapping[str, Any]) -> Section:
    features = model["features"]
    facts = (
        ("model", str(model["model"])),
        ("classes", ", ".join(model["classes"])),
        ("frames", f"arrays of shape {tuple(model['shape'])} for every frame"),
        ("features", str(features["kind"])),
        ("pool", f"{model['pool']} (frames averaged into one before the model sees them)"),
        ("smooth", f"{model['smooth']} (frames over which probabilities are averaged)"),
        ("seed", str(model["seed"])),
        ("written by", f"neuroduet {model['version']}"),
    )
    return Section(id="model", title="The model", facts=facts, parts=(options_table(model),))
