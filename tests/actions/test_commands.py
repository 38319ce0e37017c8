"""The commands of action segmentation, from files to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries, SessionDescription

from neuroduet import cli
from neuroduet.data.recording import load, save
from neuroduet.errors import UserError
from neuroduet.options import keyed, number_or_auto, numbers

NAMES = ("rest", "run")
T = 160
QUICK = ["--model", "random_forest", "--set", "trees=5"]


def walk(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints that lie still or move, and which of the two."""
    rng = np.random.default_rng(seed)
    states = np.repeat(rng.permutation(np.arange(8) % 2), T // 8)
    centre = np.cumsum(np.where(states[:, None], 3.0, 0.05) * rng.normal(size=(T, 2)), axis=0)
    body = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    pose = centre[:, None] + body + 0.02 * rng.normal(size=(T, 3, 2))
    return pose, states


def film(path: Path, seed: int, labelled: bool = True, flipped: bool = False) -> None:
    """A recording of pose; ``flipped``: with the classes in the other order."""
    pose, states = walk(seed)
    times = np.arange(T) / 25
    names = NAMES[::-1] if flipped else NAMES
    groups = {"pose": IrregularTimeSeries(timestamps=times, xy=pose)}
    if labelled:
        said = np.where(np.arange(T) < 10, -1, 1 - states if flipped else states)
        groups["labels"] = IrregularTimeSeries(timestamps=times, classes=said)
        groups["label_classes"] = ArrayDict(name=np.array(names))
    session = SessionDescription(id=path.stem)
    save(Data(domain=Interval(0.0, T / 25), session=session, **groups), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled recordings, one of them coded otherwise, and one without labels."""
    folder = tmp_path_factory.mktemp("films")
    for seed in range(3):
        film(folder / f"rat{seed}.h5", seed, flipped=seed == 1)
    film(folder / "rat3.h5", 3, labelled=False)
    return folder


@pytest.fixture(scope="module")
def model(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "forest"
    words = ["train", "--data", data, "--out", folder, *QUICK, "--recordings", "rat0,rat1"]
    assert run(*words) == 0
    return folder


def run(*words: str | Path) -> int:
    return cli.main(["actions", *(str(word) for word in words)])


def test_training_says_what_it_learnt_from(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    assert run("train", "--data", data, "--out", out, *QUICK, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    counts = made.pop("labelled")
    assert made == {
        "model": "random_forest",
        "classes": list(NAMES),
        "recordings": ["rat0", "rat1", "rat2", "rat3"],
        "frames": 4 * T,
        "out": str(out),
    }
    # 10 frames of each of the three labelled recordings have no label.
    assert sum(counts.values()) == 3 * (T - 10)
    assert abs(counts["rest"] - counts["run"]) <= 30
    assert (out / "segmenter.json").is_file()


def test_predictions_are_written_back_as_names(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(tmp_path / "rat2.h5", 2)
    assert run("predict", model, "--data", tmp_path, "--write-back") == 0
    assert "rat2" in capsys.readouterr().out
    _, states = walk(2)
    with load(tmp_path / "rat2.h5", lazy=False) as recording:
        np.testing.assert_array_equal(recording.labels.classes[10:], states[10:])
        assert recording.action_classes.name.tolist() == list(NAMES)
        np.testing.assert_allclose(recording.actions.probabilities.sum(1), 1, atol=1e-5)
        right = np.array(NAMES)[states] == recording.actions.name
    assert right.mean() > 0.8


def test_predictions_go_into_a_folder_and_leave_the_recordings(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    assert run("predict", model, "--data", data, "--out", tmp_path / "out", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["recording"] for row in rows] == ["rat0", "rat1", "rat2", "rat3"]
    assert all(sum(row["fractions"].values()) == pytest.approx(1) for row in rows)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    table = pd.read_csv(tmp_path / "out" / "rat3.actions.csv")
    assert list(table) == ["frame", "time_s", "action", "p(rest)", "p(run)"]
    assert len(table) == T


def test_arrays_are_as_good_as_recordings(data: Path, model: Path, tmp_path: Path) -> None:
    pose, _ = walk(3)
    np.savez(tmp_path / "rat3.npz", pose=pose)
    assert run("predict", model, "--data", tmp_path, "--write-back") == 0
    assert run("predict", model, "--data", data, "--out", tmp_path / "out") == 0
    with (
        np.load(tmp_path / "rat3.actions.npz") as plain,
        np.load(tmp_path / "out" / "rat3.actions.npz") as recording,
    ):
        np.testing.assert_array_equal(plain["probabilities"], recording["probabilities"])


def test_evaluation_scores_labelled_recordings_whatever_their_coding(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "scores.csv", tmp_path / "figures"
    words = ["--data", data, "--out", out, "--figures", figures]
    assert run("evaluate", model, *words, "--recordings", "rat1,rat2,rat3") == 0
    said = capsys.readouterr().out
    assert "macro_f1" in said
    assert str(out) in said
    scores = pd.read_csv(out).set_index(["metric", "class"])
    assert scores.loc[("accuracy", "all"), "n"] == 2 * (T - 10)
    assert scores.loc[("macro_f1", "all"), "value"] > 0.8
    assert scores.loc[("macro_f1", "all"), "null_constant"] < 0.5
    drawn = {path.name for path in figures.iterdir()}
    assert drawn == {"ethogram-rat1.svg", "ethogram-rat2.svg", "confusion.svg", "bouts.svg"}


def test_scores_of_recordings_seen_in_training_come_with_a_warning(
    data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(model), "--data", str(data), "--recordings"]
    assert cli.main(["actions", "evaluate", *words, "rat1,rat2"]) == 0
    said = capsys.readouterr().err
    assert "the segmenter was trained on rat1: its scores" in said
    assert said.count("\n") == 1
    assert cli.main(["actions", "evaluate", *words, "rat2"]) == 0
    assert capsys.readouterr().err == ""


def test_training_says_how_to_go_on_unless_only_json_is_wanted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in ([], ["--json"]):
        out = tmp_path / f"forest{len(flags)}"
        words = ["--data", str(data), "--out", str(out), *QUICK, *flags]
        assert cli.main(["actions", "train", *words]) == 0
        said = capsys.readouterr().out
        hint = f"next: neuroduet actions predict {out} --data {data} --out {tmp_path / 'answers'}"
        assert (f"{hint}\n" in said) is not bool(flags)


def test_several_models_answer_together(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    words = ["--data", data, "--out", other, *QUICK, "--recordings", "rat0,rat1", "--seed", "1"]
    assert run("train", *words) == 0
    for name, models in (("a", [model]), ("b", [other]), ("both", [model, other])):
        assert run("predict", *models, "--data", data, "--out", tmp_path / name) == 0
    a, b, both = (
        np.load(tmp_path / name / "rat2.actions.npz")["probabilities"]
        for name in ("a", "b", "both")
    )
    np.testing.assert_allclose(both, (a + b) / 2, atol=1e-6)
    assert not np.array_equal(a, b)


def test_suggestions_name_unlabelled_bouts(data: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "next.csv"
    assert run("suggest", model, "--data", data, "-n", "3", "--out", out) == 0
    table = pd.read_csv(out)
    assert 1 <= len(table) <= 3
    # All frames of the others are labelled but for the first ten.
    assert set(table["recording"]) <= {"rat0", "rat1", "rat2", "rat3"}
    labelled = table["recording"] != "rat3"
    assert (table.loc[labelled, "end"] <= 10).all()
    np.testing.assert_allclose(table["start_s"], table["start"] / 25)


def test_states_are_found_without_labels_and_matched_to_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "states"
    words = ["--data", data, "--out", out, "--model", "hmm", "--set", "restarts=1"]
    assert run("train", *words, "--unlabelled", "--states", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["state 0", "state 1"]
    assert run("evaluate", out, "--data", data, "--json", "--figures", tmp_path / "f") == 0
    scores = {(row["metric"], row["class"]): row for row in json.loads(capsys.readouterr().out)}
    assert scores["one_to_one", "all"]["value"] >= 0.5
    assert ("f1", "run") in scores
    assert not (tmp_path / "f" / "confusion.svg").exists()


def test_states_of_a_model_that_leaves_labels_aside_are_matched_to_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "states"
    quick = ["--set", "steps=2", "--set", "hmm.restarts=1", "--set", "hmm.iterations=2"]
    words = ["--data", data, "--out", out, "--model", "slds", *quick]
    assert run("train", *words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["labelled"] == {"state 0": 0, "state 1": 0}
    assert run("evaluate", out, "--data", data, "--json") == 0
    assert "one_to_one" in {row["metric"] for row in json.loads(capsys.readouterr().out)}


def test_the_grid_is_scored_out_of_fold_and_goes_on_where_it_was(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)
    out = tmp_path / "grid"
    words = ["compare", "--data", data, "--models", "random_forest,boosting", "--folds", "3"]
    options = ["--set", "random_forest.trees=5", "--set", "boosting.rounds=3", "--out", out]
    assert run(*words, *options, "--features", "position,kinematics") == 0
    said = capsys.readouterr()
    assert "12 of 12 fits" in said.err
    assert "random_forest" in said.out
    table = pd.read_csv(out / "compare.csv")
    main = table[table["metric"] == "accuracy"]
    assert list(zip(main["model"], main["features"], strict=True)) == [
        (model, kind)
        for model in ("random_forest", "boosting")
        for kind in ("position", "kinematics")
    ]
    # Every labelled frame is scored once.
    assert (main["n"] == 3 * (T - 10)).all()
    assert (main["low"] <= main["value"]).all()
    assert (out / "compare.svg").read_text().startswith("<svg")
    assert run(*words, *options, "--features", "position,kinematics") == 0
    again = pd.read_csv(out / "compare.csv")
    # Fits are taken from the folder: how long they took is what it was.
    pd.testing.assert_frame_equal(again, table)


def test_the_density_curve_counts_labels_and_goes_on_where_it_was(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "density"
    words = ["density", "--data", data, "--models", "random_forest", "--seeds", "2", "--out", out]
    words += ["--set", "random_forest.trees=5", "--goals", "40,20"]
    assert run(*words, "--test", "rat2", "--json") == 0
    rows = pd.DataFrame(json.loads(capsys.readouterr().out))
    fits = rows.drop_duplicates(["goal", "seed"])[["goal", "seed", "labelled"]]
    assert fits.to_numpy().tolist() == [[20, 1, 40], [20, 1001, 40], [40, 1, 80], [40, 1001, 80]]
    assert (out / "density.svg").read_text().startswith("<svg")
    before = (out / "density.csv").read_bytes()
    assert run(*words, "--test", "rat2") == 0
    assert (out / "density.csv").read_bytes() == before
    assert "macro_f1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --data nowhere --out new", "there is nothing at nowhere"),
        ("train --data data --out new --model tnc", "did you mean 'tcn'"),
        ("train --data data --out new --pool some", "--pool is 'some'"),
        ("train --data data --out new --set layers", "has no '='"),
        ("train --data data --out new --set nothing=1", "unknown option"),
        ("train --data data --out new --recordings rat9", "unknown recording 'rat9'"),
        ("train --data data --out new --unlabelled --model arhmm", "number of states"),
        ("train --data data --out data", "already holds files"),
        ("train --data data --out new --source wheel.speed", "no time series wheel.speed"),
        ("predict nowhere --data data --write-back", "nowhere"),
        ("predict model --data data", "either --out DIR or --write-back"),
        ("predict model --data data --out x --write-back", "either --out DIR or --write-back"),
        ("evaluate model --data data --recordings rat3", "no recording has labels"),
        ("evaluate model --data data --out no/where.csv", "no folder no"),
        ("compare --data data --models tcn,tnc --out new", "did you mean 'tcn'"),
        ("compare --data data --models tcn --out new --set layers=1", "write MODEL.layers="),
        ("compare --data data --models tcn --out new --folds 4", "found 4 folds for 3 labelled"),
        ("density --data data --models tcn --out new --goals some", "--goals is 'some'"),
        ("density --data data --models tcn --out new --test rat3", "labelled recording 'rat3'"),
        ("density --data data --models tcn --out new --recordings rat0", "some to learn from"),
    ],
)
def test_a_mistake_gives_one_sentence(
    words: str,
    said: str,
    data: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"data": str(data), "model": str(model)}
    assert run(*(places.get(word, word) for word in words.split())) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_recordings_of_pose_are_listed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(data)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rat0", "pose", "160", "x", "3", "x", "2", "-"] in rows
    assert ["rat0", "labels", "160", "rest,", "run"] in rows
    assert ["rat3", "labels", "160", "rest,", "run"] not in rows


def test_a_recording_of_pose_is_no_reason_to_model_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--data", str(data), "--out", str(tmp_path / "run")]) == 2
    assert "'rat0' holds no neural activity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("actions compare --data data --models tcn --out new", "same command goes on"),
        ("actions train --data data --out new", "interrupted\n"),
    ],
)
def test_an_interrupt_says_how_to_go_on(
    words: str,
    said: str,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("neuroduet.actions.run.open_action_recordings", interrupt)
    assert cli.main(words.replace(" data", f" {data}").split()) == 130
    assert said in capsys.readouterr().err


def test_settings_become_options_and_sections() -> None:
    given = ["layers=3", "dropout=0.2", "features.spans=[1, 5]", "features.clip=4"]
    assert keyed(given) == {
        "layers": 3,
        "dropout": 0.2,
        "features": {"spans": [1, 5], "clip": 4},
    }
    assert keyed(None) == {}
    with pytest.raises(UserError, match="not valid YAML"):
        keyed(["a=[1"])


def test_numbers_of_frames_are_whole_or_auto() -> None:
    assert (number_or_auto("--pool", "auto"), number_or_auto("--pool", "5")) == ("auto", 5)
    assert numbers("--goals", "250,50, 50") == (50, 250)
    for wrong in ("0", "-1", "2.5", ""):
        with pytest.raises(UserError, match="whole number"):
            number_or_auto("--pool", wrong)
        with pytest.raises(UserError, match="whole number"):
            numbers("--goals", wrong)
