from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_labels_frames import complaint, put

from neuroduet.data.readers.label_track import paint
from neuroduet.data.readers.labels import LabelChoice, load_labels
from neuroduet.data.writers.labels import write_boris, write_intervals

NAMES = ("rear", "groom", "sniff")
RATE = 30.0

NEW = """Observation id,Media duration (s),FPS,Subject,Behavior,Behavior type,Time,Image index
v1,10.0,30.0,m1,rear,START,1.0,NA
v1,10.0,30.0,m1,rear,STOP,2.0,NA
v1,10.0,30.0,m1,groom,START,3.0,NA
v1,10.0,30.0,m1,sniff,POINT,3.0,NA
v1,10.0,30.0,m1,groom,STOP,4.0,NA
"""
OLD = """Observation id,v1
Media file(s)
Player #1,v1.mp4

Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
1.0,v1.mp4,10.0,30.0;30.0,m1,rear,,,START
2.0,v1.mp4,10.0,30.0;30.0,m1,rear,,,STOP
"""
TWO = """Observation id,FPS,Subject,Behavior,Behavior type,Time
v1,30,m1,rear,START,1.0
v1,30,m1,rear,STOP,2.0
v1,30,m2,rear,START,0.5
v1,30,m2,rear,STOP,0.6
"""
CLASSES = st.lists(st.integers(-1, 2), min_size=2, max_size=80).filter(lambda x: max(x) >= 0)


@given(CLASSES, st.sampled_from(["new", "old"]), st.sampled_from([25.0, 29.97, 30.0, 120.0]))
def test_boris_gives_back_the_labels_that_were_written(
    classes: list[int], style: str, rate: float
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        write_boris(path, np.array(classes), NAMES, rate, style=style)
        track = load_labels(path, len(classes), classes=NAMES)
    assert track.classes.tolist() == classes
    assert track.rate_hz == rate
    assert track.report.unmatched == ()


@given(CLASSES, st.sampled_from([25.0, 29.97, 60.0]))
def test_intervals_give_back_the_labels_that_were_written(classes: list[int], rate: float) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bouts.csv"
        write_intervals(path, np.array(classes), NAMES, rate)
        track = load_labels(path, len(classes), rate, NAMES)
    assert track.classes.tolist() == classes


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 8), st.integers(0, 2)), min_size=0, max_size=8
    )
)
def test_a_frame_has_the_class_of_its_bouts_unless_they_differ(bouts: list) -> None:
    starts, lengths, codes = np.array(bouts, dtype=int).reshape(-1, 3).T
    classes, clashes = paint(starts, starts + lengths, codes, 30)
    for frame in range(30):
        own = {c for a, n, c in bouts if a <= frame < a + n}
        assert classes[frame] == (own.pop() if len(own) == 1 else -1)
    overlaps = [len({c for a, n, c in bouts if a <= f < a + n}) > 1 for f in range(30)]
    assert clashes == sum(overlaps)


def test_starts_stops_and_points_label_their_frames(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, NEW))
    assert track.report.frames == 300
    assert track.report.counts == {"rear": 30, "groom": 29, "sniff": 0}
    assert track.report.overlapping == 1
    assert track.rate_hz == 30.0
    assert (track.classes[30:60] == 0).all()
    assert track.classes[90] == -1
    assert "1 events without duration" in track.report.notes[0]


def test_the_older_export_with_joined_rates_is_read(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, OLD))
    assert track.report.counts == {"rear": 30}
    assert track.report.frames == 300


def test_one_of_several_subjects_must_be_chosen(tmp_path: Path) -> None:
    path = put(tmp_path, TWO)
    assert "several values of subject: m1, m2" in complaint(path, 90)
    first = load_labels(path, 90, choice=LabelChoice(subject="m1"))
    second = load_labels(path, 90, choice=LabelChoice(subject="m2"))
    assert (first.report.counts, second.report.counts) == ({"rear": 30}, {"rear": 3})
    assert "no subject 'm3', but m1, m2" in complaint(path, 90, choice=LabelChoice(subject="m3"))


