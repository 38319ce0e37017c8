"""The command ``neuroduet actions import``: from files of pose and labels to a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.console import print_table, working, write, write_json
from neuroduet.errors import unknown
from neuroduet.options import AsJson, OutFile, names

if TYPE_CHECKING:
    from neuroduet.data.readers.action_import import ImportSummary
    from neuroduet.data.readers.label_track import LabelReport

_UNITS = ("s", "frames")


def import_recording(
    pose: Annotated[
        Path,
        typer.Option("--pose", metavar="FILE", help="DeepLabCut, SLEAP, Lightning Pose, NWB."),
    ],
    out: OutFile,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="One-hot csv, BORIS, intervals, Caltech."),
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", metavar="HZ", help="Frames per second of the video.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what was found and write nothing.")
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B", help="Behaviours to keep, in order; all."),
    ] = None,
    rest: Annotated[
        str | None,
        typer.Option("--rest", metavar="NAME", help="Class of frames without a behaviour."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="Animal in the labels.")
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option("--annotator", metavar="NAME", help="Person, or stream, in the labels."),
    ] = None,
    observation: Annotated[
        str | None, typer.Option("--observation", metavar="NAME", help="Video in the labels.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="U", help="What intervals count: s or frames.")
    ] = None,
    poses: Annotated[
        str | None, typer.Option("--poses", metavar="A,B", help="Poses of an NWB file to read.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="NAME", help="Name of the recording.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a file of pose, and one of labels, into a recording."""
    if unit is not None and unit not in _UNITS:
        raise unknown("unit", unit, _UNITS)
    from neuroduet.data.readers.action_import import import_actions
    from neuroduet.data.readers.label_track import LabelChoice

    choice = LabelChoice(
        subject=subject,
        annotator=annotator,
        observation=observation,
        unit=None if unit is None else ("s" if unit == "s" else "frames"),
        rest=rest,
    )
    with working("reading pose and labels"):
        found = import_actions(
            pose=pose,
            labels=labels,
            out=out,
            rate_hz=rate_hz,
            classes=names(classes),
            choice=choice,
            containers=tuple(names(poses) or ()),
            session_id=session,
            check_only=check,
        )
    if as_json:
        write_json(found)
    else:
        _show(found)


def _show(found: ImportSummary) -> None:
    animals = "one animal" if found.animals == 1 else f"{found.animals} animals"
    write(
        f"{found.session}: {found.pose_format}, {found.frames:,} frames at {found.rate_hz:g} Hz, "
        f"{animals}, {len(found.missing)} keypoints"
    )
    rows = [(name, f"{fraction:.1%}") for name, fraction in found.missing.items()]
    print_table(("keypoint", "not found"), rows)
    if found.labels is not None:
        _show_labels(found.labels)
    for note in found.notes:
        write(f"pose: {note}")
    write(
        "nothing was written" if found.written is None else f"the recording is in {found.written}"
    )


def _show_labels(report: LabelReport) -> None:
    write(f"labels: {report.format}, {report.labelled:,} of {report.frames:,} frames labelled")
    rows = [(name, f"{n:,}", f"{report.bouts[name]:,}") for name, n in report.counts.items()]
    print_table(("class", "frames", "bouts"), rows)
    for name, count in report.unknown.items():
        write(f"labels: not in the list of classes: {name} ({count:,})")
    for event in report.unmatched:
        write(f"labels: left out, as it has no counterpart: {event}")
    if report.overlapping:
        write(f"labels: {report.overlapping:,} frames have several behaviours; left unlabelled")
    for note in report.notes:
        write(f"labels: {note}")
