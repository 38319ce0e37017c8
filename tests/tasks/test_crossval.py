"""Cross-validation from recordings to tables; the statistics themselves are in test_paired.py."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from neuroduet import cli
from neuroduet.cli.crossval import print_comparison
from neuroduet.config import Config, override
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.presets import PRESETS
from neuroduet.tasks import TASKS as TASKS_BY_NAME
from neuroduet.tasks import crossval, task_names
from neuroduet.tasks.behaviour import Decoding
from neuroduet.tasks.crossval import CrossValidation, cross_validate
from neuroduet.tasks.crossval_tables import (
    PAIRED_COLUMNS,
    SUMMARY_COLUMNS,
    compare_models,
    fold_table,
    summarise,
)
from neuroduet.tasks.run import COLUMNS

TASKS = ["encoding", "decoding"]
TINY = [
    "model.width=16",
    "model.layers=1",
    "model.heads=2",
    "model.feed_forward=16",
    "model.input_rank=4",
    "model.output_rank=4",
    "training.device=cpu",
    "training.max_steps=4",
    "training.validate_every=2",
]


def tiny(*settings: str) -> Config:
    return override(Config(), [*TINY, *settings])


def write_session(folder: Path, name: str, seed: int, trials: int = 24, split=None) -> None:
    generator = np.random.default_rng(seed)
    speed = generator.normal(size=(trials, 8))
    gains = 0.7 * generator.normal(size=6)
    recording = from_arrays(
        session_id=name,
        counts=generator.poisson(np.exp(0.3 + speed[..., None] * gains)),
        bin_size_s=0.05,
        behaviours={"speed": speed},
        split=split,
    )
    save(recording, folder / f"{seed}.h5")


@pytest.fixture(autouse=True)
def _same_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One session, whose name reads like a number."""
    folder = tmp_path_factory.mktemp("data")
    write_session(folder, "007", seed=1)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CrossValidation]:
    """Two folds with two seeds each of one preset."""
    threads = torch.get_num_threads()
    out = tmp_path_factory.mktemp("crossval") / "out"
    found = ask(data, out)
    torch.set_num_threads(threads)
    return out, found


def ask(data: Path, out: Path, **changes) -> CrossValidation:
    asked = {"folds": 2, "seeds": 2, "tasks": TASKS, "workers": 1} | changes
    return cross_validate(asked.pop("configs", {"duet": tiny()}), data, out, **asked)


def stamps(folder: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob(pattern))}


def test_every_run_is_an_ordinary_run_folder_with_its_fold_and_seed(finished) -> None:
    out, _ = finished
    runs = sorted(path.name for path in (out / "duet").iterdir())
    assert runs == ["fold0-seed0", "fold0-seed1", "fold1-seed0", "fold1-seed1"]
    for name in runs:
        config = yaml.safe_load((out / "duet" / name / "config.yaml").read_text())
        split = config["data"]["split"]
        assert (split["folds"], f"fold{split['fold']}") == (2, name.split("-")[0])
        assert f"seed{config['training']['seed']}" == name.split("-")[1]
        assert config["training"]["threads"] == 1


def test_all_scores_are_those_of_the_runs(finished) -> None:
    out, found = finished
    written = pd.read_csv(out / "scores.csv", dtype={"session": str})
    assert list(written.columns) == ["preset", "fold", "seed", *COLUMNS]
    assert len(written) == len(found.scores)
    assert set(written.session) == {"007"}
    for fold in (0, 1):
        for seed in (0, 1):
            run = pd.read_csv(out / "duet" / f"fold{fold}-seed{seed}" / "scores.csv")
            rows = (written.preset == "duet") & (written.fold == fold) & (written.seed == seed)
            np.testing.assert_array_equal(written[rows].value, run.value)
    linear = written[written.preset.isna()]
    assert {"poisson_glm", "ridge", "mean_rate"} <= set(linear.model)
    assert linear.seed.isna().all()
    assert set(linear[linear.model == "poisson_glm"].split) == {"valid", "test"}
    assert set(linear[linear.model == "mean_rate"].split) == {"test"}


def test_runs_and_baselines_of_a_fold_are_scored_on_the_same_windows(finished, data) -> None:
    _, found = finished
    bits = found.scores[(found.scores.metric == "bits_per_spike") & (found.scores.split == "test")]
    assert (bits.groupby("fold").n.nunique() == 1).all()
    bins = {
        fold: 8 * len(session.indices("test"))
        for fold in (0, 1)
        for session in open_sessions(
            data, override(Config(), ["data.split.folds=2", f"data.split.fold={fold}"]).data
        )
    }
    speed = found.scores[(found.scores.target == "speed") & (found.scores.metric == "r2")]
    assert speed[speed.split == "test"].groupby("fold").n.first().to_dict() == bins


