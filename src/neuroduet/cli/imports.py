"""The commands that bring pose and labels into recordings: ``actions import`` and ``label``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.console import print_table, unused, working, write, write_json, write_next
from neuroduet.errors import unknown
from neuroduet.options import AsJson, OutFile, names

if TYPE_CHECKING:
    from neuroduet.data.readers.action_import import ImportSummary
    from neuroduet.data.readers.label_track import LabelChoice, LabelReport

_UNITS = ("s", "frames")

Check = Annotated[bool, typer.Option("--check", help="Say what was found and write nothing.")]
Classes = Annotated[
    str | None, typer.Option("--classes", metavar="A,B", help="Behaviours to keep, in order; all.")
]
Rest = Annotated[
    str | None,
    typer.Option("--rest", metavar="NAME", help="Class of frames without a behaviour."),
]
Subject = Annotated[
    str | None, typer.Option("--subject", metavar="NAME", help="Animal in the labels.")
]
Annotator = Annotated[
    str | None,
    typer.Option("--annotator", metavar="NAME", help="Person, or stream, in the labels."),
]
Observation = Annotated[
    str | None, typer.Option("--observation", metavar="NAME", help="Video in the labels.")
]
Unit = Annotated[
    str | None, typer.Option("--unit", metavar="U", help="What intervals count: s or frames.")
]


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
    check: Check = False,
    classes: Classes = None,
    rest: Rest = None,
    subject: Subject = None,
    annotator: Annotator = None,
    observation: Observation = None,
    unit: Unit = None,
    poses: Annotated[
        str | None, typer.Option("--poses", metavar="A,B", help="Poses of an NWB file to read.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="NAME", help="Name of the recording.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a file of pose, and one of labels, into a recording."""
    from neuroduet.data.readers.action_import import import_actions

    with working("reading pose and labels"):
        found = import_actions(
            pose=pose,
            labels=labels,
            out=out,
            rate_hz=rate_hz,
            classes=names(classes),
            choice=_choice(subject, annotator, observation, unit, rest),
            containers=tuple(names(poses) or ()),
            session_id=session,
            check_only=check,
        )
    if as_json:
        write_json(found)
    else:
        _show(found)


def label_recording(
    recording: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="Recording (.h5) to write into.")
    ],
    labels: Annotated[
        Path,
        typer.Option("--labels", metavar="FILE", help="Of `view`; one-hot csv, BORIS, intervals."),
    ],
    check: Check = False,
    classes: Classes = None,
    rest: Rest = None,
    subject: Subject = None,
    annotator: Annotator = None,
    observation: Observation = None,
    unit: Unit = None,
    as_json: AsJson = False,
) -> None:
    """Write labels into a recording, in place of those it has."""
    from neuroduet.data.readers import action_import

    found = action_import.label_recording(
        recording,
        labels,
        classes=names(classes),
        choice=_choice(subject, annotator, observation, unit, rest),
        check_only=check,
    )
    if as_json:
        write_json({"recording": recording, "labels": found, "written": not check})
        return
    _show_labels(found)
    write("nothing was written" if check else f"the labels are in {recording}")


def _choice(
    subject: str | None,
    annotator: str | None,
    observation: str | None,
    unit: str | None,
    rest: str | None,
) -> LabelChoice:
    """What to read of a file of labels, as the options say."""
    if unit is not None and unit not in _UNITS:
        raise unknown("unit", unit, _UNITS)
    from neuroduet.data.readers.label_track import LabelChoice

    return LabelChoice(
        subject=subject,
        annotator=annotator,
        observation=observation,
        unit=None if unit is None else ("s" if unit == "s" else "frames"),
        rest=rest,
    )


def _show(found: ImportSummary) -> None:
    animals = "one animal" if found.animals == 1 else f"{found.animals} animals"
    write(
        f"{found.session}: {found.pose_format}, {found.frames:,} frames at {found.rate_hz:g} Hz, "
        f"{animals}, {_many(len(found.missing), 'keypoint')}"
    )
    rows = [(name, f"{fraction:.1%}") for name, fraction in found.missing.items()]
    print_table(("keypoint", "not found"), rows)
    if found.labels is not None:
        _show_labels(found.labels)
    for note in found.notes:
        write(f"pose: {note}")
    if found.written is None:
        write("nothing was written")
        return
    write(f"the recording is in {found.written}")
    if found.labels is not None:
        out = unused(found.written.parent / "segmenter")
        write_next("actions", "train", "--data", found.written, "--out", out)


def _many(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _show_labels(report: LabelReport) -> None:
    write(f"labels: {report.format}, {report.labelled:,} of {report.frames:,} frames labelled")
    rows = [(name, f"{n:,}", f"{report.bouts[name]:,}") for name, n in report.counts.items()]
    print_table(("class", "frames", "bouts"), rows)
    for name, count in report.unknown.items():
        write(f"labels: not in the list of classes: {name} ({count:,})")
    for event in report.unmatched:
        write(f"labels: left out, as it has no counterpart: {event}")
    if report.overlapping:
        have = "frame has" if report.overlapping == 1 else "frames have"
        write(f"labels: {report.overlapping:,} {have} several behaviours; left unlabelled")
    for note in report.notes:
        write(f"labels: {note}")
