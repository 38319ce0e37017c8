from __future__ import annotations

import ast
import getpass
import json
import os
import platform
import re
import shutil
import socket
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tiny_runs import tiny

from neuroduet import cli
from neuroduet.actions import Segmenter
from neuroduet.config import load_config
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.metrics.primary import QUESTION
from neuroduet.report.page import write_report
from neuroduet.tasks.run import embed, evaluate, write_predictions
from neuroduet.training.card import headline_scores
from neuroduet.training.files import environment
from neuroduet.training.finetune import finetune
from neuroduet.training.fit import train
from neuroduet.training.hub import FILES, from_pretrained, push_to_hub, save_pretrained
from neuroduet.training.info import describe_run
from neuroduet.training.runs import Ensemble, TrainedModel, load_run
from neuroduet.types import NEURAL

FROZEN = Path(__file__).parents[1] / "frozen" / "v1"
SECRET = "secret-name-of-a-person"
"""Stands in the path of everything that is shared, and must be in no file of it."""


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(SECRET)
    out = train(tiny("training.max_steps=3", "training.validate_every=1"), data, folder / "run")
    evaluate(out, data, tasks=["encoding", "decoding"])
    rows = [
        ("ridge", "a", "decoding", "wheel", "r2", 0.25, 5, 0.0, np.nan, "test"),
        ("mlp", "a", "decoding", "wheel", "r2", 0.9, 5, 0.0, np.nan, "test"),
    ]
    scores = pd.read_csv(out / "scores.csv")
    table = pd.DataFrame(rows, columns=scores.columns)
    table["session"] = scores["session"][0]
    table.to_csv(out / "baselines.csv", index=False)
    return out


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frozen ensemble of two, as a run folder of this machine."""
    out = tmp_path_factory.mktemp(SECRET) / "run"
    shutil.copytree(FROZEN / "ensemble", out)
    (out / "env.json").write_text(json.dumps(environment(0)))
    return out


@pytest.fixture(scope="module")
def shared(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "model"
    return save_pretrained(run, folder, licence="cc-by-4.0", data_licence="simulated | free")


@dataclass
class FakeHub:
    """Keeps repositories in a folder, as the real client would on a server."""

    folder: Path
    calls: list[str] = field(default_factory=list)
    token: str | None = None
    private: bool | None = None

    def client(self, token: str | None = None, library_name: str | None = None) -> FakeHub:
        self.token = token
        self.calls.append("client")
        return self

    def create_repo(self, repo_id: str, *, private: bool, repo_type: str, exist_ok: bool) -> str:
        assert (repo_type, exist_ok) == ("model", True)
        self.private = private
        (self.folder / repo_id).mkdir(parents=True, exist_ok=True)
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(
        self, *, folder_path: Path, repo_id: str, repo_type: str, commit_message: str
    ) -> None:
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)

    def model_info(self, repo_id: str, *, revision: str | None, files_metadata: bool) -> object:
        assert files_metadata
        home = self.folder / repo_id
        if not home.is_dir():
            raise ConnectionError("404 Client Error\nRepository Not Found")
        self.calls.append(f"info {revision}")
        siblings = [
            SimpleNamespace(rfilename=p.relative_to(home).as_posix(), size=p.stat().st_size)
            for p in sorted(home.rglob("*"))
            if p.is_file()
        ]
        return SimpleNamespace(sha="c0ffee", siblings=siblings)

    def snapshot_download(
        self,
        repo_id: str,
        *,
        revision: str | None,
        allow_patterns: list[str],
        local_files_only: bool = False,
    ) -> str:
        home, cache = self.folder / repo_id, self.folder / "cache" / repo_id
        if local_files_only and not cache.is_dir():
            raise FileNotFoundError("nothing in the cache")
        for path in home.rglob("*"):
            name = path.relative_to(home).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                (cache / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, cache / name)
        return str(cache)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    found = FakeHub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=found.client))
    return found


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any look at the Hub fails the test."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    def refuse(*arguments: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def answers(model: TrainedModel | Ensemble, data: Path) -> dict[str, torch.Tensor]:
    session = open_sessions(data, model.config.data)[0]
    batch = session.batch(session.indices("test"))
    hidden = {NEURAL: True, next(iter(batch.behaviours)): True}
    masks = to_masks(batch, hide(batch, hidden))
    found = model.predict(batch, masks, "any")
    return {NEURAL: found.activity, **found.behaviours}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(x, other[k]) for k, x in one.items())


def metadata(folder: Path) -> dict[str, object]:
    """The head of a card, as the Hub reads it."""
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


@pytest.mark.usefixtures("no_network")
def test_what_was_saved_predicts_the_same_bits(run: Path, shared: Path, data: Path) -> None:
    found = from_pretrained(shared)
    assert isinstance(found, TrainedModel)
    assert same(answers(found, data), answers(load_run(run), data))
    assert found.config == load_config(run / "config.yaml")


def test_only_known_files_are_shared(shared: Path, ensemble: Path, tmp_path: Path) -> None:
    whole = save_pretrained(ensemble, tmp_path / "whole")
    for folder in (shared, whole):
        names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        assert all(any(fnmatch(name, pattern) for pattern in FILES) for name in names)
        assert "README.md" in names
        assert not any("checkpoints" in name or "tensorboard" in name for name in names)
    assert metadata(whole) == {
        "library_name": "neuroduet",
        "tags": metadata(shared)["tags"],
    }


def test_nothing_shared_names_the_machine_its_paths_or_its_user(
    run: Path, shared: Path, ensemble: Path, tmp_path: Path
) -> None:
    whole = save_pretrained(ensemble, tmp_path / "whole")
    words = {SECRET, str(run.parent), str(shared.parent), platform.platform(), os.getcwd()}
    words |= {platform.node(), getpass.getuser()} - {"root", "localhost", "vm"}
    words |= {str(Path.home()), f"{platform.release()}"}
    for folder in (shared, whole):
        for path in [p for p in folder.rglob("*") if p.is_file()]:
            content = path.read_bytes()
            for word in words:
                assert word.encode() not in content, f"{path.name} holds {word}"
    # The same words do stand in what is not shared, so that the test could fail.
    assert platform.platform() in (run / "env.json").read_text()


def test_the_card_says_what_the_run_was(run: Path, shared: Path) -> None:
    card = (shared / "README.md").read_text(encoding="utf-8")
    assert metadata(shared) == {
        "library_name": "neuroduet",
        "tags": [
            "neuroscience",
            "electrophysiology",
            "neural-decoding",
            "neural-encoding",
            "duet",
            "translator",
        ],
        "license": "cc-by-4.0",
    }
    for session in describe_run(run)["sessions"]:
        assert f"| {session['id']} | {session['subject']} | spikes | {session['units']} |" in card
    assert r"Licence of the data: simulated \| free." in card
    assert "(70 % training, 10 % validation, the rest test), seed 0" in card
    assert re.search(r"\| 0 \| 3 \| \d+\.\d \|", card)  # seed, steps, minutes
    assert "arXiv:2504.08201" in card
    assert 'from_pretrained("model")' in card
    assert "None" not in card
    assert "nan" not in card


def test_the_card_sets_scores_beside_null_baseline_and_oracle(run: Path, shared: Path) -> None:
    card = (shared / "README.md").read_text(encoding="utf-8")
    scores = pd.read_csv(run / "scores.csv")
    own = scores[scores.metric.isin(["bits_per_spike", "r2", "balanced_accuracy"])]
    for task, target, metric in (
        ("encoding", "spikes", "bits_per_spike"),
        ("decoding", "wheel", "r2"),
        ("decoding", "choice", "balanced_accuracy"),
    ):
        rows = own[(own.task == task) & (own.target == target) & (own.metric == metric)]
        mean, null = rows["value"].mean(), rows["null"].mean()
        head = f"| {task} | {target} | {metric} | {mean:.3f} | {null:.3f} |"
        assert head in card, head
        if target == "wheel":  # the ridge, not the network
            assert f"{head} 0.250 (ridge) |" in card
    oracle = own[own.task == "encoding"]["oracle"]
    assert f"| - | {oracle[own.metric == 'bits_per_spike'].mean():.3f} | 2 |" in card


def test_a_run_without_scores_says_so(ensemble: Path, tmp_path: Path) -> None:
    card = (save_pretrained(ensemble, tmp_path / "out") / "README.md").read_text("utf-8")
    assert "was not evaluated" in card
    assert "an ensemble of 2" in card
    assert "Licence of the weights: not stated." in card


def test_names_from_files_cannot_break_the_card(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    path = copied / "model" / "config.json"
    said = json.loads(path.read_text())
    said["sessions"][0]["subject"] = "<script>a|b</script>"
    path.write_text(json.dumps(said))
    card = (save_pretrained(copied, tmp_path / "out") / "README.md").read_text("utf-8")
    assert r"| &lt;script&gt;a\|b&lt;/script&gt; |" in card


def test_a_shared_folder_works_as_a_run(shared: Path, data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shared, tmp_path / "model"))
    table = evaluate(folder, data, tasks=["encoding"])
    assert set(table.task) == {"encoding"}
    write_predictions(folder, data, tmp_path / "predicted")
    assert len(list((tmp_path / "predicted").glob("*.npz"))) == 2
    embed(folder, tmp_path / "units.csv")
    assert write_report(folder).is_file()
    described = describe_run(folder)
    assert described["trainings"][0]["steps"] == 3
    installed = described["packages"]["torch"]  # of a build from PyPI without its CUDA version
    assert torch.__version__.partition("+")[0] == installed.partition("+")[0]
    sessions = [open_sessions(data, tiny().data)[1].info.id]
    adapted = finetune(folder, data, tmp_path / "adapted", sessions, ["training.max_steps=1"])
    assert [info.id for info in load_run(adapted).sessions] == sessions


def test_an_ensemble_is_shared_with_all_its_members(ensemble: Path, tmp_path: Path) -> None:
    data = FROZEN / "recording.h5"
    folder = save_pretrained(ensemble, tmp_path / "whole")
    found = from_pretrained(folder)
    assert isinstance(found, Ensemble)
    assert same(answers(found, data), answers(load_run(ensemble), data))
    assert load_config(folder / "config.yaml").training.members == 2
    assert isinstance(Ensemble.from_pretrained(folder), Ensemble)
    with pytest.raises(UserError, match="holds Ensemble, not TrainedModel"):
        TrainedModel.from_pretrained(folder)


def test_a_model_saves_itself_and_so_does_its_copy(
    shared: Path, data: Path, tmp_path: Path
) -> None:
    found = from_pretrained(shared)
    again = found.save_pretrained(tmp_path / "again", licence="mit")
    assert metadata(again)["license"] == "mit"
    assert same(answers(TrainedModel.from_pretrained(again), data), answers(found, data))
    weights = sorted(p.relative_to(shared) for p in shared.rglob("*.safetensors"))
    assert weights == sorted(p.relative_to(again) for p in again.rglob("*.safetensors"))
    assert all((again / p).read_bytes() == (shared / p).read_bytes() for p in weights)
    made = TrainedModel(found.name, found.config, found.model, found.best)
    bare = made.save_pretrained(tmp_path / "bare")
    assert not (bare / "scores.csv").exists()
    assert same(answers(load_run(bare), data), answers(found, data))


def test_a_used_folder_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="already holds files"):
        save_pretrained(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("there", [True, False])
def test_what_cannot_be_written_whole_leaves_nothing_in_the_way(
    there: bool, run: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    scores = pd.read_csv(copied / "scores.csv")
    scores.drop(columns="oracle").to_csv(copied / "scores.csv", index=False)
    out = tmp_path / "models" / "out"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(UserError, match="scores.csv lacks oracle"):
        save_pretrained(copied, out)
    assert out.is_dir() == there
    assert not there or not list(out.iterdir())
    scores.to_csv(copied / "scores.csv", index=False)
    assert (save_pretrained(copied, out) / "README.md").is_file()


def test_sessions_with_numbers_for_names_are_not_one(tmp_path: Path) -> None:
    config = tiny()
    pd.DataFrame(
        [
            (config.preset, name, "decoding", "wheel", "r2", value, 5, 0.0, np.nan, "test")
            for name, value in (("1", 0.2), ("01", 0.6))
        ],
        columns=["model", "session", *QUESTION, "value", "n", "null", "oracle", "split"],
    ).to_csv(tmp_path / "scores.csv", index=False)
    (score,) = headline_scores(tmp_path, config)
    assert score["sessions"] == 2
    assert score["value"] == pytest.approx(0.4)


def test_a_file_is_no_folder_to_write(run: Path, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(UserError, match="is a file, expected a folder"):
        save_pretrained(run, tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_the_card_opens_a_folder_of_any_name(ensemble: Path, tmp_path: Path) -> None:
    name = 'a "b" <c> & d\\e [f]'
    card = (save_pretrained(ensemble, tmp_path / name) / "README.md").read_text("utf-8")
    (line,) = [line for line in card.splitlines() if line.startswith("model = ")]
    assert ast.literal_eval(line.partition("(")[2].removesuffix(")")) == name


def test_a_pushed_model_comes_back(
    run: Path, data: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = push_to_hub(run, "lab/mouse", private=True, token="t", datasets=["lab/data"])
    assert address == "https://huggingface.co/lab/mouse"
    assert (hub.private, hub.token) == (True, "t")
    pushed = hub.folder / "lab" / "mouse"
    assert metadata(pushed)["datasets"] == ["lab/data"]
    assert 'from_pretrained("lab/mouse")' in (pushed / "README.md").read_text("utf-8")
    (pushed / "model" / "evil.py").write_text("raise SystemExit")
    (pushed / "pytorch_model.bin").write_bytes(b"pickle")
    found = from_pretrained("lab/mouse", revision="v1", token="t")
    assert "info v1" in hub.calls
    assert same(answers(found, data), answers(load_run(run), data))
    names = {path.name for path in (hub.folder / "cache").rglob("*")}
    assert "model.safetensors" in names
    assert not names & {"evil.py", "pytorch_model.bin"}


def test_without_a_network_an_earlier_download_is_used(
    run: Path,
    data: Path,
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    push_to_hub(run, "lab/mouse")
    first = answers(from_pretrained("lab/mouse"), data)
    shutil.rmtree(hub.folder / "lab")
    assert same(answers(from_pretrained("lab/mouse"), data), first)
    assert "the copy of an earlier download is used" in caplog.text


def test_a_folder_wins_over_a_repository_of_its_name(
    run: Path, shared: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_to_hub(run, "lab/mouse")
    hub.calls.clear()
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shared, tmp_path / "lab" / "mouse")
    assert isinstance(from_pretrained("lab/mouse"), TrainedModel)
    assert hub.calls == []
    with pytest.raises(UserError, match="leave the revision out"):
        from_pretrained("lab/mouse", revision="v1")


@pytest.mark.parametrize(
    "source",
    [
        "./lab/mouse",
        "../mouse",
        "/lab/mouse",
        "a/b/c",
        "mouse",
        "~/mouse",
        "runs/first",
        "",
        "a b/c",
    ],
)
def test_a_missing_path_is_not_looked_up_on_the_hub(
    source: str, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    wanted = "is not a finished run|there is no folder"
    with pytest.raises(UserError, match=wanted):
        from_pretrained(source)
    with pytest.raises(UserError, match=wanted):
        from_pretrained(Path("lab/mouse"))
    assert hub.calls == []


def test_what_the_hub_refuses_becomes_one_sentence(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="did not serve lab/mouse .*Not Found") as said:
        from_pretrained("lab/mouse")
    assert len(str(said.value).splitlines()) == 1
    (hub.folder / "lab" / "other").mkdir(parents=True)
    (hub.folder / "lab" / "other" / "model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="holds no model of neuroduet"):
        from_pretrained("lab/other")
    (hub.folder / "lab" / "large" / "model").mkdir(parents=True)
    (hub.folder / "lab" / "large" / "model" / "x.safetensors").write_bytes(b"x")
    monkeypatch.setattr("neuroduet.remote.MOST_BYTES", 0)
    with pytest.raises(UserError, match="expected at most 0"):
        from_pretrained("lab/large")


def test_without_the_client_the_remedy_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for act in (lambda: from_pretrained("lab/mouse"), lambda: push_to_hub(run, "lab/mouse")):
        with pytest.raises(UserError, match=r"pip install 'neuroduet\[hub\]'"):
            act()


@pytest.mark.parametrize("name", ["mouse", "a/b/c", "lab/", "https://x.org/a"])
def test_only_owner_and_name_can_be_pushed_to(name: str, run: Path, hub: FakeHub) -> None:
    with pytest.raises(UserError, match="write owner/name"):
        push_to_hub(run, name)
    assert hub.calls == []


def test_a_segmenter_is_pushed_and_comes_back(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(80, 3))
    fitted = Segmenter("random_forest", classes=("rest", "run")).fit([x], [(x[:, 0] > 0) * 1])
    fitted.push_to_hub("lab/actions", licence="mit", data_licence="mine")
    head = metadata(hub.folder / "lab" / "actions")
    assert head["license"] == "mit"
    assert "action-segmentation" in head["tags"]
    found = Segmenter.from_pretrained("lab/actions")
    np.testing.assert_array_equal(found.predict_proba([x])[0], fitted.predict_proba([x])[0])
    with pytest.raises(UserError, match="there is no folder nowhere"):
        Segmenter.from_pretrained("nowhere")


def test_share_writes_and_pushes(
    run: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["share", str(run), "--out", str(out), "--push", "lab/mouse", "--private"]
    words += ["--licence", "mit", "--data-licence", "CC BY 4.0", "--datasets", "lab/a,lab/b"]
    assert cli.main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"folder": str(out), "address": "https://huggingface.co/lab/mouse"}
    for folder in (out, hub.folder / "lab" / "mouse"):
        assert metadata(folder)["datasets"] == ["lab/a", "lab/b"]
    assert cli.main(["share", str(out), "--out", str(tmp_path / "again")]) == 0
    assert "the model and its card are in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --out DIR to write, or --push"),
        (["--out", "x", "--private"], "add --push"),
        (["--push", "mouse"], "write owner/name"),
    ],
)
def test_share_says_what_is_wrong(
    words: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["share", str(run), *words]) == 2
    assert said in capsys.readouterr().err


def test_share_takes_a_segmenter_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).normal(size=(80, 3))
    fitted = Segmenter("random_forest").fit([x], [(x[:, 0] > 0) * 1])
    source = fitted.save_pretrained(tmp_path / "segmenter")
    assert cli.main(["share", str(source), "--out", str(tmp_path / "out")]) == 0
    assert Segmenter.from_pretrained(tmp_path / "out").class_names == ("0", "1")
    assert cli.main(["share", str(tmp_path), "--out", str(tmp_path / "no")]) == 2
    assert "neither a run folder nor a segmenter" in capsys.readouterr().err


def test_the_learning_curves_go_along(run: Path, shared: Path) -> None:
    assert (shared / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