def test_one_of_several_observations_must_be_chosen(tmp_path: Path) -> None:
    path = put(tmp_path, NEW.replace("v1,10.0,30.0,m1,groom", "v2,10.0,30.0,m1,groom"))
    assert "several values of observation: v1, v2" in complaint(path)
    assert load_labels(path, choice=LabelChoice(observation="v2")).report.counts == {"groom": 30}


def test_events_without_counterpart_are_listed_and_left_out(tmp_path: Path) -> None:
    text = (
        "FPS,Behavior,Behavior type,Time\n30,rear,STOP,0.5\n30,rear,START,1\n30,rear,START,2\n"
        "30,rear,STOP,3\n30,groom,START,4\n"
    )
    track = load_labels(put(tmp_path, text), 300)
    assert track.report.counts == {"rear": 30}
    assert track.report.unmatched == (
        "STOP of 'rear' at 0.5 s (row 2)",
        "START of 'rear' at 1 s (row 3)",
        "START of 'groom' at 4 s (row 6)",
    )


def test_unknown_behaviours_are_counted_and_left_unlabelled(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, NEW), classes=("groom",))
    assert track.report.counts == {"groom": 30}
    assert track.report.unknown == {"rear": 1, "sniff": 1}


BORIS: dict[str, tuple[Callable[[str], str], str]] = {
    "no status": (lambda text: text.replace("Behavior type", "Kind"), "no column Status"),
    "no events": (lambda text: text.splitlines()[0], "no events"),
    "cut in a row": (lambda text: text[:-9], "cells, expected 8"),
    "a word for time": (lambda text: text.replace("STOP,2.0", "STOP,soon"), "found 'soon'"),
    "no time": (lambda text: text.replace("STOP,2.0", "STOP,NA"), "row 3, column 'Time'"),
    "out of order": (lambda text: text.replace("STOP,2.0", "STOP,9.0"), "sort the file by Time"),
    "unknown status": (lambda text: text.replace("STOP,2.0", "END,2.0"), "found 'END'"),
    "no behaviour": (lambda text: text.replace("m1,rear,STOP", "m1,,STOP"), "is empty"),
    "only starts": (lambda text: text.replace("STOP", "START").replace("POINT", "START"),
                    "none of 5 events makes a bout"),
    "two rates": (lambda text: text.replace("30.0,m1,rear,STOP", "25.0,m1,rear,STOP"),
                  "found the rates 30, 25"),
    "joined rates": (lambda text: text.replace("30.0,m1", "30.0;25.0,m1"), "the rates 30, 25"),
    "rate in words": (lambda text: text.replace("30.0,m1", "fast,m1"), "column 'fps'"),
    "no rate": (lambda text: text.replace("30.0,m1", "NA,m1"), "give --rate"),
    "rate zero": (lambda text: text.replace("30.0,m1", "0,m1"), "expected frames per second"),
    "before the video": (lambda text: text.replace("START,1.0", "START,-1.0"),
                         "starts before the video"),
    "infinite": (lambda text: text.replace("STOP,4.0", "STOP,inf"), "expected a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", BORIS)
def test_damage_to_boris_events_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    spoil, expected = BORIS[name]
    spoiled = spoil(NEW)
    assert spoiled != NEW
    said = complaint(put(tmp_path, spoiled))
    assert expected in said
    assert "labels.csv" in said


@pytest.mark.parametrize(
    ("frames", "rate", "expected"),
    [
        (300, 60.0, "says 30 frames per second, but 60"),
        (3000, None, "belongs to a video of 300 frames, but this one has 3,000"),
        (100, None, "belongs to a video of 300 frames, but this one has 100"),
    ],
)
def test_events_of_another_video_or_rate_are_refused(
    tmp_path: Path, frames: int, rate: float | None, expected: str
) -> None:
    assert expected in complaint(put(tmp_path, NEW), frames, rate)


def test_events_of_none_of_the_classes_are_refused(tmp_path: Path) -> None:
    assert "are not in the list" in complaint(put(tmp_path, NEW), 300, None, ("jump",))


def test_the_rest_cannot_be_told_where_behaviours_overlap(tmp_path: Path) -> None:
    assert "two behaviours at once" in complaint(
        put(tmp_path, NEW), 300, choice=LabelChoice(rest="other")
    )


def test_tabs_and_empty_cells_at_the_end_do_not_matter(tmp_path: Path) -> None:
    lines = [
        line + ",Comment" * (n == 0) + "," * (n > 0) for n, line in enumerate(NEW.splitlines())
    ]
    text = "\n".join(lines).replace(",", "\t") + "\n\n"
    assert load_labels(put(tmp_path, text)).report.counts["rear"] == 30


def test_aggregated_events_of_boris_are_intervals(tmp_path: Path) -> None:
    text = (
        "Observation id,FPS,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
        "v1,30.0,m1,rear,STATE,1.0,2.0\nv1,30.0,m1,groom,STATE,3.0,4.5\n"
    )
    track = load_labels(put(tmp_path, text), 300)
    assert track.report.counts == {"rear": 30, "groom": 45}


TABLE = "start_s,end_s,behaviour\n1.0,2.0,rear\n3.0,4.0,groom\n"


def test_intervals_in_seconds_end_before_their_end(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, TABLE), 150, 30.0)
    assert np.flatnonzero(track.classes == 0).tolist() == list(range(30, 60))


