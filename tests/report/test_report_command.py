from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import score

import neuroduet
from neuroduet import cli
from neuroduet.config import Config, override
from neuroduet.errors import UserError
from neuroduet.report.beside import tables_beside
from neuroduet.report.complete import complete_run

SMALL = [
    *("model.width=16", "model.layers=1", "model.heads=2", "model.feed_forward=16"),
    *("model.input_rank=4", "model.output_rank=4", "model.input_kernel=3"),
    *("model.behaviour_kernel=3", "training.device=cpu", "training.max_steps=2"),
    "training.threads=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording of forty trials and five units in two regions."""
    generator = np.random.default_rng(0)
    speed = [generator.normal(size=8).astype(np.float32) for _ in range(40)]
    gains = generator.normal(size=5)
    counts = [generator.poisson(np.exp(0.3 + 0.5 * np.outer(x, gains))) for x in speed]
    recording = neuroduet.from_arrays(
        session_id="mouse 1",
        counts=counts,
        bin_size_s=0.05,
        behaviours={"speed": speed, "choice": generator.integers(0, 2, 40)},
        units={"region": ["CA1", "CA1", "CA1", "VISp", "VISp"]},
        split=["train"] * 20 + ["valid"] * 8 + ["test"] * 12,
    )
    folder = tmp_path_factory.mktemp("recordings")
    neuroduet.save(recording, folder / "one.h5")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run of two steps."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    return neuroduet.train(config=override(Config(), SMALL), data=data, out=out)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A run folder with settings and scores only."""
    run = tmp_path / "bare"
    run.mkdir()
    (run / "config.yaml").write_text("preset: duet\n")
    rows = [score("duet", "a", "decoding", "wheel", "r2", 0.6)]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    return run


def test_the_page_is_written_and_its_place_printed(bare, capsys):
    assert cli.main(["report", str(bare), "--title", "A <title>"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("report.html") == 1
    assert f"the report is in {bare / 'report.html'}" in captured.out
    assert "report.html" not in captured.err
    assert "not shown: no linear baseline" in captured.err
    assert "A &lt;title&gt;" in (bare / "report.html").read_text(encoding="utf-8")


def test_json_says_where_how_long_and_what_is_missing(bare, tmp_path, capsys):
    out = tmp_path / "elsewhere" / "page.html"
    assert cli.main(["report", str(bare), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["report"] == str(out)
    assert found["bytes"] == out.stat().st_size
    assert any("metrics.csv is not in the run folder" in one for one in found["missing"])
    assert not (bare / "report.html").exists()


def test_scores_of_a_model_of_the_same_name_keep_apart(bare, tmp_path, capsys):
    for name, value in (("one", 0.111), ("two", 0.222)):
        (tmp_path / name).mkdir()
        rows = [score("duet", "a", "decoding", "wheel", "r2", value)]
        pd.DataFrame(rows).to_csv(tmp_path / name / "scores.csv", index=False)
    words = [
        w for name in ("one", "two") for w in ("--scores", str(tmp_path / name / "scores.csv"))
    ]
    assert cli.main(["report", str(bare), *words]) == 0
    text = (bare / "report.html").read_text(encoding="utf-8")
    for name, value in (("duet (one/scores)", "0.111"), ("duet (two/scores)", "0.222")):
        assert f">{name}</th>" in text
        assert f">{value}</td>" in text


def test_a_file_that_is_no_score_table_is_one_sentence(bare, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"other\.csv is no score table .*lacks the columns"):
        tables_beside(bare, [tmp_path / "other.csv"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "there is nothing at nowhere; give a run folder, the --out of train"),
        (["{bare}", "--scores", "no.csv"], "there is nothing at no.csv; give a score table"),
        (["{bare}", "--data", "no"], "there is nothing at no; give a recording"),
        (["{empty}"], "is neither a run folder nor of `neuroduet actions`"),
        (["{bare}", "{actions}"], "is about action segmentation"),
        (["{bare}", "{bare}", "--scores", "{bare}/scores.csv"], "--scores belongs to the page"),
        (["{bare}", "--out", "{empty}"], "end it in .html"),
    ],
)
def test_wrong_uses_are_one_sentence(bare, tmp_path, capsys, words, sentence):
    for name in ("empty", "actions"):
        (tmp_path / name).mkdir()
    (tmp_path / "actions" / "segmenter.json").write_text("{}")
    places = {name: str(tmp_path / name) for name in ("empty", "actions", "bare")}
    assert cli.main(["report", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (bare / "report.html").exists()


def test_with_data_everything_missing_is_made_once(trained, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)
    run = shutil.copytree(trained, tmp_path / "run")
    assert cli.main(["report", str(run), "--data", str(data), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["missing"] == []
    told = [line.split("%  ") for line in captured.err.splitlines() if "%  " in line]
    assert [float(share) for share, _ in told] == sorted(float(share) for share, _ in told)
    assert len(told) >= 5
    stages = list(dict.fromkeys(said.split(",")[0] for _, said in told))
    assert stages == ["scoring", "linear baselines", "predicting", "done"]
    assert "scoring, mouse 1: co_smoothing" in {said for _, said in told}
    assert not any("/" in said for _, said in told)
    made = ("scores.csv", "baselines.csv", "embeddings.csv", "predictions")
    assert all((run / name).exists() for name in made)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "poisson_glm" in text
    assert 'id="figure-session-0-0"' in text
    assert 'id="figure-sessions"' in text  # the predictions give the scores that evaluate found
    assert complete_run(run, data) == ()


def test_what_is_older_than_the_weights_is_made_again(trained, data, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "predictions").mkdir()
    rows = [score("ridge", "a", "decoding", "wheel", "r2", 0.6)]
    pd.DataFrame(rows).to_csv(run / "scores.csv", index=False)
    (run / "embeddings.csv").write_text("old")
    later = time.time() + 60
    os.utime(run / "scores.csv", (later, later))
    weights = run / "model" / "model.safetensors"
    os.utime(run / "embeddings.csv", (1, 1))
    os.utime(weights, (later - 30, later - 30))
    # The scores are newer and hold a linear baseline: neither is made again.
    made = complete_run(run, data)
    assert made == ("predictions", "embeddings.csv")
    assert (run / "embeddings.csv").read_text()[:7] == "session"


def test_a_folder_without_weights_cannot_be_completed(bare, data):
    with pytest.raises(UserError):
        complete_run(bare, data)


def test_several_runs_are_compared_on_one_page(bare, tmp_path, capsys):
    other = shutil.copytree(bare, tmp_path / "other")
    out = tmp_path / "both.html"
    assert cli.main(["report", str(bare), str(other), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(out)
    assert "other" in out.read_text(encoding="utf-8")


def test_a_segmenter_has_a_page_of_its_own(tmp_path, monkeypatch, capsys):
    from neuroduet.report import action_report

    def write(source: Path, data: Path | None, out: Path | None, title: str | None) -> Path:
        page = source / "actions.html"
        page.write_text(f"{data} {out} {title}")
        return page

    monkeypatch.setattr(action_report, "write_action_report", write)
    for name in ("segmenter.json", "compare.csv", "density.csv"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text("{}")
        assert cli.main(["report", str(folder), "--title", "Rats", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["report"] == str(folder / "actions.html")
        assert (folder / "actions.html").read_text() == "None None Rats"


def test_the_public_name_writes_the_same_page(bare, tmp_path):
    path = neuroduet.write_report(bare, title="One")
    assert path == bare / "report.html"
    assert (
        cli.main(["report", str(bare), "--title", "One", "--out", str(tmp_path / "b.html")]) == 0
    )
    assert (tmp_path / "b.html").read_bytes() == path.read_bytes()


def test_a_page_says_which_part_is_drawn(bare, monkeypatch, capsys):
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)
    assert cli.main(["report", str(bare)]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "%  " in line]
    assert told == [
        *(" 20%  drawing the units", " 50%  drawing the sessions", " 85%  drawing the training"),
        "100%  done",
    ]
