"""The examples run on real recordings, at a budget for a test."""

from __future__ import annotations

import ast
import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SMALL = ["model.width=32", "model.heads=2", "model.layers=1", "model.feed_forward=32"]


def _example(project: Path, name: str) -> ModuleType:
    """The example as a module; importing it must not run anything."""
    spec = importlib.util.spec_from_file_location(name, project / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(printed: str) -> dict[str, list[float]]:
    """Numbers of the last table that was printed, by the name of its row; blanks are left out."""
    rows: dict[str, list[float]] = {}
    for line in printed.splitlines():
        words = line.split()
        numbers = [word for word in words if _is_number(word)]
        if numbers:
            rows[" ".join(words[: len(words) - len(numbers)])] = [float(n) for n in numbers]
    return rows


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def test_examples_are_importable_without_running(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.stem for path in (project / "examples").glob("*.py"))
    assert names == ["action_bridge", "monkey_reach", "rat_ca1", "sklearn_decoder"]
    for name in names:
        assert callable(_example(project, name).main)
    assert capsys.readouterr().out == ""


def test_benchmarks_import_what_there_is(project: Path) -> None:
    scripts = sorted((project / "benchmarks").glob("*.py"))
    assert scripts
    for script in scripts:
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("neuroduet"):
                module = importlib.import_module(str(node.module))
                for name in (alias.name for alias in node.names):
                    inside = (
                        importlib.util.find_spec(f"{node.module}.{name}")
                        if hasattr(module, "__path__")
                        else None
                    )
                    assert hasattr(module, name) or inside, f"{script.name}: {node.module}.{name}"


def test_every_trial_is_tested_in_one_fold_and_never_trains_there(project: Path) -> None:
    monkey = _example(project, "monkey_reach")
    splits = np.array([monkey.split_of_fold(159, fold) for fold in range(5)])
    assert ((splits == "test").sum(axis=0) == 1).all()
    assert ((splits == "valid").sum(axis=0) == 1).all()
    assert ((splits == "train").sum(axis=0) == 3).all()


def test_the_monkey_is_decoded_and_encoded_on_held_out_trials(
    project: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    budget = ["--folds", "1", "--steps", "12", "--members", "1", "--set", *SMALL]
    monkeypatch.setattr(sys, "argv", ["monkey_reach", "--data", str(shared_data), *budget])
    example = _example(project, "monkey_reach")
    example.main()
    rows = _rows(capsys.readouterr().out)
    velocity_x, velocity_y, position_x, position_y = rows["ridge"]
    assert min(velocity_x, velocity_y, position_x, position_y) > 0.6
    assert rows["logistic"][0] > 0.3
    assert rows["poisson_glm"][0] > 0
    assert len(rows["duet"]) == len(example.COLUMNS)
    assert all(math.isfinite(value) for value in rows["duet"])


def test_the_position_of_a_running_rat_is_decoded_from_its_spikes(
    project: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    budget = ["--steps", "12", "--members", "1", "--set", *SMALL]
    monkeypatch.setattr(sys, "argv", ["rat_ca1", "--data", str(shared_data), *budget])
    example = _example(project, "rat_ca1")
    example.main()
    rows = _rows(capsys.readouterr().out)
    x, y, _speed = rows["ridge"]
    assert min(x, y) > 0.5
    assert rows["poisson_glm"][0] > 0
    assert len(rows["duet"]) == len(example.COLUMNS)
    assert all(math.isfinite(value) for value in rows["duet"])


def test_an_estimator_follows_curves_that_ridge_cannot(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sklearn_decoder", "--small"])
    _example(project, "sklearn_decoder").main()
    scores = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert set(scores) == {"ridge", "duet"}
    assert float(scores["duet"]) > float(scores["ridge"]) > 0.5


@pytest.mark.slow
def test_actions_are_segmented_and_decoded_from_spikes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["action_bridge", "--small"])
    example = _example(project, "action_bridge")
    example.main()
    printed = capsys.readouterr().out
    segmented = float(printed.split("balanced accuracy ")[1].split()[0])
    rows = _rows(printed)
    assert segmented > 0.5
    assert rows["linear, true"][0] > rows["linear, segmented"][0] > rows["null"][0]
    assert rows["oracle"][-1] > 0.7
