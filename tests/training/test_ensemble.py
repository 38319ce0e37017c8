from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import checkpoint, metrics, model_weights, same, tiny

from neuroduet.catalogue import find_entries
from neuroduet.config import load_config
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.training.finetune import finetune
from neuroduet.training.fit import train
from neuroduet.training.jobs import member_config
from neuroduet.training.runs import Ensemble, load_run
from neuroduet.types import NEURAL

STEPS = ["training.max_steps=3", "training.validate_every=1", "training.seed=5"]


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(tiny(*STEPS, "training.members=2"), data, out)


def test_members_trained_in_processes_equal_runs_of_their_seeds(
    data: Path, run: Path, tmp_path: Path
) -> None:
    for index in (0, 1):
        config = tiny(*STEPS, f"training.seed={5 + index}")
        assert member_config(tiny(*STEPS, "training.members=2"), index) == config
        alone = train(config, data, tmp_path / str(index))
        member = run / "members" / f"0{index}"
        assert same(checkpoint(alone)[0], checkpoint(member)[0])
        assert same(model_weights(alone), model_weights(member))
        assert metrics(alone) == metrics(member)
    assert metrics(run) == metrics(run / "members" / "00")
    assert load_config(run / "config.yaml").training.members == 2


def test_an_ensemble_predicts_the_mean_of_its_different_members(data: Path, run: Path) -> None:
    found = load_run(run)
    assert isinstance(found, Ensemble)
    assert len(found.members) == 2
    session = open_sessions(data, found.config.data)[0]
    batch = session.batch(session.indices("test"))
    masks = to_masks(batch, hide(batch, {NEURAL: True, "wheel": True}))
    one, other = (member.predict(batch, masks, "any") for member in found.members)
    mean = found.predict(batch, masks, "any")
    assert not torch.allclose(one.activity, other.activity)
    torch.testing.assert_close(mean.activity, (one.activity + other.activity) / 2)
    wheels = [answer.behaviours["wheel"] for answer in (one, other)]
    torch.testing.assert_close(mean.behaviours["wheel"], (wheels[0] + wheels[1]) / 2)


def test_an_ensembles_embeddings_stand_side_by_side(run: Path) -> None:
    found = load_run(run)
    for session, table in found.embeddings().items():
        parts = [member.embeddings()[session] for member in found.members]
        np.testing.assert_array_equal(table, np.concatenate(parts, axis=1))


def test_an_ensemble_is_finetuned_member_by_member(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["training.max_steps=1"]

    def one_after_the_other(jobs, report, known_here) -> None:
        for function, arguments in jobs:
            function(*arguments)

    # That processes give the same weights is tested above; here they would only take time.
    monkeypatch.setattr("neuroduet.training.finetune.run_jobs", one_after_the_other)
    sessions = [open_sessions(data, tiny().data)[1].info.id]
    out = finetune(run, data, tmp_path / "all", sessions, settings)
    alone = finetune(run / "members" / "01", data, tmp_path / "one", sessions, settings)
    assert same(model_weights(alone), model_weights(out / "members" / "01"))
    assert len(load_run(out).members) == 2
    assert [info.id for info in load_run(out).sessions] == sessions
    assert load_config(out / "config.yaml").training.members == 2
    assert [entry.finished for entry in find_entries(out)] == [True]
    other = finetune(run, data, tmp_path / "other", sessions, [*settings, "training.seed=8"])
    found = load_run(other)
    assert [member.config.training.seed for member in found.members] == [8, 9]
    assert found.config.training.members == 2
    shutil.rmtree(other / "members" / "01")
    with pytest.raises(UserError, match="not a finished run: 1 of its 2 members have begun"):
        load_run(other)


def test_an_ensemble_of_which_members_are_missing_is_not_finished(
    data: Path, tmp_path: Path
) -> None:
    one = train(tiny("training.max_steps=1"), data, tmp_path / "one")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(tiny("training.members=2").to_yaml())
    shutil.copytree(one, run / "members" / "00")
    with pytest.raises(UserError, match="not a finished run: 1 of its 2 members have begun"):
        load_run(run)
    shutil.copytree(one, run / "members" / "01")
    assert len(load_run(run).members) == 2
    shutil.rmtree(run / "members" / "01" / "model")
    with pytest.raises(UserError, match="01 is not a finished run"):
        load_run(run)
