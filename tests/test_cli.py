from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import neuroduet
from neuroduet import cli
from neuroduet.errors import UserError
from neuroduet.options import spread_settings
from neuroduet.tasks.task import ActivityOptions

COMMANDS = {
    "simulate": {"--sessions", "--seed", "--size", "--json"},
    "inspect": {"--json"},
    "train": {
        "--data",
        "--out",
        "--preset",
        "--sessions",
        "--config",
        "--set",
        "--max-minutes",
        "--resume",
        "--json",
    },
    "finetune": {
        "--data",
        "--out",
        "--sessions",
        "--strategy",
        "--set",
        "--max-minutes",
        "--resume",
        "--json",
    },
    "evaluate": {
        "--data",
        "--sessions",
        "--tasks",
        "--folds",
        "--horizon",
        "--units",
        "--precision",
        "--nulls",
        "--out",
        "--json",
    },
    "baselines": {
        "--data",
        "--out",
        "--sessions",
        "--config",
        "--set",
        "--networks",
        "--nulls",
        "--json",
    },
    "info": {"--json"},
    "list": {"--json"},
    "share": {
        "--out",
        "--push",
        "--private",
        "--licence",
        "--data-licence",
        "--datasets",
        "--json",
    },
    "embed": {"--out", "--json"},
    "predict": {"--data", "--out", "--continuous", "--json"},
    "actions": set(),
    "demo": {"--out", "--json"},
    "doctor": {"--json"},
    "completion": {"--json"},
    "view": {"--data", "--session", "--port", "--no-browser", "--labels", "--json"},
    "plan": {
        "--preset",
        "--data",
        "--sessions",
        "--units",
        "--trials",
        "--seconds",
        "--rate-hz",
        "--recorded-s",
        "--tflops",
        "--step-ms",
        "--config",
        "--set",
        "--json",
    },
    "report": {"--data", "--out", "--scores", "--title", "--json"},
    "export": {"--to", "--data", "--out", "--json"},
    "benchmark": {"--data", "--suite", "--out", "--context", "--pretrain", "--json"},
    "submit": {"--suite", "--data", "--out", "--label", "--json"},
    "crossval": {
        "--data",
        "--out",
        "--preset",
        "--folds",
        "--seeds",
        "--tasks",
        "--sessions",
        "--config",
        "--set",
        "--max-minutes",
        "--workers",
        "--resume",
        "--json",
    },
    "search": {
        "--data",
        "--out",
        "--preset",
        "--from",
        "--space",
        "--trials",
        "--seed",
        "--sessions",
        "--config",
        "--set",
        "--epochs",
        "--max-minutes",
        "--workers",
        "--gpus-per-trial",
        "--address",
        "--resume",
        "--json",
    },
    "ingest": {
        "--alf",
        "--nwb",
        "--rows",
        "--brainsets",
        "--mat",
        "--npz",
        "--one",
        "--one-set",
        "--remote",
        "--mapping",
        "--session",
        "--regions",
        "--trials",
        "--min-label",
        "--min-rate",
        "--sorter",
        "--probes",
        "--units",
        "--camera",
        "--likelihood",
        "--check",
        "--again",
        "--workers",
        "--json",
    },
}
ACTIONS = {
    "train": {
        "--data",
        "--out",
        "--model",
        "--features",
        "--pool",
        "--smooth",
        "--states",
        "--unlabelled",
        "--source",
        "--recordings",
        "--set",
        "--seed",
        "--json",
    },
    "predict": {"--data", "--write-back", "--out", "--source", "--recordings", "--json"},
    "evaluate": {"--data", "--out", "--figures", "--source", "--recordings", "--seed", "--json"},
    "compare": {
        "--data",
        "--out",
        "--models",
        "--features",
        "--folds",
        "--pool",
        "--smooth",
        "--source",
        "--recordings",
        "--set",
        "--seed",
        "--json",
    },
    "density": {
        "--data",
        "--out",
        "--models",
        "--features",
        "--goals",
        "--seeds",
        "--test",
        "--pool",
        "--smooth",
        "--source",
        "--recordings",
        "--set",
        "--json",
    },
    "suggest": {"--data", "--out", "--bouts", "--source", "--recordings", "--json"},
    "import": {
        "--pose",
        "--out",
        "--labels",
        "--rate",
        "--check",
        "--classes",
        "--rest",
        "--subject",
        "--annotator",
        "--observation",
        "--unit",
        "--poses",
        "--session",
        "--json",
    },
    "label": {
        "--labels",
        "--check",
        "--classes",
        "--rest",
        "--subject",
        "--annotator",
        "--observation",
        "--unit",
        "--json",
    },
}
"""Names that users' scripts rely on: changing one breaks them."""