def test_means_and_errors_are_those_of_the_scores(finished) -> None:
    _, found = finished
    rows = found.scores[
        (found.scores.preset == "duet") & (found.scores.metric == "bits_per_spike")
    ]
    by_fold = rows.pivot_table(index="fold", columns="seed", values="value").to_numpy(float)
    (row,) = found.summary[
        (found.summary.model == "duet") & (found.summary.metric == "bits_per_spike")
    ].to_dict("records")
    assert list(row) == SUMMARY_COLUMNS
    assert row["mean"] == pytest.approx(by_fold.mean())
    assert row["sem"] == pytest.approx(by_fold.mean(1).std(ddof=1) / math.sqrt(2))
    assert row["sd_seeds"] == pytest.approx(math.sqrt(by_fold.var(1, ddof=1).mean()))
    assert (row["n"], row["runs"], row["over"], row["session"]) == (2, 4, "folds", "007")


def test_two_folds_are_too_few_for_a_p_value_and_it_is_said(finished) -> None:
    _, found = finished
    assert list(found.paired.columns) == PAIRED_COLUMNS
    assert set(found.paired.test) == {"none: 2 of the 3 folds needed"}
    assert found.paired[["p_value", "p_holm", "low", "high"]].isna().all(axis=None)
    assert found.paired["mean"].notna().all()


def test_what_is_finished_is_not_repeated(finished, data: Path) -> None:
    out, found = finished
    before = stamps(out / "duet", "*") | stamps(out, "baselines*")
    tables = (out / "summary.csv").read_bytes()
    again = ask(data, out, resume=True)
    assert stamps(out / "duet", "*") | stamps(out, "baselines*") == before
    assert (out / "summary.csv").read_bytes() == tables
    pd.testing.assert_frame_equal(again.paired, found.paired)


def test_a_lost_evaluation_is_made_again_without_training(finished, data: Path) -> None:
    out, found = finished
    run = out / "duet" / "fold1-seed0"
    before = stamps(out, "*.safetensors")
    (run / "scores.csv").unlink()
    again = ask(data, out, resume=True)
    assert stamps(out, "*.safetensors") == before
    pd.testing.assert_frame_equal(again.summary, found.summary)


