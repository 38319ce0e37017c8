from __future__ import annotations

from types import SimpleNamespace

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
    console.print_recordings([SUMMARY], {"lab/mouse[1]": "28/4/8"})
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert " ".join(row) == (
        "lab/mouse[1] mouse spikes 3 (1 silent) 2.0 Hz 90 s 40 28/4/8 "
        "wheel (continuous, per bin, 25% missing)"
    )


def test_traces_have_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_recordings([SUMMARY | {"rate_quantiles_hz": None, "behaviours": []}], {})
    assert capsys.readouterr().out.splitlines()[-1].split()[-4:] == ["s", "40", "-", "-"]


def test_every_problem_of_a_recording_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    bad = {"session": "b", "subject": "m", "problems": ["times are not sorted", "no units"]}
    console.print_recordings([bad], {})
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


def test_what_is_wrong_comes_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    good = Finding(check="numpy", found="2.0")
    bad = Finding(check="disk", found="1 GiB free", remedy="free some space")
    console.print_findings([good, bad])
    out = capsys.readouterr().out
    assert "disk: free some space\n" in out
    assert "in order" not in out
    console.print_findings([good])
    assert "everything is in order\n" in capsys.readouterr().out


def test_a_piped_training_writes_a_line_for_each_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.training_progress() as report:
        for step, used in ((1, 0.05), (2, 0.07), (3, 0.31), (4, 1.2)):
            report(SimpleNamespace(step=step), used, {"a": 0.25, "b": 0.75})
    assert capsys.readouterr().err.splitlines() == [
        "  5%  step 1: mean validation score 0.500",
        " 31%  step 3: mean validation score 0.500",
        "100%  step 4: mean validation score 0.500",
    ]