PROJECT = Path(__file__).parents[1]
ANYWHERE = {"--quiet", "--verbose", "--debug", "--help"}

Recorder = Callable[..., dict[str, Any]]


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Stand in for a function of the package; its keyword arguments are kept in a dictionary."""

    def stand_in(module: str, function: str, answer: Any = None, *others: str) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def record(**arguments: Any) -> Any:
            seen.update(arguments)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{function: record}))
        return seen

    return stand_in


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("preset: duet\n")
    return folder


def words(*arguments: str | Path) -> list[str]:
    return [str(argument) for argument in arguments]


@pytest.mark.parametrize(("path", "known"), [((), COMMANDS), (("actions",), ACTIONS)])
def test_commands_and_flags_are_these(path: tuple[str, ...], known: dict[str, set[str]]) -> None:
    group = typer.main.get_command(cli.app)
    for name in path:
        group = group.commands[name]
    found = {
        name: {
            flag
            for parameter in command.params
            for flag in parameter.opts
            if flag.startswith("--") and flag != "--help"
        }
        for name, command in group.commands.items()
    }
    assert found == known


def test_global_flags_are_these() -> None:
    group = typer.main.get_command(cli.app)
    assert {p.opts[0] for p in group.params} == {
        *("--version", "--quiet", "--verbose", "--debug"),
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert command in capsys.readouterr().out


def test_help_lists_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "..." not in out.replace("COMMAND [ARGS]...", "")
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in COMMANDS)
    assert max(map(len, out.splitlines())) <= 80


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from neuroduet.cli import main; main(['--help']); "
        "heavy = {'torch', 'lightning', 'numpy', 'pandas', 'torch_brain', 'matplotlib'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        durations.append(time.perf_counter() - start)
    # 0.2 s on an idle machine; the bound leaves room for one that runs other tests.
    assert min(durations) < 1.5


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"neuroduet {neuroduet.__version__}\n"


def test_the_module_runs_as_the_command_does() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "neuroduet", "inspect", "nowhere"], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr == (
        "error: there is nothing at nowhere; give a recording (.h5) or a folder of them\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--dat", "x"], "--data"),
        (["train", "--out", "x"], "Missing option '--data'"),
        (["simulate", "x", "--sessions", "0"], "--sessions"),
        (["simulate", "x", "--size", "huge"], "'tiny', 'small', 'medium'"),
        (["embed"], "RUN"),
    ],
)
def test_wrong_use_exits_with_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err


def test_simulate_passes_its_options_on(replace: Recorder, tmp_path: Path) -> None:
    seen = replace("neuroduet.simulate", "simulate")
    out = tmp_path / "new"
    assert (
        cli.main(words("simulate", out, "--sessions", "2", "--seed", "5", "--size", "tiny")) == 0
    )
    assert callable(seen.pop("report"))
    assert seen == {"out": out, "sessions": 2, "seed": 5, "size": "tiny"}


def test_inspect_lists_what_training_will_find(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    assert cli.main(words("simulate", out, "--sessions", "1", "--size", "tiny")) == 0
    capsys.readouterr()
    assert cli.main(words("inspect", out)) == 0
    said = capsys.readouterr().out
    # The 60 trials of a tiny session, all of them in one of the splits.
    counts = re.search(r" (\d+)/(\d+)/(\d+) ", said)
    assert counts is not None
    assert sum(map(int, counts.groups())) == 60
    assert re.search(r" 60 +[\d.]+ s[^/]* \d+/", said)
    assert all(name in said for name in ("wheel", "whisker", "choice", "block"))


def test_train_passes_everything_on_and_says_what_comes_next(
    replace: Recorder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my run"
    seen = replace("neuroduet.training.fit", "train", out)
    assert cli.main(words("train", "--data", data, "--out", out, "--sessions", "a, b")) == 0
    assert seen["data"] == data
    assert seen["out"] == out
    assert seen["sessions"] == ["a", "b"]
    assert seen["resume"] is False
    assert seen["config"].preset == "duet"
    said = capsys.readouterr().out
    assert f"the run is in {out}\n" in said
    assert f"next: neuroduet evaluate '{out}' --data {data}\n" in said


def test_flags_beat_settings_beat_the_file_beats_the_preset(
    replace: Recorder, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training: {seed: 1, batch_size: 2, max_minutes: 3, warmup: 0.2}\n")
    seen = replace("neuroduet.training.fit", "train", tmp_path)
    options = words("--preset", "neds", "--data", data, "--out", tmp_path / "out")
    given = words("--config", file, "--max-minutes", "9")
    settings = ["--set", "training.seed=4", "--set", "training.max_minutes=5"]
    assert cli.main(["train", *options, *given, *settings]) == 0
    training = seen["config"].training
    assert (training.seed, training.batch_size, training.max_minutes) == (4, 2, 9.0)
    assert training.warmup == 0.2
    assert seen["config"].model.tokens == "separate"


def test_several_settings_may_follow_one_flag(
    replace: Recorder, data: Path, tmp_path: Path
) -> None:
    seen = replace("neuroduet.training.fit", "train", tmp_path)
    settings = ["--set", "training.seed=4", "model.layers=2", "--resume"]
    assert cli.main(words("train", "--data", data, "--out", tmp_path / "x", *settings)) == 0
    assert (seen["config"].training.seed, seen["config"].model.layers) == (4, 2)
    assert seen["resume"] is True


def test_a_run_folder_named_like_a_setting_stays_a_folder() -> None:
    given = ["finetune", "--set", "training.seed=1", "runs/lr=0.1"]
    assert spread_settings(given) == given


def test_finetune_passes_everything_on(
    replace: Recorder, data: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    seen = replace("neuroduet.training.finetune", "finetune", out)
    options = words("--data", data, "--sessions", "c", "--out", out, "--strategy", "probe")
    more = ["--set", "training.seed=1", "--max-minutes", "2"]
    assert cli.main(["finetune", str(run), *options, *more]) == 0
    del seen["report"]
    assert seen == {
        "run": run,
        "data": data,
        "sessions": ["c"],
        "out": out,
        "settings": ["training.seed=1", "training.max_minutes=2.0"],
        "strategy": "probe",
        "resume": False,
    }


def test_evaluate_writes_into_the_run_unless_told_otherwise(
    replace: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed: list[Any] = []
    monkeypatch.setattr(cli.scores, "print_scores", printed.append)
    seen = replace("neuroduet.tasks.run", "evaluate", "the scores")
    assert cli.main(words("evaluate", run, "--data", data, "--tasks", "encoding,decoding")) == 0
    assert callable(seen.pop("progress"))
    assert seen == {
        "run": run,
        "data": data,
        "sessions": None,
        "tasks": ["encoding", "decoding"],
        "out": None,  # with a path, scores of other tasks would not be kept
        "options": ActivityOptions(),
        "precision": "32",
        "nulls": 0,
    }
    assert printed == ["the scores"]
    assert capsys.readouterr().out.endswith(f"next: neuroduet report {run} --data {data}\n")


def test_evaluate_passes_on_how_the_activity_tasks_are_asked(
    replace: Recorder, monkeypatch: pytest.MonkeyPatch, data: Path, run: Path
) -> None:
    monkeypatch.setattr(cli.scores, "print_scores", lambda scores: None)
    seen = replace("neuroduet.tasks.run", "evaluate", "the scores")
    options = words("--folds", 5, "--horizon", 3, "--units", "u1, u2", "--precision", "bf16")
    assert cli.main(words("evaluate", run, "--data", data, *options)) == 0
    assert seen["options"] == ActivityOptions(folds=5, horizon=3, units=("u1", "u2"))
    assert seen["precision"] == "bf16"
    assert cli.main(words("evaluate", run, "--data", data, "--nulls", 99)) == 0
    assert seen["nulls"] == 99
    assert cli.main(words("evaluate", run, "--data", data, "--nulls", -1)) == 2
    assert cli.main(words("evaluate", run, "--data", data, "--precision", "bf61")) == 2


@pytest.mark.parametrize("wrong", [["--folds", "0"], ["--folds", "1.5"], ["--horizon", "0"]])
def test_numbers_of_folds_and_bins_must_be_whole_and_positive(
    replace: Recorder, data: Path, run: Path, wrong: list[str]
) -> None:
    seen = replace("neuroduet.tasks.run", "evaluate", "the scores")
    assert cli.main(words("evaluate", run, "--data", data, *wrong)) == 2
    assert seen == {}


def test_the_other_commands_pass_everything_on(
    replace: Recorder, monkeypatch: pytest.MonkeyPatch, data: Path, run: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli.scores, "print_scores", lambda scores: None)
    monkeypatch.setattr(cli.installation, "print_scores", lambda scores, models: None)
    out = tmp_path / "out"
    seen = replace("neuroduet.tasks.run", "embed")
    assert cli.main(words("embed", run, "--out", out)) == 0
    assert seen == {"run": run, "out": out}
    seen = replace("neuroduet.tasks.run", "write_predictions")
    assert cli.main(words("predict", run, "--data", data, "--out", out)) == 0
    assert callable(seen.pop("report"))
    assert seen == {"run": run, "data": data, "out": out, "continuous": False}
    assert cli.main(words("predict", run, "--data", data, "--out", out, "--continuous")) == 0
    assert seen["continuous"] is True
    seen = replace("neuroduet.tasks.run", "score_baselines")
    options = words("--data", data, "--out", out, "--set", "data.split.seed=3")
    assert cli.main(["baselines", *options]) == 0
    assert seen.pop("config").data.split.seed == 3
    assert callable(seen.pop("progress"))
    assert seen == {"data": data, "out": out, "sessions": None, "networks": False, "nulls": 0}
    assert cli.main(["baselines", *options, "--networks", "--nulls", "9"]) == 0
    assert seen["networks"] is True
    assert seen["nulls"] == 9
    run_folder, page = out / "finetuned", out / "report.html"
    made = SimpleNamespace(scores=None, report=page, run=run_folder, models=("a", "b"))
    seen = replace("neuroduet.demo", "demo", made)
    assert cli.main(words("demo", "--out", out)) == 0
    assert callable(seen.pop("report"))
    assert seen == {"out": out}


def test_info_prints_a_table_or_json(
    replace: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed: list[Any] = []
    monkeypatch.setattr("neuroduet.cli.info.print_run", printed.append)
    found = {"run": str(run), "note": "[b]long" * 60}
    seen = replace("neuroduet.training.info", "describe_run", found)
    assert cli.main(words("info", run)) == 0
    assert seen == {"run": run}
    assert printed == [found]
    assert capsys.readouterr().out == ""
    assert cli.main(words("info", run, "--json")) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize(
    ("module", "function", "keywords"),
    [
        ("neuroduet.simulate", "simulate", "out sessions seed size"),
        ("neuroduet.training.fit", "train", "config data out sessions resume report"),
        (
            "neuroduet.training.finetune",
            "finetune",
            "run data sessions out settings resume report",
        ),
        ("neuroduet.tasks.run", "evaluate", "run data sessions tasks out"),
        ("neuroduet.tasks.run", "score_baselines", "data out sessions config"),
        ("neuroduet.tasks.run", "embed", "run out"),
        ("neuroduet.training.info", "describe_run", "run"),
        ("neuroduet.tasks.run", "write_predictions", "run data out"),
        ("neuroduet.demo", "demo", "out"),
    ],
)
def test_the_functions_behind_the_commands_take_what_these_pass(
    module: str, function: str, keywords: str
) -> None:
    target = getattr(import_module(module), function)
    inspect.signature(target).bind(**dict.fromkeys(keywords.split()))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_used_run_folder_is_refused_and_left_as_it_was(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    assert cli.main(words("train", "--data", data, "--out", run)) == 2
    assert capsys.readouterr().err == (
        f"error: {run} already holds a run; choose another --out or add --resume\n"
    )
    assert contents(run) == before


def test_a_folder_of_other_files_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "notes.txt").write_text("mine")
    assert cli.main(words("simulate", data)) == 2
    assert "already holds files; choose a new or empty folder" in capsys.readouterr().err
    assert contents(data) == {"notes.txt": b"mine"}


def test_an_empty_folder_can_be_used(replace: Recorder, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "empty"
    out.mkdir()
    replace("neuroduet.training.fit", "train", out)
    assert cli.main(words("train", "--data", data, "--out", out)) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train --data nowhere --out new", "there is nothing at nowhere"),
        (
            "train --data data --out new --preset dute",
            "unknown preset 'dute'; did you mean 'duet'?",
        ),
        (
            "train --data data --out new --set training.max_epoch=3",
            "did you mean 'training.max_epochs'?",
        ),
        ("train --data data --out new --config no.yaml", "no configuration file at no.yaml"),
        ("train --data data --out file", "file is a file, expected a folder"),
        ("finetune data --data data --out new", "data is not a run folder"),
        ("evaluate nowhere --data data", "nowhere is not a run folder"),
        ("embed nowhere --out x.csv", "nowhere is not a run folder"),
        ("info nowhere", "nowhere is no run folder"),
        ("search --data data --out new --from data", "data is not a run folder"),
        ("baselines --data data --out data", "data is a folder, expected a file to write"),
        ("baselines --data data --out file/x.csv", "file is a file, expected a folder for x.csv"),
        ("actions suggest model --data data --out data", "data is a folder, expected a file"),
        ("actions evaluate model --data data --out data", "data is a folder, expected a file"),
        ("train --data data --out new --sessions ,", "a list of names is ','; give names"),
        ("baselines --data data --out x.csv --sessions=", "a list of names is ''; give names"),
        ("crossval --data data --out new --preset=", "a list of names is ''; give names"),
    ],
)
def test_a_mistake_gives_one_sentence(
    arguments: str,
    said: str,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(data.parent)
    Path("file").write_text("mine")
    assert cli.main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not Path("new").exists()
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize("words", ["--recorded-s -5", "--seconds nan", "--rate-hz nan"])
def test_a_plan_of_no_length_or_rate_is_refused(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", *words.split()]) == 2
    assert f"Invalid value for '{words.split()[0]}'" in capsys.readouterr().err


def test_scoring_one_task_keeps_the_scores_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen = Path(__file__).parent / "frozen" / "v1"
    run = shutil.copytree(frozen / "ensemble" / "members" / "00", tmp_path / "run")
    (run / "scores.csv").unlink(missing_ok=True)
    for task in ("decoding", "encoding"):
        words = ["evaluate", str(run), "--data", str(frozen / "recording.h5"), "--tasks", task]
        assert cli.main(words) == 0
    scores = (run / "scores.csv").read_text()
    assert ",decoding," in scores
    assert ",encoding," in scores
    capsys.readouterr()


def test_an_unknown_session_is_told_in_one_sentence(
    replace: Recorder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = "unknown session 'x'; known: " + ", ".join(f"[b]mouse{i}" for i in range(40))
    replace("neuroduet.training.fit", "train", UserError(sentence))
    assert (
        cli.main(words("train", "--data", data, "--out", tmp_path / "r", "--sessions", "x")) == 2
    )
    # Longer than any terminal, with brackets: neither cut, coloured nor read as markup.
    assert capsys.readouterr().err == f"error: {sentence}\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            FileNotFoundError(2, "No such file", "a.h5"),
            "there is no file or folder a.h5; check the path",
        ),
        (
            PermissionError(13, "Permission denied", "a.h5"),
            "a.h5: permission denied; check the path and its permissions",
        ),
        (OSError("cannot open:\n  bad signature"), "cannot open: bad signature"),
        (UserError("two\nlines"), "two lines"),
    ],
)
def test_errors_of_the_system_become_sentences(
    error: Exception,
    sentence: str,
    replace: Recorder,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replace("neuroduet.training.fit", "train", error)
    assert cli.main(words("train", "--data", data, "--out", tmp_path / "r")) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_debug_shows_the_traceback_wherever_it_stands(
    replace: Recorder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("neuroduet.training.fit", "train", UserError("wrong"))
    arguments = words("train", "--data", data, "--out", tmp_path / "r")
    for given in (["--debug", *arguments], [*arguments, "--debug"]):
        assert cli.main(given) == 2
        said = capsys.readouterr().err
        assert "Traceback (most recent call last)" in said
        assert said.endswith("error: wrong\n")


def test_an_interrupted_training_says_how_to_go_on(
    replace: Recorder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("neuroduet.training.fit", "train", KeyboardInterrupt())
    assert cli.main(words("train", "--data", data, "--out", tmp_path / "r")) == 130
    assert "interrupted; --resume continues the run\n" in capsys.readouterr().err


def test_a_defect_of_ours_is_not_dressed_up_as_a_mistake_of_the_user(
    replace: Recorder, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace("neuroduet.training.fit", "train", RuntimeError("two\nlines"))
    arguments = words("train", "--data", data, "--out", tmp_path / "r")
    assert cli.main(arguments) == 70
    assert capsys.readouterr().err == (
        "error: this is a fault of neuroduet, not yours (RuntimeError: two lines); "
        "add --debug for the details, and please report it\n"
    )
    assert cli.main([*arguments, "--debug"]) == 70
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "in train\n" in said


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *(str(path.relative_to(PROJECT)) for path in (PROJECT / "docs").rglob("*.md")),
    ],
)
def test_commands_in_the_documents_exist(page: str, project: Path) -> None:
    text = (project / page).read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    quoted = re.findall(r"`neuroduet ([a-z][^`\n]*)`", text)
    for line in [*quoted, *re.findall(r"^neuroduet ([a-z].*)$", blocks, re.MULTILINE)]:
        command, *words = line.split()
        known = ACTIONS if command == "actions" and words else COMMANDS
        command = words[0] if known is ACTIONS else command
        assert command in known, f"{page}: neuroduet {line}"
        flags = set(re.findall(r"--[a-z-]+", line)) - ANYWHERE
        assert flags <= known[command], f"{page}: {line}"


def test_every_page_of_the_documentation_is_in_its_menu(project: Path) -> None:
    menu = set(re.findall(r" (\S+\.md)$", (project / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = project / "docs"
    assert menu == {str(path.relative_to(pages)) for path in pages.rglob("*.md")}