def test_intervals_in_frames_hold_their_last_frame(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, "start_frame;end_frame;label\n3;5;rear\n"), 10)
    assert np.flatnonzero(track.classes == 0).tolist() == [3, 4, 5]


def test_whole_numbers_need_a_unit_and_fractions_are_seconds(tmp_path: Path) -> None:
    path = put(tmp_path, "start,end,label\n3,5,rear\n")
    assert "may be seconds or frames" in complaint(path, 300, 30.0)
    assert load_labels(path, 300, choice=LabelChoice(unit="frames")).report.labelled == 3
    assert load_labels(path, 300, 30.0, choice=LabelChoice(unit="s")).report.labelled == 60
    fractions = put(tmp_path, "start,end,label\n3.5,5,rear\n")
    assert load_labels(fractions, 300, 30.0).report.labelled == 45


def test_decimal_commas_are_understood_between_semicolons(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, "start;end;type\n0,5;1,5;rear\n"), 60, 30.0)
    assert np.flatnonzero(track.classes == 0).tolist() == list(range(15, 45))


def test_bouts_shorter_than_half_a_frame_are_left_out_and_said(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, TABLE + "4.001,4.002,sniff\n"), 150, 30.0)
    assert track.report.counts["sniff"] == 0
    assert "1 bouts shorter than half a frame" in track.report.notes[0]


INTERVALS: dict[str, tuple[Callable[[str], str], str]] = {
    "header only": (lambda text: text.splitlines()[0], "no rows"),
    "cut in a row": (lambda text: text[:-7], "found 2 cells, expected 3"),
    "a word": (lambda text: text.replace("3.0", "three"), "row 3, column 'start_s'"),
    "missing": (lambda text: text.replace("3.0", ""), "found '', expected a number"),
    "not finite": (lambda text: text.replace("4.0", "inf"), "found 'inf'"),
    "backwards": (lambda text: text.replace("4.0", "2.5"), "stops before it starts"),
    "negative": (lambda text: text.replace("1.0", "-1.0"), "starts before the video"),
    "no name": (lambda text: text.replace("groom", ""), "the behaviour is empty"),
    "after the end": (lambda text: text.replace("4.0", "400"), "ends at frame 12,000"),
    "milliseconds": (lambda text: text.replace(".0,", "000.0,"), "bouts were read in seconds"),
    "fractional frames": (lambda text: text.replace("_s", "_frame").replace("1.0", "1.5"),
                          "not whole numbers"),
    "two videos": (lambda text: "file," + text.replace("\n1", "\na,1").replace("\n3", "\nb,3"),
                   "several values of observation: a, b"),
    "two people": (lambda text: "Rater," + text.replace("\n1", "\nx,1").replace("\n3", "\ny,3"),
                   "several values of annotator: x, y"),
}  # fmt: skip


