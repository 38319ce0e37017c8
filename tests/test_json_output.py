"""Every command with ``--json``: one document on standard output, and nothing else there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer

from neuroduet import cli

ELSEWHERE = {"view"}
"""Commands that do not end by themselves; their own tests look at their JSON."""

FROZEN = Path(__file__).parent / "frozen" / "v1"
FRAMES = 240

Make = Callable[[Path], list[str]]


class Places:
    """Tiny data and one tiny run, which all commands share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.run, self.films = FROZEN / "recording.h5", folder / "run", folder / "films"
        self.pose, self.model = folder / "rat.csv", folder / "segmenter"
        self.bouts = folder / "bouts.csv"
        self.counts, self.mapping = folder / "counts", folder / "counts.yaml"
        self.published = folder / "published"


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    from neuroduet.simulate.brainwide import simulate_brainwide

    found = Places(tmp_path_factory.mktemp("json"))
    shutil.copytree(FROZEN / "ensemble" / "members" / "00", found.run)
    write_films(found)
    write_counts(found)
    simulate_brainwide(found.published, 1, 0, seed=3, units=20)
    return found


def write_films(places: Places) -> None:
    """Pose of two rats that run or rest, with labels, and one as DeepLabCut writes it."""
    from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries, SessionDescription

    from neuroduet.data.recording import save

    places.films.mkdir()
    for seed in range(2):
        states, pose = film(seed)
        times = np.arange(FRAMES) / 25
        recording = Data(
            domain=Interval(0.0, FRAMES / 25),
            session=SessionDescription(id=f"rat{seed}"),
            pose=IrregularTimeSeries(timestamps=times, xy=pose),
            labels=IrregularTimeSeries(timestamps=times, classes=states),
            label_classes=ArrayDict(name=np.array(["rest", "run"])),
        )
        save(recording, places.films / f"rat{seed}.h5")
    places.bouts.write_text("start_frame,end_frame,behaviour\n0,9,rest\n")
    _, pose = film(0)
    parts = [part for part in ("nose", "back", "tail") for _ in range(3)]
    rows = [
        *(["scorer", *["net"] * 9], ["bodyparts", *parts]),
        ["coords", *["x", "y", "likelihood"] * 3],
    ]
    for frame, points in enumerate(pose):
        rows.append([frame, *(value for x, y in points for value in (x, y, 1.0))])
    places.pose.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")


