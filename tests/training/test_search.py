from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from tiny_runs import SMALL, checkpoint, metrics, model_weights, same, tiny, write_recording

from neuroduet import cli
from neuroduet.config import load_config
from neuroduet.errors import UserError
from neuroduet.ray_start import AUTHENTICATION
from neuroduet.report.search import search_figure
from neuroduet.training import tuning
from neuroduet.training.fit import train
from neuroduet.training.search import check_plan, search, train_trial
from neuroduet.training.spaces import Choice, LogUniform, Space, Uniform, draw_settings
from neuroduet.training.trials import (
    Machines,
    Search,
    Trial,
    best_trial,
    read_ends,
    read_trials,
    trial_config,
    trial_run,
    validation_scores,
)

GOOD, STUCK, WILD = 5e-3, 1e-9, 1e30
"""Learning rates: one that learns, one that does not, one that diverges."""

SPACE: Space = {
    "training.learning_rate": LogUniform(low=1e-3, high=1e-2),
    "training.weight_decay": LogUniform(low=1e-3, high=1e-1),
    "model.feed_forward": Choice(values=(16, 24)),
}

RATES: Space = {"training.learning_rate": Choice(values=(GOOD, STUCK, WILD))}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    return write_recording(folder, "a", split="a" * 24 + "v" * 8 + "e" * 4)


def plan_for(
    data: Path, out: Path, space: Space = SPACE, trials: int = 3, seed: int = 0
) -> Search:
    """Trials of six steps and three validations, each an epoch."""
    config = tiny("training.max_epochs=3", "training.validate_every=2", "training.ema=0.0")
    return Search(config=config, space=space, data=data, out=out, trials=trials, seed=seed)


def seed_for(space: Space, key: str, wanted: Sequence[float]) -> int:
    """A seed with which the trials draw these values."""

    def drawn(seed: int) -> list[Any]:
        return [draw_settings(space, seed, n + 1)[key] for n in range(len(wanted))]

    return next(seed for seed in range(10_000) if drawn(seed) == list(wanted))


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "search.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def one_after_the_other(monkeypatch: pytest.MonkeyPatch, last: int = 10**6) -> list[Any]:
    """Let trials run in this process, without Ray; after some, the search is interrupted."""
    started: list[Any] = []

    def run_trials(
        train: tuning.TrainTrial,
        plan: Search,
        machines: Machines,
        waiting: Sequence[int],
        past: Mapping[int, Sequence[float]],
        record: tuning.Record,
    ) -> None:
        started.extend([list(waiting), dict(past)])
        watch = tuning.Watch(plan, record)
        for count, number in enumerate(waiting):

            def report(validations: int, score: float, whole: bool = count < last) -> None:
                if not whole:
                    raise KeyboardInterrupt

            trial = SimpleNamespace(config={"number": number})
            try:
                train(number, report)
            except UserError as error:
                watch.on_trial_result(0, [], trial, {"failed": str(error)})
            watch.on_trial_complete(0, [], trial)

    monkeypatch.setattr(tuning, "run_trials", run_trials)
    monkeypatch.setattr(tuning, "connected", lambda machines, cpus: nullcontext())
    return started