@pytest.mark.parametrize("name", INTERVALS)
def test_damage_to_intervals_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    spoil, expected = INTERVALS[name]
    spoiled = spoil(TABLE)
    assert spoiled != TABLE
    assert expected in complaint(put(tmp_path, spoiled), 150, 30.0)


def test_a_unit_that_contradicts_the_table_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, TABLE)
    assert "the unit was given as 'frames'" in complaint(
        path, 150, 30.0, choice=LabelChoice(unit="frames")
    )


def test_intervals_in_seconds_need_a_rate(tmp_path: Path) -> None:
    assert "give --rate" in complaint(put(tmp_path, TABLE), 150)
    assert "expected frames per second" in complaint(put(tmp_path, TABLE), 150, 0.0)


def test_caltech_annotations_agree_with_the_labels_of_every_frame(shared_data: Path) -> None:
    frames = np.load(shared_data / "rat_social" / "rat_social_01-24.npz")
    names = {
        "S1": ("base", "social", "nonsocial", "aggression"),
        "S2": ("base", "lateralthreat", "keepdown", "clinch", "uprightposture", "freezing",
               "bite", "chase"),
    }  # fmt: skip
    for video in (1, 2, 3):
        path = shared_data / "rat_social" / "annotations" / f"{video}_annot.txt"
        for stream, classes in names.items():
            expected = frames[f"{stream.lower()}_{video}"]
            track = load_labels(
                path, len(expected), classes=classes, choice=LabelChoice(annotator=stream)
            )
            np.testing.assert_array_equal(track.classes, expected)
            assert track.report.unknown == {}


CALTECH = (
    "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\nbase\tz\nbite\tb\n\n"
    "S1:\tstart\tend\ttype\n-----\n \t1\t5\tbase\n \t6\t7\tbite\n \nS2:\tstart\tend\ttype\n"
    "-----\n \t1\t7\tbase\n"
)


def test_caltech_frames_count_from_one_and_hold_the_last(tmp_path: Path) -> None:
    track = load_labels(put(tmp_path, CALTECH, "a.txt"))
    assert track.classes.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert "left aside the streams S2" in track.report.notes


DAMAGED_CALTECH: dict[str, tuple[Callable[[str], str], str]] = {
    "no configuration": (lambda text: text.replace("Configuration", "C"), "no line 'Config"),
    "no streams": (lambda text: text.split("S1:")[0], "found no bouts"),
    "cut off": (lambda text: text[:-9], "found no bouts"),
    "cut in a row": (lambda text: text[:-6], "line 14: found '1"),
    "unlisted": (lambda text: text.replace("7\tbite", "7\tkick"), "'kick' is not in the config"),
    "overlap": (lambda text: text.replace("6\t7", "5\t7"), "does not follow frame 5"),
    "backwards": (lambda text: text.replace("6\t7", "7\t6"), "the bout 7 to 6"),
    "from zero": (lambda text: text.replace("1\t5", "0\t5"), "the bout 0 to 5"),
    "fraction": (lambda text: text.replace("6\t7", "6.5\t7"), "expected start, end and type"),
    "a word": (lambda text: text.replace("6\t7", "six\t7"), "expected start, end and type"),
    "a stream twice": (lambda text: text.replace("S2", "S1"), "the stream S1 appears twice"),
    "doubled row": (lambda text: text.replace(" \t6\t7\tbite\n", " \t6\t7\tbite\n" * 2),
                    "does not follow frame 7"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED_CALTECH)
def test_damage_to_a_caltech_annotation_is_named(tmp_path: Path, name: str) -> None:
    spoil, expected = DAMAGED_CALTECH[name]
    spoiled = spoil(CALTECH)
    assert spoiled != CALTECH
    assert expected in complaint(put(tmp_path, spoiled, "a.txt"))


def test_a_caltech_annotation_of_another_video_or_stream_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, CALTECH, "a.txt")
    assert "belongs to a video of 7 frames" in complaint(path, 100)
    assert "known: S1, S2" in complaint(path, choice=LabelChoice(annotator="S7"))