def test_a_stopped_cross_validation_goes_on(
    finished, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = finished
    out, done = tmp_path / "out", []

    def stopping(*arguments):
        done.append(arguments[2].name)
        if len(done) == 2:
            raise KeyboardInterrupt
        return train_and_score(*arguments)

    train_and_score = crossval.train_and_score
    with monkeypatch.context() as patch:
        patch.setattr(crossval, "train_and_score", stopping)
        with pytest.raises(KeyboardInterrupt):
            ask(data, out)
    assert done == ["fold0-seed0", "fold0-seed1"]
    assert not (out / "summary.csv").exists()
    first = stamps(out / "duet" / "fold0-seed0", "*")
    again = ask(data, out, resume=True)
    assert stamps(out / "duet" / "fold0-seed0", "*") == first
    pd.testing.assert_frame_equal(again.summary, found.summary)


def test_seeds_alone_keep_the_configured_split(data: Path, tmp_path: Path) -> None:
    config = tiny("training.seed=5", "data.split.train=0.5")
    found = ask(data, tmp_path / "out", configs={"mine": config}, folds=1, tasks=["decoding"])
    runs = sorted(path.name for path in (tmp_path / "out" / "mine").iterdir())
    assert runs == ["fold0-seed5", "fold0-seed6"]
    kept = yaml.safe_load((tmp_path / "out" / "mine" / runs[0] / "config.yaml").read_text())
    assert kept["data"] == config.model_dump(mode="json")["data"]
    (row,) = found.summary[
        (found.summary.model == "mine") & (found.summary.metric == "r2")
    ].to_dict("records")
    values = found.scores[(found.scores.model == "mine") & (found.scores.metric == "r2")].value
    assert row["sd_seeds"] == pytest.approx(values.std(ddof=1))
    assert math.isnan(row["sem"])


@pytest.mark.slow
def test_processes_beside_each_other_find_the_same(finished, data: Path, tmp_path: Path) -> None:
    _, found = finished
    both = ask(data, tmp_path / "out", workers=8)
    pd.testing.assert_frame_equal(both.scores, found.scores)


def test_no_more_runs_than_workers_go_at_the_same_time(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(jobs, workers, report, known_here) -> None:
        seen.append((len(jobs), workers, known_here))
        raise KeyboardInterrupt

    monkeypatch.setattr(crossval, "run_jobs", note)
    for workers in (3, None):
        with pytest.raises(KeyboardInterrupt):
            ask(data, tmp_path / "out", workers=workers)
        assert not (tmp_path / "out").exists()  # nothing was done there
    assert seen == [(6, 3, []), (6, None, [])]


def test_a_task_of_this_process_is_named_as_such(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(Decoding):
        name = "mine"

    monkeypatch.setitem(TASKS_BY_NAME, "mine", Mine())
    assert crossval._only_here({"a": tiny()}, ["decoding", "mine"]) == ["task 'mine'"]
    assert crossval._by_name("mtm")["mtm"].model.name == PRESETS["mtm"]().model.name


def test_what_is_no_task_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half:
        name, oracle = "half", None

    monkeypatch.setitem(TASKS_BY_NAME, "half", Half())
    with pytest.raises(UserError, match=r"TASKS\['half'\] is no task because it lacks variants"):
        task_names(["half"])
    monkeypatch.setitem(TASKS_BY_NAME, "half", Decoding)
    with pytest.raises(UserError, match=r"TASKS\['half'\] is a class, expected an object of it"):
        task_names(["decoding", "half"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resume": False}, "already holds a cross-validation; choose another folder"),
        ({"seeds": 3}, "crossval.yaml differs from what is asked"),
        ({"configs": {"duet": tiny("model.width=24")}}, "crossval.yaml differs"),
        ({"tasks": ["decoding"]}, "crossval.yaml differs"),
    ],
)
def test_a_folder_with_another_cross_validation_is_refused(finished, data, changes, said) -> None:
    out, _ = finished
    before = stamps(out, "*")
    with pytest.raises(UserError, match=said):
        ask(data, out, **({"resume": True} | changes))
    assert stamps(out, "*") == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folds": None, "seeds": 1}, "no spread to report; ask for several, such as --folds 5"),
        ({"folds": 0}, "number of folds is 0; give 1 or more"),
        ({"seeds": 0}, "number of seeds is 0"),
        ({"workers": 0}, "number of workers is 0"),
        ({"folds": 25}, "session 007 has 24 windows, too few for data.split.folds 25"),
        ({"tasks": ["encodng"]}, "unknown task 'encodng'; did you mean 'encoding'"),
        ({"sessions": ["008"]}, "unknown session '008'"),
        ({"configs": {}}, "no preset is named"),
        ({"configs": {"../x": tiny()}}, "'../x' cannot name a preset here"),
        ({"configs": {"ridge": tiny()}}, "'ridge' cannot name a preset here"),
        (
            {"configs": {"a": tiny(), "b": tiny("data.windows.behaviour_grid=right")}},
            r"a and b read the data differently \(data.windows.behaviour_grid\).*set these",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    data: Path, tmp_path: Path, changes, said
) -> None:
    with pytest.raises(UserError, match=said):
        ask(data, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_sessions_that_name_their_splits_have_no_folds(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_session(
        tmp_path / "data", "a", seed=2, split=["train"] * 16 + ["valid"] * 4 + ["test"] * 4
    )
    with pytest.raises(UserError, match="takes its splits from trials.split"):
        ask(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(UserError, match="already holds something else"):
            ask(data, tmp_path, resume=resume)
    with pytest.raises(UserError, match="already holds something else"):
        ask(data, tmp_path / "note.txt")


def rows(
    model: str, values, session: str = "a", preset: str | None = None, **columns
) -> pd.DataFrame:
    """Scores of a model, ``values`` being folds x seeds, or folds of a baseline."""
    values = np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    fold, seed = np.indices(values.shape)
    table = pd.DataFrame(
        {"value": values.ravel(), "fold": fold.ravel(), "seed": seed.ravel(), "n": 9}
    )
    place = {"task": "encoding", "target": "spikes", "metric": "bits_per_spike"}
    known = {"null": 0.0, "oracle": 0.5, "split": "test"}
    own = {"model": model, "session": session, "preset": model if preset is None else preset}
    return table.assign(**(place | known | own | columns))


def tables(*parts: pd.DataFrame, ratios: dict[str, float], presets: list[str]):
    table = fold_table(pd.concat(parts, ignore_index=True))
    return summarise(table, ratios), compare_models(table, presets, ratios)


LINEAR = [
    rows("poisson_glm", [0.1, 0.1, 0.1, 0.4], preset=""),
    rows("reduced_rank", [0.3, 0.2, 0.2, 0.2], preset=""),
    rows("poisson_glm", [0.5, 0.5, 0.0, 0.5], preset="", split="valid"),
    rows("reduced_rank", [0.2, 0.2, 0.2, 0.2], preset="", split="valid"),
    rows("psth", [0.9, 0.9, 0.9, 0.9], preset=""),
]


def test_the_best_linear_baseline_is_chosen_by_validation_and_not_by_test_scores() -> None:
    model = rows("duet", [[0.3, 0.5], [0.3, 0.3], [0.5, 0.3], [0.6, 0.4]])
    summary, paired = tables(model, *LINEAR, ratios={"a": 0.25}, presets=["duet"])
    best = summary[summary.model == "best_linear"].iloc[0]
    assert best["mean"] == pytest.approx(np.mean([0.1, 0.1, 0.2, 0.4]))
    differences = np.array([0.4, 0.3, 0.4, 0.5]) - [0.1, 0.1, 0.2, 0.4]
    (row,) = paired.to_dict("records")
    assert row["mean"] == pytest.approx(differences.mean())
    error = math.sqrt(differences.var(ddof=1) * (1 / 4 + 0.25))
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(differences.mean() / error, 3))
    assert row["chosen"] == "poisson_glm 3, reduced_rank 1"
    assert row["test"] == "corrected resampled t over folds"
    assert math.isnan(row["wilcoxon"])


def test_without_validation_scores_the_baseline_gets_the_benefit() -> None:
    model = rows("duet", [0.3, 0.3, 0.3, 0.4])
    tested = [table for table in LINEAR if (table.split == "test").all()]
    summary, _ = tables(model, *tested, ratios={"a": 0.25}, presets=["duet"])
    best = summary[summary.model == "best_linear"].iloc[0]
    assert best["mean"] == pytest.approx(np.mean([0.3, 0.2, 0.2, 0.4]))


def test_several_sessions_are_compared_as_wholes() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 5, 3, 2))
    parts = [rows("duet", one[i], session=f"s{i}") for i in range(5)]
    parts += [rows("mtm", other[i], session=f"s{i}") for i in range(5)]
    ratios = {f"s{i}": 0.5 for i in range(5)}
    summary, paired = tables(*parts, ratios=ratios, presets=["duet", "mtm"])
    (row,) = paired.to_dict("records")
    means = other.mean((1, 2)), one.mean((1, 2))
    assert (row["model"], row["against"], row["n"]) == ("mtm", "duet", 5)
    assert row["p_value"] == pytest.approx(stats.ttest_rel(*means).pvalue)
    assert row["wilcoxon"] == pytest.approx(stats.wilcoxon(*means, method="exact").pvalue)
    pooled = summary[(summary.over == "sessions") & (summary.model == "duet")].iloc[0]
    assert pooled["session"] == "all"
    assert pooled["mean"] == pytest.approx(means[1].mean())
    assert pooled["sem"] == pytest.approx(stats.sem(means[1]))
    assert len(summary) == 2 * 6


def test_holm_counts_primary_metrics_of_whole_targets_only() -> None:
    generator = np.random.default_rng(1)
    places = [
        ("encoding", "spikes", "bits_per_spike"),
        ("encoding", "spikes", "psth_r2"),
        ("decoding", "paw", "r2"),
        ("decoding", "paw[0]", "r2"),
        ("decoding_by_region", "paw from CA1", "r2"),
    ]
    parts = [
        rows(name, mean + generator.normal(size=5), task=task, target=target, metric=metric)
        for name, mean in (("duet", 0.0), ("mtm", 3.0))
        for task, target, metric in places
    ]
    _, paired = tables(*parts, ratios={"a": 0.25}, presets=["duet", "mtm"])
    assert paired[["task", "target", "metric"]].agg(tuple, axis=1).tolist() == places
    assert paired.reported.tolist() == [True, False, True, False, False]
    assert paired.p_value.notna().all()
    low, high = sorted(paired[paired.reported].p_value)
    assert sorted(paired.p_holm.dropna()) == pytest.approx([2 * low, max(2 * low, high)])


def test_regions_of_one_session_have_means_and_no_tests() -> None:
    region = {"task": "regions", "target": "region", "metric": "balanced_accuracy"}
    parts = [
        rows(name, [[0.5, 0.7], [0.6, 0.6], [0.7, 0.9]], session="a (folds over units)", **region)
        for name in ("duet", "mtm")
    ]
    parts.append(rows("majority", [0.5] * 3, preset="duet", **region))
    summary, paired = tables(*parts, ratios={"a": 0.5}, presets=["duet", "mtm"])
    assert paired.empty
    assert set(summary.model) == {"duet", "mtm"}
    np.testing.assert_allclose(summary["mean"], 2 / 3)


def test_undefined_scores_do_not_enter_and_are_counted() -> None:
    model = rows("duet", [[0.3, np.nan], [0.3, 0.5], [np.nan, np.nan], [0.6, 0.4]])
    summary, paired = tables(model, *LINEAR, ratios={"a": 0.25}, presets=["duet"])
    own = summary[summary.model == "duet"].iloc[0]
    assert (own["n"], own["runs"]) == (3, 5)
    assert own["mean"] == pytest.approx(np.mean([0.3, 0.4, 0.5]))
    assert paired.n.tolist() == [3]


def test_the_command_passes_its_options_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, finished
) -> None:
    seen: dict = {}

    def stand_in(**arguments):
        seen.update(arguments)
        return finished[1]

    monkeypatch.setattr(crossval, "cross_validate", stand_in)
    words = f"crossval --data {data} --out {tmp_path / 'o'} --preset duet,mtm --folds 4 --seeds 3 "
    words += "--tasks encoding,activity --sessions 007 --max-minutes 2 --workers 2 --resume "
    assert cli.main([*words.split(), "--set", "training.seed=7"]) == 0
    assert {name: config.preset for name, config in seen["configs"].items()} == {
        "duet": "duet",
        "mtm": "mtm",
    }
    assert seen["configs"]["mtm"].training.seed == 7
    assert seen["configs"]["mtm"].training.max_minutes == 2
    assert callable(seen.pop("report"))
    rest = {key: seen[key] for key in seen if key not in ("configs", "data", "out")}
    assert rest == {
        "folds": 4,
        "seeds": 3,
        "tasks": ["encoding", "activity"],
        "sessions": ["007"],
        "workers": 2,
        "resume": True,
    }
    said = capsys.readouterr().out
    assert "p-values: none: 2 of the 3 folds needed" in said
    assert f"scores.csv, summary.csv and paired.csv are in {tmp_path / 'o'}" in said


def test_the_command_names_what_is_missing(data: Path, tmp_path: Path, capsys) -> None:
    assert cli.main(["crossval", "--data", str(tmp_path / "no"), "--out", str(tmp_path)]) == 2
    assert "there is nothing at" in capsys.readouterr().err
    words = ["crossval", "--data", str(data), "--out", str(tmp_path), "--preset", "duet,mtn"]
    assert cli.main(words) == 2
    assert "unknown preset 'mtn'; did you mean 'mtm'" in capsys.readouterr().err


def test_the_printed_table_holds_scores_differences_and_p_values(capsys) -> None:
    model = rows("duet", [[0.3, 0.5], [0.3, 0.3], [0.5, 0.3], [0.6, 0.4]])
    choice = {"task": "decoding", "target": "choice", "metric": "balanced_accuracy"}
    alone = rows("duet", [0.7, 0.8, 0.7, 0.8], **(choice | {"null": 0.5, "oracle": np.nan}))
    summary, paired = tables(model, alone, *LINEAR, ratios={"a": 0.25}, presets=["duet"])
    print_comparison(
        CrossValidation(scores=model, summary=summary, paired=paired), presets=["duet"]
    )
    said = capsys.readouterr().out
    line = next(line.split() for line in said.splitlines() if "encoding" in line)
    p = f"{paired.p_value.iloc[0]:.3f}"
    interval = [f"[{paired.low.iloc[0]:+.3f},", f"{paired.high.iloc[0]:+.3f}]"]
    assert line[3:] == [
        *("duet", "0.400", "±", "0.041", "best_linear", "0.200", "±", "0.071", "+0.200"),
        *(*interval, p, p, "0.000", "0.500"),
    ]
    line = next(line.split() for line in said.splitlines() if "choice" in line)
    assert line[3:] == ["duet", "0.750", "±", "0.029", *("-" * 5), "0.500", "-"]
    assert "p-values: corrected resampled t over folds" in said