def test_every_setting_reaches_the_trial(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_after_the_other(monkeypatch)
    plan = plan_for(recordings, tmp_path / "out")
    trials = search(plan, Machines())
    for trial in trials:
        used = load_config(trial.run / "config.yaml").model_dump()
        for key, value in trial.settings.items():
            section, name = key.split(".")
            assert used[section][name] == value
    # The rate that steps were taken with is the drawn one, at the same place in the schedule.
    rates = [float(metrics(trial.run)[0]["learning_rate"]) for trial in trials]
    drawn = [trial.settings["training.learning_rate"] for trial in trials]
    np.testing.assert_allclose(np.divide(rates, drawn), rates[0] / drawn[0], rtol=1e-9)
    assert len(set(drawn)) == 3


def test_finetuning_uses_what_was_drawn(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_after_the_other(monkeypatch)
    schemes = "masking.schemes={encoding: 1, decoding: 1, random_token: 1}"
    pretrained = train(tiny(schemes), recordings, tmp_path / "pretrained")
    write_recording(tmp_path / "new", "b", seed=1)
    space: Space = {
        "training.learning_rate": LogUniform(low=1e-4, high=1e-3),
        "masking.ratio": Uniform(low=0.1, high=0.4),
    }
    plan = Search(
        config=load_config(pretrained / "config.yaml"),
        space=space,
        data=tmp_path / "new",
        out=tmp_path / "out",
        trials=2,
        pretrained=pretrained,
    )
    first, second = search(plan, Machines())
    for trial in (first, second):
        used = load_config(trial.run / "config.yaml")
        assert used.training.learning_rate == trial.settings["training.learning_rate"]
        assert used.masking.ratio == trial.settings["masking.ratio"]
        assert [info["id"] for info in _sessions(trial.run)] == ["b"]
    rates = [float(metrics(trial.run)[-1]["learning_rate"]) for trial in (first, second)]
    drawn = [trial.settings["training.learning_rate"] for trial in (first, second)]
    assert rates[0] / rates[1] == pytest.approx(drawn[0] / drawn[1], rel=1e-9)


def _sessions(run: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load((run / "model" / "config.json").read_text())["sessions"])


def test_an_interrupted_search_goes_on_where_it_stopped(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(recordings, tmp_path / "out")
    one_after_the_other(monkeypatch, last=1)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        search(plan, Machines())
    assert [row["status"] for row in rows_of(plan.out)] == ["finished", "unfinished", "unfinished"]
    assert len(validation_scores(trial_run(plan, 2))) == 1
    first = _bytes(trial_run(plan, 1))
    started = one_after_the_other(monkeypatch)
    trials = search(plan, Machines(), resume=True)
    assert started[0] == [2, 3]
    assert {number: len(scores) for number, scores in started[1].items()} == {1: 3, 2: 1}
    assert _bytes(trial_run(plan, 1)) == first
    assert [trial.status for trial in trials] == ["finished"] * 3
    # The trial that was broken off ends as if nothing had happened.
    whole = train(trial_config(plan, 2), recordings, tmp_path / "whole")
    assert same(model_weights(trials[1].run), model_weights(whole))


def _bytes(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_trials_can_be_added_and_nothing_is_trained_twice(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = one_after_the_other(monkeypatch)
    two = plan_for(recordings, tmp_path / "out", trials=2)
    search(two, Machines())
    before = [trial.settings for trial in read_trials(two, {})]
    three = plan_for(recordings, tmp_path / "out", trials=3)
    found = search(three, Machines(), resume=True)
    assert started[2] == [3]
    assert [trial.settings for trial in found[:2]] == before
    del started[:]
    assert search(three, Machines(), resume=True) == found
    assert started == []


def test_a_failed_trial_is_recorded_and_the_search_goes_on(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = one_after_the_other(monkeypatch)
    seed = seed_for(RATES, "training.learning_rate", [WILD, GOOD])
    plan = plan_for(recordings, tmp_path / "out", RATES, trials=2, seed=seed)
    failed, good = search(plan, Machines())
    assert (failed.status, good.status) == ("failed", "finished")
    assert rows_of(plan.out)[0]["message"] == failed.message != ""
    assert best_trial([failed, good]) == good
    # Failed trials get another chance.
    search(plan, Machines(), resume=True)
    assert started[2] == [1]


def test_a_search_whose_trials_all_fail_says_why(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_after_the_other(monkeypatch)
    wild: Space = {"training.learning_rate": Choice(values=(WILD,))}
    plan = plan_for(recordings, tmp_path / "out", wild, trials=2)
    with pytest.raises(UserError, match="none of the 2 trials has a score, the first because: .+"):
        search(plan, Machines())


def test_a_trial_that_is_through_reports_only_once_its_model_is_written(
    recordings: Path, tmp_path: Path
) -> None:
    plan = plan_for(recordings, tmp_path / "out", trials=1)
    run = trial_run(plan, 1)
    seen: list[tuple[int, bool]] = []

    def report(validations: int, score: float) -> None:
        written = (run / "model" / "config.json").is_file()
        assert score == pytest.approx(checkpoint(run)[1]["best"]["mean"])
        seen.append((validations, written))

    train_trial(plan, 1, report)
    assert seen == [(1, False), (2, False), (3, True)]


def stopped(scheduler: Any, name: str, validations: int, score: float) -> bool:
    """Whether a trial is stopped by a result."""
    trial = SimpleNamespace(trial_id=name)
    if validations == 1:
        scheduler.on_trial_add(None, trial)
    result = {"validations": validations, "score": score}
    return scheduler.on_trial_result(None, trial, result) == "STOP"


def test_asha_halves_the_trials_after_one_two_and_four_validations() -> None:
    scheduler = tuning.scheduler_after({})
    scores = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 4.0}
    lost = [name for name, score in scores.items() if stopped(scheduler, name, 1, score)]
    assert lost == ["b"]  # the first two are compared, then the third with their median, 2
    assert not stopped(scheduler, "a", 2, 3)
    assert stopped(scheduler, "d", 2, 2)
    assert not stopped(scheduler, "a", 3, 0)  # no rung here
    assert not stopped(scheduler, "a", 4, 0)  # nobody else has come this far


def test_asha_knows_what_was_scored_before() -> None:
    past = {1: [0.1, 0.5, 0.4], 2: [0.3]}
    fresh, informed = tuning.scheduler_after({}), tuning.scheduler_after(past)
    assert not stopped(fresh, "new", 1, 0.15)
    assert stopped(informed, "new", 1, 0.15)  # the median of 0.1 and 0.3 is 0.2
    assert not stopped(informed, "other", 1, 0.25)
    assert stopped(informed, "other", 2, 0.45)  # the best so far counts: 0.5


def test_the_best_trial_is_a_finished_one() -> None:
    def trial(number: int, status: str, *scores: float) -> Trial:
        return Trial(number=number, settings={}, run=Path(), status=status, scores=scores)

    stopped, low, high = trial(1, "stopped", 0.9), trial(2, "finished", 0.1, 0.5, 0.2), None
    high = trial(3, "finished", 0.4, 0.6)
    assert best_trial([stopped, low, high]) == high
    assert best_trial([stopped]) == stopped
    assert best_trial([trial(4, "failed", 0.9), trial(5, "unfinished", 1.0)]) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "in seed;"),
        ({"trials": 1}, "in trials;"),
        ({"space": RATES}, "in space;"),
        ({"config": tiny("training.batch_size=3")}, "in config;"),
        ({"sessions": ("a",)}, "in sessions;"),
    ],
)
def test_resuming_another_search_is_refused(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    said: str,
) -> None:
    one_after_the_other(monkeypatch, last=0)
    plan = plan_for(recordings, tmp_path / "out", trials=2)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        search(plan, Machines())
    with pytest.raises(UserError, match=said):
        search(Search(**(vars(plan) | changes)), Machines(), resume=True)


def test_wrong_folders_and_data_are_explained_before_anything_is_trained(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = one_after_the_other(monkeypatch)
    used = tmp_path / "used"
    used.mkdir()
    (used / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds files"):
        search(plan_for(recordings, used), Machines())
    (used / "search.yaml").write_text("[1]")
    with pytest.raises(UserError, match="does not describe a search"):
        search(plan_for(recordings, used), Machines(), resume=True)
    unscored = write_recording(tmp_path / "unscored", "c", split="a" * 12 + "e" * 4)
    with pytest.raises(UserError, match="no validation windows"):
        search(plan_for(unscored, tmp_path / "out"), Machines())
    assert started == []
    assert not (tmp_path / "out").exists()


def test_a_damaged_table_is_explained(recordings: Path, tmp_path: Path) -> None:
    plan = plan_for(recordings, tmp_path)
    (tmp_path / "search.csv").write_text("trial,status\none,finished\n")
    with pytest.raises(UserError, match="is no table of trials"):
        read_ends(plan)


def test_without_ray_the_remedy_is_told(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray.tune", None)
    with pytest.raises(UserError, match=r"pip install 'neuroduet\[search\]'"):
        search(plan_for(recordings, tmp_path / "out"), Machines())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "somewhere"])
def test_a_cluster_that_does_not_answer_leaves_nothing_behind(
    recordings: Path, tmp_path: Path, address: str
) -> None:
    with pytest.raises(UserError, match=f"no Ray cluster at '{address}' lets us in"):
        search(plan_for(recordings, tmp_path / "out"), Machines(address=address))
    assert not (tmp_path / "out").exists()


def test_finetuning_refuses_to_search_the_architecture(recordings: Path, tmp_path: Path) -> None:
    plan = plan_for(recordings, tmp_path / "out")
    with pytest.raises(UserError, match="finetuning keeps the architecture; take model.feed_forw"):
        check_plan(Search(**(vars(plan) | {"pretrained": tmp_path})))


def test_the_figure_shows_every_trial_once_per_setting(tmp_path: Path) -> None:
    settings = {"training.learning_rate": 0.001, "model.tokens": "fused", "model.width": 64}
    trials = [
        Trial(
            number=n,
            settings=settings | {"training.learning_rate": 10.0**-n},
            run=tmp_path,
            status=status,
            scores=scores,
        )
        for n, (status, scores) in enumerate(
            [("finished", (0.1, 0.3)), ("stopped", (0.1,)), ("failed", ()), ("stopped", (0.2,))]
        )
    ]
    drawn = search_figure(trials)
    words = " ".join(ET.fromstring(drawn.svg).itertext())
    assert all(key in words for key in (*settings, "fused", "finished", "stopped"))
    assert "mathdefault" not in words
    assert "0.001" in words
    assert "failed" not in words  # it has no score to draw
    assert search_figure(trials) == drawn
    assert search_figure(trials[2:3]).svg  # nothing but a failure


COMMAND = [
    "--space", "space.yaml", "--trials", "4", "--epochs", "3", "--workers", "2",
    "--set", *SMALL[:-1], "training.validate_every=2", "training.ema=0.0",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("only_ray")
def test_a_search_with_two_workers_from_the_command_line(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    Path("space.yaml").write_text(
        f"training.learning_rate: {{choice: [{GOOD}, {STUCK}, {WILD}]}}\n"
    )
    seed = seed_for(RATES, "training.learning_rate", [GOOD, GOOD, STUCK, WILD])
    words = ["search", "--data", str(recordings), "--out", "out", "--seed", str(seed), *COMMAND]
    # A process of its own: Ray keeps the first token it sees for the life of a process.
    bare = {key: value for key, value in os.environ.items() if key not in AUTHENTICATION}
    said = subprocess.run(
        [sys.executable, "-m", "neuroduet", *words],
        env={**bare, "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    rows = rows_of(Path("out"))
    # The third starts when one of the first two is through, and is held against its scores.
    assert [row["status"] for row in rows[2:]] == ["stopped", "failed"]
    assert rows[2]["validations"] == "1"
    assert (Path("out/trials/0003/checkpoints/last.safetensors")).is_file()
    assert not Path("out/trials/0003/model").exists()
    assert rows[3]["message"]
    finished = [row for row in rows if row["status"] == "finished"]
    assert finished
    assert not list((tmp_path / "home").rglob("*ray*"))
    # A trial is the run that train would have made of its configuration.
    run = Path("out") / finished[0]["run"]
    alone = train(load_config(run / "config.yaml"), recordings, tmp_path / "alone")
    assert same(model_weights(run), model_weights(alone))
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "best.yaml", "search.csv", "search.svg", "search.yaml", "trials",
    ]  # fmt: skip
    best = max(finished, key=lambda row: float(row["score"]))
    assert f"next: neuroduet evaluate out/{best['run']} --data {recordings}\n" in said.stdout
    assert f"trial 4 failed: {rows[3]['message']}" in said.stderr
    assert load_config("out/best.yaml").training.learning_rate == GOOD


@pytest.mark.slow
@pytest.mark.usefixtures("only_ray")
def test_a_killed_search_is_resumed(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = tmp_path / "space.yaml"
    space.write_text("training.learning_rate: {log_uniform: [1e-3, 1e-2]}\n")
    words = ["search", "--data", str(recordings), "--out", "out", *COMMAND]
    words[words.index("4")] = "3"
    command = [sys.executable, "-m", "neuroduet", *words]
    table = tmp_path / "out" / "search.csv"
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    for _ in range(3000):
        if table.is_file() and any(row["status"] != "unfinished" for row in rows_of(table.parent)):
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (ended, *_) = [row for row in rows_of(table.parent) if row["status"] != "unfinished"]
    before = _bytes(table.parent / ended["run"])
    assert cli.main([*words, "--resume"]) == 0
    rows = rows_of(table.parent)
    assert {row["status"] for row in rows} <= {"finished", "stopped"}
    assert _bytes(table.parent / ended["run"]) == before
    for left in Path("/tmp").glob(f"nd-{process.pid}-*"):  # a killed process cannot tidy up
        shutil.rmtree(left, ignore_errors=True)


def test_trials_that_did_not_finish_are_named_and_run_again(
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plan = plan_for(recordings, tmp_path / "out", trials=3)

    def one_only(train, plan, machines, waiting, past, record) -> None:
        """As when Ray loses trials without an error."""
        train(waiting[0], lambda validations, score: None)
        record(waiting[0], "finished", "")

    one_after_the_other(monkeypatch)
    monkeypatch.setattr(tuning, "run_trials", one_only)
    assert [t.status for t in search(plan, Machines())] == ["finished", *["unfinished"] * 2]
    said = "2 of 3 trials did not finish: 2 (unfinished), 3 (unfinished); the same call with resum"
    assert said in caplog.text
    caplog.clear()
    started = one_after_the_other(monkeypatch)
    search(plan, Machines(), resume=True)
    assert started[0] == [2, 3]
    assert "did not finish" not in caplog.text
