from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from neuroduet import console
from neuroduet.doctor import Finding


def test_long_sentences_are_whole_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "[red]unit[/red] 12 :smile: " * 40
    console.write(sentence)
    console.write(sentence, stderr=True)
    assert capsys.readouterr() == (f"{sentence}\n", f"{sentence}\n")


SUMMARY = {
    "session": "lab/mouse[1]",
    "subject": "mouse",
    "problems": [],
    "neural": "spikes",
    "units": 3,
    "silent_units": 1,
    "rate_quantiles_hz": [0.0, 1.0, 2.04, 3.0, 4.0],
    "duration_s": 90.2,
    "trials": 40,
    "behaviours": [{"name": "wheel", "kind": "continuous", "per": "bin", "missing": 0.25}],
}


def test_recordings_are_listed_with_their_windows_and_behaviours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    length = {"shortest_bins": 106, "longest_bins": 158, "bin_size_s": 0.02}
    console.print_recordings([SUMMARY], {"lab/mouse[1]": "28/4/8"}, {"lab/mouse[1]": length})
    header, _, first, second = lines(capsys.readouterr().out)
    assert header == (
        "session subject activity units median rate duration trials window train/valid/test "
        "behaviours"
    )
    assert first == (
        "lab/mouse[1] mouse spikes 3 (1 silent) 2.0 Hz 90 s 40 2.12 to 3.16 s 28/4/8 "
        "wheel (continuous, per bin, 25% missing)"
    )
    assert second == "106 to 158 bins"


def test_windows_of_one_length_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    length = {"shortest_bins": 100, "longest_bins": 100, "bin_size_s": 0.02}
    console.print_recordings([SUMMARY], {}, {"lab/mouse[1]": length})
    assert " 40 2 s - wheel " in lines(capsys.readouterr().out)[2]


def test_traces_have_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_recordings([SUMMARY | {"rate_quantiles_hz": None, "behaviours": []}], {}, {})
    assert lines(capsys.readouterr().out)[-1].endswith("3 (1 silent) - 90 s 40 - - -")


def test_every_problem_of_a_recording_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    bad = {"session": "b", "subject": "m", "problems": ["times are not sorted", "no units"]}
    console.print_recordings([bad], {}, {})
    assert capsys.readouterr() == ("", "session b: times are not sorted\nsession b: no units\n")


def test_scores_are_means_over_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "model": "duet",
        "task": "encoding",
        "target": "spikes",
        "metric": "bits_per_spike",
        "n": 10,
        "null": 0.0,
        "oracle": 0.5,
        "split": "test",
    }
    scores = pd.DataFrame(
        [row | {"session": "a", "value": 0.1}, row | {"session": "b", "value": 0.3}]
    )
    console.print_scores(scores)
    out = capsys.readouterr().out
    assert "0.200" in out
    assert "0.500" in out
    assert "other score" not in out


def many_scores() -> pd.DataFrame:
    """A question that ten models of long names answered, one of them very badly, and others."""
    row = {"session": "a", "n": 10, "null": 0.0, "oracle": 0.5, "split": "test"}
    spikes = {"task": "encoding", "target": "spikes", "metric": "bits_per_spike"}
    wheel = {"task": "decoding", "target": "wheel"}
    rows = [row | spikes | {"model": f"reduced_rank_{i}", "value": i / 100} for i in range(10)]
    rows += [row | spikes | {"model": "psth", "value": -263544.769}]
    rows += [row | spikes | {"model": "mean_rate", "value": 0.0}]
    rows += [
        row | wheel | {"model": "reduced_rank_9", "metric": name, "value": 0.25}
        for name in ("r2", "r2_per_trial", "correlation")
    ]
    region = {"task": "regions", "target": "region", "metric": "balanced_accuracy"}
    rows += [row | region | {"model": "majority", "value": 0.1, "null": 0.15}]
    return pd.DataFrame(rows)