def film(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    states = np.arange(FRAMES) // 30 % 2
    steps = np.where(states[:, None], 3.0, 0.05) * generator.normal(size=(FRAMES, 2))
    body = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    return states, np.cumsum(steps, axis=0)[:, None] + body


def write_counts(places: Places) -> None:
    """A laboratory's file of counts, and what is what in it."""
    generator = np.random.default_rng(0)
    places.counts.mkdir()
    np.savez(places.counts / "c.npz", fr=generator.poisson(0.5, (6, 50, 20)))
    places.mapping.write_text(MAPPING)


MAPPING = """
bin_size_s: 0.02
counts: {array: fr, axes: [units, bins, trials]}
"""


CASES = {
    "simulate": "simulate {out} --sessions 1 --size tiny",
    "inspect": "inspect {data}",
    "ingest": "ingest {counts} {out} --npz --mapping {mapping}",
    "train": "train --data {data} --out {out} --set training.max_steps=1 model.layers=1",
    "finetune": "finetune {run} --data {data} --out {out} --set training.max_steps=1",
    "search": "search --data {data} --out {out} --trials 1",
    "plan": "plan",
    "list": "list {folder}",
    "info": "info {run}",
    "evaluate": "evaluate {run} --data {data} --tasks encoding,regions --nulls 2",
    "baselines": "baselines --data {data} --out {out} --nulls 1",
    "crossval": "crossval --data {data} --out {out} --seeds 2 --tasks decoding "
    "--workers 1 --set training.max_steps=1 model.layers=1",
    "predict": "predict {run} --data {data} --out {out}",
    "embed": "embed {run} --out {out}.csv",
    "benchmark": "benchmark --data {published} --suite ts2 --out {out}",
    "submit": "submit {run} --suite ts2 --data {published} --label ours --out {out}.zip",
    "report": "report {run} --out {out}.html",
    "export": "export {run} --data {data} --to alf --out {out}",
    "share": "share {run} --out {out}",
    "demo": "demo --out {out}",
    "doctor": "doctor",
    "completion": "completion zsh",
    "actions train": "actions train --data {films} --out {model} --model random_forest "
    "--features kinematics --pool 1 --smooth 1 --set trees=5",
    "actions predict": "actions predict {model} --data {films} --out {out}",
    "actions evaluate": "actions evaluate {model} --data {films}",
    "actions compare": "actions compare --data {films} --out {out} --models random_forest "
    "--features kinematics --folds 2 --pool 1 --smooth 1 --set random_forest.trees=5",
    "actions density": "actions density --data {films} --out {out} --models random_forest "
    "--features kinematics --goals 10 --seeds 1 --test rat1 --pool 1 --smooth 1 "
    "--set random_forest.trees=5",
    "actions suggest": "actions suggest {model} --data {films} --out {out}.csv",
    "actions import": "actions import --pose {pose} --rate 25 --out {out}.h5",
    "actions label": "actions label {films}/rat0.h5 --labels {bouts} --check",
}
"""One run of every command; ``actions train`` comes before those that use what it makes."""


def commands(group: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its place."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*place, name))
        else:
            yield " ".join((*place, name)), command


APP = dict(commands(typer.main.get_command(cli.app)))


def test_there_is_no_command_without_json() -> None:
    without = [
        place
        for place, command in APP.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert without == []
    assert set(APP) == set(CASES) | ELSEWHERE


@pytest.fixture
def long_work_replaced(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    """What takes minutes, or a cluster, is tested where it belongs."""
    from neuroduet.benchmark.aggregate import FileScore
    from neuroduet.benchmark.submission import Entry
    from neuroduet.demo import Demo
    from neuroduet.doctor import Finding
    from neuroduet.training.trials import Trial

    def replace(module: str, name: str, stand_in: Callable[..., Any]) -> None:
        monkeypatch.setattr(import_module(f"neuroduet.{module}"), name, stand_in)

    table = pd.DataFrame([{"model": "duet", "value": float("nan"), "n": np.int64(3)}])
    made = Demo(scores=table, run=places.run, report=places.run / "report.html")
    trial = Trial(
        number=1, settings={"model.width": 8}, run=places.run, status="finished", scores=(0.5,)
    )
    place = {"task": "ts2-forecasting", "recording": "r", "seed": 43}
    entry = Entry(**place, tensors={}, notes={})
    score = FileScore(**place, metric="bps", value=0.25)
    replace("demo", "demo", lambda **given: made)
    replace("doctor", "examine", lambda: [Finding(check="python", found="3.12")])
    replace("training.search", "search", lambda **given: [trial])
    replace("report.search", "write_search", lambda *given: None)
    replace("benchmark.runs", "predict_suite", lambda *given: iter([entry]))
    replace("benchmark.submission", "write_submission", lambda out, label, found: list(found))
    replace("benchmark.scores", "score_submission", lambda *given: [score])


SILENT = {
    *("plan", "info", "embed", "demo", "search", "completion", "doctor", "share"),
    *("actions import", "actions label"),
}
"""Commands without parts, or replaced; every other tells how far it is."""


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.usefixtures("long_work_replaced")
@pytest.mark.parametrize("name", CASES)
def test_json_is_all_that_a_command_prints(
    name: str,
    places: Places,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)
    line = CASES[name].format(out=tmp_path / "out", **vars(places))
    assert cli.main([*line.split(), "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out, parse_constant=refuse)
    shares = [int(share) for share in re.findall(r"^ *(\d+)%  ", printed.err, re.MULTILINE)]
    assert shares == sorted(shares)
    assert bool(shares) is (name not in SILENT), printed.err
    CONTENT.get(name, lambda found: None)(document)


def holds(*keys: str) -> Callable[[Any], None]:
    def check(found: Any) -> None:
        assert set(keys) <= set(found)

    return check


def rows_hold(*keys: str) -> Callable[[Any], None]:
    def check(found: Any) -> None:
        assert found
        assert all(set(keys) <= set(row) for row in found)

    return check


def files_are_there(found: Any) -> None:
    assert found["files"]
    assert all(Path(file).is_file() for file in found["files"])


def training_is_told(found: Any) -> None:
    assert found["steps"] == 1
    assert found["stopped_by"] == "max_steps"
    assert found["minutes"] > 0
    assert (Path(found["run"]) / "config.yaml").is_file()
    assert "validation" in found


def scores_are_told(found: Any) -> None:
    assert len(found["scores"]) == len(pd.read_csv(found["file"]))
    assert {"session", "task", "target", "metric", "value", "p_value"} <= set(found["scores"][0])
    assert all(row["oracle"] is None for row in found["scores"])


def windows_are_told(found: Any) -> None:
    assert [one["session"] for one in found] == ["frozen"]
    assert [one["windows"] for one in found] == [{"train": 12, "valid": 4, "test": 4}]
    assert [one["window"] for one in found] == [
        {"shortest_bins": 8, "longest_bins": 8, "bin_size_s": 0.05}
    ]
    assert [one["problems"] for one in found] == [[]]


CONTENT: dict[str, Callable[[Any], None]] = {
    "simulate": files_are_there,
    "inspect": windows_are_told,
    "ingest": rows_hold("session", "source", "status", "path"),
    "train": training_is_told,
    "finetune": training_is_told,
    "search": holds("folder", "best", "trials"),
    "evaluate": scores_are_told,
    "baselines": scores_are_told,
    "crossval": holds("folder", "summary", "paired"),
    "predict": files_are_there,
    "export": files_are_there,
    "embed": holds("file", "sessions", "units", "numbers_per_unit"),
    "benchmark": files_are_there,
    "submit": holds("file", "predictions", "scores", "lacks"),
    "demo": holds("run", "report", "file", "scores"),
    "doctor": rows_hold("check", "found", "remedy"),
    "completion": holds("shell", "script"),
    "actions import": holds("session", "frames", "rate_hz", "missing", "written"),
    "actions label": holds("recording", "labels", "written"),
}


def test_recordings_with_problems_are_told_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import h5py

    shutil.copyfile(FROZEN / "recording.h5", tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["units"]["id"][:] = file["units"]["id"][0]
    assert cli.main(["inspect", str(tmp_path), "--json"]) == 2
    (found,) = json.loads(capsys.readouterr().out)
    assert found["problems"]
    assert found["windows"] is None
    assert found["window"] is None


def test_a_damaged_recording_does_not_hide_the_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.h5", "b.h5"):
        shutil.copyfile(FROZEN / "recording.h5", tmp_path / name)
    (tmp_path / "a.h5").write_bytes((FROZEN / "recording.h5").read_bytes()[:-2000])
    assert cli.main(["inspect", str(tmp_path), "--json"]) == 2
    good, bad = json.loads(capsys.readouterr().out)
    assert good["problems"] == []
    assert good["units"] > 0
    assert bad["session"] == "a"
    assert "damaged" in bad["problems"][0]
    assert cli.main(["inspect", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert good["session"] in said
    assert "a.h5" in said.split("damaged", 1)[1]


def test_an_error_leaves_standard_output_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "nowhere", "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: there is nothing at nowhere")
