from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest

from neuroduet import cli
from neuroduet.demo import Demo, demo
from neuroduet.errors import UserError

HELD_OUT = ["animal04-session0", "animal05-session0"]


@pytest.fixture(scope="module")
def warned() -> list[str]:
    """What the package warned of while the demo ran."""
    return []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, warned: list[str]) -> Demo:
    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.append(record.getMessage())

    listener, log = Listener(logging.WARNING), logging.getLogger("neuroduet")
    log.addHandler(listener)
    try:
        return demo(
            tmp_path_factory.mktemp("demo") / "out",
            pretrain_steps=8,
            finetune_steps=4,
            size="tiny",
        )
    finally:
        log.removeHandler(listener)


def test_the_demo_asks_only_about_animals_that_its_models_know(
    found: Demo, warned: list[str]
) -> None:
    assert found.run.is_dir()
    assert not [one for one in warned if "does not know" in one]


def test_the_demo_scores_every_model_on_the_held_out_animals(found: Demo) -> None:
    scores = found.scores
    assert {"finetuned", "scratch", "ridge", "logistic", "poisson_glm"} <= set(scores.model)
    assert {"oracle_rates", "oracle_behaviour"} <= set(scores.model)
    held_out = scores[scores.task != "regions"]
    assert set(held_out.session) == set(HELD_OUT)
    assert set(scores.split) == {"test"}
    bits = scores.query("task == 'encoding' and metric == 'bits_per_spike'")
    best = bits.groupby("model").value.mean()
    assert best["oracle_rates"] > best["oracle_behaviour"] > best["mean_rate"]


def test_the_demo_leaves_a_complete_run_folder(found: Demo) -> None:
    for name in ("config.yaml", "env.json", "metrics.csv", "scores.csv", "embeddings.csv"):
        assert (found.run / name).is_file(), name
    assert (found.run / "model" / "model.safetensors").is_file()
    assert sorted(p.stem for p in (found.run / "predictions").glob("*.npz")) == HELD_OUT
    assert "<svg" in found.report.read_text()


def test_scores_of_sessions_and_of_units_call_the_model_by_one_name(found: Demo) -> None:
    (name,) = set(pd.read_parquet(found.run / "scores_units.parquet")["model"])
    assert name == found.models[0]
    assert name in set(pd.read_csv(found.run / "scores.csv")["model"])
    assert 'id="figure-units"' in found.report.read_text()


def test_the_commands_go_on_from_the_demos_folders(found: Demo, tmp_path: Path) -> None:
    data = str(found.run.parent / "data")
    scores, baseline = tmp_path / "scores.csv", tmp_path / "baselines.csv"
    run = str(found.run)
    assert cli.main(["inspect", data]) == 0
    assert cli.main(["evaluate", run, "--data", data, "--out", str(scores)]) == 0
    options = ["--data", data, "--sessions", HELD_OUT[0], "--out", str(baseline)]
    assert cli.main(["baselines", *options]) == 0
    assert cli.main(["embed", run, "--out", str(tmp_path / "units.parquet")]) == 0
    columns = [
        "model",
        "session",
        "task",
        "target",
        "metric",
        "value",
        "n",
        "null",
        "oracle",
        "split",
    ]
    for path in (scores, baseline):
        assert list(pd.read_csv(path).columns) == columns
    assert len(pd.read_parquet(tmp_path / "units.parquet")) > 40


def test_the_demo_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(UserError, match="already holds files"):
        demo(tmp_path)
    assert (tmp_path / "mine").read_text() == "keep"