def test_only_primary_scores_are_printed_and_piped_ones_in_a_table_of_any_width(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = many_scores()
    console.print_scores(scores[scores["task"] == "encoding"])
    shown = lines(capsys.readouterr().out)
    header = shown[0].split()
    assert header[:4] == ["task", "target", "metric", "reduced_rank_0"]
    assert header[-3:] == ["null", "oracle", "sessions"]
    assert "mean_rate" not in header
    assert "encoding spikes bits_per_spike 0.000 0.010" in shown[2]
    assert "0.090 < -100 0.000 0.500 1" in shown[2]
    assert len(shown) == 3


def test_models_that_answer_few_questions_stand_in_their_rows_the_best_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = many_scores()
    console.print_scores(scores[~scores["model"].isin([f"reduced_rank_{i}" for i in range(8)])])
    shown = lines(capsys.readouterr().out)
    assert shown[0] == "task target metric best others null oracle sessions"
    assert shown[2:] == [
        "encoding spikes bits_per_spike reduced_rank_9 0.090 reduced_rank_8 0.080, psth < -100 "
        "0.000 0.500 1",
        "decoding wheel r2 reduced_rank_9 0.250 0.000 0.500 1",
        "regions region balanced_accuracy – 0.150 0.500 1",
        "2 other scores (metrics, channels, parts of tasks) are in the file",
    ]


def test_scores_that_do_not_fit_are_listed_best_first_with_whole_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("neuroduet.terminal.PIPED_WIDTH", 80)
    console.print_scores(many_scores())
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 80
    assert shown[0] == "encoding spikes bits_per_spike  null 0.000  oracle 0.500  sessions 1"
    assert shown[1].startswith("  reduced_rank_9 0.090  reduced_rank_8 0.080")
    assert shown[4].endswith("psth < -100")
    assert all(word.count("_") == 2 for word in " ".join(shown[1:5]).split() if "_" in word)


def test_a_column_that_wraps_keeps_its_words_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("neuroduet.terminal.PIPED_WIDTH", 30)
    console.print_table(("name", "said"), [("reduced_rank", "several words in one long cell")])
    shown = capsys.readouterr().out
    assert "reduced_rank  several words" in shown
    assert max(map(len, shown.splitlines())) <= 30
    console.print_table(("name", "path"), [("reduced_rank", "runs/of/an/experiment")])
    assert capsys.readouterr().out == "name: reduced_rank\n  path: runs/of/an/experiment\n\n"


def test_a_hint_names_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    first = tmp_path / "runs" / "first"
    assert console.unused(first) == first
    first.mkdir(parents=True)
    (tmp_path / "runs" / "first-2").mkdir()
    assert console.unused(first) == tmp_path / "runs" / "first-3"


TRAINING = {
    "seed": 4,
    "device": "auto",
    "gpu": "NVIDIA H100",
    "threads": 1,
    "precision": "bf16",
    "steps": 1200,
    "stopped_by": "patience",
    "epochs": 7.54,
    "minutes": 12.346,
    "windows": 19200,
    "windows_exact": True,
    "operations": 123_456_789,
    "validation": {"wheel": {"best": 0.5, "best_step": 900, "final": 0.25}},
}
RUN = {
    "run": "runs/[b]first",
    "preset": "duet",
    "model": "translator",
    "members": 1,
    "sessions": [
        {
            "id": "lab/mouse[1]",
            "subject": "mouse",
            "activity": "spikes",
            "units": 5,
            "regions": {"CA1": 3, "DG": 2},
            "bins": 50,
            "bin_size_s": 0.02,
            "behaviours": ["wheel"],
            "stitchers": 2554,
        }
    ],
    "behaviours": [{"name": "wheel", "kind": "continuous", "per": "bin", "size": 1}],
    "parameters": {"total": 1_002_554, "core": 1_000_000, "stitchers": 2554},
    "tokens_per_window": 52,
    "trainings": [TRAINING],
    "operations": 123_456_789,
    "operations_rule": "an estimate",
    "bytes": {"run": 2_500_000, "model": 1_000_000},
    "packages": {},
}


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_run_is_shown_with_what_it_is_made_of_and_what_it_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.print_run(RUN)
    shown = lines(capsys.readouterr().out)
    for line in (
        "run runs/[b]first",
        "parameters 1,002,554: 1,000,000 shared, 2,554 in stitchers of 1 session",
        "tokens of a window 52",
        "operations 1.2e+08",
        "on disk 2.5 MB, of which the weights 1.0 MB",
        "lab/mouse[1] spikes 5 2 50 x 20 ms wheel 2,554",
        "4 1200 7.5 12.35 19,200 patience auto (NVIDIA H100) 1 bf16",
        "4 wheel 0.250 0.500 900",
        "operations: an estimate",
    ):
        assert line in shown


def test_what_a_run_does_not_tell_is_a_dash_and_a_bound_is_called_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unknown = dict.fromkeys(TRAINING) | {"seed": 0, "device": "cpu", "precision": "32"}
    nothing = unknown | {"windows_exact": False, "validation": {}}
    session = RUN["sessions"][0] | {"regions": None, "behaviours": []}
    console.print_run(RUN | {"trainings": [nothing], "sessions": [session], "operations": None})
    shown = lines(capsys.readouterr().out)
    assert "0 - - - - - cpu - 32" in shown
    assert "operations -" in shown
    assert "lab/mouse[1] spikes 5 - 50 x 20 ms - 2,554" in shown
    assert not any("validation" in line for line in shown)
    bounded = TRAINING | {"windows_exact": False}
    console.print_run(RUN | {"trainings": [bounded, bounded], "members": 2})
    shown = lines(capsys.readouterr().out)
    assert "model translator, 2 members" in shown
    assert "operations at most 1.2e+08" in shown
    assert any("at most 19,200" in line for line in shown)


def test_what_is_wrong_comes_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    good = Finding(check="numpy", found="2.0")
    bad = Finding(check="disk", found="1 GiB free", remedy="free some space")
    console.print_findings([good, bad])
    out = capsys.readouterr().out
    assert "disk: free some space\n" in out
    assert "in order" not in out
    console.print_findings([good])
    assert "everything is in order\n" in capsys.readouterr().out


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is shown from the beginning."""
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_piped_training_writes_a_line_for_each_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.training_progress() as report:
        for step, used in ((1, 0.15), (2, 0.17), (3, 0.31), (4, 1.2)):
            report(SimpleNamespace(step=step), used, {"a": 0.25, "b": 0.75})
    assert capsys.readouterr() == (
        "",
        " 15%  step 1: mean validation score 0.500\n"
        " 31%  step 3: mean validation score 0.500\n"
        "100%  step 4: mean validation score 0.500\n",
    )


@pytest.mark.usefixtures("impatient")
def test_what_is_counted_is_told_in_tenths_with_its_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.counted("steps") as report:
        report(0, 40, float("nan"))
        for done in (1, 3, 4, 5, 8, 40):
            report(done, 40, float("nan") if done == 40 else 0.125)
    assert capsys.readouterr() == (
        "",
        " 10%  4 of 40 steps (0.125)\n 20%  8 of 40 steps (0.125)\n100%  40 of 40 steps\n",
    )


@pytest.mark.usefixtures("impatient")
def test_an_evaluation_tells_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    with console.question_progress() as report:
        report("mouse: encoding", 0, 4)
        report("mouse: decoding", 1, 4)
    assert capsys.readouterr().err == " 25%  mouse: decoding\n100%  done\n"


@pytest.mark.usefixtures("impatient")
def test_work_that_fails_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with console.question_progress() as report:
            report("mouse: decoding", 1, 4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().err == " 25%  mouse: decoding\n"


@pytest.mark.usefixtures("impatient")
def test_a_training_without_validation_tells_its_steps_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.training_progress() as report:
        report(SimpleNamespace(step=7), 1.0, {})
    assert capsys.readouterr().err == "100%  step 7\n"


def test_quick_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with console.counted("steps") as report:
        for done in range(11):
            report(done, 10, 0.0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("impatient")
def test_quiet_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("neuroduet")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with console.counted("steps") as report:
            report(1, 1, 0.0)
        console.write_next("train")
        console.write("the result")
    finally:
        log.setLevel(level)
    assert capsys.readouterr() == ("the result\n", "")


def terminal(code: str) -> str:
    """What python code shows on a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # the terminal ends with the process
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    assert child.wait() == 0, shown
    return shown.decode()


BAR = """
import time
from neuroduet import console, terminal
terminal.APPEARS_AFTER_S = {after}
with console.counted("[b]steps") as report:
    for done in range(1, 5):
        time.sleep(0.15)
        report(done, 4, float("nan"))
console.write("done")
"""


def test_on_a_terminal_a_bar_comes_late_and_goes_when_all_is_done() -> None:
    shown = terminal(BAR.format(after=0.2))
    assert "[b]steps" in shown
    assert "%" in shown
    assert "\x1b[2K" in shown.rpartition("4 of 4")[2]  # its line is erased at the end
    assert shown.endswith("done\r\n")


def test_on_a_terminal_quick_work_shows_nothing() -> None:
    assert terminal(BAR.format(after=30.0)) == "done\r\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (True, True),
        (Path("a/b"), "a/b"),
        ((1, [2.0, None]), [1, [2.0, None]]),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        (Finding(check="disk", found="1 GiB"), {"check": "disk", "found": "1 GiB", "remedy": ""}),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), [{"a": 1}, {"a": None}]),
        (pd.DataFrame({"a": [np.inf], "b": ["x"]}), [{"a": None, "b": "x"}]),
        ({1: {"x": 2}}, {"1": {"x": 2}}),
    ],
)
def test_anything_we_find_has_a_form_in_json(value: object, expected: object) -> None:
    found = console.jsonable(value)
    assert found == expected
    assert type(found) is type(expected)
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON has no object"):
        console.jsonable({"a": object()})


def test_json_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "[b]ü\x1b[2J" * 60, "score": float("nan")}
    console.write_json(value)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "\x1b" not in printed.out
    assert json.loads(printed.out) == value | {"score": None}


def test_frames_of_recordings_are_listed_with_their_classes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frames = [
        {"name": "pose", "shape": (12000, 2, 5, 2), "classes": ()},
        {"name": "labels", "shape": (12000,), "classes": ("rest", "[b]run")},
    ]
    console.print_recordings([SUMMARY | {"neural": None, "frames": frames}], {}, {})
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "lab/mouse[1] pose 12,000 x 2 x 5 x 2 -" in shown
    assert "lab/mouse[1] labels 12,000 rest, [b]run" in shown
